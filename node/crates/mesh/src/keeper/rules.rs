//! What keeps put, delete and homing of one shard apart: they take turns, a delete is remembered, and a shard that is
//! about to leave this disk is not relied upon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datamesh_shard::{Generation, SegmentId, ShardKey};
use datamesh_store::Durability;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Clock;
use crate::swarm::{RecordBytes, RecordBytesError};

/// Shards whose ids share these many low bits take turns: enough that those of one put seldom meet.
const STRIPES: usize = 1024;
/// How long a delete is remembered: longer than any repair or transfer that began before it may take.
const REMEMBER_SECONDS: u64 = 24 * 3600;
/// Key of a deleted segment's record, before its id.
const DELETED: &[u8] = b"deleted/";
/// First byte of such a record: then the generation and the time, eight bytes each, little-endian.
const VERSION: u8 = 1;

/// Shared by all that move shards here.
pub(super) struct Rules {
    records: Arc<dyn RecordBytes>,
    clock: Clock,
    stripes: Vec<Arc<AsyncMutex<()>>>,
    leaving: Arc<Mutex<BTreeSet<ShardKey>>>,
    arriving: Arc<AtomicU64>,
}

/// One shard on its way in, until dropped.
pub(super) struct Arriving(Arc<AtomicU64>);

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A turn at one segment's shards.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Why a shard may not come in.
#[derive(Debug)]
pub(super) enum NotNow {
    /// The one that is here is on its way to its home.
    Leaving,
    /// It was deleted; what comes is from before.
    Deleted,
    /// What was deleted cannot be read.
    Records(RecordBytesError),
}

/// Until dropped, the shard is not relied upon.
pub(super) struct Leaving {
    key: ShardKey,
    /// Where it is marked; `None` once the mark shall stay.
    all: Option<Arc<Mutex<BTreeSet<ShardKey>>>>,
}

impl Leaving {
    /// The shard may be gone or not: it is not relied upon until the node starts anew and looks.
    pub(super) fn for_good(mut self) {
        self.all = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(all) = &self.all {
            all.lock().remove(&self.key);
        }
    }
}

impl Rules {
    pub(super) fn new(records: Arc<dyn RecordBytes>, clock: Clock) -> Self {
        let stripes = (0..STRIPES).map(|_| Arc::default()).collect();
        Self { records, clock, stripes, leaving: Arc::default(), arriving: Arc::default() }
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// What this node remembers besides its shards.
    pub(super) fn records(&self) -> &dyn RecordBytes {
        &*self.records
    }

    /// Waits for the turn at a segment's shards.
    pub(super) async fn turn(&self, segment: SegmentId) -> Turn {
        let at = usize::from(segment.0[31]) | usize::from(segment.0[30]) << 8;
        Arc::clone(&self.stripes[at % STRIPES]).lock_owned().await
    }

    /// The turn to store a shard, if it may come in. Whoever stores one asks here first.
    pub(super) async fn admit(&self, key: ShardKey, generation: Generation) -> Result<Turn, NotNow> {
        let turn = self.turn(key.segment).await;
        if self.is_leaving(key) {
            return Err(NotNow::Leaving);
        }
        let deleted = self.deleted(key.segment).map_err(NotNow::Records)?;
        match deleted.is_some_and(|deleted| generation <= deleted) {
            true => Err(NotNow::Deleted),
            false => Ok(turn),
        }
    }

    /// Marks a shard as leaving, once no put of it is under way.
    pub(super) async fn leave(&self, key: ShardKey) -> Leaving {
        let _turn = self.turn(key.segment).await;
        self.leaving.lock().insert(key);
        Leaving { key, all: Some(Arc::clone(&self.leaving)) }
    }

    /// A shard may come in. Said before the layout is looked at by which it may: whoever finds none arriving knows that all
    /// later ones are held against the layout that was known then.
    pub(super) fn arrive(&self) -> Arriving {
        self.arriving.fetch_add(1, Ordering::SeqCst);
        Arriving(Arc::clone(&self.arriving))
    }

    /// Shards on their way in.
    pub(super) fn arriving(&self) -> u64 {
        self.arriving.load(Ordering::SeqCst)
    }

    pub(super) fn is_leaving(&self, key: ShardKey) -> bool {
        self.leaving.lock().contains(&key)
    }

    /// Remembers that a segment's shards up to this generation are garbage. Lost in a power cut at most, with the
    /// consequence that a transfer that was under way leaves garbage behind.
    pub(super) fn remember_deleted(
        &self,
        segment: SegmentId,
        generation: Generation,
    ) -> Result<(), RecordBytesError> {
        let known = self.deleted(segment)?;
        if known.is_some_and(|known| known > generation) {
            return Ok(());
        }
        let mut value = vec![VERSION];
        value.extend(generation.0.to_le_bytes());
        value.extend(self.now().to_le_bytes());
        self.records.put(&key_of(segment), &value, Durability::Lazy)
    }

    /// The generation up to which a segment's shards are garbage, if that is remembered.
    pub(super) fn deleted(&self, segment: SegmentId) -> Result<Option<Generation>, RecordBytesError> {
        let row = self.records.get(&key_of(segment))?;
        Ok(row.and_then(|row| decode(&row)).map(|(generation, _)| generation))
    }

    /// Forgets deletes from long ago; gives how many.
    pub(super) fn forget_old(&self) -> Result<usize, RecordBytesError> {
        let before = self.now().saturating_sub(REMEMBER_SECONDS);
        let old: Vec<_> = self
            .records
            .iter(DELETED)?
            .into_iter()
            .filter(|(_, row)| decode(row).is_none_or(|(_, at)| at < before))
            .map(|(key, _)| key)
            .collect();
        for key in &old {
            self.records.delete(key)?;
        }
        Ok(old.len())
    }
}

fn key_of(segment: SegmentId) -> Vec<u8> {
    [DELETED, &segment.0].concat()
}

/// Generation and time of a remembered delete.
fn decode(row: &[u8]) -> Option<(Generation, u64)> {
    let (&VERSION, rest) = row.split_first()? else { return None };
    let (generation, at) = rest.split_first_chunk::<8>()?;
    let at: [u8; 8] = at.try_into().ok()?;
    Some((Generation(u64::from_le_bytes(*generation)), u64::from_le_bytes(at)))
}
