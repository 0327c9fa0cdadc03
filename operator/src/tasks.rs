//! Owns every long-lived task of the process and stops them together.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The process's tasks: the first one to end, or a signal, stops all the others.
pub(crate) struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { set: JoinSet::new(), stop: CancellationToken::new() }
    }

    /// Spawns `run`, which must return soon after the token it is given is cancelled.
    pub(crate) fn spawn<F>(&mut self, name: &'static str, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = run(self.stop.child_token());
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until `signal` completes or any task ends, then drains the rest within `grace`.
    pub(crate) async fn run_until(
        mut self,
        signal: impl Future<Output = ()>,
        grace: Duration,
    ) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = signal => Ok(()),
            Some(ended) = self.set.join_next() => unexpected_end(ended),
        };
        self.stop.cancel();
        let drained = tokio::time::timeout(grace, drain(&mut self.set)).await;
        if drained.is_err() {
            tracing::warn!(left = self.set.len(), "grace period over, aborting tasks");
            self.set.shutdown().await;
        }
        outcome
    }
}

type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

fn unexpected_end(ended: Ended) -> anyhow::Result<()> {
    match ended {
        Ok((name, Ok(()))) => bail!("task {name} ended before shutdown"),
        Ok((name, Err(error))) => Err(error).with_context(|| format!("task {name}")),
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(join) => Err(join).context("task cancelled"),
    }
}

async fn drain(set: &mut JoinSet<(&'static str, anyhow::Result<()>)>) {
    while let Some(ended) = set.join_next().await {
        match ended {
            Ok((name, Ok(()))) => tracing::debug!(name, "task stopped"),
            Ok((name, Err(error))) => tracing::warn!(name, %error, "task failed while stopping"),
            Err(join) => tracing::error!(%join, "task panicked while stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signal_stops_every_task() {
        let mut tasks = Tasks::new();
        tasks.spawn("a", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.run_until(async {}, Duration::from_secs(1)).await.unwrap();
    }

    #[tokio::test]
    async fn failed_task_stops_the_process_with_its_name() {
        let mut tasks = Tasks::new();
        tasks.spawn("waits", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("fails", |_| async { bail!("disk gone") });
        let error = tasks.run_until(std::future::pending(), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "task fails: disk gone");
    }

    #[tokio::test]
    async fn grace_period_is_bounded() {
        let mut tasks = Tasks::new();
        tasks.spawn("deaf", |_| std::future::pending());
        tasks.run_until(async {}, Duration::from_millis(10)).await.unwrap();
    }
}
