//! A simulated disk: what is written is pending until its sync has passed, and a crash decides what becomes of it. Shards
//! rot, the disk fills, slows down, or is lost whole.

mod platter;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

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

use crate::bugs::Bug;
use crate::dice::Dice;
use crate::life::{Aim, Life, start};
use crate::totals::Totals;
pub(crate) use platter::{Attic, Platter, Shape};
use platter::{Pending, Row};

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
        let ticket = self.platter.lock().begin(write);
        if early {
            let (platter, life, pause) =
                (Arc::clone(&self.platter), self.life.clone(), self.dice.millis(50, 2000));
            start(async move {
                life.sleep(pause).await;
                platter.lock().finish(ticket);
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
