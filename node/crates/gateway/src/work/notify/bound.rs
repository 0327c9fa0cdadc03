//! How many events may wait for a target: the oldest of more than that are given up, counted and told in the status. No put fails for
//! them. Targets that the settings do not have (any more) are among these.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Worker};
use crate::pipeline::Context;

/// Events that may wait for one target: some 50 MB of the catalog.
pub(crate) const PENDING_MAX: u64 = 100_000;
/// What is committed within this may wait besides.
const PERIOD: Duration = Duration::from_secs(2);

/// The worker.
pub(crate) struct Bound {
    context: Arc<Context>,
    pending_max: u64,
}

impl Bound {
    pub(crate) fn new(context: Arc<Context>, pending_max: u64) -> Self {
        Self { context, pending_max }
    }

    async fn step(&self) -> Result<Next, CatalogError> {
        let (catalog, metrics) = (&self.context.catalog, &self.context.metrics.notifications);
        let mut next = Next::Wait(PERIOD);
        for (target, tally) in catalog.event_tallies().await? {
            metrics.pending(&target, tally.pending);
            if tally.pending > self.pending_max {
                let dropped = catalog.drop_events(&target, self.pending_max).await?;
                tracing::warn!(%target, dropped, "events are given up: too many wait for their target");
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
