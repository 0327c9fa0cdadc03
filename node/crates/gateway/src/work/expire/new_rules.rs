//! That rules were set: whoever sets some sees them carried out at once, where the worker is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Shared by those who set rules and the worker.
#[derive(Debug, Default)]
pub(crate) struct NewRules {
    /// Since a walk began, which may have passed their bucket.
    there: AtomicBool,
    wake: Arc<Notify>,
}

impl NewRules {
    /// A bucket has other rules now.
    pub(crate) fn set(&self) {
        self.there.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// A walk that begins now sees all there are.
    pub(super) fn seen(&self) {
        self.there.store(false, Ordering::Release);
    }

    /// Whether there are some that no walk has seen.
    pub(super) fn are_there(&self) -> bool {
        self.there.load(Ordering::Acquire)
    }

    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}
