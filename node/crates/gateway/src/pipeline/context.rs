//! What every transfer shares.

use std::sync::Arc;

use datamesh_catalog::EmbeddedCatalog;
use tokio_util::task::TaskTracker;

use super::budget::Budget;
use super::cpu::Cpu;
use super::damage::Damage;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::shards::Shards;

/// The pipeline's surroundings, made once.
pub(crate) struct Context {
    pub(crate) budget: Budget,
    pub(super) cpu: Cpu,
    pub(crate) catalog: EmbeddedCatalog,
    pub(super) peers: Arc<dyn Shards>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) metrics: Metrics,
    pub(crate) damage: Arc<Damage>,
    /// Puts that go on after their acknowledgement, until they are whole or their time is up.
    pub(crate) tails: TaskTracker,
}

impl Context {
    pub(crate) fn new(
        budget: Budget,
        metrics: Metrics,
        catalog: EmbeddedCatalog,
        peers: Arc<dyn Shards>,
        pools: Arc<Pools>,
    ) -> Arc<Self> {
        let cpu = Cpu::new(metrics.stages.clone());
        let (damage, tails) = (Arc::default(), TaskTracker::new());
        Arc::new(Self { budget, cpu, catalog, peers, pools, metrics, damage, tails })
    }
}
