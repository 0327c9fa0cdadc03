use datamesh_shard::Cipher;
use datamesh_shard::limits::TAG_BYTES;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ClusterSecret, FINGERPRINT_BYTES};
use crate::aead::{MessageKey, Place};
use crate::context::{BUCKET_WRAP, derive};
use crate::random::Random;
use crate::secret::{BucketSecret, fresh};

const VERSION: u8 = 1;
const CIPHER: Cipher = Cipher::Aes256Gcm;
const SALT_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;
const HEAD_BYTES: usize = 2 + FINGERPRINT_BYTES + SALT_BYTES;
const WRAPPED_BYTES: usize = HEAD_BYTES + SECRET_BYTES + TAG_BYTES;

/// A bucket's secret as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedBucketSecret {
    /// The secret's version.
    pub version: u32,
    /// Format version, suite (one byte each), the cluster secret's fingerprint (8 bytes), salt (32 bytes), then the
    /// sealed secret and its tag.
    pub bytes: Vec<u8>,
}

/// Why a bucket's secret does not unwrap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Not of this length.
    #[error("a wrapped bucket secret of {0} bytes")]
    Length(usize),
    /// A later version, or of another cipher.
    #[error("wrapped bucket secret version {version}, cipher suite {suite}: not known to this version")]
    Version {
        /// Its version byte.
        version: u8,
        /// Its suite byte.
        suite: u8,
    },
    /// Wrapped under another cluster secret.
    #[error("wrapped under the cluster secret with fingerprint {need}, not {have}")]
    OtherClusterSecret {
        /// Of the secret at hand.
        have: String,
        /// Of the secret it was wrapped under.
        need: String,
    },
    /// Altered, or of another bucket or version.
    #[error("the wrapped bucket secret is altered, or of another bucket or version")]
    Refused,
}

/// The key of one wrapping: a salt of 32 random bytes never comes twice.
fn one_use(secret: &ClusterSecret, salt: &[u8]) -> MessageKey {
    MessageKey::new(CIPHER, &derive(BUCKET_WRAP, &[&secret.bytes[..], salt]))
}

fn bound(head: &[u8], bucket: u64, version: u32) -> Vec<u8> {
    [head, &bucket.to_le_bytes(), &version.to_le_bytes()].concat()
}

pub(super) fn wrap(
    cluster: &ClusterSecret,
    secret: &BucketSecret,
    bucket: u64,
    random: &dyn Random,
) -> WrappedBucketSecret {
    let salt = fresh::<SALT_BYTES>(random);
    let mut bytes = Vec::with_capacity(WRAPPED_BYTES);
    bytes.extend_from_slice(&[VERSION, CIPHER.code()]);
    bytes.extend_from_slice(&cluster.fingerprint_bytes());
    bytes.extend_from_slice(&salt[..]);
    let aad = bound(&bytes, bucket, secret.version());
    let mut sealed = Zeroizing::new(*secret.bytes());
    let tag = one_use(cluster, &salt[..]).seal(Place::ONLY, &aad, &mut sealed[..]);
    bytes.extend_from_slice(&sealed[..]);
    bytes.extend_from_slice(&tag);
    WrappedBucketSecret { version: secret.version(), bytes }
}

pub(super) fn unwrap(
    cluster: &ClusterSecret,
    wrapped: &WrappedBucketSecret,
    bucket: u64,
) -> Result<BucketSecret, UnwrapError> {
    if wrapped.bytes.len() != WRAPPED_BYTES {
        return Err(UnwrapError::Length(wrapped.bytes.len()));
    }
    let (head, body) = wrapped.bytes.split_at(HEAD_BYTES);
    let (version, suite) = (head[0], head[1]);
    if version != VERSION || suite != CIPHER.code() {
        return Err(UnwrapError::Version { version, suite });
    }
    let (fingerprint, salt) = head[2..].split_at(FINGERPRINT_BYTES);
    if *fingerprint != cluster.fingerprint_bytes() {
        let (have, need) = (cluster.fingerprint(), hex::encode(fingerprint));
        return Err(UnwrapError::OtherClusterSecret { have, need });
    }
    let mut opened = Zeroizing::new([0; SECRET_BYTES + TAG_BYTES]);
    opened.copy_from_slice(body);
    let aad = bound(head, bucket, wrapped.version);
    one_use(cluster, salt).open(Place::ONLY, &aad, &mut opened[..], 0).map_err(|_| UnwrapError::Refused)?;
    let (secret, _) = opened.split_first_chunk::<SECRET_BYTES>().ok_or(UnwrapError::Refused)?;
    Ok(BucketSecret::from_bytes(wrapped.version, *secret))
}
