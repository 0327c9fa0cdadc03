//! The vocabulary every other crate shares: ids, sizes, limits and newtypes. Pure: no I/O, no clock.
//!
//! Words are defined in `docs/GLOSSARY.md`; the formats in this crate are fixed by golden files under `tests/golden`.

mod header;
mod held;
pub mod limits;
mod names;
mod numbers;
mod profile;

pub use header::{HeaderError, SegmentHeader, SegmentId, ShardError, ShardKey, leaf_hash};
pub use held::{Held, ShardSet};
pub use names::{BucketName, NameError, NodeName, PoolName, TargetName, ZoneName};
pub use numbers::{Epoch, Generation, Incarnation, PeerKey, PeerKeyError, ShardIndex};
pub use profile::{Cipher, ErasureProfile, ProfileError};
