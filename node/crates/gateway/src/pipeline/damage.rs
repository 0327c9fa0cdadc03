//! What went less than well since the gateway started, by pool: the status shows it, and the stewards are told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::alarms::Alarms;
use datamesh_shard::{PoolName, SegmentId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Segments of a pool that are remembered as short at most.
const SHORT_MAX: usize = 1024;
/// Of those beyond it is known only that there were some. Stewards count everything within this time.
const COUNTED_WITHIN: Duration = Duration::from_secs(900);

/// Counts of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Puts acknowledged with fewer than k+m shards.
    pub(crate) short_puts: u64,
    /// Shards that reads found missing or corrupt.
    pub(crate) damaged_shards: u64,
}

/// Counts of all pools, from the moment it is made.
#[derive(Debug)]
pub(crate) struct Damage {
    since_unix_ms: u64,
    by_pool: Mutex<HashMap<PoolName, Counts>>,
    /// What was acknowledged short, until it is whole or the stewards have counted it. One gateway's knowledge.
    short: Mutex<HashMap<PoolName, Short>>,
    /// For the stewards.
    pub(crate) alarms: Arc<Alarms>,
}

#[derive(Debug, Default)]
struct Short {
    since: BTreeMap<SegmentId, Instant>,
    /// The last one that there was no room for.
    beyond: Option<Instant>,
}

impl Damage {
    /// Nothing yet.
    pub(crate) fn since(since_unix_ms: u64) -> Self {
        Self { since_unix_ms, by_pool: Mutex::default(), short: Mutex::default(), alarms: Arc::default() }
    }

    /// When counting began: what was before is forgotten.
    pub(crate) fn since_unix_ms(&self) -> u64 {
        self.since_unix_ms
    }

    /// The counts of a pool.
    pub(crate) fn of(&self, pool: &PoolName) -> Counts {
        self.by_pool.lock().get(pool).copied().unwrap_or_default()
    }

    /// A put was acknowledged short.
    pub(super) fn short_put(&self, pool: &PoolName, segment: SegmentId) {
        self.by_pool.lock().entry(pool.clone()).or_default().short_puts += 1;
        let mut pools = self.short.lock();
        let short = pools.entry(pool.clone()).or_default();
        if short.since.len() < SHORT_MAX {
            short.since.insert(segment, Instant::now());
        } else {
            short.beyond = Some(Instant::now());
        }
    }

    /// It became whole after all.
    pub(super) fn is_whole(&self, pool: &PoolName, segment: SegmentId) {
        if let Some(short) = self.short.lock().get_mut(pool) {
            short.since.remove(&segment);
        }
    }

    /// Segments that were acknowledged short and may be so still, for all that is known, at least so many: but for those that were
    /// counted since, which are forgotten here. `is_counted` is told how long ago it was.
    pub(crate) fn still_short(
        &self,
        pool: &PoolName,
        is_counted: impl Fn(SegmentId, Duration) -> bool,
    ) -> u64 {
        let mut pools = self.short.lock();
        let Some(short) = pools.get_mut(pool) else { return 0 };
        short.since.retain(|segment, at| !is_counted(*segment, at.elapsed()));
        short.beyond = short.beyond.filter(|at| at.elapsed() < COUNTED_WITHIN);
        u64::try_from(short.since.len()).unwrap_or(u64::MAX) + u64::from(short.beyond.is_some())
    }

    /// A read found shards of a segment missing or corrupt.
    pub(crate) fn shards(&self, pool: &PoolName, segment: SegmentId, count: u64) {
        if count > 0 {
            self.alarms.raise(pool, segment);
            self.by_pool.lock().entry(pool.clone()).or_default().damaged_shards += count;
        }
    }
}
