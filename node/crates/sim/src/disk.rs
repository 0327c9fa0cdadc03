//! A simulated disk: what is written is pending until its sync has passed, and a crash decides what becomes of it. Shards
//! rot, the disk fills, slows down, or is lost whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_mesh::keeper::Shelf;
use datamesh_shard::{
    ErasureProfile, Generation, Held, Incarnation, SegmentHeader, SegmentId, ShardIndex, ShardKey,
};
use datamesh_store::format::LogNumber;
use datamesh_store::{
    Damage, DeleteError, GetError, LocateError, PutError, Shard, ShredError, Shredded, Usage,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::bugs::Bug;
use crate::dice::Dice;
use crate::life::{Aim, Life, start};
use crate::totals::Totals;

/// A shard as it lies on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    header: Bytes,
    payload: Bytes,
    pub(crate) generation: Generation,
    /// Its bytes are not what was written.
    pub(crate) rotten: bool,
    /// Its bytes are not what its name says, and the disk does not know: it was given them so.
    false_from_birth: bool,
    /// A read found that out.
    condemned: bool,
}

impl Row {
    fn is_sound(&self) -> bool {
        !(self.rotten || self.false_from_birth)
    }
}

/// A write whose sync has not passed.
enum Pending {
    Put(ShardKey, Row),
    Delete(ShardKey, Generation),
}

impl Pending {
    fn key(&self) -> ShardKey {
        match self {
            Self::Put(key, _) | Self::Delete(key, _) => *key,
        }
    }
}

/// What is on a disk that nobody has in a node.
#[derive(Default)]
pub(crate) struct Attic {
    rows: BTreeMap<ShardKey, Row>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Attic {
    /// Whether no shard is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What outlives its process.
#[derive(Default)]
pub(crate) struct Platter {
    pub(crate) rows: BTreeMap<ShardKey, Row>,
    pending: BTreeMap<u64, Pending>,
    next_pending: u64,
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Takes no new shards.
    pub(crate) full: bool,
    /// Each access takes so many times as long.
    pub(crate) slowness: u32,
}

impl Platter {
    fn apply(&mut self, write: Pending) -> bool {
        match write {
            Pending::Put(key, row) => {
                match self.rows.get_mut(&key).filter(|old| !old.condemned) {
                    Some(old) => old.generation = old.generation.max(row.generation),
                    None => drop(self.rows.insert(key, row)),
                }
                true
            }
            Pending::Delete(key, generation) => {
                let goes = self.rows.get(&key).is_some_and(|row| row.generation <= generation);
                if goes {
                    self.rows.remove(&key);
                }
                goes
            }
        }
    }

    /// A write reaches the disk, after those of the same shard that were begun before it and that nobody waits for any more: one
    /// writer does them all in their order.
    fn finish(&mut self, ticket: u64) -> bool {
        let Some(key) = self.pending.get(&ticket).map(Pending::key) else { return false };
        let before = self.pending.range(..ticket).filter(|(_, write)| write.key() == key);
        for earlier in before.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            let write = self.pending.remove(&earlier);
            write.map(|write| self.apply(write));
        }
        self.pending.remove(&ticket).is_some_and(|write| self.apply(write))
    }

    /// The power goes: of what was pending, some is on the disk and some is not.
    pub(crate) fn crash(&mut self, dice: &Dice) -> usize {
        let pending = std::mem::take(&mut self.pending);
        let cut_off = pending.len();
        for write in pending.into_values() {
            if dice.per_mille(500) {
                self.apply(write);
            }
        }
        cut_off
    }

    /// A shard's bytes are not any more what was written.
    pub(crate) fn rot(&mut self, key: ShardKey) {
        if let Some(row) = self.rows.get_mut(&key) {
            let mut bytes = row.payload.to_vec();
            bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            (row.payload, row.rotten) = (bytes.into(), true);
        }
    }

    /// Everything is gone; gives what there was, for one that turns up again.
    pub(crate) fn lose(&mut self) -> Attic {
        self.pending.clear();
        Attic { rows: std::mem::take(&mut self.rows), records: std::mem::take(&mut self.records) }
    }

    /// What was thought lost is here again.
    pub(crate) fn find(&mut self, attic: Attic) {
        (self.rows, self.records) = (attic.rows, attic.records);
    }

    /// A sound shard as it was written: header and payload.
    pub(crate) fn copy(&self, key: ShardKey) -> Option<(Bytes, Bytes)> {
        let row = self.rows.get(&key).filter(|row| row.is_sound())?;
        Some((row.header.clone(), row.payload.clone()))
    }

    /// Shards that are there and not known to be corrupt: what a node says it has.
    pub(crate) fn listed(&self) -> Vec<Shape> {
        self.rows.iter().filter(|(_, row)| !row.condemned).filter_map(shape).collect()
    }

    /// Shards that are there and sound.
    pub(crate) fn sound(&self) -> Vec<Shape> {
        self.rows.iter().filter(|(_, row)| row.is_sound()).filter_map(shape).collect()
    }
}

/// A shard, and k and m of its segment.
pub(crate) type Shape = (ShardKey, ErasureProfile);

fn shape((key, row): (&ShardKey, &Row)) -> Option<Shape> {
    Some((*key, SegmentHeader::profile_in(&row.header).ok()?))
}

/// One opening of a disk.
pub(crate) struct Drive {
    pub(crate) platter: Arc<Mutex<Platter>>,
    pub(crate) incarnation: Incarnation,
    pub(crate) life: Life,
    pub(crate) dice: Dice,
    pub(crate) bug: Option<Bug>,
    pub(crate) totals: Totals,
    /// Writes that a crash could cut off.
    pub(crate) aim: Aim,
}

impl Drive {
    /// Until the disk has done something; for ever if the process is over.
    async fn wait(&self, least: u64, bound: u64) {
        let slowness = self.platter.lock().slowness.max(1);
        self.life.sleep(self.dice.millis(least, bound) * slowness).await;
    }

