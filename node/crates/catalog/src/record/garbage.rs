use datamesh_shard::{Epoch, ErasureProfile, Generation, PoolName, SegmentId};
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, Written, decode, encode};
use crate::model::{BucketId, Condemned, SegmentRef};

/// A row whose key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOnlyRecord;

impl Record for KeyOnlyRecord {
    const NAME: &'static str = "key-only";
}

/// What the row of a segment that an upload uses says, in either version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSegmentRecord {
    /// How often the upload's pages name it; 0 before its page is there.
    pub uses: u32,
    /// Whether the upload's client was told that it is durable: only where that client put it by itself, sealed.
    pub durable: bool,
    /// Bytes of the sealed segment.
    pub sealed_bytes: u32,
    /// The pool that holds its shards.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
    /// The layout it was written under.
    pub epoch: Epoch,
    /// The generation its shards carry.
    pub generation: Generation,
}

/// Its first version, which does not say that it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentUseRecord {
    /// How often the upload's pages name it.
    pub uses: u32,
    /// Bytes of the sealed segment.
    pub sealed_bytes: u32,
    /// The pool that holds its shards.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
    /// The layout it was written under.
    pub epoch: Epoch,
    /// The generation its shards carry.
    pub generation: Generation,
}

impl Record for SegmentUseRecord {
    const NAME: &'static str = "used segment";
}

/// Its second version: the same of a segment that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableUseRecord(
    /// What the first version says.
    pub SegmentUseRecord,
);

impl Record for DurableUseRecord {
    const NAME: &'static str = SegmentUseRecord::NAME;
    const VERSION: u8 = 2;
}

impl Written for UsedSegmentRecord {
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (durable, used) = match bytes.first() {
            Some(&DurableUseRecord::VERSION) => (true, decode::<DurableUseRecord>(bytes)?.0),
            _ => (false, decode(bytes)?),
        };
        let SegmentUseRecord { uses, sealed_bytes, pool, profile, epoch, generation } = used;
        Ok(Self { uses, durable, sealed_bytes, pool, profile, epoch, generation })
    }

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let Self { uses, durable, sealed_bytes, pool, profile, epoch, generation } = self.clone();
        let used = SegmentUseRecord { uses, sealed_bytes, pool, profile, epoch, generation };
        if durable { encode(&DurableUseRecord(used)) } else { encode(&used) }
    }
}

impl UsedSegmentRecord {
    pub(crate) fn new(segment: &SegmentRef, uses: u32) -> Self {
        let SegmentRef { id: _, sealed_bytes, pool, profile, epoch, generation } = segment.clone();
        Self { uses, durable: false, sealed_bytes, pool, profile, epoch, generation }
    }

    /// The clear part that a page says of it.
    pub(crate) fn segment(self, id: SegmentId) -> SegmentRef {
        let Self { uses: _, durable: _, sealed_bytes, pool, profile, epoch, generation } = self;
        SegmentRef { id, sealed_bytes, pool, profile, epoch, generation }
    }
}

/// An upload whose segments are to be let go once it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedUploadRecord {
    /// The bucket of its references.
    pub bucket: BucketId,
    /// How many segments its object had: what it stands for in the counter of condemned segments.
    pub segments: u64,
}

impl Record for CondemnedUploadRecord {
    const NAME: &'static str = "condemned upload";
}

/// A segment to delete from the nodes once it is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedRecord {
    /// Bytes of the sealed segment.
    pub sealed_bytes: u32,
    /// The pool that holds its shards.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
    /// The layout it was written under.
    pub epoch: Epoch,
    /// The generation its shards carry.
    pub generation: Generation,
}

impl Record for CondemnedRecord {
    const NAME: &'static str = "condemned segment";
}

impl From<UsedSegmentRecord> for CondemnedRecord {
    fn from(used: UsedSegmentRecord) -> Self {
        let UsedSegmentRecord { uses: _, durable: _, sealed_bytes, pool, profile, epoch, generation } = used;
        Self { sealed_bytes, pool, profile, epoch, generation }
    }
}

impl CondemnedRecord {
    pub(crate) fn condemned(self, segment: SegmentId, due_unix_ms: u64) -> Condemned {
        let Self { sealed_bytes, pool, profile, epoch, generation } = self;
        Condemned { segment, generation, pool, profile, epoch, sealed_bytes, due_unix_ms }
    }
}

/// Finds a condemned segment by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedSegmentRecord {
    /// When it is due.
    pub due_unix_ms: u64,
    /// The generation its shards carry.
    pub generation: Generation,
}

impl Record for CondemnedSegmentRecord {
    const NAME: &'static str = "condemned index";
}
