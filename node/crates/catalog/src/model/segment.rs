use datamesh_shard::{Epoch, ErasureProfile, Generation, PoolName, SegmentId};
use serde::{Deserialize, Serialize};

/// The clear part of what an object says of a segment: all that counting, repair and deletion need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The segment.
    pub id: SegmentId,
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

/// Up to 256 segments of an object, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The clear part.
    pub segments: Vec<SegmentRef>,
    /// Plaintext bytes of these segments together.
    pub plain_bytes: u64,
    /// Whether this page ends its part: pages of the part beyond it, left by an earlier try, are dropped.
    pub last: bool,
    /// The sealed part (keys, sizes, hashes); opaque to the catalog.
    #[serde(with = "crate::record::bytes")]
    pub sealed: Vec<u8>,
}

/// Where a page belongs in its upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageAt {
    /// The part's number, as the client chose it.
    pub part: u32,
    /// The page's number in its part, from 0 on without gaps.
    pub page: u32,
}

/// A page and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPage {
    /// Its place.
    pub at: PageAt,
    /// The page.
    pub page: Page,
}

/// A segment without references, whose shards may be deleted from the nodes once it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    /// The segment.
    pub segment: SegmentId,
    /// Deletes carry it; a node ignores one that is older than its shard.
    pub generation: Generation,
    /// The pool that holds its shards.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
    /// The layout it was written under.
    pub epoch: Epoch,
    /// Bytes of the sealed segment.
    pub sealed_bytes: u32,
    /// When its shards may go.
    pub due_unix_ms: u64,
}
