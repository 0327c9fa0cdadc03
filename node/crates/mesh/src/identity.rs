//! A node's Ed25519 key: its identity in libp2p, on the bulk transport and in layouts.

use std::sync::Arc;

use datamesh_shard::PeerKey;
use libp2p_identity::{Keypair, PeerId, PublicKey, ed25519};
use zeroize::Zeroizing;

/// First byte of a stored identity.
const VERSION: u8 = 1;
const SEED_BYTES: usize = 32;
/// Multihash code of an identity hash: small public keys stand in a `PeerId` as they are.
const MULTIHASH_IDENTITY: u64 = 0;

/// DER of a PKCS#8 (RFC 8410) private key in front of the 32 seed bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// DER of a SubjectPublicKeyInfo (RFC 8410) in front of the 32 bytes of an Ed25519 public key.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why stored bytes are no identity. The bytes are never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not 33 bytes.
    #[error("a stored node key has 33 bytes, not {0}")]
    Length(usize),
    /// Written by a later version.
    #[error("node key version {0} is not known to this version")]
    Version(u8),
    /// Not a key.
    #[error("the stored node key is not an Ed25519 key")]
    Key,
}

/// An Ed25519 keypair. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    keypair: Arc<ed25519::Keypair>,
    peer: PeerKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.peer)
    }
}

impl Identity {
    /// A new identity and the bytes to keep on the node's volume: a version byte and the 32 seed bytes.
    #[must_use]
    pub fn generate() -> (Self, Zeroizing<Vec<u8>>) {
        let identity = Self::new(ed25519::Keypair::generate());
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + SEED_BYTES));
        bytes.push(VERSION);
        bytes.extend_from_slice(identity.keypair.secret().as_ref());
        (identity, bytes)
    }

    /// The identity of bytes that [`Identity::generate`] gave.
    ///
    /// # Errors
    /// Says what is wrong with the bytes, never what they are.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let Ok([version, seed @ ..]) = <&[u8; 1 + SEED_BYTES]>::try_from(bytes) else {
            return Err(IdentityError::Length(bytes.len()));
        };
        if *version != VERSION {
            return Err(IdentityError::Version(*version));
        }
        let mut seed = Zeroizing::new(*seed);
        let secret = ed25519::SecretKey::try_from_bytes(&mut *seed).map_err(|_| IdentityError::Key)?;
        Ok(Self::new(ed25519::Keypair::from(secret)))
    }

    fn new(keypair: ed25519::Keypair) -> Self {
        let peer = PeerKey(keypair.public().to_bytes());
        Self { keypair: Arc::new(keypair), peer }
    }

    /// The public key, which names this node everywhere.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// libp2p's name for the same key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.libp2p().public().to_peer_id()
    }

    /// Signs `message` for one purpose; `context` keeps purposes apart from each other and from TLS and noise.
    pub(crate) fn sign(&self, context: &'static str, message: &[u8]) -> Vec<u8> {
        self.keypair.sign(&in_context(context, message))
    }

    pub(crate) fn libp2p(&self) -> Keypair {
        Keypair::from((*self.keypair).clone())
    }

    /// The private key as PKCS#8 DER.
    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + SEED_BYTES));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(self.keypair.secret().as_ref());
        der
    }

    /// The public key as SubjectPublicKeyInfo DER: what RFC 7250 puts in a certificate's place.
    pub(crate) fn spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.peer.0[..]].concat()
    }
}

fn in_context(context: &'static str, message: &[u8]) -> Vec<u8> {
    [context.as_bytes(), &[0], message].concat()
}

/// Whether `signature` is `peer`'s over `message` for this purpose.
pub(crate) fn verify_by_peer(
    peer: &PeerKey,
    context: &'static str,
    message: &[u8],
    signature: &[u8],
) -> bool {
    ed25519::PublicKey::try_from_bytes(&peer.0)
        .is_ok_and(|key| key.verify(&in_context(context, message), signature))
}

/// The key in a SubjectPublicKeyInfo, if it is an Ed25519 one.
pub(crate) fn peer_of_spki(spki: &[u8]) -> Option<PeerKey> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PeerKey(key.try_into().ok()?))
}

/// libp2p's name for a peer key; `None` when the bytes are no point of the curve.
#[must_use]
pub fn peer_id_of(peer: &PeerKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&peer.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The peer key inside libp2p's name, if it is of an Ed25519 key.
#[must_use]
pub fn peer_of_id(id: &PeerId) -> Option<PeerKey> {
    let hash = id.as_ref();
    if hash.code() != MULTIHASH_IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(PeerKey(key.try_into_ed25519().ok()?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_give_the_same_identity_back() {
        let (identity, bytes) = Identity::generate();
        let again = Identity::from_bytes(&bytes).unwrap();
        assert_eq!(again.peer(), identity.peer());
        assert_eq!(again.pkcs8(), identity.pkcs8());
        assert_ne!(Identity::generate().0.peer(), identity.peer());
    }

    #[test]
    fn wrong_bytes_are_refused_and_never_shown() {
        let (identity, mut bytes) = Identity::generate();
        assert_eq!(Identity::from_bytes(&bytes[..32]).unwrap_err(), IdentityError::Length(32));
        bytes[0] = 9;
        assert_eq!(Identity::from_bytes(&bytes).unwrap_err(), IdentityError::Version(9));
        assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.peer()));
    }

    #[test]
    fn names_convert_into_each_other() {
        let identity = Identity::generate().0;
        assert_eq!(peer_id_of(&identity.peer()), Some(identity.peer_id()));
        assert_eq!(peer_of_id(&identity.peer_id()), Some(identity.peer()));
        assert_eq!(peer_of_spki(&identity.spki()), Some(identity.peer()));
        assert_eq!(peer_of_spki(&identity.spki()[1..]), None);
    }

    #[test]
    fn a_signature_counts_for_its_context_only() {
        let identity = Identity::generate().0;
        let signature = identity.sign("one", b"text");
        assert!(verify_by_peer(&identity.peer(), "one", b"text", &signature));
        assert!(!verify_by_peer(&identity.peer(), "two", b"text", &signature));
        assert!(!verify_by_peer(&identity.peer(), "one", b"texT", &signature));
    }
}
