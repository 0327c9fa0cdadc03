//! What every transfer shares.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_exchange::net::Net;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::Budget;
use super::cpu::{Cpu, Stopped};
use super::damage::Damage;
use crate::cache::SegmentCache;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::surroundings::Surroundings;

/// What the pipeline works with, made once.
pub(crate) struct Context {
    pub(crate) budget: Budget,
    pub(crate) cache: Arc<SegmentCache>,
    pub(super) cpu: Cpu,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) metrics: Metrics,
    pub(crate) damage: Arc<Damage>,
    /// How long what a plain put left behind waits to be reclaimed when its gateway died.
    pub(super) put_lease: Duration,
    /// Puts that go on after their acknowledgement, until they are whole or their time is up.
    pub(crate) tails: TaskTracker,
    /// Ends those where they stand.
    pub(crate) halt: CancellationToken,
}

impl Context {
    pub(crate) fn new(
        (budget, cache): (Budget, Arc<SegmentCache>),
        metrics: Metrics,
        catalog: EmbeddedCatalog,
        pools: Arc<Pools>,
        (net, surroundings): (Arc<dyn Net>, Arc<dyn Surroundings>),
        put_lease: Duration,
    ) -> Arc<Self> {
        let cpu = Cpu::new(metrics.stages.clone());
        let damage = Arc::new(Damage::since(surroundings.now_unix_ms()));
        let (tails, halt) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self {
            budget,
            cache,
            cpu,
            catalog,
            net,
            surroundings,
            pools,
            metrics,
            damage,
            put_lease,
            tails,
            halt,
        })
    }

    /// Runs heavy work of others than transfers on the threads these compute on, in its turn.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.cpu.run(|_| work()).await
    }

    /// Runs what goes on although nobody may wait for it. `None` when it was halted: it is not polled once more then, as
    /// in a process that died.
    pub(crate) fn spawn_tail<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let halt = self.halt.clone();
        self.tails.spawn(async move {
            tokio::select! {
                biased;
                () = halt.cancelled() => None,
                done = task => Some(done),
            }
        })
    }
}
