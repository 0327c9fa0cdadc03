//! How many events may wait for a target: the oldest of more than that are given up, counted and told in the status. No put fails for
//! them. What waits for a target that the settings do not have (any more) is given up after some days, and then its counters go.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Worker};
use crate::notifications::Targets;
use crate::pipeline::Context;

/// Events that may wait for one target: some 50 MB of the catalog with names of usual length, and 350 MB where keys, ids and names are all
/// as long as may be.
pub(crate) const PENDING_MAX: u64 = 100_000;
/// What is committed within this may wait besides.
const PERIOD: Duration = Duration::from_secs(2);

/// How long events wait for a target that the settings do not have: somebody may have left it out by mistake.
const UNKNOWN_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// The worker.
pub(crate) struct Bound {
    context: Arc<Context>,
    targets: Arc<Targets>,
    pending_max: u64,
}

impl Bound {
    pub(crate) fn new(context: Arc<Context>, targets: Arc<Targets>, pending_max: u64) -> Self {
        Self { context, targets, pending_max }
    }

    async fn step(&self) -> Result<Next, CatalogError> {
        let (catalog, metrics) = (&self.context.catalog, &self.context.metrics.notifications);
        let mut next = Next::Wait(PERIOD);
        for (target, tally) in catalog.event_tallies().await? {
            metrics.pending(&target, tally.pending);
            let (dropped, why) = if tally.pending > self.pending_max {
                (catalog.drop_events(&target, self.pending_max).await?, "too many wait for it")
            } else if self.targets.has(&target) {
                continue;
            } else if tally.pending == 0 {
                catalog.forget_tally(&target).await?;
                continue;
            } else {
                let before = self.context.surroundings.now_unix_ms().saturating_sub(UNKNOWN_MS_MAX);
                (catalog.drop_events_before(&target, before).await?, "the settings do not have it")
            };
            if dropped > 0 {
                tracing::warn!(%target, dropped, why, "events of a target are given up");
                metrics.dropped(&target, dropped);
                next = Next::Busy;
            }
        }
        Ok(next)
    }
}

impl Worker for Bound {
    fn name(&self) -> &'static str {
        "bound of notifications"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "events of buckets are not counted");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }
}
