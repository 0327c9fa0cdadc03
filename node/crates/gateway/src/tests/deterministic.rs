//! A run follows from its seed alone: the core over a catalog in memory, on one thread and in virtual time, does the same
//! to the byte when the seed is the same.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use datamesh_catalog::engine::{Gate, MemoryKeyspace};
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_exchange::message::Request;
use datamesh_exchange::net::{Answer, Net};
use datamesh_seal::{ClusterSecret, Random};
use datamesh_shard::{NodeName, PeerKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::fake::{FakeNodes, peer};
use super::house::{ADMIN, Got, USER, noise, pool_name, read, spec};
use crate::auth::Tokens;
use crate::embed::{EmbedConfig, EmbeddedGateway, Surroundings};
use crate::limits;
use crate::owned;

const MEMBERS: u8 = 7;
/// When every run begins, in milliseconds since 1970.
const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;

/// A world out of a seed: random bytes, the time of day, how long the disk and the nodes take.
pub(super) struct World {
    bytes: Mutex<blake3::OutputReader>,
    begun: Instant,
    pub(super) nodes: FakeNodes,
}

impl World {
    pub(super) fn new(seed: u64, members: u8) -> Self {
        let bytes = blake3::Hasher::new_derive_key("datamesh gateway test world")
            .update(&seed.to_le_bytes())
            .finalize_xof();
        Self { bytes: Mutex::new(bytes), begun: Instant::now(), nodes: FakeNodes::new(members) }
    }

    /// Up to 51 ms.
    fn pause(&self) -> BoxFuture<'static, ()> {
        let mut byte = [0];
        self.fill(&mut byte);
        sleep(Duration::from_micros(200 * u64::from(byte[0]))).boxed()
    }
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        self.bytes.lock().fill(bytes);
    }
}

impl Surroundings for World {
    fn now_unix_ms(&self) -> u64 {
        BEGIN_UNIX_MS + u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }
}

impl Gate for World {
    fn before(&self) -> BoxFuture<'_, ()> {
        self.pause()
    }

    fn after(&self) -> BoxFuture<'_, ()> {
        self.pause()
    }
}

impl Net for World {
    fn request<'a>(
        &'a self,
        to: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer> {
        let (there, back) = (self.pause(), self.pause());
        async move {
            there.await;
            let answer = self.nodes.request(to, request, payload, timeout).await;
            back.await;
            answer
        }
        .boxed()
    }

    fn is_live(&self, to: &PeerKey) -> bool {
        self.nodes.is_live(to)
    }

    fn round_trip(&self, to: &PeerKey) -> Option<Duration> {
        self.nodes.round_trip(to)
    }

    fn p95(&self, to: &PeerKey) -> Option<Duration> {
        self.nodes.p95(to)
    }
}

async fn gateway(world: &Arc<World>, keyspace: &MemoryKeyspace) -> EmbeddedGateway {
    gateway_of(world, keyspace, (MEMBERS, 0)).await
}

/// A gateway with a pool of so many members, which keeps what was deleted for so many milliseconds.
pub(super) async fn gateway_of(
    world: &Arc<World>,
    keyspace: &MemoryKeyspace,
    (members, retention_ms): (u8, u64),
) -> EmbeddedGateway {
    let catalog = catalog_of(world, keyspace, (members, retention_ms)).await;
    gateway_over(world, catalog, members).await
}

fn secret() -> Arc<ClusterSecret> {
    Arc::new(ClusterSecret::from_hex(&"5a".repeat(32)).unwrap())
}

/// A catalog that knows so many members.
pub(super) async fn catalog_of(
    world: &Arc<World>,
    keyspace: &MemoryKeyspace,
    (members, retention_ms): (u8, u64),
) -> EmbeddedCatalog {
    let keyspace = keyspace.clone().with_gate(Arc::<World>::clone(world));
    let options = CatalogOptions { retention_ms };
    let catalog = EmbeddedCatalog::in_memory(keyspace, &secret().fingerprint(), options).await.unwrap();
    for n in 0..members {
        let node = NodeName::new(&format!("n{n}")).unwrap();
        catalog.bind_join([n; 16], &node, &pool_name(), peer(n)).await.unwrap();
    }
    catalog
}