    async fn write(&self, write: Pending) -> bool {
        // A dead process begins nothing any more.
        self.life.check().await;
        let early = self.bug == Some(Bug::AcknowledgedBeforeDurable);
        let _under_way = self.aim.begin();
        let ticket = {
            let mut platter = self.platter.lock();
            let ticket = platter.next_pending;
            platter.next_pending += 1;
            platter.pending.insert(ticket, write);
            ticket
        };
        if early {
            let (platter, life, pause) =
                (Arc::clone(&self.platter), self.life.clone(), self.dice.millis(50, 2000));
            start(async move {
                life.sleep(pause).await;
                let mut platter = platter.lock();
                if let Some(write) = platter.pending.remove(&ticket) {
                    platter.apply(write);
                }
            });
            return true;
        }
        self.wait(1, 12).await;
        let done = self.platter.lock().finish(ticket);
        // Durable, and nobody knows yet.
        self.wait(0, 3).await;
        done
    }

    fn page(
        &self,
        (from, to): (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> Vec<Held> {
        let platter = self.platter.lock();
        let first = ShardKey { segment: after.map_or(from, |after| after.max(from)), index: ShardIndex(0) };
        let mut held: BTreeMap<SegmentId, Held> = BTreeMap::new();
        for (key, row) in platter.rows.range((Bound::Included(first), Bound::Unbounded)) {
            let segment = key.segment;
            if to.is_some_and(|to| segment >= to) || (held.len() == limit && !held.contains_key(&segment)) {
                break;
            }
            if row.condemned || after.is_some_and(|after| segment <= after) {
                continue;
            }
            let Ok(profile) = SegmentHeader::profile_in(&row.header) else { continue };
            let fresh = || Held { segment, profile, generation: row.generation, shards: Default::default() };
            let held = held.entry(segment).or_insert_with(fresh);
            held.generation = held.generation.max(row.generation);
            held.shards.insert(key.index);
        }
        held.into_values().collect()
    }

    fn shards_of(&self, segment: SegmentId, condemned_too: bool) -> Vec<ShardIndex> {
        let platter = self.platter.lock();
        let all =
            ShardKey { segment, index: ShardIndex(0) }..=ShardKey { segment, index: ShardIndex(u8::MAX) };
        let rows = platter.rows.range(all).filter(|(_, row)| condemned_too || !row.condemned);
        rows.map(|(key, _)| key.index).collect()
    }

    fn read<T>(&self, key: ShardKey, take: impl FnOnce(&Row) -> T) -> Result<Option<T>, GetError> {
        let mut platter = self.platter.lock();
        let Some(row) = platter.rows.get_mut(&key) else { return Ok(None) };
        if row.rotten && self.bug != Some(Bug::RotUnseen) {
            row.condemned = true;
            self.totals.rot_found();
            let (log, damage) = (LogNumber(1), Damage::Known);
            return Err(GetError::Corrupt { key, log, offset: 0, damage });
        }
        Ok(Some(take(row)))
    }
}

impl Shelf for Drive {
    fn put(
        &self,
        key: ShardKey,
        generation: Generation,
        header: Bytes,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            let proof = SegmentHeader::decode(&header)?.verify(key, &payload);
            let false_from_birth = proof.is_err();
            if self.bug != Some(Bug::RepairUnproven) {
                proof?;
            }
            if self.platter.lock().full {
                self.wait(1, 3).await;
                return Err(PutError::Full { free_bytes: 0, reserve_bytes: 1 });
            }
            // A copy: what came over the net is a buffer of the gateway's budget.
            let (header, payload) = (Bytes::copy_from_slice(&header), Bytes::copy_from_slice(&payload));
            let row = Row { header, payload, generation, rotten: false, false_from_birth, condemned: false };
            self.write(Pending::Put(key, row)).await;
            Ok(())
        }
        .boxed()
    }

    fn get(&self, key: ShardKey) -> BoxFuture<'_, Result<Option<Shard>, GetError>> {
        async move {
            self.wait(0, 6).await;
            self.read(key, |row| Shard {
                header: row.header.clone(),
                payload: row.payload.clone(),
                generation: row.generation,
            })
        }
        .boxed()
    }

