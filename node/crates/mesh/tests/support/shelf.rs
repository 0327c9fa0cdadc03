//! A disk in memory, whose shards rot or vanish at a word.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part; all of it is for tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use datamesh_mesh::keeper::Shelf;
use datamesh_shard::{Generation, Held, Incarnation, SegmentHeader, SegmentId, ShardIndex, ShardKey};
use datamesh_store::format::LogNumber;
use datamesh_store::{
    Damage, DeleteError, GetError, LocateError, PutError, Shard, ShredError, Shredded, Usage,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

#[derive(Clone)]
struct Row {
    header: Bytes,
    payload: Bytes,
    generation: Generation,
    rotten: bool,
    /// A read found that out: it is listed no longer.
    condemned: bool,
}

/// The disk.
#[derive(Default)]
pub(crate) struct MemoryShelf(Mutex<BTreeMap<ShardKey, Row>>);

impl MemoryShelf {
    /// A row of which nobody will read more than the profile in its header.
    pub(crate) fn list(&self, key: ShardKey, header: Bytes) {
        let payload = Bytes::new();
        let row = Row { header, payload, generation: Generation(0), rotten: false, condemned: false };
        self.0.lock().insert(key, row);
    }

    pub(crate) fn rot(&self, key: ShardKey) {
        self.0.lock().get_mut(&key).unwrap().rotten = true;
    }

    pub(crate) fn lose(&self, key: ShardKey) {
        self.0.lock().remove(&key).unwrap();
    }

    /// Whether it is there as it was written.
    pub(crate) fn is_sound(&self, key: ShardKey) -> bool {
        self.0.lock().get(&key).is_some_and(|row| !row.rotten)
    }

    fn read<T>(&self, key: ShardKey, take: impl FnOnce(&Row) -> T) -> Result<Option<T>, GetError> {
        let mut rows = self.0.lock();
        let Some(row) = rows.get_mut(&key) else { return Ok(None) };
        if row.rotten {
            row.condemned = true;
            return Err(GetError::Corrupt { key, log: LogNumber(1), offset: 0, damage: Damage::Known });
        }
        Ok(Some(take(row)))
    }

    fn listed(&self, segment: SegmentId, condemned_too: bool) -> Vec<ShardIndex> {
        let rows = self.0.lock();
        let listed = rows.iter().filter(|(key, _)| key.segment == segment);
        listed.filter(|(_, row)| condemned_too || !row.condemned).map(|(key, _)| key.index).collect()
    }
}

impl Shelf for MemoryShelf {
    fn put(
        &self,
        key: ShardKey,
        generation: Generation,
        header: Bytes,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            SegmentHeader::decode(&header)?.verify(key, &payload)?;
            let row = Row { header, payload, generation, rotten: false, condemned: false };
            self.0.lock().insert(key, row);
            Ok(())
        }
        .boxed()
    }

    fn get(&self, key: ShardKey) -> BoxFuture<'_, Result<Option<Shard>, GetError>> {
        let shard = |row: &Row| Shard {
            header: row.header.clone(),
            payload: row.payload.clone(),
            generation: row.generation,
        };
        std::future::ready(self.read(key, shard)).boxed()
    }

    fn get_range(
        &self,
        key: ShardKey,
        offset: u32,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Bytes>, GetError>> {
        let (from, to) = (offset as usize, offset as usize + len as usize);
        std::future::ready(self.read(key, |row| row.payload.slice(from..to))).boxed()
    }

    fn delete(&self, key: ShardKey, generation: Generation) -> BoxFuture<'_, Result<bool, DeleteError>> {
        let mut rows = self.0.lock();
        let goes = rows.get(&key).is_some_and(|row| row.generation <= generation);
        if goes {
            rows.remove(&key);
        }
        std::future::ready(Ok(goes)).boxed()
    }

    fn locate(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        std::future::ready(Ok(self.listed(segment, false))).boxed()
    }

    fn present(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        std::future::ready(Ok(self.listed(segment, true))).boxed()
    }

    fn held(
        &self,
        (from, to): (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Held>, LocateError>> {
        let mut held: BTreeMap<SegmentId, Held> = BTreeMap::new();
        let first = ShardKey { segment: after.map_or(from, |after| after.max(from)), index: ShardIndex(0) };
        for (key, row) in self.0.lock().range(first..).filter(|(_, row)| !row.condemned) {
            let segment = key.segment;
            if to.is_some_and(|to| segment >= to) || held.len() > limit {
                break;
            }
            if Some(segment) <= after {
                continue;
            }
            let Ok(profile) = SegmentHeader::profile_in(&row.header) else { continue };
            let fresh = || Held { segment, profile, generation: row.generation, shards: Default::default() };
            let held = held.entry(segment).or_insert_with(fresh);
            held.generation = held.generation.max(row.generation);
            held.shards.insert(key.index);
        }
        std::future::ready(Ok(held.into_values().take(limit).collect())).boxed()
    }

    fn corrupt(&self, limit: usize) -> BoxFuture<'_, Result<Vec<(ShardKey, Generation)>, LocateError>> {
        let rows = self.0.lock();
        let condemned = rows.iter().filter(|(_, row)| row.condemned).take(limit);
        let condemned = condemned.map(|(key, row)| (*key, row.generation)).collect();
        std::future::ready(Ok(condemned)).boxed()
    }

    fn shred(
        &self,
        _: std::sync::Arc<std::collections::BTreeSet<SegmentId>>,
    ) -> BoxFuture<'_, Result<Shredded, ShredError>> {
        std::future::ready(Ok(Shredded::default())).boxed()
    }

    fn usage(&self) -> Usage {
        let rows = self.0.lock();
        Usage {
            shards: rows.len() as u64,
            shard_bytes: 0,
            log_bytes: 0,
            live_bytes: 0,
            capacity_bytes: 1 << 40,
            free_bytes: 1 << 40,
            accepting: true,
            corrupt_shards: rows.values().filter(|row| row.condemned).count() as u64,
        }
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(1)
    }
}
