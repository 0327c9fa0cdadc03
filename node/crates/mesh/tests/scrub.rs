//! A scrub is paused and goes on where it was, over restarts too; it says how far it is and claims no more than is so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::{Answer, Net, NoAnswer};
use datamesh_mesh::keeper::{Keeper, KeeperParts};
use datamesh_mesh::worker::{Next, Worker};
use datamesh_mesh::{Caller, Handler, Pace};
use datamesh_seal::{Certificate, MemberRole};
use datamesh_settings::admin::{ScrubReport, ScrubSpec};
use datamesh_shard::{Generation, NodeName, PeerKey};
use datamesh_store::{Store, StoreOptions};
use futures::FutureExt;
use futures::future::BoxFuture;
use world::{World, noise, pool, segment};

/// Segments on the disk: more than two units of work look at.
const SEGMENTS: u64 = 150;
const DAY: u64 = 24 * 3600;
const BEGIN: u64 = 1_800_000_000;

/// Nobody else is there.
struct Alone;

impl Net for Alone {
    fn request<'a>(
        &'a self,
        _: &'a PeerKey,
        _: Request,
        _: Option<Bytes>,
        _: Duration,
    ) -> BoxFuture<'a, Answer> {
        async { Err(NoAnswer("alone".into())) }.boxed()
    }

    fn is_live(&self, _: &PeerKey) -> bool {
        false
    }

    fn p95(&self, _: &PeerKey) -> Option<Duration> {
        None
    }

    fn round_trip(&self, _: &PeerKey) -> Option<Duration> {
        None
    }
}

struct Node {
    keeper: Keeper,
    clock: Arc<AtomicU64>,
}

impl Node {
    /// A node on this volume, as after each start.
    fn start(dir: &Path, clock: &Arc<AtomicU64>) -> Self {
        let store = Store::open(dir, StoreOptions::new(1 << 30, 1 << 20)).unwrap();
        Self::on(store, clock)
    }

    fn on(store: Store, clock: &Arc<AtomicU64>) -> Self {
        let time = Arc::clone(clock);
        let keeper = Keeper::new(KeeperParts {
            records: Arc::new(store.records()),
            shelf: Arc::new(store),
            net: Arc::new(Alone),
            trust: World::new().trust(),
            pool: pool(),
            own: PeerKey([1; 32]),
            clock: Arc::new(move || time.load(Ordering::SeqCst)),
            pace: Pace { scrub_period: Duration::from_secs(14 * DAY), ..Pace::default() },
        });
        Self { keeper, clock: Arc::clone(clock) }
    }

    fn passes(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn ask(&self, request: Request) -> Response {
        let peer = PeerKey([9; 32]);
        let (node, role) = (NodeName::new("gateway").unwrap(), MemberRole::Gateway);
        let certificate = Certificate { role, node, peer, not_after_unix: u64::MAX };
        let gateway = Caller { role: Some(certificate), ..Caller::stranger(peer) };
        self.keeper.service.handle(gateway, request, Bytes::new()).await.0
    }

    async fn order(&self, scrub: ScrubSpec) -> Response {
        let ScrubSpec { period_seconds, paused, max_bytes_per_second } = scrub;
        self.ask(Request::Scrub { period_seconds, paused, max_bytes_per_second }).await
    }

    async fn report(&self) -> ScrubReport {
        let Response::Report(report) = self.ask(Request::Report).await else { panic!("no report") };
        report.scrub.unwrap()
    }

    /// Shards it has read since it started.
    async fn read(&self) -> u64 {
        let request = Request::Stewardship { after: None };
        let Response::Stewardship(known) = self.ask(request).await else { panic!("no answer") };
        known.scrubbed_shards
    }
}

/// A volume with shards on it.
async fn volume(dir: &Path) -> Store {
    let store = Store::open(dir, StoreOptions::new(1 << 30, 1 << 20)).unwrap();
    for n in 0..SEGMENTS {
        let payload = noise(n + 1, 2000);
        let (header, keys) = segment(&payload);
        store.put(keys[0], Generation(0), header, payload).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_paused_scrub_reads_nothing_and_goes_on_where_it_was_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(BEGIN));
    let mut node = Node::on(volume(dir.path()).await, &clock);
    node.keeper.scrub.work().await;
    assert_eq!(node.read().await, 64, "the control: it reads");
    let paused = ScrubSpec { paused: true, ..ScrubSpec::default() };
    assert_eq!(node.order(paused).await, Response::Done);
    assert!(matches!(node.keeper.scrub.work().await, Next::Wait(_)));
    assert_eq!(node.read().await, 64);
    let before = node.report().await;
    assert!(before.ordered.paused && (200..700).contains(&before.done_permille), "{before:?}");
    drop(node);

    let mut node = Node::start(dir.path(), &clock);
    node.passes(40 * DAY);
    node.keeper.scrub.work().await;
    assert_eq!(node.read().await, 0, "it is paused still");
    let after = node.report().await;
    assert_eq!((after.ordered, after.done_permille), (paused, before.done_permille));
    assert!(after.is_overdue() && after.read_within_seconds.is_none(), "and says for how long: {after:?}");
    node.order(ScrubSpec::default()).await;
    while node.report().await.read_within_seconds.is_none() {
        node.keeper.scrub.work().await;
    }
    assert_eq!(node.read().await, SEGMENTS - 64, "no shard is read twice");
    assert_eq!(node.report().await.read_within_seconds, Some(40 * DAY), "since the begin of the round");
}

#[tokio::test]
async fn a_round_that_ended_is_claimed_and_the_next_begins_when_the_period_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(BEGIN));
    let mut node = Node::on(volume(dir.path()).await, &clock);
    let hourly = ScrubSpec { period_seconds: 3600, ..ScrubSpec::default() };
    node.order(hourly).await;
    for _ in 0..4 {
        node.passes(60);
        node.keeper.scrub.work().await;
    }
    let report = node.report().await;
    assert_eq!((report.done_permille, report.read_within_seconds), (1000, Some(180)));
    assert_eq!(node.read().await, SEGMENTS);
    node.keeper.scrub.work().await;
    assert_eq!(node.read().await, SEGMENTS, "it rests until the hour is over");
    node.passes(3600);
    assert_eq!(node.keeper.scrub.work().await, Next::Busy);
    node.keeper.scrub.work().await;
    assert_eq!(node.read().await, SEGMENTS + 64);
    let report = node.report().await;
    assert_eq!((report.round_seconds, report.read_within_seconds), (0, Some(3780)), "by the round before");
}

#[tokio::test]
async fn only_gateways_order_and_only_what_makes_sense() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::on(volume(dir.path()).await, &Arc::new(AtomicU64::new(BEGIN)));
    let fellow = Caller { member_of: Some(pool()), ..Caller::stranger(PeerKey([2; 32])) };
    let order = Request::Scrub { period_seconds: 3600, paused: true, max_bytes_per_second: None };
    let (answer, _) = node.keeper.service.handle(fellow, order, Bytes::new()).await;
    assert!(matches!(answer, Response::Refused(_)), "{answer:?}");
    let answer = node.order(ScrubSpec { period_seconds: 1, ..ScrubSpec::default() }).await;
    assert!(matches!(answer, Response::Refused(_)), "{answer:?}");
    assert!(node.report().await.ordered.is_default());
}
