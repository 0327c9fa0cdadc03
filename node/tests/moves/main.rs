//! The catalog moves into PostgreSQL and back, and its gateway is killed in each phase of that, while clients write and read: whatever was
//! acknowledged is there, whole, whenever anything answers at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

mod clients;
#[path = "../support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "../../crates/catalog/tests/it/postgres.rs"]
#[allow(dead_code, reason = "the catalog's own tests use the rest")]
mod postgres;
#[path = "../../../e2e/src/register.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of another crate; nothing is listed here")]
mod register;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clients::{Client, Counts};
use cluster::{Cluster, new_seed};
use datamesh_settings::admin::CatalogEngine;
use datamesh_settings::{CatalogMove, DatabaseFiles, Role, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::Wire;

const GATEWAY: &str = "gateway-0";
const CLIENTS: u64 = 4;
/// Files that nobody changes, so that a reading has several pages.
const FILLED: usize = 600;
/// There and back, so often.
const ROUNDS: usize = 2;
/// How the log tells of a phase.
const PHASE: &str = "the catalog's move goes on:";
/// What it calls them, in their order.
const PHASES: [&str; 5] = ["Copy", "Compare", "Await", "Fence", "Open"];
/// A kill follows a phase's first line within it.
const WITHIN_MS: u64 = 40;
/// What was killed behind the fence is started again after a second, and brings the move to its end: some time in this.
const END_MS: (u64, u64) = (1000, 2500);
const DEADLINE: Duration = Duration::from_secs(180);
/// Between two looks into the log.
const LOOK: Duration = Duration::from_millis(2);

/// The phases that processes log, from the place on that was read last.
struct Log {
    path: PathBuf,
    read: u64,
    line: Vec<u8>,
    phases: VecDeque<String>,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        Self { path, read: 0, line: Vec::new(), phases: VecDeque::new() }
    }

    /// Reads what was logged since, once: the log is long, and is looked into often.
    fn follow(&mut self) {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        self.read += u64::try_from(file.read_to_end(&mut self.line).unwrap()).unwrap();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let phase = line.split_once(PHASE).map(|(_, rest)| {
                rest.trim_start().chars().take_while(|letter| letter.is_alphanumeric()).collect()
            });
            self.phases.extend(phase);
        }
    }

    /// Whether this phase was named since.
    fn has_said(&mut self, phase: &str) -> bool {
        self.follow();
        let at = self.phases.iter().position(|said| said == phase);
        at.is_some_and(|at| self.phases.drain(..=at).count() > 0)
    }

    fn skip(&mut self) {
        self.follow();
        self.phases.clear();
    }
}

struct Drill {
    cluster: Arc<Cluster>,
    log: Log,
    database: PathBuf,
    seed: u64,
    rolled: u64,
    kills: BTreeMap<&'static str, u64>,
}

impl Drill {
    fn below(&mut self, bound: u64) -> u64 {
        self.rolled += 1;
        let hash = blake3::hash(&[self.seed.to_le_bytes(), self.rolled.to_le_bytes()].concat());
        u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % bound
    }

