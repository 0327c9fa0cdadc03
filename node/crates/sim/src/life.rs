//! Whether a simulated process lives. What belongs to a dead one never goes on: there is no way to tell tasks that it
//! spawned from those of others, so each step outside of it asks here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

#[derive(Clone, Debug)]
pub(crate) struct Life(Arc<AtomicBool>);

impl Life {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    /// Returns at once, or never.
    pub(crate) async fn check(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns after the time if there is life then.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.check().await;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
            self.check().await;
        }
    }
}

/// Tells when something begins that a crash could cut off, and how much of it is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aim {
    begins: Arc<tokio::sync::Notify>,
    open: Arc<AtomicUsize>,
}

/// Under way until dropped.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Aim {
    pub(crate) fn begin(&self) -> UnderWay {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begins.notify_waiters();
        UnderWay(Arc::clone(&self.open))
    }

    /// Waits until something begins, for this long at most.
    pub(crate) async fn wait(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.begins.notified()).await;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

/// Starts what goes on by itself until the run ends.
#[allow(clippy::disallowed_methods, reason = "the run's own runtime ends it")]
pub(crate) fn start(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

/// Starts what ends with its owner.
#[allow(clippy::disallowed_methods, reason = "owned by the handle")]
pub(crate) fn own(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
