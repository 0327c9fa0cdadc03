//! Rows in which nodes are gone or being rebuilt, next to the same rows while all is well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datamesh_settings::admin::{ClusterStatus, MemberState, PoolStatus};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::done;
use crate::load::{Load, Timing};
use crate::profile::Profile;
use crate::report;
use crate::rounds::{Kind, MIB, Round};
use crate::server::Server;

/// Between two looks at the status: the counts it shows change every few seconds.
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing is done: each partition that is whole is counted once in that time.
const IDLE: Duration = Duration::from_secs(70);
const PATIENCE: Duration = Duration::from_secs(300);
/// The pool of `datamesh-node dev`, and m of its default profile.
const POOL: &str = "main";
const PARITY: usize = 2;

const STORED: Round =
    Round { name: "PUT 10 MiB again", kind: Kind::Put, clients: 8, count: 256, bytes: 10 * MIB, keys: 256 };
/// Read by turns with the next one; each reads every object once, and they are too many for the gateway's memory.
const HEALTHY: Round =
    Round { name: "GET all nodes up", kind: Kind::Get, clients: 8, count: 96, bytes: 10 * MIB, keys: 96 };
const DEGRADED: Round = Round { name: "GET m nodes gone", ..HEALTHY };
const SMALLER: Round =
    Round { name: "PUT 1 MiB again", kind: Kind::Put, clients: 8, count: 512, bytes: MIB, keys: 512 };
const QUIET: Round =
    Round { name: "GET 1 MiB quiet", kind: Kind::Get, clients: 4, count: 400, bytes: MIB, keys: 400 };
const REPAIRED: Round = Round { name: "GET 1 MiB repair", ..QUIET };

/// Stores what the rows below read and rebuild.
pub(crate) async fn stored(server: &Server, load: &Load) -> anyhow::Result<()> {
    for round in [&STORED, &SMALLER] {
        row(server, load, round).await?;
    }
    Ok(())
}

/// Prints the rows in which nodes are gone.
pub(crate) async fn gone(server: &Server, load: &Load) -> anyhow::Result<()> {
    row(server, load, &HEALTHY).await?;
    let gone: Vec<usize> = (0..PARITY).collect();
    gone.iter().try_for_each(|n| server.signal(&node(*n), Signal::STOP))?;
    let is_seen = |pool: &PoolStatus| in_state(pool, MemberState::Down) == PARITY;
    server.wait("stopped nodes are missed", is_seen).await?;
    row(server, load, &DEGRADED).await?;
    gone.iter().try_for_each(|n| server.signal(&node(*n), Signal::CONT))?;
    server.wait("all is whole", is_whole).await?;
    let idle = idle(server).await?;
    report::note(&format!("with nothing to do, all processes use {:.1} ms of CPU a second", idle * 1e3));
    Ok(())
}

/// Prints the rows in which a node's volume is lost and rebuilt.
pub(crate) async fn lost(server: &Server, load: &Load, profile: &Profile) -> anyhow::Result<()> {
    rebuilt(server, profile, "rebuild of a node").await?;
    row(server, load, &QUIET).await?;
    let lost = server.lose(&node(1)).await?;
    row(server, load, &REPAIRED).await?;
    let unfinished = server.status().await.is_ok_and(|status| !status.pools.first().is_some_and(is_whole));
    report::note(&format!(
        "the rebuild beside {} {} when it ended",
        REPAIRED.name,
        if unfinished { "still ran" } else { "was over" }
    ));
    server.wait("all is whole", is_whole).await?;
    drop(lost);
    Ok(())
}

fn node(n: usize) -> String {
    format!("node-{n}")
}

async fn row(server: &Server, load: &Load, round: &Round) -> anyhow::Result<()> {
    let before = server.measure().await?;
    let timing = load.run(round).await.with_context(|| round.name)?;
    report::row(round, &timing, &before, &server.measure().await?);
    Ok(())
}

/// CPU-seconds a second of all processes while nobody asks for anything.
async fn idle(server: &Server) -> anyhow::Result<f64> {
    let before = server.measure().await?;
    tokio::time::sleep(IDLE).await;
    let used = server.measure().await?.cpu_seconds() - before.cpu_seconds();
    Ok(used / IDLE.as_secs_f64())
}

