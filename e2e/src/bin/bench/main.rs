//! `make bench`: load over REST and S3 against `datamesh-node dev --processes` on loopback, with one gateway and then with three. Random
//! data that never repeats; CPU is summed over all server processes, the client's own left out. Every loop is bounded in count, each row and
//! the whole in time; a row is printed as soon as it is measured. `--rows WORD` measures only rows whose name has the word in it (`of 200`:
//! signed-in users; `at 3`: three gateways); `gone` and `lost`, those of `trouble`: nodes that are away, a volume that is rebuilt; `idle`,
//! connections that nobody uses. `--tenth` has a tenth of clients, requests and users, to see that rows work. `--profile ROW=FILE` has perf sample the server processes
//! while that row runs, for scripts/profile.sh.

mod client;
mod commits;
mod cpu;
mod idle;
mod load;
mod plan;
mod profile;
mod report;
mod rounds;
mod server;
mod trouble;
mod users;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::plan::Plan;

/// The whole takes some ten minutes; more than this it never does.
const WITHIN: Duration = Duration::from_secs(45 * 60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan::of(std::env::args_os().skip(1))?;
    let begun = Instant::now();
    report::begin();
    let run = tokio::time::timeout(WITHIN, plan.run()).await;
    run.with_context(|| format!("not over within {WITHIN:?}"))??;
    report::note(&format!("all of it took {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}
