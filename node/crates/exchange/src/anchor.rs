//! Anchors of the catalog's backups, as nodes keep them: sealed, so that a node can tell no more of one than its place.

use serde::{Deserialize, Serialize};

/// Bytes of a sealed anchor at most.
pub const ANCHOR_BYTES_MAX: usize = 512 << 10;
/// Chains of backups whose anchors a node keeps at most: the newest ones.
pub const ANCHORS_MAX: usize = 24;

/// Where an anchor stands among all of a cluster; a later one is greater, whichever gateway began its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AnchorId {
    /// The catalog's, which rises with each restore and with nothing else; 0 for one that was never restored.
    pub generation: u64,
    /// The revision that it leads up to.
    pub revision: u64,
    /// What was acknowledged by then is in it: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The revision of the snapshot that its chain begins with.
    pub snapshot: u64,
}

impl AnchorId {
    /// The chain it is of: a later anchor of the same takes its place.
    #[must_use]
    pub const fn chain(&self) -> (u64, u64) {
        (self.generation, self.snapshot)
    }

    /// What the sealed anchor is bound to.
    #[must_use]
    pub fn binding(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let fields = [self.generation, self.snapshot, self.revision, self.at_unix_ms];
        for (place, field) in out.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }
}
