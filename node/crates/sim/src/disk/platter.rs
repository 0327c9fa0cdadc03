//! What lies on a simulated disk and outlives its process, and the writes whose sync has not passed.

use std::collections::BTreeMap;

use bytes::Bytes;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, ShardKey};

use crate::dice::Dice;

/// A shard as it lies on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(super) header: Bytes,
    pub(super) payload: Bytes,
    pub(crate) generation: Generation,
    /// Its bytes are not what was written.
    pub(crate) rotten: bool,
    /// Its bytes are not what its name says, and the disk does not know: it was given them so.
    pub(super) false_from_birth: bool,
    /// A read found that out.
    pub(super) condemned: bool,
}

impl Row {
    pub(super) fn is_sound(&self) -> bool {
        !(self.rotten || self.false_from_birth)
    }
}

/// A write whose sync has not passed.
pub(super) enum Pending {
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
    /// A write begins; gives its ticket.
    pub(super) fn begin(&mut self, write: Pending) -> u64 {
        let ticket = self.next_pending;
        self.next_pending += 1;
        self.pending.insert(ticket, write);
        ticket
    }

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
    pub(super) fn finish(&mut self, ticket: u64) -> bool {
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
