//! Records: manifest pages and inline objects. Small messages, each sealed whole under a key of its own.
//!
//! version, suite (one byte each), the secret's version (u32, little-endian), salt (16 bytes), commitment to the key
//! (32 bytes), then text and tag. The salt is a keyed hash of everything that is sealed, so that even a record id used
//! twice by mistake never has one key seal two messages.

use datamesh_shard::Cipher;
use datamesh_shard::limits::TAG_BYTES;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::OpenError;
use crate::aead::{MessageKey, Place};
use crate::context::{RECORD_COMMITMENT, RECORD_KEY, RECORD_SALT, derive, keyed};
use crate::secret::BucketSecret;

const VERSION: u8 = 1;
const CIPHER: Cipher = Cipher::Aes256Gcm;
const SALT_BYTES: usize = 16;
const COMMITMENT_BYTES: usize = 32;
const HEAD_BYTES: usize = 6 + SALT_BYTES + COMMITMENT_BYTES;

/// Bytes of a sealed record of this much plaintext.
#[must_use]
pub fn record_bytes_of(plain_bytes: usize) -> usize {
    HEAD_BYTES + plain_bytes + TAG_BYTES
}

fn salt(secret: &BucketSecret, record_id: &[u8; 16], aad: &[u8], plain: &[u8]) -> [u8; SALT_BYTES] {
    let aad_bytes = (aad.len() as u64).to_le_bytes();
    let hash = keyed(&secret.derive(RECORD_SALT), &[record_id, &aad_bytes, aad, plain]);
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&hash[..SALT_BYTES]);
    salt
}

fn one_use(
    context: &'static str,
    secret: &BucketSecret,
    record_id: &[u8; 16],
    salt: &[u8; SALT_BYTES],
) -> Zeroizing<[u8; 32]> {
    derive(context, &[secret.bytes(), &secret.version().to_le_bytes(), record_id, salt])
}

fn bound(head: &[u8; HEAD_BYTES], aad: &[u8]) -> Vec<u8> {
    [head, aad].concat()
}

/// Seals `plain` as the record `record_id` of a bucket. `aad` says what it belongs to; it must be given again to open it.
#[must_use]
pub fn seal_record(secret: &BucketSecret, record_id: &[u8; 16], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let salt = salt(secret, record_id, aad, plain);
    let mut head = [0; HEAD_BYTES];
    head[..2].copy_from_slice(&[VERSION, CIPHER.code()]);
    head[2..6].copy_from_slice(&secret.version().to_le_bytes());
    head[6..][..SALT_BYTES].copy_from_slice(&salt);
    head[6 + SALT_BYTES..].copy_from_slice(&one_use(RECORD_COMMITMENT, secret, record_id, &salt)[..]);
    let mut out = Vec::with_capacity(record_bytes_of(plain.len()));
    out.extend_from_slice(&head);
    out.extend_from_slice(plain);
    let key = MessageKey::new(CIPHER, &one_use(RECORD_KEY, secret, record_id, &salt));
    let tag = key.seal(Place::ONLY, &bound(&head, aad), &mut out[HEAD_BYTES..]);
    out.extend_from_slice(&tag);
    out
}

/// Opens a record.
///
/// # Errors
/// Names the part that is wrong: version, the secret's version, the commitment (another bucket, secret or record id), or the
/// rest.
pub fn open_record(
    secret: &BucketSecret,
    record_id: &[u8; 16],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let truncated = OpenError::Truncated { expected: record_bytes_of(0), got: sealed.len() };
    let (head, text) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(truncated)?;
    if text.len() < TAG_BYTES {
        return Err(truncated);
    }
    let [version, suite, v0, v1, v2, v3, ..] = *head;
    if version != VERSION || suite != CIPHER.code() {
        return Err(OpenError::RecordVersion { version, suite });
    }
    let need = u32::from_le_bytes([v0, v1, v2, v3]);
    if need != secret.version() {
        return Err(OpenError::SecretVersion { have: secret.version(), need });
    }
    let mut given_salt = [0; SALT_BYTES];
    given_salt.copy_from_slice(&head[6..][..SALT_BYTES]);
    let commitment = one_use(RECORD_COMMITMENT, secret, record_id, &given_salt);
    if !bool::from(commitment[..].ct_eq(&head[6 + SALT_BYTES..])) {
        return Err(OpenError::Commitment);
    }
    let key = MessageKey::new(CIPHER, &one_use(RECORD_KEY, secret, record_id, &given_salt));
    let mut plain = Zeroizing::new(text.to_vec());
    let plain_bytes =
        key.open(Place::ONLY, &bound(head, aad), &mut plain, 0).map_err(|_| OpenError::Record)?;
    plain.truncate(plain_bytes);
    if !bool::from(salt(secret, record_id, aad, &plain).ct_eq(&given_salt)) {
        return Err(OpenError::Record);
    }
    Ok(plain)
}
