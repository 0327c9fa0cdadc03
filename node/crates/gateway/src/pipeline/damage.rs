//! What went less than well since the gateway started, by pool: the status shows it, and the stewards are told.

use std::collections::HashMap;
use std::sync::Arc;

use datamesh_mesh::alarms::Alarms;
use datamesh_shard::{PoolName, SegmentId};
use parking_lot::Mutex;

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
    /// For the stewards.
    pub(crate) alarms: Arc<Alarms>,
}

impl Damage {
    /// Nothing yet.
    pub(crate) fn since(since_unix_ms: u64) -> Self {
        Self { since_unix_ms, by_pool: Mutex::default(), alarms: Arc::default() }
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
    pub(crate) fn short_put(&self, pool: &PoolName) {
        self.by_pool.lock().entry(pool.clone()).or_default().short_puts += 1;
    }

    /// A read found shards of a segment missing or corrupt.
    pub(crate) fn shards(&self, pool: &PoolName, segment: SegmentId, count: u64) {
        if count > 0 {
            self.alarms.raise(pool, segment);
            self.by_pool.lock().entry(pool.clone()).or_default().damaged_shards += count;
        }
    }
}