    fn get_range(
        &self,
        key: ShardKey,
        offset: u32,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Bytes>, GetError>> {
        async move {
            self.wait(0, 6).await;
            let (from, to) = (offset as usize, offset as usize + len as usize);
            let part = self.read(key, |row| {
                (from <= to && to <= row.payload.len()).then(|| row.payload.slice(from..to))
            })?;
            match part {
                None => Ok(None),
                Some(Some(part)) => Ok(Some(part)),
                Some(None) => Err(GetError::Range { offset, len, payload_bytes: 0 }),
            }
        }
        .boxed()
    }

    fn delete(&self, key: ShardKey, generation: Generation) -> BoxFuture<'_, Result<bool, DeleteError>> {
        let any = self.bug == Some(Bug::DeleteOfAnyGeneration);
        let generation = if any { Generation(u64::MAX) } else { generation };
        async move { Ok(self.write(Pending::Delete(key, generation)).await) }.boxed()
    }

    fn locate(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        async move {
            self.wait(0, 2).await;
            Ok(self.shards_of(segment, false))
        }
        .boxed()
    }

    fn present(&self, segment: SegmentId) -> BoxFuture<'_, Result<Vec<ShardIndex>, LocateError>> {
        async move {
            self.wait(0, 2).await;
            Ok(self.shards_of(segment, true))
        }
        .boxed()
    }

    fn held(
        &self,
        range: (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Held>, LocateError>> {
        async move {
            self.life.check().await;
            Ok(self.page(range, after, limit))
        }
        .boxed()
    }

    fn corrupt(&self, limit: usize) -> BoxFuture<'_, Result<Vec<(ShardKey, Generation)>, LocateError>> {
        async move {
            self.wait(0, 6).await;
            let platter = self.platter.lock();
            let condemned = platter.rows.iter().filter(|(_, row)| row.condemned).take(limit);
            Ok(condemned.map(|(key, row)| (*key, row.generation)).collect())
        }
        .boxed()
    }

    fn shred(&self, _: Arc<BTreeSet<SegmentId>>) -> BoxFuture<'_, Result<Shredded, ShredError>> {
        async move {
            self.wait(5, 50).await;
            Ok(Shredded::default())
        }
        .boxed()
    }

    fn usage(&self) -> Usage {
        let platter = self.platter.lock();
        let said = if self.bug == Some(Bug::EmptyTooEarly) { 0 } else { platter.rows.len() };
        let condemned = platter.rows.values().filter(|row| row.condemned).count();
        Usage {
            shards: u64::try_from(said).unwrap_or(u64::MAX),
            shard_bytes: platter.rows.values().map(|row| row.payload.len() as u64).sum(),
            log_bytes: 0,
            live_bytes: 0,
            capacity_bytes: 1 << 40,
            free_bytes: if platter.full { 0 } else { 1 << 40 },
            accepting: !platter.full,
            corrupt_shards: u64::try_from(condemned).unwrap_or(u64::MAX),
        }
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}