    /// From the gateway's next start on, which is soon.
    fn tell(&self, database: Option<&Path>, moves: Option<CatalogMove>) {
        let path = self.cluster.data().join(format!("{GATEWAY}.yaml"));
        let mut settings = Settings::from_yaml(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Role::Gateway(gateway) = &mut settings.role else { panic!("a gateway's") };
        gateway.catalog_database =
            database.map(|uri| DatabaseFiles { uri_file: uri.to_owned(), ca_file: None });
        gateway.catalog_move = moves;
        std::fs::write(&path, settings.to_yaml().unwrap()).unwrap();
        self.cluster.kill(GATEWAY);
    }

    async fn is_at(&self, engine: CatalogEngine) -> bool {
        self.cluster.try_status().await.is_some_and(|status| status.catalog.engine == engine)
    }

    /// Waits for a phase, or until the catalog has moved; whether it came.
    async fn comes_to(&mut self, phase: &str, to: CatalogEngine) -> bool {
        let begun = Instant::now();
        let mut asked = begun;
        loop {
            if self.log.has_said(phase) {
                return true;
            }
            if asked.elapsed() > Duration::from_millis(500) {
                if self.is_at(to).await {
                    return false;
                }
                asked = Instant::now();
            }
            assert!(begun.elapsed() < DEADLINE, "the move comes neither to {phase} nor to its end");
            sleep(LOOK).await;
        }
    }

    async fn kill_within(&mut self, (least, most): (u64, u64), phase: &'static str) {
        let pause = least + self.below(most - least);
        sleep(Duration::from_millis(pause)).await;
        if self.cluster.kill_if_running(GATEWAY) {
            *self.kills.entry(phase).or_default() += 1;
        }
    }

    /// Moves it, and kills in each phase.
    async fn moves(&mut self, direction: CatalogMove, to: CatalogEngine) {
        self.log.skip();
        self.tell(Some(&self.database), Some(direction));
        for phase in PHASES {
            if self.comes_to(phase, to).await {
                self.kill_within((0, WITHIN_MS), phase).await;
            }
        }
        self.kill_within(END_MS, "the end").await;
        self.arrives(to).await;
        let database = (to == CatalogEngine::Postgres).then_some(self.database.as_path());
        self.tell(database, None);
        self.arrives(to).await;
    }

    async fn arrives(&self, at: CatalogEngine) {
        self.cluster.until_async("the catalog where it moves to", async || self.is_at(at).await).await;
    }
}

/// The file that names a database at the other end of a slow wire.
async fn slow_database(cluster: &Cluster) -> (Wire, PathBuf) {
    let server = postgres::server();
    let uri = server.uri(&server.database().await);
    let (before, port) = uri.split_once("127.0.0.1:").unwrap();
    let (port, after) = port.split_once('/').unwrap();
    let wire = Wire::start(port.parse().unwrap()).await;
    let file = cluster.folder().join("database");
    std::fs::write(&file, format!("{before}127.0.0.1:{}/{after}", wire.port)).unwrap();
    (wire, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_whichever_phase_of_a_move_is_cut_off() {
    let (seed, cluster) = (new_seed(), Arc::new(Cluster::start_restarting().await));
    let (_wire, database) = slow_database(&cluster).await;
    for n in 0..FILLED {
        cluster.put(&format!("filled/{n}"), vec![1]).await.unwrap();
    }
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let mut working = JoinSet::new();
    for name in 0..CLIENTS {
        working.spawn(Client::new(&cluster, &counts, name).work(Arc::clone(&stop)));
    }
    let log = Log::new(cluster.folder().join("log"));
    let (cluster_of, kills) = (Arc::clone(&cluster), BTreeMap::new());
    let mut drill = Drill { cluster: cluster_of, log, database, seed, rolled: 0, kills };
    for _ in 0..ROUNDS {
        drill.moves(CatalogMove::ToDatabase, CatalogEngine::Postgres).await;
        drill.moves(CatalogMove::FromDatabase, CatalogEngine::Embedded).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut clients = working.join_all().await;
    let unanswered = counts.not_answered.load(Ordering::Relaxed);
    for client in &mut clients {
        client.check().await.unwrap_or_else(|what| panic!("seed {seed}, at the end: {what}"));
    }
    for n in 0..FILLED {
        assert_eq!(cluster.get(&format!("filled/{n}")).await, [1], "seed {seed}");
    }
    println!("{counts:?}, killed in {:?}", drill.kills);
    assert_eq!(counts.not_answered.load(Ordering::Relaxed), unanswered, "nothing is killed any more");
    for phase in ["Copy", "Compare", "Await", "Open"] {
        assert!(drill.kills.contains_key(phase), "never killed in {phase}: {:?}", drill.kills);
    }
    for happened in [&counts.writes, &counts.reads, &counts.not_answered] {
        assert!(happened.load(Ordering::Relaxed) > 20, "too little happened: {counts:?}");
    }
    // What finds nothing here would find it: somebody loses an acknowledged file.
    clients[0].lose_one().await;
    let found = clients[0].check().await.unwrap_err();
    assert!(found.contains("was read"), "{found}");
}
