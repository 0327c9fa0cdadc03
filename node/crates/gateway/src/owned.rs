//! Tasks with one owner: they end when that is dropped.

use std::future::Future;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Runs `task` beside its owner; it is aborted when the handle is dropped.
#[expect(clippy::disallowed_methods, reason = "the handle is the owner")]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Tasks that go on when whoever began them is gone. They end with this.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Runs `task` to its end.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut all = self.0.lock();
        while all.try_join_next().is_some() {}
        all.spawn(task);
    }
}
