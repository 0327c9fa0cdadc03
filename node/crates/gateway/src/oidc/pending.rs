//! What a sign-in needs to know when it comes back. Gateways keep none of it: it is sealed under the cluster's key, so that any of them may
//! go on, and strangers who begin and never come back cost nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::{CredentialId, UserId};
use datamesh_seal::ClusterSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How long somebody may take to sign in at a provider.
pub(crate) const PENDING_MS: u64 = 10 * 60 * 1000;
/// How long somebody may take to say yes to a device at most.
pub(crate) const DEVICE_MS_MAX: u64 = 30 * 60 * 1000;
/// Characters of a sealed one at most: a cookie has 4,096.
const SEALED_CHARS_MAX: usize = 4000;

/// A browser's sign-in that is under way.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Pending {
    /// Of the provider, whose name may be another's by then.
    pub(crate) issuer: String,
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// Of PKCE (RFC 7636).
    pub(crate) verifier: String,
    pub(crate) until_unix_ms: u64,
    /// Who asked to be bound to whom the provider names; none: somebody signs in.
    #[zeroize(skip)]
    pub(crate) binds: Option<Binds>,
}

/// Who asked to be bound.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Binds {
    pub(crate) user: UserId,
    /// In which session.
    pub(crate) session: CredentialId,
    /// A hash of the password and the second factor that they showed: others by then bind nobody.
    pub(crate) proof: [u8; 32],
}

/// A device's sign-in that is under way (RFC 8628).
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Device {
    /// Of the provider, whose name may be another's by then.
    pub(crate) issuer: String,
    pub(crate) device_code: String,
    /// Between two questions.
    pub(crate) interval_seconds: u64,
    pub(crate) until_unix_ms: u64,
}

/// What may be sealed, and as what: one is never taken for another.
pub(crate) trait Sealed: Serialize + DeserializeOwned {
    const PURPOSE: &'static str;
    fn until_unix_ms(&self) -> u64;

    /// As text; `id` is random. Nothing where it is too long to come back.
    fn seal(&self, secret: &ClusterSecret, id: &[u8; 16]) -> Option<String> {
        let plain = Zeroizing::new(serde_json::to_vec(self).ok()?);
        let text = URL_SAFE_NO_PAD.encode(secret.seal_pending(Self::PURPOSE, (id, &plain)));
        (text.len() <= SEALED_CHARS_MAX).then_some(text)
    }

    /// Reads one that was made here and counts still.
    fn open(text: &str, secret: &ClusterSecret, now_unix_ms: u64) -> Option<Self> {
        if text.len() > SEALED_CHARS_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = secret.open_pending(Self::PURPOSE, &sealed).ok()?;
        let read: Self = serde_json::from_slice(&plain).ok()?;
        (read.until_unix_ms() > now_unix_ms).then_some(read)
    }
}

impl Sealed for Pending {
    const PURPOSE: &'static str = "browser";

    fn until_unix_ms(&self) -> u64 {
        self.until_unix_ms
    }
}

impl Sealed for Device {
    const PURPOSE: &'static str = "device";

    fn until_unix_ms(&self) -> u64 {
        self.until_unix_ms
    }
}
