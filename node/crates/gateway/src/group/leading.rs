//! What one gateway does for all: where the catalog leads, or whoever has the lock of the database they share. Two may do it for a moment, as everything of it is committed only if
//! nothing has changed; that nobody does for a moment does no harm.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::engine::raft::RaftKeyspace;
use datamesh_catalog::engine::{AnyKeyspace, MovingKeyspace};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::work::{Next, Worker};

/// Without the lead; whoever gets it is woken.
const PERIOD: Duration = Duration::from_secs(10);

/// Whether this gateway does what one does for all.
#[derive(Clone)]
pub(crate) enum Leading {
    /// It keeps its catalog alone.
    Always,
    /// While its replica leads.
    WithReplica(RaftKeyspace),
    /// While this is so: it has the lock of the database.
    WithLock(watch::Receiver<bool>),
    /// As it is where the catalog is now, which moves.
    Moving(MovingKeyspace),
    /// The same, until it has moved: what is done on the gateways' volumes alone.
    BeforeMove(MovingKeyspace),
    /// Once it has moved there, on the contrary.
    AfterMove(MovingKeyspace),
}

impl Leading {
    /// As the engine of a gateway's catalog has it.
    pub(crate) fn of(keyspace: &AnyKeyspace) -> Self {
        match keyspace {
            AnyKeyspace::Rocks(_) | AnyKeyspace::Memory(_) => Self::Always,
            AnyKeyspace::Raft(replica) => Self::WithReplica(replica.clone()),
            AnyKeyspace::Postgres(database) => Self::WithLock(database.lead()),
            AnyKeyspace::Moving(keyspace) => Self::Moving(keyspace.clone()),
        }
    }

    /// For what ends with the catalog's move.
    pub(crate) fn before_move(&self) -> Self {
        match self {
            Self::Moving(keyspace) => Self::BeforeMove(keyspace.clone()),
            settled => settled.clone(),
        }
    }

    /// For what begins with it.
    pub(crate) fn after_move(&self) -> Self {
        match self {
            Self::Moving(keyspace) => Self::AfterMove(keyspace.clone()),
            settled => settled.clone(),
        }
    }

    pub(crate) fn now(&self) -> bool {
        match self {
            Self::Always => true,
            Self::WithReplica(replica) => replica.status().leader == Some(replica.id()),
            Self::WithLock(held) => *held.borrow(),
            Self::Moving(keyspace) => Self::of(keyspace.current()).now(),
            Self::AfterMove(keyspace) => keyspace.has_arrived() && Self::of(keyspace.current()).now(),
            Self::BeforeMove(keyspace) => !keyspace.has_arrived() && Self::of(keyspace.source()).now(),
        }
    }

    /// Until it has the lead, or has it no more; false once that will not be.
    async fn until(&mut self, leads: bool) -> bool {
        match self {
            Self::Always => leads,
            Self::WithReplica(replica) => {
                let own = replica.id();
                replica.until(|group| (group.leader == Some(own)) == leads).await
            }
            Self::WithLock(held) => held.wait_for(|held| *held == leads).await.is_ok(),
            Self::BeforeMove(keyspace) if !leads => ends_before_move(&keyspace.clone()).await,
            Self::Moving(keyspace) | Self::BeforeMove(keyspace) | Self::AfterMove(keyspace) => {
                moved_until(&keyspace.clone(), leads).await
            }
        }
    }

    /// Wakes these each time this gateway gets the lead, until stopped.
    pub(crate) async fn wake(mut self, workers: Vec<Arc<Notify>>, stop: CancellationToken) {
        if matches!(self, Self::Always) {
            return stop.cancelled().await;
        }
        let gets_it = async {
            while self.until(true).await {
                tracing::info!("this gateway leads the catalog");
                workers.iter().for_each(|worker| worker.notify_one());
                if !self.until(false).await {
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

/// The same while the catalog moves: whoever leads the source, and then whoever leads the target. The lead of the source ends with the move, so
/// that who waits for the target's is woken.
async fn moved_until(keyspace: &MovingKeyspace, leads: bool) -> bool {
    let mut arrival = keyspace.arrival();
    if !keyspace.has_arrived() {
        let mut source = Leading::of(keyspace.source());
        tokio::select! {
            is_so = Box::pin(source.until(leads)) => return is_so,
            () = arrival.wait_for(|arrived| *arrived).map(drop) => if !leads { return true },
        }
    }
    Box::pin(Leading::of(keyspace.current()).until(leads)).await
}

/// Until the source is not led from here any more, or the catalog is there no more.
async fn ends_before_move(keyspace: &MovingKeyspace) -> bool {
    let (mut arrival, mut source) = (keyspace.arrival(), Leading::of(keyspace.source()));
    let arrived = async { arrival.wait_for(|arrived| *arrived).await.is_ok() };
    tokio::select! {
        lost = Box::pin(source.until(false)), if !matches!(source, Leading::Always) => lost,
        arrived = arrived => arrived,
    }
}

/// A worker that works where the catalog leads.
pub(crate) struct WhileLeading<W> {
    pub(crate) leading: Leading,
    pub(crate) worker: W,
    wake: Arc<Notify>,
    gives_up: bool,
}

impl<W: Worker> WhileLeading<W> {
    pub(crate) fn new(leading: &Leading, worker: W) -> Self {
        let wake = worker.wakes().unwrap_or_default();
        Self { leading: leading.clone(), worker, wake, gives_up: false }
    }

    /// One whose work is long, and nothing that two should do at once: what is under way is given up with the lead.
    pub(crate) fn giving_up(self) -> Self {
        Self { gives_up: true, ..self }
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
        if !self.leading.now() {
            self.worker.rest();
            return std::future::ready(Next::Wait(PERIOD)).boxed();
        }
        if !self.gives_up {
            return self.worker.work();
        }
        async move {
            let mut leading = self.leading.clone();
            let lost = async {
                if !leading.until(false).await {
                    std::future::pending::<()>().await;
                }
            };
            let done = tokio::select! {
                biased;
                next = self.worker.work() => Some(next),
                () = lost => None,
            };
            done.unwrap_or_else(|| {
                tracing::info!(worker = self.worker.name(), "what was under way is given up with the lead");
                self.worker.rest();
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.wake())
    }
}
