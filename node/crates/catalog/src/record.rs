//! What stands in the catalog's rows: a version byte, then the record in postcard's encoding. Fixed by
//! `tests/golden/records-v1.txt`; a field is never added in place, a changed record gets the next version.

mod access_keys;
mod accounts;
mod audit;
pub mod bytes;
mod copies;
mod garbage;
mod keyed_requests;
mod locks;
mod members;
mod moving;
mod notifications;
mod objects;
mod restored;
mod settings;
mod shreds;
mod snapshots;
mod uploads;
mod versions;

pub use access_keys::AccessKeyRecord;
pub use accounts::{IdentityRecord, RegistrationRecord, UserNameRecord};
pub use audit::{AuditCutRecord, AuditHeadRecord, AuditRecord};
pub use copies::{
    COPY_ERROR_BYTES_MAX, COPY_PLACE_BYTES_MAX, CopiedBackup, CopiesRecord, DeletionHeldRecord,
};
pub use garbage::{
    CondemnedRecord, CondemnedSegmentRecord, CondemnedUploadRecord, DurableUseRecord, KeyOnlyRecord,
    SegmentUseRecord, UsedSegmentRecord,
};
pub use keyed_requests::KeyedRequestCountRecord;
pub use members::{
    BindingRecord, BucketNextRecord, BucketRecord, ClusterRecord, DrainRecord, GivenUpRecord,
    IncarnationRecord, JoinRecord, LayoutHeadRecord, LayoutRecord, MemberRecord, PeerRecord, PoolRecord,
    RecodeRecord, ScrubRecord,
};
pub use moving::{
    CameRecord, ClosedClusterRecord, Closure, Copied, Fence, FenceRecord, Keeper, LeavingRecord, MoveId,
    MoveRecord, ReadyRecord,
};
pub use notifications::{EventRecord, SubscriptionsRecord};
pub use objects::{BodyRecord, HeadRecord, ObjectRecord};
pub use restored::{RestoredRecord, RestoringRecord, WISH_BYTES_MAX};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use settings::SettingRecord;
pub use shreds::{ShredRecord, ShredState};
pub use snapshots::{BackupAskedRecord, SNAPSHOTS_MAX, SnapshotsRecord};
pub(crate) use uploads::meta_bytes;
pub use uploads::{LeaseRecord, ListedRecord, PartRecord, PartTagRecord, UploadRecord, UploadState};

pub use locks::{LockedObjectRecord, LockedVersionRecord, LockingRecord};
pub use versions::{
    BehindRecord, CurrentRecord, KeepingRecord, KeptObjectRecord, KeptRecord, OrderRecord, VersionBodyRecord,
    VersionRecord, VersioningRecord,
};

use crate::limits::RECORD_BYTES_MAX;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Nothing there.
    #[error("a {record} record is empty")]
    Empty {
        /// Which record.
        record: &'static str,
    },
    /// Written by a later version.
    #[error("version {version} of a {record} record is not known to this version")]
    Version {
        /// Which record.
        record: &'static str,
        /// Its version byte.
        version: u8,
    },
    /// Longer than any record.
    #[error("a {record} record of {bytes} bytes is too long")]
    Long {
        /// Which record.
        record: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// Not the record's encoding.
    #[error("a {record} record does not read: {detail}")]
    Malformed {
        /// Which record.
        record: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// A record's name, version and limits.
pub trait Record: Serialize + DeserializeOwned {
    /// What errors call it.
    const NAME: &'static str;
    /// Its leading byte.
    const VERSION: u8 = 1;
    /// Its bytes at most, the leading one among them.
    const BYTES_MAX: usize = RECORD_BYTES_MAX;

    /// Holds it against its limits, after reading.
    ///
    /// # Errors
    /// Says what is beyond its limit.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// What a row says, in whichever version of its record it is written.
pub trait Written: Sized {
    /// Reads any version.
    ///
    /// # Errors
    /// Every way in which hostile bytes can be wrong; memory is bounded by the bytes' own length.
    fn decode(bytes: &[u8]) -> Result<Self, RecordError>;

    /// Writes the earliest version that says all of it.
    ///
    /// # Errors
    /// `Long` above the limit.
    fn encode(&self) -> Result<Vec<u8>, RecordError>;
}

impl<R: Record> Written for R {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        decode(bytes)
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        encode(self)
    }
}

/// A record's bytes.
///
/// # Errors
/// `Long` above the limit.
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, RecordError> {
    let malformed =
        |error: postcard::Error| RecordError::Malformed { record: R::NAME, detail: error.to_string() };
    let bytes = postcard::to_extend(record, vec![R::VERSION]).map_err(malformed)?;
    if bytes.len() > R::BYTES_MAX {
        return Err(RecordError::Long { record: R::NAME, bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a record.
///
/// # Errors
/// Every way in which hostile bytes can be wrong; memory is bounded by the bytes' own length.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let body = body_of::<R>(bytes)?;
    let malformed = |detail: String| RecordError::Malformed { record: R::NAME, detail };
    let (record, rest) =
        postcard::take_from_bytes::<R>(body).map_err(|error| malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes after its end", rest.len())));
    }
    record.check().map_err(|detail| malformed(detail.into()))?;
    Ok(record)
}

fn body_of<R: Record>(bytes: &[u8]) -> Result<&[u8], RecordError> {
    let record = R::NAME;
    if bytes.len() > R::BYTES_MAX {
        return Err(RecordError::Long { record, bytes: bytes.len() });
    }
    match bytes.split_first() {
        None => Err(RecordError::Empty { record }),
        Some((&version, body)) if version == R::VERSION => Ok(body),
        Some((&version, _)) => Err(RecordError::Version { record, version }),
    }
}