/// A node's volume is lost, and rebuilt while nothing else goes on.
async fn rebuilt(server: &Server, profile: &Profile, name: &'static str) -> anyhow::Result<()> {
    let lost = server.lose(&node(0)).await?;
    let (before, begun) = (server.measure().await?, Instant::now());
    let sampling = profile.begin(name, &before.pids())?;
    let status = server.wait("all is whole", is_whole).await?;
    sampling.end().await?;
    let wall = begun.elapsed();
    let after = server.measure().await?;
    let member = status.members.iter().find(|member| member.node.as_str() == node(0));
    let bytes = member.and_then(|member| member.report.as_ref()).context("no report")?.shard_bytes;
    drop(lost);
    let round =
        Round { name, kind: Kind::Put, clients: 1, count: 1, bytes: usize::try_from(bytes)?, keys: 1 };
    report::row(&round, &Timing { wall, latencies: vec![wall], keys: 0 }, &before, &after);
    Ok(())
}

fn in_state(pool: &PoolStatus, state: MemberState) -> usize {
    pool.members.iter().filter(|member| member.state == state).count()
}

/// Every node is up, and every shard where it belongs, as the stewards counted it since.
fn is_whole(pool: &PoolStatus) -> bool {
    in_state(pool, MemberState::Up) == pool.members.len()
        && pool.safety.as_ref().is_some_and(|safety| safety.is_settled() && safety.under_way == 0)
}

/// What there is to say of a pool that is not as it was waited for.
fn told(pool: &PoolStatus) -> String {
    let states: Vec<_> = pool.members.iter().map(|member| member.state).collect();
    format!("members {states:?}, problems {:?}, {:?}", pool.problems, pool.safety)
}

impl Server {
    fn signal(&self, node: &str, signal: Signal) -> anyhow::Result<()> {
        let settings = format!("{node}.yaml");
        let all = crate::cpu::tree(self.pid)?;
        let process = all.iter().find(|process| process.name == settings).context("no such process")?;
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).context("pid")?;
        Ok(kill_process(pid, signal)?)
    }

    async fn status(&self) -> anyhow::Result<ClusterStatus> {
        self.status_at(&self.url()).await
    }

    /// As this gateway sees it.
    pub(crate) async fn status_at(&self, url: &str) -> anyhow::Result<ClusterStatus> {
        let answer = done(self.api.get(format!("{url}/status")).bearer_auth(self.token()?)).await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// Waits until the pool is so.
    async fn wait(&self, what: &str, is_so: impl Fn(&PoolStatus) -> bool) -> anyhow::Result<PoolStatus> {
        let mut last = None;
        let watched = async {
            loop {
                match self.status().await?.pools.into_iter().next() {
                    Some(pool) if is_so(&pool) => return anyhow::Ok(pool),
                    pool => last = pool,
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(PATIENCE, watched).await {
            Ok(pool) => pool,
            Err(_) => anyhow::bail!(
                "not within {PATIENCE:?}: {what}; {}",
                last.as_ref().map(told).unwrap_or_default()
            ),
        }
    }

    /// Takes a node's volume away and has the empty one it starts anew with take its place. Gives back what was lost, which is
    /// deleted when it is dropped.
    async fn lose(&self, node: &str) -> anyhow::Result<tempfile::TempDir> {
        let grave = tempfile::Builder::new().prefix("lost-").tempdir_in(&self.folder)?;
        let volume: PathBuf = self.folder.join("data").join(node);
        self.signal(node, Signal::KILL)?;
        std::fs::rename(&volume, grave.path().join(node))?;
        std::fs::create_dir(&volume)?;
        let is_down = |pool: &PoolStatus| in_state(pool, MemberState::Down) == 1;
        self.wait("the node is missed", is_down).await?;
        let url = format!("{}/admin/pools/{POOL}/nodes/{node}/replace", self.url());
        let replaced = async {
            loop {
                let asked = self.api.post(&url).bearer_auth(self.secret("admin-token")?).send().await?;
                // A gateway that heard of it lately does not give it up yet.
                match asked.status() {
                    reqwest::StatusCode::CONFLICT => tokio::time::sleep(LOOK).await,
                    _ => {
                        asked.error_for_status()?;
                        return anyhow::Ok(());
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, replaced).await.context("the node is not given up")??;
        let is_back = |pool: &PoolStatus| in_state(pool, MemberState::Up) == pool.members.len();
        self.wait("the node is back", is_back).await?;
        Ok(grave)
    }
}
