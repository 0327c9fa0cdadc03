use datamesh_shard::{NodeName, PoolName};
use zeroize::Zeroizing;

use crate::OpenError;
use crate::context::{CLUSTER_FINGERPRINT, CLUSTER_SIGNING, derive};
use crate::random::{Random, SystemRandom};
use crate::secret::{BucketSecret, fresh, secret};
use crate::signing::ClusterSigningKey;
use subtle::ConstantTimeEq as _;

mod access_key;
mod anchor;
mod credential;
mod join_token;
mod pending;
mod request_key;
mod second_factor;
mod wrap;

pub use join_token::{JoinToken, JoinTokenError};
pub use request_key::RequestKey;
pub use wrap::{UnwrapError, WrappedBucketSecret};

const FINGERPRINT_BYTES: usize = 8;

/// The secret a whole cluster hangs on: bucket secrets are wrapped under it, and the cluster's signing key and join tokens
/// are derived from it. Zeroed when dropped.
#[derive(Clone)]
pub struct ClusterSecret {
    bytes: Zeroizing<[u8; 32]>,
}

secret!(ClusterSecret);

/// A text is no cluster secret. The text is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cluster secret is 64 hexadecimal digits")]
pub struct ClusterSecretError;

impl ClusterSecret {
    /// A fresh secret.
    #[must_use]
    pub fn generate() -> Self {
        Self { bytes: fresh(&SystemRandom) }
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When they are not.
    pub fn from_hex(text: &str) -> Result<Self, ClusterSecretError> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, bytes.as_mut()).map_err(|_| ClusterSecretError)?;
        Ok(Self { bytes })
    }

    /// 64 hexadecimal digits: what an administrator keeps a copy of.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&self.bytes[..]))
    }

    /// Names the secret without telling it: 16 hexadecimal digits, kept in the catalog and in every store.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(self.fingerprint_bytes())
    }

    fn fingerprint_bytes(&self) -> [u8; FINGERPRINT_BYTES] {
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&self.derive(CLUSTER_FINGERPRINT)[..FINGERPRINT_BYTES]);
        fingerprint
    }

    fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        derive(context, &[&self.bytes[..]])
    }

    /// The key that signs for the cluster.
    #[must_use]
    pub fn signing_key(&self) -> ClusterSigningKey {
        ClusterSigningKey::from_seed(&self.derive(CLUSTER_SIGNING))
    }

    /// Wraps the secret of bucket `bucket` for the catalog, under a key that is used this once.
    #[must_use]
    pub fn wrap_bucket(&self, secret: &BucketSecret, bucket: u64) -> WrappedBucketSecret {
        self.wrap_bucket_from(secret, bucket, &SystemRandom)
    }

    /// As [`ClusterSecret::wrap_bucket`]; what makes the key one-use comes out of another source, for which the caller
    /// answers: see [`Random`].
    #[must_use]
    pub fn wrap_bucket_from(
        &self,
        secret: &BucketSecret,
        bucket: u64,
        random: &dyn Random,
    ) -> WrappedBucketSecret {
        wrap::wrap(self, secret, bucket, random)
    }

    /// Unwraps the secret of bucket `bucket`.
    ///
    /// # Errors
    /// When it was wrapped for another bucket or version, under another cluster secret, or was altered.
    pub fn unwrap_bucket(
        &self,
        wrapped: &WrappedBucketSecret,
        bucket: u64,
    ) -> Result<BucketSecret, UnwrapError> {
        wrap::unwrap(self, wrapped, bucket)
    }

    /// Seals the secret of the S3 key pair `key_id` for the catalog.
    #[must_use]
    pub fn seal_access_key(&self, key_id: &str, secret: &str) -> Vec<u8> {
        access_key::seal(self, key_id, secret)
    }

    /// Opens what [`ClusterSecret::seal_access_key`] gave for this key.
    ///
    /// # Errors
    /// When it was sealed for another key, under another cluster secret, or was altered.
    pub fn open_access_key(&self, key_id: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        access_key::open(self, key_id, sealed)
    }

    /// Seals the anchor of a backup of the catalog for its place.
    #[must_use]
    pub fn seal_anchor(&self, place: &[u8; 32], anchor: &[u8]) -> Vec<u8> {
        anchor::seal(self, place, anchor)
    }

    /// Opens what [`ClusterSecret::seal_anchor`] gave for this place.
    ///
    /// # Errors
    /// When it was sealed for another place, under another cluster secret, or was altered.
    pub fn open_anchor(&self, place: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        anchor::open(self, place, sealed)
    }

    /// What the catalog keeps of the credential `id`, whose secret is this.
    #[must_use]
    pub fn credential_hash(&self, id: &[u8; 24], secret: &[u8; 32]) -> [u8; 32] {
        credential::hash(self, id, secret)
    }

    /// What the passwords of the user of this id are hashed with besides their salt: guesses cannot be tried on the catalog's rows alone,
    /// and a hash that is copied to another user's row is nobody's.
    #[must_use]
    pub fn password_pepper(&self, user: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        credential::pepper(self, user)
    }

    /// Seals the secret of the second factor of the user of this id for the catalog.
    #[must_use]
    pub fn seal_second_factor(&self, user: &[u8; 16], secret: &[u8]) -> Vec<u8> {
        second_factor::seal(self, user, secret)
    }

    /// Opens what [`ClusterSecret::seal_second_factor`] gave for this user.
    ///
    /// # Errors
    /// When it was sealed for another user, under another cluster secret, or was altered.
    pub fn open_second_factor(
        &self,
        user: &[u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        second_factor::open(self, user, sealed)
    }

    /// Seals what somebody else keeps for a while and brings back, for one purpose. `id`: random, and never used again.
    #[must_use]
    pub fn seal_pending(&self, purpose: &str, (id, plain): (&[u8; 16], &[u8])) -> Vec<u8> {
        pending::seal(self, purpose, (id, plain))
    }

    /// Opens what [`ClusterSecret::seal_pending`] gave for this purpose.
    ///
    /// # Errors
    /// When it was sealed for another purpose, under another cluster secret, or was altered.
    pub fn open_pending(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        pending::open(self, purpose, sealed)
    }

    /// What the catalog keeps of a recovery code of the user of this id.
    #[must_use]
    pub fn recovery_code_hash(&self, user: &[u8; 16], code: &[u8]) -> [u8; 32] {
        second_factor::recovery_hash(self, user, code)
    }

    /// What the key stands for that a client gave a request to this route, so that it is done once: for this asker alone.
    #[must_use]
    pub fn request_key(&self, asker: &[u8; 16], route: &str, key: &str) -> RequestKey {
        RequestKey::new(self, asker, route, key)
    }

    /// Makes the token with which one node joins one pool. `nonce` is what makes it one-use: the catalog binds it to the
    /// first peer key that comes with it.
    #[must_use]
    pub fn mint_join_token(&self, node: &NodeName, pool: &PoolName, nonce: [u8; 16]) -> JoinToken {
        join_token::mint(self, node, pool, nonce)
    }

    /// Checks a join token and returns its nonce.
    ///
    /// # Errors
    /// When it is none, or not this cluster's for this node and pool.
    pub fn check_join_token(
        &self,
        token: &str,
        node: &NodeName,
        pool: &PoolName,
    ) -> Result<[u8; 16], JoinTokenError> {
        join_token::check(self, token, node, pool)
    }
}
