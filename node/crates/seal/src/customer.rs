//! Keys that customers bring with each request (SSE-C of S3), and what is kept of one with an object.
//!
//! An object that came with a key has a random salt. Key and salt together give a secret, under which what the object contains is
//! sealed before the bucket's secret seals it again; so neither the cluster nor the customer opens it alone. Of the key nothing is
//! kept but a [`KeyMark`], by which the same key is known again.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::context::{CUSTOMER_CHECK, CUSTOMER_SECRET, derive};
use crate::secret::{BucketSecret, secret};

const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const CHECK_BYTES: usize = 32;
/// The secret of a key and a salt is never replaced by a newer one.
const SECRET_VERSION: u32 = 1;

/// A customer's key. Zeroed when dropped, and kept nowhere.
#[derive(Clone)]
pub struct CustomerKey {
    bytes: Zeroizing<[u8; 32]>,
}

secret!(CustomerKey);

/// What is kept of a customer's key with an object: a salt, and a check by which the key is known again. It tells nothing of the key
/// to whoever cannot try all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMark {
    salt: [u8; SALT_BYTES],
    check: [u8; CHECK_BYTES],
}

/// Why bytes are no mark of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyMarkError {
    /// More or fewer bytes than a mark has.
    #[error("the mark of a customer's key has {bytes} bytes, not {0}", bytes = KeyMark::BYTES)]
    Length(usize),
    /// A mark of a later version.
    #[error("the mark of a customer's key is of version {0}, which is not known to this version")]
    Version(u8),
}

impl CustomerKey {
    /// The key that a customer brought.
    #[must_use]
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { bytes }
    }

    /// The mark of this key for a new object, and the secret that seals what that contains. `salt`: random, and never used again.
    #[must_use]
    pub fn mark(&self, salt: [u8; SALT_BYTES]) -> (KeyMark, BucketSecret) {
        (KeyMark { salt, check: *self.derive(CUSTOMER_CHECK, &salt) }, self.secret(&salt))
    }

    /// The secret of the object with this mark; `None` where the mark is another key's. Compared in constant time.
    #[must_use]
    pub fn secret_of(&self, mark: &KeyMark) -> Option<BucketSecret> {
        let check = self.derive(CUSTOMER_CHECK, &mark.salt);
        bool::from(check[..].ct_eq(&mark.check[..])).then(|| self.secret(&mark.salt))
    }

    fn secret(&self, salt: &[u8; SALT_BYTES]) -> BucketSecret {
        BucketSecret::from_bytes(SECRET_VERSION, *self.derive(CUSTOMER_SECRET, salt))
    }

    fn derive(&self, context: &'static str, salt: &[u8; SALT_BYTES]) -> Zeroizing<[u8; 32]> {
        derive(context, &[&self.bytes[..], salt])
    }
}

impl KeyMark {
    /// Bytes of every mark: version, salt, check.
    pub const BYTES: usize = 1 + SALT_BYTES + CHECK_BYTES;

    /// As it is kept.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [VERSION; Self::BYTES];
        out[1..][..SALT_BYTES].copy_from_slice(&self.salt);
        out[1 + SALT_BYTES..].copy_from_slice(&self.check);
        out
    }

    /// Reads what [`KeyMark::encode`] gave.
    ///
    /// # Errors
    /// See [`KeyMarkError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyMarkError> {
        let wrong = KeyMarkError::Length(bytes.len());
        let (version, rest) = bytes.split_first().ok_or(wrong)?;
        if *version != VERSION {
            return Err(KeyMarkError::Version(*version));
        }
        let (salt, check) = rest.split_first_chunk().ok_or(wrong)?;
        Ok(Self { salt: *salt, check: check.try_into().map_err(|_| wrong)? })
    }
}
