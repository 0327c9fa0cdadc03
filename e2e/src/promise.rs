//! Promises, checked one after the other on one cluster, in the order they are listed.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use futures::future::LocalBoxFuture;

use crate::cluster::Cluster;

/// Longest a promise may take: that of the gateways makes a cluster and restarts three of them one after the other.
const PROMISE_TIMEOUT: Duration = Duration::from_secs(480);

/// Names the moment, in Unix seconds, after which no further promise is begun, for runs that have to end: a machine that is too slow
/// for all of them checks the first, and is told which it left out.
const UNTIL: &str = "DATAMESH_UNTIL";

/// What a promise does with the cluster.
pub type Check = for<'a> fn(&'a Cluster) -> LocalBoxFuture<'a, anyhow::Result<()>>;

/// One promise.
pub struct Promise {
    /// The name of its file.
    pub name: &'static str,
    /// Whether it is checked only when it is named, or all are asked for: `make test-long` does.
    pub long: bool,
    /// Checks it; leaves the cluster able to settle.
    pub check: Check,
}

/// Checks the promises whose names contain one of `filters` and reports on each. Without filters: all with `DATAMESH_LONG`, else those
/// that are not long.
#[must_use]
pub fn run(promises: &[Promise], filters: &[String]) -> ExitCode {
    let all = std::env::var_os("DATAMESH_LONG").is_some();
    let is_chosen = |promise: &Promise| match filters {
        [] => all || !promise.long,
        filters => filters.iter().any(|filter| promise.name.contains(filter.as_str())),
    };
    let (chosen, others): (Vec<_>, Vec<_>) = promises.iter().partition(|promise| is_chosen(promise));
    if std::env::var_os("DATAMESH_E2E").is_none() {
        say(&format!("{} promises left out: they need a Kubernetes; `make e2e` runs them", chosen.len()));
        return ExitCode::SUCCESS;
    }
    if filters.is_empty() && !others.is_empty() {
        let names: Vec<_> = others.iter().map(|promise| promise.name).collect();
        say(&format!("left to `make test-long`: {}", names.join(", ")));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run_all(&chosen)));
    match outcome {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            // Once more, where whoever reads only the end of a log finds it.
            let told: String = broken.iter().map(|why| format!("\n  {why}")).collect();
            say(&format!("{} of {} promises are broken:{told}", broken.len(), chosen.len()));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("the promises could not be checked: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn begins_until() -> anyhow::Result<Option<SystemTime>> {
    let Ok(seconds) = std::env::var(UNTIL) else { return Ok(None) };
    let seconds = seconds.parse().with_context(|| format!("{UNTIL}={seconds:?} is no number of seconds"))?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// Which are broken, and why.
async fn run_all(promises: &[&Promise]) -> anyhow::Result<Vec<String>> {
    let cluster = timed("bring up", Cluster::bring_up()).await?;
    let mut broken = Vec::new();
    let begins_until = begins_until()?;
    for (at, promise) in promises.iter().enumerate() {
        if begins_until.is_some_and(|until| SystemTime::now() > until) {
            let left: Vec<_> = promises.iter().skip(at).map(|promise| promise.name).collect();
            say(&format!("LEFT OUT, the time is up ({UNTIL}): {}", left.join(", ")));
            break;
        }
        if let Err(error) = timed(promise.name, check(&cluster, promise)).await {
            let folder = cluster.collect(promise.name).await;
            say(&cluster.last_words().await);
            let why =
                format!("{}: {error:#}\n  logs, events and objects: {}", promise.name, folder.display());
            say(&why);
            broken.push(why);
            // On a cluster that does not recover the others would only fail after it.
            if let Err(error) = cluster.settle().await {
                say(&cluster.last_words().await);
                return Err(error.context(format!("after {}", promise.name)));
            }
        }
    }
    Ok(broken)
}

async fn check(cluster: &Cluster, promise: &Promise) -> anyhow::Result<()> {
    let kept = async {
        cluster.settle().await.context("before it begins")?;
        (promise.check)(cluster).await?;
        cluster.settle().await.context("after it ended")
    };
    tokio::time::timeout(PROMISE_TIMEOUT, kept).await.context("it takes too long")?
}

async fn timed<T>(name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let from = Instant::now();
    let result = work.await;
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    say(&format!("{name:<32} {word:<7} {:>5.1} s", from.elapsed().as_secs_f64()));
    result
}

fn say(line: &str) {
    // Standard error: seen at once, and not captured by a test runner.
    eprintln!("{line}");
}