/// One of the gateways that have a catalog.
pub(super) async fn gateway_over(
    world: &Arc<World>,
    catalog: EmbeddedCatalog,
    members: u8,
) -> EmbeddedGateway {
    let gateway = EmbeddedGateway::assemble(EmbedConfig {
        cluster: NodeName::new("test").unwrap(),
        gateway: NodeName::new("gw").unwrap(),
        secret: secret(),
        tokens: Arc::new(Tokens::fixed(USER, ADMIN).unwrap()),
        catalog,
        net: Arc::<World>::clone(world),
        surroundings: Arc::<World>::clone(world),
        buffer_bytes: 64 << 20,
        cache_bytes: 1 << 20,
        request_limits: Default::default(),
        on_layout: Box::new(|_| {}),
        on_given_up: Box::new(|_| {}),
        mailer: None,
        targets: Vec::new(),
        providers: Default::default(),
        put_lease: limits::PUT_LEASE,
        audit_retention: Duration::from_secs(datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT),
        partitions_log2: None,
        backup_copies: None,
        catalog_backups: datamesh_settings::CatalogBackups::Off,
        backup_pace: Default::default(),
    })
    .await
    .unwrap();
    gateway.put_pool(&pool_name(), spec(members)).await.unwrap();
    assert_eq!(gateway.layouts().len(), 1);
    gateway
}

async fn ask(gateway: &EmbeddedGateway, method: Method, body: impl Into<Body>) -> Got {
    let request = http::Request::builder().method(method).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {USER}")).body(body.into()).unwrap();
    read(gateway.router().oneshot(request).await.unwrap()).await
}

/// What can be seen of a run from outside.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// Of everything that went to the nodes and came back, in order.
    traffic: blake3::Hash,
    /// Of all answers, heads and bodies.
    answers: blake3::Hash,
    rows: usize,
    took: Duration,
}

async fn live(seed: u64) -> Run {
    let (world, keyspace) = (Arc::new(World::new(seed, MEMBERS)), MemoryKeyspace::new());
    world.nodes.listen();
    let gateway = gateway(&world, &keyspace).await;
    let stop = CancellationToken::new();
    let workers = gateway.take_workers().into_iter();
    let working: Vec<_> =
        workers.map(|worker| owned::spawn(crate::work::run(worker, stop.clone()))).collect();
    let mut answers = blake3::Hasher::new();
    let text = noise(1, 20 << 10);
    for (method, body) in
        [(Method::PUT, text.clone()), (Method::GET, Vec::new()), (Method::DELETE, Vec::new())]
    {
        let got = ask(&gateway, method.clone(), body).await.ok();
        assert!(method != Method::GET || got.body == text);
        answers.update(format!("{} {:?}", got.status, got.headers).as_bytes()).update(&got.body);
    }
    // Until what was deleted is reclaimed, and reports came in a few times.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.nodes.all_shards(), 0);
    stop.cancel();
    for worker in working {
        worker.await.unwrap();
    }
    gateway.drain().await;
    let mut traffic = blake3::Hasher::new();
    for frame in world.nodes.heard() {
        traffic.update(&frame.start).update(&frame.payload);
    }
    Run {
        traffic: traffic.finalize(),
        answers: answers.finalize(),
        rows: keyspace.rows().len(),
        took: world.begun.elapsed(),
    }
}

/// In one thread, and in time that passes only while all wait for it.
pub(super) fn alone<T>(run: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(run)
}

#[test]
fn a_run_follows_from_its_seed() {
    let run = |seed| alone(live(seed));
    let first = run(1);
    // To be held against another process, or another machine.
    println!("{first:?}");
    assert_eq!(first, run(1));
    let other = run(2);
    assert_ne!(first.traffic, other.traffic);
    assert_ne!(first.answers, other.answers, "the entity tag is random");
    assert_ne!(first.took, other.took);
}

#[test]
fn who_is_cut_off_says_nothing_more_and_comes_back_newer() {
    alone(async {
        let (world, keyspace) = (Arc::new(World::new(3, MEMBERS)), MemoryKeyspace::new());
        let first = gateway(&world, &keyspace).await;
        // Five take a shard each, and nobody takes the sixth in time: the put is acknowledged short and goes on.
        for n in 0..MEMBERS {
            world.nodes.hang_after(n, usize::from(n > 1));
        }
        let put = ask(&first, Method::PUT, noise(2, 20 << 10)).await.ok();
        assert!(put.header("datamesh-durability").starts_with("short"), "{put:?}");
        world.nodes.listen();
        sleep(Duration::from_secs(14)).await;
        assert!(!world.nodes.heard().is_empty(), "what is missing is tried on");
        first.cut_off();
        first.drain().await;
        sleep(Duration::from_secs(60)).await;
        assert!(world.nodes.heard().is_empty());
        drop(first);
        let again = gateway(&world, &keyspace).await;
        assert!(ask(&again, Method::GET, Body::empty()).await.ok().body == noise(2, 20 << 10));
    });
}
