//! Versions of rows that say what is locked. A build that knows of no locks reads none of them, and so loses nothing by mistake.

use serde::{Deserialize, Serialize};

use super::{KeptRecord, ObjectRecord, Record, VersionRecord, VersioningRecord};
use crate::model::{Lock, Locking};

/// The second version of the row of a bucket that keeps versions: they may be locked, and it keeps them for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockingRecord {
    /// How they are locked.
    pub locking: Locking,
}

impl Record for LockingRecord {
    const NAME: &'static str = VersioningRecord::NAME;
    const VERSION: u8 = 2;
}

/// The third version of an object's row: one that has a lock. It begins as the others do, so that listings read any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedObjectRecord {
    /// The object.
    pub object: ObjectRecord,
    /// Its place.
    pub kept: KeptRecord,
    /// What keeps it.
    pub lock: Lock,
}

impl Record for LockedObjectRecord {
    const NAME: &'static str = ObjectRecord::NAME;
    const VERSION: u8 = 3;

    fn check(&self) -> Result<(), &'static str> {
        self.object.check()
    }
}

/// The second version of the row of what is not its key's object (any more): one that has a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedVersionRecord {
    /// Whether it is the version without an id.
    pub null: bool,
    /// The object.
    pub object: ObjectRecord,
    /// What keeps it.
    pub lock: Lock,
}

impl Record for LockedVersionRecord {
    const NAME: &'static str = VersionRecord::NAME;
    const VERSION: u8 = 2;

    fn check(&self) -> Result<(), &'static str> {
        self.object.check()
    }
}
