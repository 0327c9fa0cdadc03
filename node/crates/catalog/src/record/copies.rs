use serde::{Deserialize, Serialize};

use super::Record;

/// Bytes of a place at most.
pub const COPY_PLACE_BYTES_MAX: usize = 1024;
/// Bytes of a reason at most.
pub const COPY_ERROR_BYTES_MAX: usize = 512;

/// How far copies of backups at another S3 are: so each gateway can say it, and one that has just started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesRecord {
    /// Where: another place has none of what is said here.
    pub place: String,
    /// The newest that is whole there.
    pub newest: Option<CopiedBackup>,
    /// When the last try ended: milliseconds since 1970.
    pub tried_unix_ms: u64,
    /// Why it came to nothing; empty where it did not.
    pub error: String,
}

/// A backup that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedBackup {
    /// That of the catalog: see [`super::RestoredRecord`].
    pub generation: u64,
    /// The catalog's revision in it.
    pub revision: u64,
    /// What was acknowledged by then is in it: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Sealed bytes of its pieces.
    pub bytes: u64,
}

/// A catalog that came out of copies has nothing deleted from nodes while this row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionHeldRecord {
    /// Since when: milliseconds since 1970.
    pub since_unix_ms: u64,
}

impl Record for DeletionHeldRecord {
    const NAME: &'static str = "deletion held";

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Record for CopiesRecord {
    const NAME: &'static str = "copies";

    fn check(&self) -> Result<(), &'static str> {
        match (self.place.len() > COPY_PLACE_BYTES_MAX, self.error.len() > COPY_ERROR_BYTES_MAX) {
            (true, _) => Err("the place is too long"),
            (_, true) => Err("the error is too long"),
            _ => Ok(()),
        }
    }
}
