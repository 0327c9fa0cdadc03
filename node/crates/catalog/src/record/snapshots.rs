use serde::{Deserialize, Serialize};

use super::Record;

/// Snapshots that are remembered at most, the last ones.
pub const SNAPSHOTS_MAX: usize = 8;

/// When snapshots for backups were begun, whatever became of them: so a gateway that ends and starts over and over does not begin one
/// each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsRecord {
    /// Milliseconds since 1970, in the order in which they were begun.
    pub begun_unix_ms: Vec<u64>,
}

/// Somebody wants a backup that has this row in it: the commit that wrote it says how far a backup must lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupAskedRecord {
    /// When: milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl Record for BackupAskedRecord {
    const NAME: &'static str = "backup asked";

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Record for SnapshotsRecord {
    const NAME: &'static str = "snapshots";

    fn check(&self) -> Result<(), &'static str> {
        if self.begun_unix_ms.len() > SNAPSHOTS_MAX { Err("too many snapshots") } else { Ok(()) }
    }
}
