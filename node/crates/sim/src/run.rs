//! One run: a cluster, clients that use it, and all that happens to it, out of one seed.

use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::keeper::Clock;
use datamesh_mesh::planted::plant;
use datamesh_seal::{ClusterSecret, Random};
use datamesh_shard::{ErasureProfile, NodeName, PeerKey, PoolName, ZoneName};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::again::{self, Again};
use crate::bugs::Bug;
use crate::change::Wanted;
use crate::client;
use crate::dice::Dice;
use crate::faults;
use crate::gateway::{Gateway, Running};
use crate::history::History;
use crate::life::own;
use crate::net::Fabric;
use crate::node::{Node, Surrounding};
use crate::promise::Promises;
use crate::settle;
use crate::totals::{Counts, Totals};
use crate::watcher;

/// k and m that the simulated pool begins with: 4+2 on six nodes is the default, and small enough to try every loss.
const DATA: u8 = 4;
const PARITY: u8 = 2;
/// Members the pool begins with, and may grow to.
const MEMBERS: usize = 6;
const MEMBERS_MAX: usize = 8;
const ZONES: usize = 3;
/// Binary logarithm of the partitions: a few, so that each has some segments.
pub(crate) const PARTITIONS_LOG2: u8 = 3;
/// When the simulated world began, in seconds since 1970.
const EPOCH_UNIX: u64 = 1_800_000_000;
/// The gateway's key.
pub(crate) const GATEWAY: PeerKey = PeerKey([99; 32]);
/// Clients, each with keys of its own to write.
const CLIENTS: usize = 4;

/// What a run shall be like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The seed: all chance comes from it.
    pub seed: u64,
    /// Operations of the clients, all together.
    pub operations: usize,
    /// A bug to plant.
    pub bug: Option<Bug>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub counts: Counts,
    /// A hash over everything that happened, to see that a seed is one run.
    pub trace: u64,
    /// What went wrong first.
    pub failure: Option<String>,
}

/// The cluster and what is known of it. Shared by all that act on it; the runtime has one thread.
pub(crate) struct World {
    pub(crate) surrounding: Surrounding,
    pub(crate) nodes: Mutex<Vec<Node>>,
    pub(crate) gateway: tokio::sync::Mutex<Gateway>,
    pub(crate) history: Mutex<History>,
    pub(crate) promises: Mutex<Promises>,
    /// The newest backup of the catalog that counted as kept.
    pub(crate) backed_up: Mutex<Option<u64>>,
    pub(crate) wanted: Mutex<Wanted>,
    pub(crate) again: Mutex<Again>,
    /// For requests: follows the gateway through its lives.
    watch: tokio::sync::watch::Receiver<Option<Arc<Running>>>,
    failure: Mutex<Option<String>>,
    failed: tokio::sync::Notify,
    trace: Mutex<u64>,
    begun: Instant,
    verbose: bool,
}

