use serde::{Deserialize, Serialize};

use super::{
    LockedObjectRecord, LockedVersionRecord, LockingRecord, ObjectRecord, Record, RecordError, Written,
    decode, encode,
};
use crate::model::{Lock, Locking, UploadId, VersionId, Versioning};

/// The first version of the row that says whether a bucket keeps versions. A bucket that never did has no such row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersioningRecord {
    /// What happens to what is replaced from now on.
    pub state: Versioning,
}

impl Record for VersioningRecord {
    const NAME: &'static str = "versioning";
}

/// What the row of a bucket that keeps versions says, in either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepingRecord {
    /// What happens to what is replaced from now on.
    pub state: Versioning,
    /// Whether versions may be locked: then the state stays for good.
    pub locking: Option<Locking>,
}

impl Written for KeepingRecord {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() == Some(&LockingRecord::VERSION) {
            let LockingRecord { locking } = decode(bytes)?;
            return Ok(Self { state: Versioning::Enabled, locking: Some(locking) });
        }
        let VersioningRecord { state } = decode(bytes)?;
        Ok(Self { state, locking: None })
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        match self.locking {
            Some(locking) => encode(&LockingRecord { locking }),
            None => encode(&VersioningRecord { state: self.state }),
        }
    }
}

/// An object's place among the versions of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRecord {
    /// Rises with each version of the key; 0 is what was there before the bucket kept versions.
    pub order: u64,
    /// Whether it is the version without an id.
    pub null: bool,
}

impl KeptRecord {
    /// The id of the version that came of this upload.
    pub(crate) fn id(self, upload: UploadId) -> VersionId {
        let Self { order, null } = self;
        if null { VersionId::Null } else { VersionId::Numbered { order, upload } }
    }
}

/// The second version of an object's row: one that was put in a bucket that keeps versions. It begins as the first does, so that
/// listings read either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptObjectRecord {
    /// The object.
    pub object: ObjectRecord,
    /// Its place.
    pub kept: KeptRecord,
}

impl Record for KeptObjectRecord {
    const NAME: &'static str = ObjectRecord::NAME;
    const VERSION: u8 = 2;

    fn check(&self) -> Result<(), &'static str> {
        self.object.check()
    }
}

/// What a row of an object says, in any version of it; without a place in the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentRecord {
    /// The object.
    pub object: ObjectRecord,
    /// Its place; absent: the bucket kept no versions when it was put.
    pub kept: Option<KeptRecord>,
    /// What keeps it.
    pub lock: Lock,
}

impl Written for CurrentRecord {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(&LockedObjectRecord::VERSION) => {
                let LockedObjectRecord { object, kept, lock } = decode(bytes)?;
                Ok(Self { object, kept: Some(kept), lock })
            }
            Some(&KeptObjectRecord::VERSION) => {
                let KeptObjectRecord { object, kept } = decode(bytes)?;
                Ok(Self { object, kept: Some(kept), lock: Lock::default() })
            }
            _ => Ok(Self { object: decode(bytes)?, kept: None, lock: Lock::default() }),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let (object, lock) = (|| self.object.clone(), self.lock);
        match self.kept {
            _ if !lock.is_none() => {
                encode(&LockedObjectRecord { object: object(), kept: self.place(), lock })
            }
            None => encode(&self.object),
            Some(kept) => encode(&KeptObjectRecord { object: object(), kept }),
        }
    }
}

impl CurrentRecord {
    /// An object of a bucket that never kept versions.
    #[must_use]
    pub fn plain(object: ObjectRecord) -> Self {
        Self { object, kept: None, lock: Lock::default() }
    }

    /// Its place among the versions of its key.
    #[must_use]
    pub fn place(&self) -> KeptRecord {
        self.kept.unwrap_or(KeptRecord { order: 0, null: true })
    }
}

/// The first version of the row of what is not its key's object (any more): without a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Whether it is the version without an id.
    pub null: bool,
    /// What it is.
    pub what: VersionBodyRecord,
}

/// What a version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionBodyRecord {
    /// What was the key's object.
    Object(ObjectRecord),
    /// A delete.
    Marker {
        /// Stands in its id where others have their upload.
        upload: UploadId,
        /// When it was made.
        created_unix_ms: u64,
    },
}

/// What a row of a version that is not its key's object says, in either version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehindRecord {
    /// Whether it is the version without an id.
    pub null: bool,
    /// What it is.
    pub what: VersionBodyRecord,
    /// What keeps it; nothing ever keeps a delete.
    pub lock: Lock,
}

impl Written for BehindRecord {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() == Some(&LockedVersionRecord::VERSION) {
            let LockedVersionRecord { null, object, lock } = decode(bytes)?;
            return Ok(Self { null, what: VersionBodyRecord::Object(object), lock });
        }
        let VersionRecord { null, what } = decode(bytes)?;
        Ok(Self { null, what, lock: Lock::default() })
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let Self { null, what, lock } = self.clone();
        match what {
            VersionBodyRecord::Object(object) if !lock.is_none() => {
                encode(&LockedVersionRecord { null, object, lock })
            }
            what => encode(&VersionRecord { null, what }),
        }
    }
}

impl BehindRecord {
    pub(crate) fn upload(&self) -> UploadId {
        match &self.what {
            VersionBodyRecord::Object(object) => object.upload,
            VersionBodyRecord::Marker { upload, .. } => *upload,
        }
    }

    pub(crate) fn object(&self) -> Option<&ObjectRecord> {
        match &self.what {
            VersionBodyRecord::Object(object) => Some(object),
            VersionBodyRecord::Marker { .. } => None,
        }
    }
}

impl Record for VersionRecord {
    const NAME: &'static str = "version";

    fn check(&self) -> Result<(), &'static str> {
        match &self.what {
            VersionBodyRecord::Object(object) => object.check(),
            VersionBodyRecord::Marker { .. } => Ok(()),
        }
    }
}

/// Where a version is among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// See [`KeptRecord::order`].
    pub order: u64,
}

impl Record for OrderRecord {
    const NAME: &'static str = "order of a version";
}
