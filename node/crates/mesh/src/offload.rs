use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs heavy work beside the threads that serve connections. A runtime of one thread has nobody to hand it to: there it
/// is done at once, which also keeps a simulation in its one thread. A panic in the work goes on here; `None` when the
/// runtime is shutting down.
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Some(work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}