impl World {
    /// The first failure counts; what follows from it does not.
    pub(crate) fn fail(&self, what: String) {
        self.note(&format!("FAILED: {what}"));
        self.failure.lock().get_or_insert(what);
        self.failed.notify_waiters();
        self.failed.notify_one();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    pub(crate) fn gateway_watch(&self) -> tokio::sync::watch::Receiver<Option<Arc<Running>>> {
        self.watch.clone()
    }

    /// Something happened: into the trace, and on the screen when one run is looked at.
    pub(crate) fn note(&self, what: &str) {
        let at = self.begun.elapsed();
        if self.verbose {
            eprintln!("{:>9.3} {what}", at.as_secs_f64());
        }
        let mut trace = self.trace.lock();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&trace.to_le_bytes()).update(&at.as_nanos().to_le_bytes()).update(what.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        *trace = u64::from_le_bytes(first);
    }

    /// The time of day by the clock that the gateway's follows: milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        EPOCH_UNIX * 1000 + u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Starts a node that is not up.
    pub(crate) fn start_node(&self, n: usize) {
        if let Some(node) = self.nodes.lock().get_mut(n).filter(|node| !node.is_up() && !node.is_lost) {
            node.start(&self.surrounding);
        }
    }
}

/// Runs one seed.
///
/// # Panics
/// When the runtime cannot be made.
#[must_use]
pub fn run(options: Options) -> Report {
    run_with(options, false)
}

/// Runs one seed and tells on standard error what happens.
#[must_use]
pub fn run_aloud(options: Options) -> Report {
    run_with(options, true)
}

fn run_with(options: Options, verbose: bool) -> Report {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match built {
        Ok(runtime) => runtime.block_on(Box::pin(live(options, verbose))),
        Err(error) => Report { counts: Counts::default(), trace: 0, failure: Some(error.to_string()) },
    }
}

async fn live(options: Options, verbose: bool) -> Report {
    plant(options.bug.and_then(Bug::planted));
    let world = match make(options, verbose) {
        Ok(world) => Arc::new(world),
        Err(failure) => return Report { counts: Counts::default(), trace: 0, failure: Some(failure) },
    };
    let failed = async {
        world.failed.notified().await;
    };
    tokio::select! {
        biased;
        () = failed => {}
        () = Box::pin(story(&world, options)) => {}
    }
    // Whoever failed may hold the gateway for ever.
    let cache_hits = world.gateway.try_lock().map_or(0, |gateway| gateway.cache_hits());
    let seconds = world.begun.elapsed().as_secs();
    let recoded_bytes = world.gateway.try_lock().map_or(0, |gateway| gateway.recoded_bytes());
    let counts = Counts { seconds, cache_hits, recoded_bytes, ..world.surrounding.totals.read() };
    let (trace, failure) = (*world.trace.lock(), world.failure.lock().clone());
    Report { counts, trace, failure }
}

async fn story(world: &Arc<World>, options: Options) {
    if let Err(error) = begin(world).await {
        return world.fail(format!("the cluster does not start: {error}"));
    }
    let watching = own(watcher::watch(Arc::clone(world)));
    let faults = own(faults::inject(Arc::clone(world)));
    let again = own(again::run(Arc::clone(world)));
    let each = options.operations.div_ceil(CLIENTS);
    let clients = (0..CLIENTS).map(|n| client::run(Arc::clone(world), n, each));
    futures::future::join_all(clients).await;
    drop(faults);
    drop(again);
    drop(watching);
    settle::settle(world).await;
}

async fn begin(world: &Arc<World>) -> Result<(), String> {
    {
        let mut nodes = world.nodes.lock();
        nodes.iter_mut().take(MEMBERS).for_each(|node| node.start(&world.surrounding));
    }
    world.gateway.lock().await.start(&world.surrounding).await?;
    world.want((0..MEMBERS).collect()).await
}

fn make(options: Options, verbose: bool) -> Result<World, String> {
    let dice = Dice::new(options.seed);
    let bad = |error: &dyn std::fmt::Display| error.to_string();
    let profile = ErasureProfile::new(DATA, PARITY).map_err(|error| bad(&error))?;
    let mut secret = [0; 32];
    dice.fill(&mut secret);
    let secret = ClusterSecret::from_hex(&hex(&secret)).map_err(|error| bad(&error))?;
    let peers: Vec<PeerKey> =
        (0..MEMBERS_MAX).map(|n| PeerKey([u8::try_from(n).unwrap_or(0) + 1; 32])).collect();
    let mut nodes = Vec::new();
    for (n, peer) in peers.iter().enumerate() {
        let name: NodeName = format!("n{n}").parse().map_err(|error| bad(&error))?;
        let zone: ZoneName = format!("z{}", n % ZONES).parse().map_err(|error| bad(&error))?;
        nodes.push(Node::new(name, zone, *peer));
    }
    let begun = Instant::now();
    let clock: Clock = Arc::new(move || EPOCH_UNIX + begun.elapsed().as_secs());
    let totals = Totals::default();
    let pool: PoolName = "main".parse().map_err(|error| bad(&error))?;
    let surrounding = Surrounding {
        fabric: Fabric::new(dice.fork(), totals.clone(), options.bug),
        dice: dice.fork(),
        totals,
        bug: options.bug,
        cluster: "sim".parse().map_err(|error| bad(&error))?,
        cluster_key: secret.signing_key().public(),
        pool,
        peers,
        clock,
    };
    let gateway = Gateway::new(secret, GATEWAY);
    Ok(World {
        watch: gateway.watch(),
        surrounding,
        nodes: Mutex::new(nodes),
        gateway: tokio::sync::Mutex::new(gateway),
        history: Mutex::default(),
        promises: Mutex::default(),
        backed_up: Mutex::default(),
        wanted: Mutex::new(Wanted::of(profile)),
        again: Mutex::default(),
        failure: Mutex::default(),
        failed: tokio::sync::Notify::new(),
        trace: Mutex::new(options.seed),
        begun,
        verbose,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits in virtual time.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
