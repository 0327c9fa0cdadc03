use datamesh_shard::PeerKey;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::secret::stop;

/// Separates what clusters sign from every other use of Ed25519.
const PREFIX: &[u8] = b"datamesh.io 2026 signature v1\0";

/// The Ed25519 key that signs layouts and membership certificates. Derived from the cluster secret, never stored.
pub struct ClusterSigningKey {
    pair: Ed25519KeyPair,
    public: PeerKey,
}

impl std::fmt::Debug for ClusterSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterSigningKey({:?})", self.public)
    }
}

/// A signature is not by the cluster, or not over this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not the cluster's, or is over something else")]
pub struct BadSignature;

/// What is signed: a prefix, the context and its length, the message.
fn framed(context: &'static str, message: &[u8]) -> Vec<u8> {
    let context_bytes = (context.len() as u64).to_le_bytes();
    [PREFIX, &context_bytes, context.as_bytes(), message].concat()
}

impl ClusterSigningKey {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(seed) else {
            stop("the signature engine refuses seeds of 32 bytes")
        };
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public: PeerKey(public) }
    }

    /// The key everyone knows.
    #[must_use]
    pub fn public(&self) -> PeerKey {
        self.public
    }

    /// Signs `message` for one purpose: a signature in one context never counts in another.
    #[must_use]
    pub fn sign(&self, context: &'static str, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&framed(context, message)).as_ref());
        signature
    }
}

/// Checks a signature of the cluster's key.
///
/// # Errors
/// When it is by another key, over another message or in another context.
pub fn verify(
    cluster: &PeerKey,
    context: &'static str,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, &cluster.0)
        .verify(&framed(context, message), signature)
        .map_err(|_| BadSignature)
}
