//! Background work one can see: each worker has a name, does one unit at a time, and says when to come again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// When a worker wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more.
    Busy,
    /// After this time, or when it is woken.
    Wait(Duration),
}

/// A piece of background work.
pub trait Worker: Send {
    /// What it is called in logs.
    fn name(&self) -> &'static str;

    /// One unit of work. It may be dropped at any await when the process stops.
    fn work(&mut self) -> BoxFuture<'_, Next>;

    /// What wakes it before its time.
    fn wakes(&self) -> Option<Arc<Notify>> {
        None
    }

    /// Another does its work now: what it holds for its next unit is let go.
    fn rest(&mut self) {}
}

impl<W: Worker + ?Sized> Worker for Box<W> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        (**self).work()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        (**self).wakes()
    }

    fn rest(&mut self) {
        (**self).rest();
    }
}

/// Runs a worker until `stop`.
pub async fn run(mut worker: impl Worker, stop: CancellationToken) {
    let wakes = worker.wakes().unwrap_or_default();
    loop {
        let notified = wakes.notified();
        let mut notified = pin!(notified);
        // From here on a wake is not missed.
        notified.as_mut().enable();
        let Some(next) = stop.run_until_cancelled(worker.work()).await else { break };
        let Next::Wait(pause) = next else { continue };
        tokio::select! {
            // Tokio would draw the order otherwise, out of no seed of ours.
            biased;
            () = stop.cancelled() => break,
            () = notified => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    tracing::debug!(worker = worker.name(), "stopped");
}
