//! One node's shards, as the keeper sees them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_shard::{Generation, Held, Incarnation, SegmentId, ShardIndex, ShardKey};
use datamesh_store::{
    DeleteError, GetError, LocateError, PutError, Shard, ShredError, Shredded, Store, Usage,
};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Where shards lie: the store on a disk in production, a simulated one in the simulation. The methods are those of
/// [`Store`], which says what they promise.
pub trait Shelf: Send + Sync + 'static {
    /// Keeps a shard that proves itself; durable when it returns.
    fn put(
        &self,
        key: ShardKey,
        generation: Generation,
        header: Bytes,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), PutError>>;

    /// A whole shard, held against its checksum.
    fn get(&self, key: ShardKey) -> BoxFuture<'_, Result<Option<Shard>, GetError>>;

    /// A part of a shard, not proven.
    fn get_range(
        &self,
        key: ShardKey,
        offset: u32,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Bytes>, GetError>>;

    /// Takes a shard away, unless it is of a higher generation; durable when it returns.
    fn delete(&self, key: ShardKey, generation: Generation) -> BoxFuture<'_, Result<bool, DeleteError>>;

    /// The shards of a segment that are not known to be corrupt.
    fn locate(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>>;

    /// All shards of a segment.
    fn present(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>>;

    /// A page of what is here of a range of segments, by rising segment.
    fn held(
        &self,
        range: (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Held>, LocateError>>;

    /// Shards known to be corrupt and their generations.
    fn corrupt(&self, limit: usize) -> BoxFuture<'_, Result<Vec<(ShardKey, Generation)>, LocateError>>;

    /// Removes the bytes of deleted segments from the log files.
    fn shred(&self, segments: Arc<BTreeSet<SegmentId>>) -> BoxFuture<'_, Result<Shredded, ShredError>>;

    /// How full it is, and how well.
    fn usage(&self) -> Usage;

    /// The number of this opening.
    fn incarnation(&self) -> Incarnation;
}

impl Shelf for Store {
    fn put(
        &self,
        key: ShardKey,
        generation: Generation,
        header: Bytes,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), PutError>> {
        Self::put(self, key, generation, header, payload).boxed()
    }

    fn get(&self, key: ShardKey) -> BoxFuture<'_, Result<Option<Shard>, GetError>> {
        Self::get(self, key).boxed()
    }

    fn get_range(
        &self,
        key: ShardKey,
        offset: u32,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Bytes>, GetError>> {
        Self::get_range(self, key, offset, len).boxed()
    }

    fn delete(&self, key: ShardKey, generation: Generation) -> BoxFuture<'_, Result<bool, DeleteError>> {
        Self::delete(self, key, generation).boxed()
    }

    fn locate(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        Self::locate(self, segment).boxed()
    }

    fn present(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        Self::present(self, segment).boxed()
    }

    fn held(
        &self,
        range: (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Held>, LocateError>> {
        Self::held(self, range, after, limit).boxed()
    }

    fn corrupt(&self, limit: usize) -> BoxFuture<'_, Result<Vec<(ShardKey, Generation)>, LocateError>> {
        Self::corrupt(self, limit).boxed()
    }

    fn shred(&self, segments: Arc<BTreeSet<SegmentId>>) -> BoxFuture<'_, Result<Shredded, ShredError>> {
        Self::shred(self, segments).boxed()
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    fn incarnation(&self) -> Incarnation {
        Self::incarnation(self)
    }
}
