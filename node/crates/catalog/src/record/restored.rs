use serde::{Deserialize, Serialize};

use super::Record;
use crate::model::UploadId;

/// Bytes of a wish at most.
pub const WISH_BYTES_MAX: usize = 64;

/// The backup that a catalog came out of. The row goes with all others into its backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredRecord {
    /// Which catalog of the cluster it is: each restore raises it above all that nodes have seen, nothing else does. Without
    /// this row it is 0.
    pub generation: u64,
    /// As it was asked for; the same wish restores nothing again.
    pub wish: String,
    /// What was acknowledged later was lost: milliseconds since 1970.
    pub until_unix_ms: u64,
    /// When it was restored: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The lost catalog's revision that it came back to.
    pub revision: u64,
}

impl Record for RestoredRecord {
    const NAME: &'static str = "restored";

    fn check(&self) -> Result<(), &'static str> {
        if self.wish.len() > WISH_BYTES_MAX { Err("the wish is too long") } else { Ok(()) }
    }
}

/// How far a restore has come. The row is in what it writes until all is there, and in no catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoringRecord {
    /// Of which chain: its anchor's.
    pub upload: UploadId,
    /// Of the last part that is wanted.
    pub revision: u64,
    /// Its pieces, in order, that are written.
    pub pieces: u64,
}

impl Record for RestoringRecord {
    const NAME: &'static str = "restoring";

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
