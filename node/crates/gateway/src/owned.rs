//! A task with one owner: it ends when its handle is dropped.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// Runs `task` beside its owner; it is aborted when the handle is dropped.
#[expect(clippy::disallowed_methods, reason = "the handle is the owner")]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
