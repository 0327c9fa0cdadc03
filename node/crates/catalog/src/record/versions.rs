use serde::{Deserialize, Serialize};

use super::{ObjectRecord, Record, RecordError, decode, encode};
use crate::model::{UploadId, VersionId, Versioning};

/// Whether a bucket keeps versions. A bucket that never did has no such row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersioningRecord {
    /// What happens to what is replaced from now on.
    pub state: Versioning,
}

impl Record for VersioningRecord {
    const NAME: &'static str = "versioning";
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

/// What a row of an object says, in either version; without a place in the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentRecord {
    /// The object.
    pub object: ObjectRecord,
    /// Its place; absent: the bucket kept no versions when it was put.
    pub kept: Option<KeptRecord>,
}

impl CurrentRecord {
    /// Reads either version.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.first() != Some(&KeptObjectRecord::VERSION) {
            return Ok(Self { object: decode(bytes)?, kept: None });
        }
        let KeptObjectRecord { object, kept } = decode(bytes)?;
        Ok(Self { object, kept: Some(kept) })
    }

    /// Writes the version that says all of it.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        match self.kept {
            None => encode(&self.object),
            Some(kept) => encode(&KeptObjectRecord { object: self.object.clone(), kept }),
        }
    }

    /// Its place among the versions of its key.
    #[must_use]
    pub fn place(&self) -> KeptRecord {
        self.kept.unwrap_or(KeptRecord { order: 0, null: true })
    }
}

/// A version that is not its key's object (any more).
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

impl VersionRecord {
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
        self.object().map_or(Ok(()), Record::check)
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
