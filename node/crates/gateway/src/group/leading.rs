//! What one gateway does for all: where the catalog leads. Two may do it for a moment, as everything of it is committed only if
//! nothing has changed; that nobody does for a moment does no harm.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::RaftKeyspace;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::work::{Next, Worker};

/// Without the lead; whoever gets it is woken.
const PERIOD: Duration = Duration::from_secs(10);

/// Whether this gateway does what one does for all.
#[derive(Clone)]
pub(crate) enum Leading {
    /// It keeps its catalog alone, or all do it, who share a database.
    Always,
    /// While its replica leads.
    WithReplica(RaftKeyspace),
}

impl Leading {
    pub(crate) fn now(&self) -> bool {
        match self {
            Self::Always => true,
            Self::WithReplica(replica) => replica.status().leader == Some(replica.id()),
        }
    }

    /// Wakes these each time this gateway gets the lead, until stopped.
    pub(crate) async fn wake(self, workers: Vec<Arc<Notify>>, stop: CancellationToken) {
        let Self::WithReplica(replica) = self else { return stop.cancelled().await };
        let own = replica.id();
        let gets_it = async {
            while replica.until(|group| group.leader == Some(own)).await {
                tracing::info!("this gateway leads the catalog");
                workers.iter().for_each(|worker| worker.notify_one());
                if !replica.until(|group| group.leader != Some(own)).await {
                    break;
                }
                tracing::info!("this gateway does not lead the catalog any more");
            }
            // It has stopped by itself, which ends the gateway elsewhere.
            stop.cancelled().await;
        };
        stop.run_until_cancelled(gets_it).await;
    }
}

/// A worker that works where the catalog leads.
pub(crate) struct WhileLeading<W> {
    pub(crate) leading: Leading,
    pub(crate) worker: W,
    wake: Arc<Notify>,
}

impl<W: Worker> WhileLeading<W> {
    pub(crate) fn new(leading: &Leading, worker: W) -> Self {
        let wake = worker.wakes().unwrap_or_default();
        Self { leading: leading.clone(), worker, wake }
    }

    /// What wakes it.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

impl<W: Worker> Worker for WhileLeading<W> {
    fn name(&self) -> &'static str {
        self.worker.name()
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        if self.leading.now() {
            return self.worker.work();
        }
        self.worker.rest();
        std::future::ready(Next::Wait(PERIOD)).boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.wake())
    }
}
