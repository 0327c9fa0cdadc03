use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// A version of a pool's layout, committed through the catalog one after another, from 1 on.
    Epoch
);
counter!(
    /// Rises each time a store or a catalog is opened; peers refuse a lower one than they have seen.
    Incarnation
);
counter!(
    /// Rises each time a segment is written again after it was condemned; a delete of an older one is ignored.
    Generation
);

/// Position of a shard in its segment: 0 to k-1 are data, k to k+m-1 parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardIndex(pub u8);

impl ShardIndex {
    /// As an array index.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for ShardIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A node's Ed25519 public key: its identity on every transport (libp2p's `PeerId` is made from it).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(from = "String", into = "String", extend("pattern" = "^[0-9a-f]{64}$"))]
pub struct PeerKey(pub [u8; 32]);

/// Why a text is no peer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer key is 64 hexadecimal digits")]
pub struct PeerKeyError;

impl std::fmt::Display for PeerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerKey({}…)", hex::encode(&self.0[..6]))
    }
}

impl std::str::FromStr for PeerKey {
    type Err = PeerKeyError;

    fn from_str(text: &str) -> Result<Self, PeerKeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).map_err(|_| PeerKeyError)?;
        Ok(Self(key))
    }
}

crate::names::serde_as_text_or_bytes!(PeerKey, 32);
