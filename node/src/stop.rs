//! Stopping: a signal cancels one token, every task ends by itself within the grace period.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Shorter than the pods' termination grace period (60 s), so that a slow stop still ends by itself.
const GRACE: Duration = Duration::from_secs(45);

/// A token that SIGTERM and SIGINT cancel.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) fn on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancel = stop.clone();
    // Lives as long as the process: it is what ends everything else.
    #[expect(clippy::disallowed_methods, reason = "the one task that no other can own")]
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        cancel.cancel();
    });
    Ok(stop)
}

/// The process's long-lived tasks: the first one to end, or the token, stops all of them.
pub(crate) struct Tasks {
    set: JoinSet<(String, anyhow::Result<()>)>,
    stop: CancellationToken,
    grace: Duration,
}

impl Tasks {
    pub(crate) fn new(parent: &CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop: parent.child_token(), grace: GRACE }
    }

    /// Starts a task, which must return soon after the token it is given is cancelled.
    pub(crate) fn spawn<F>(&mut self, name: impl Into<String>, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (name, task) = (name.into(), task(self.stop.clone()));
        self.set.spawn(async move { (name, task.await) });
    }

    /// Waits for the token or the first task to end, then for the rest, at most the grace period long.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            Some(ended) = self.set.join_next() => early_end(ended, self.stop.is_cancelled()),
        };
        self.stop.cancel();
        let rest = async {
            while let Some(ended) = self.set.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::warn!("{name} while stopping: {error:#}");
                }
            }
        };
        if tokio::time::timeout(self.grace, rest).await.is_err() {
            tracing::warn!(left = self.set.len(), "grace period is over: ending what is left");
            self.set.shutdown().await;
        }
        outcome
    }
}

fn early_end(ended: Result<(String, anyhow::Result<()>), JoinError>, stopping: bool) -> anyhow::Result<()> {
    match ended {
        Ok((_, Ok(()))) if stopping => Ok(()),
        Ok((name, Ok(()))) => bail!("{name} ended by itself"),
        Ok((name, Err(error))) => Err(error.context(name)),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error).context("a task was cancelled"),
    }
}

/// Ends this process when `parent` does, however that ends.
///
/// # Errors
/// When that is over already.
pub(crate) fn end_with(parent: i32) -> anyhow::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the line above.
    let lives = getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent);
    anyhow::ensure!(lives, "process {parent}, which started this one, has ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_stops_every_task() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(&stop);
        for name in ["a", "b"] {
            tasks.spawn(name, |stop| async move {
                stop.cancelled().await;
                Ok(())
            });
        }
        stop.cancel();
        tasks.run().await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_task_stops_the_others_and_is_named() {
        let mut tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("waits", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("store", |_| async { bail!("disk gone") });
        let error = tasks.run().await.unwrap_err();
        assert_eq!(format!("{error:#}"), "store: disk gone");
    }

    #[tokio::test]
    async fn a_deaf_task_is_ended_after_the_grace_period() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(&stop);
        tasks.grace = Duration::from_millis(1);
        tasks.spawn("deaf", |_| std::future::pending());
        stop.cancel();
        tasks.run().await.unwrap();
    }
}
