use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::context::{SEGMENT_LOOKUP, derive};
use crate::random::{Random, SystemRandom};

/// Fresh bytes of a source.
pub(crate) fn fresh<const N: usize>(from: &dyn Random) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    from.fill(bytes.as_mut());
    bytes
}

/// Ends the process because going on could lose data or weaken a key.
pub(crate) fn stop(why: &str) -> ! {
    eprintln!("datamesh-seal: {why}");
    std::process::abort()
}

macro_rules! secret {
    ($name:ident) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            /// In constant time.
            fn eq(&self, other: &Self) -> bool {
                self.bytes[..].ct_eq(&other.bytes[..]).into()
            }
        }

        impl Eq for $name {}
    };
}
pub(crate) use secret;

/// The key of one segment; whoever has it and the sealed bytes has the plaintext. Zeroed when dropped.
#[derive(Clone)]
pub struct SegmentKey {
    bytes: Zeroizing<[u8; 32]>,
}

secret!(SegmentKey);

impl SegmentKey {
    /// A fresh key.
    #[must_use]
    pub fn random() -> Self {
        Self::random_from(&SystemRandom)
    }

    /// A fresh key out of another source. It is as fresh, and as secret, as what the caller's source gives: see
    /// [`Random`].
    #[must_use]
    pub fn random_from(random: &dyn Random) -> Self {
        Self { bytes: fresh(random) }
    }

    /// A key that was kept in a manifest.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes: Zeroizing::new(bytes) }
    }

    /// The key itself, to be kept in the sealed part of a manifest and nowhere else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Names the key without telling it: what a deduplicated segment is looked up by before it is sealed.
    #[must_use]
    pub fn lookup(&self) -> [u8; 32] {
        *derive(SEGMENT_LOOKUP, &[&self.bytes[..]])
    }
}

/// The secret of a bucket, in one of its versions. Zeroed when dropped.
#[derive(Clone)]
pub struct BucketSecret {
    version: u32,
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for BucketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketSecret(version {}, …)", self.version)
    }
}

impl PartialEq for BucketSecret {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && bool::from(self.bytes[..].ct_eq(&other.bytes[..]))
    }
}

impl Eq for BucketSecret {}

impl BucketSecret {
    /// A fresh secret.
    #[must_use]
    pub fn generate(version: u32) -> Self {
        Self::generate_from(version, &SystemRandom)
    }

    /// A fresh secret out of another source. It is as fresh, and as secret, as what the caller's source gives: see
    /// [`Random`].
    #[must_use]
    pub fn generate_from(version: u32, random: &dyn Random) -> Self {
        Self { version, bytes: fresh(random) }
    }

    /// A known secret, for tests and imports.
    #[must_use]
    pub fn from_bytes(version: u32, mut bytes: [u8; 32]) -> Self {
        let secret = Self { version, bytes: Zeroizing::new(bytes) };
        bytes.zeroize();
        secret
    }

    /// Which version it is: rises with each rotation.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A key of this secret and version for one purpose.
    pub(crate) fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        derive(context, &[&self.bytes[..], &self.version.to_le_bytes()])
    }
}
