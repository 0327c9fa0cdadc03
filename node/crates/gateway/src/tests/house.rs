//! A gateway core over fake nodes and a real catalog, and a client for its routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_seal::{ClusterSecret, Random};
use datamesh_settings::admin::{DesiredMember, PoolSpec};
use datamesh_settings::request_limits::RequestLimits;
use datamesh_shard::{Cipher, ErasureProfile, NodeName, PoolName, ZoneName};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use super::described;
use super::fake::{FakeNodes, peer};
use crate::auth::Tokens;
use crate::core::{Core, CoreConfig};
use crate::limits;
use crate::mail::Mailer;
use crate::notifications::Target;
use crate::oidc::Providers;
use crate::surroundings::{OperatingSystem, Surroundings};

pub(crate) const USER: &str = "user-token-for-tests";
pub(crate) const ADMIN: &str = "admin-token-for-tests";

pub(crate) struct House {
    pub(crate) core: Core,
    pub(super) nodes: Arc<FakeNodes>,
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) clock: Arc<Clock>,
    pub(crate) secret: Arc<ClusterSecret>,
    dir: TempDir,
}

/// Whom it reaches for besides its nodes, and what is set of it.
struct Outside {
    mailer: Option<Mailer>,
    targets: Vec<Target>,
    providers: Providers,
    request_limits: RequestLimits,
    audit_retention: Duration,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            mailer: None,
            targets: Vec::new(),
            providers: Providers::default(),
            request_limits: RequestLimits::default(),
            audit_retention: AUDIT_RETENTION,
        }
    }
}

/// As settings have it that do not name it.
const AUDIT_RETENTION: Duration = Duration::from_secs(datamesh_settings::AUDIT_RETENTION_SECONDS_DEFAULT);

/// The time of day, which a test may move on, and stop.
#[derive(Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicU64,
    /// 0: it goes.
    stopped_at_ms: AtomicU64,
}

impl Clock {
    pub(crate) fn move_on(&self, by: Duration) {
        self.ahead_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// From here on it only goes where it is moved.
    pub(crate) fn stop(&self) {
        self.stopped_at_ms.store(OperatingSystem.now_unix_ms(), Ordering::Relaxed);
    }
}

impl Random for Clock {
    fn fill(&self, bytes: &mut [u8]) {
        OperatingSystem.fill(bytes);
    }
}

impl Surroundings for Clock {
    fn now_unix_ms(&self) -> u64 {
        let now = match self.stopped_at_ms.load(Ordering::Relaxed) {
            0 => OperatingSystem.now_unix_ms(),
            stopped => stopped,
        };
        now + self.ahead_ms.load(Ordering::Relaxed)
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The slug of a problem.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert!(json["title"].is_string() && json["detail"].is_string(), "{json}");
        json["type"].as_str().unwrap().strip_prefix("https://datamesh.io/problems/").unwrap().to_owned()
    }

    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}: {:?}", self.status, self.body);
        self
    }
}

pub(crate) fn pool_name() -> PoolName {
    PoolName::new("main").unwrap()
}

/// Members n0, n1, … in three zones.
pub(crate) fn spec(members: u8) -> PoolSpec {
    let member = |n: u8| DesiredMember {
        node: NodeName::new(&format!("n{n}")).unwrap(),
        zone: ZoneName::new(&format!("z{}", n % 3)).unwrap(),
        capacity_bytes: 1 << 40,
    };
    PoolSpec {
        erasure: ErasureProfile::new(4, 2).unwrap(),
        cipher: Cipher::Aes256Gcm,
        ack_shards: None,
        members: (0..members).map(member).collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}

impl House {
    /// A cluster of so many nodes, with a pool of them all and plenty of buffers.
    pub(crate) async fn new(nodes: u8) -> Self {
        Self::caching(nodes, 0).await
    }

    /// The same, with a cache of so many bytes.
    pub(crate) async fn caching(nodes: u8, cache_bytes: u64) -> Self {
        let house = Self::of(nodes, (512 << 20, cache_bytes), 0).await;
        house.open_pool(nodes).await;
        house
    }

    /// A cluster with these buffers that keeps what was deleted for a while.
    pub(crate) async fn keeping(nodes: u8, buffer_bytes: u64, retention_ms: u64) -> Self {
        let house = Self::of(nodes, (buffer_bytes, 0), retention_ms).await;
        house.open_pool(nodes).await;
        house
    }

    pub(crate) async fn without_pool(nodes: u8, buffer_bytes: u64) -> Self {
        Self::of(nodes, (buffer_bytes, 0), 0).await
    }

    async fn of(nodes: u8, buffers: (u64, u64), retention_ms: u64) -> Self {
        Self::with(nodes, buffers, retention_ms, Outside::default()).await
    }

    /// A cluster that takes so many requests.
    pub(crate) async fn limiting(nodes: u8, request_limits: RequestLimits) -> Self {
        let outside = Outside { request_limits, ..Outside::default() };
        let house = Self::with(nodes, (64 << 20, 0), 0, outside).await;
        house.open_pool(nodes).await;
        house
    }

    /// One that sends mail, without a pool.
    pub(crate) async fn mailing(mailer: Mailer) -> Self {
        Self::with(6, (64 << 20, 0), 0, Outside { mailer: Some(mailer), ..Outside::default() }).await
    }

    /// One that keeps entries of the audit for so long, without a pool.
    pub(crate) async fn keeping_audit(audit_retention: Duration) -> Self {
        let outside = Outside { audit_retention, ..Outside::default() };
        Self::with(6, (64 << 20, 0), 0, outside).await
    }

    /// One that may tell these of events, with a pool.
    pub(crate) async fn telling(targets: Vec<Target>) -> Self {
        let house = Self::with(6, (64 << 20, 0), 0, Outside { targets, ..Outside::default() }).await;
        house.open_pool(6).await;
        house
    }

    /// One whose users sign in elsewhere, without a pool.
    pub(crate) async fn trusting(providers: Providers) -> Self {
        Self::with(6, (64 << 20, 0), 0, Outside { providers, ..Outside::default() }).await
    }

    /// One that has all of it, and a pool.
    pub(super) async fn whole(mailer: Mailer, providers: Providers) -> Self {
        let outside = Outside { mailer: Some(mailer), providers, ..Outside::default() };
        let house = Self::with(7, (64 << 20, 0), 0, outside).await;
        house.open_pool(7).await;
        house
    }

    async fn with(nodes: u8, buffers: (u64, u64), retention_ms: u64, outside: Outside) -> Self {
        let nodes = Arc::new(FakeNodes::new(nodes));
        let secret = Arc::new(ClusterSecret::generate());
        let dir = tempfile::tempdir().unwrap();
        Self::assembled(dir, (nodes, secret), buffers, (retention_ms, outside)).await
    }

    /// A gateway that starts on this folder, with these nodes.
    pub(crate) async fn on(
        dir: TempDir,
        nodes: (Arc<FakeNodes>, Arc<ClusterSecret>),
        buffers: (u64, u64),
        retention_ms: u64,
    ) -> Self {
        Self::assembled(dir, nodes, buffers, (retention_ms, Outside::default())).await
    }

    async fn assembled(
        dir: TempDir,
        (nodes, secret): (Arc<FakeNodes>, Arc<ClusterSecret>),
        (buffer_bytes, cache_bytes): (u64, u64),
        (retention_ms, outside): (u64, Outside),
    ) -> Self {
        let Outside { mailer, targets, providers, request_limits, audit_retention } = outside;
        let clock = Arc::new(Clock::default());
        // Mostly nothing is kept for late readers, so that reclaiming can be seen.
        let options = CatalogOptions { retention_ms };
        let catalog =
            EmbeddedCatalog::open(&dir.path().join("catalog"), &secret.fingerprint(), options).await.unwrap();
        let core = Core::assemble(CoreConfig {
            cluster: NodeName::new("test").unwrap(),
            gateway: NodeName::new("gw").unwrap(),
            secret: Arc::clone(&secret),
            tokens: Arc::new(Tokens::fixed(USER, ADMIN).unwrap()),
            catalog: catalog.clone(),
            net: Arc::<FakeNodes>::clone(&nodes),
            surroundings: Arc::<Clock>::clone(&clock),
            buffer_bytes,
            cache_bytes,
            request_limits,
            on_layout: Box::new(|_| {}),
            on_given_up: Box::new(|_| {}),
            mailer,
            targets,
            providers,
            put_lease: limits::PUT_LEASE,
            audit_retention,
            partitions_log2: None,
            catalog_backups: Default::default(),
            backup_pace: Default::default(),
            backup_copies: None,
        })
        .await
        .unwrap();
        Self { core, nodes, catalog, clock, secret, dir }
    }

    /// Another gateway over the same catalog, with a name of its own.
    pub(crate) async fn another_gateway(&self, name: &str) -> Router {
        let config = CoreConfig {
            cluster: NodeName::new("test").unwrap(),
            gateway: NodeName::new(name).unwrap(),
            secret: Arc::clone(&self.core.app.admin.secret),
            tokens: Arc::new(Tokens::fixed(USER, ADMIN).unwrap()),
            catalog: self.catalog.clone(),
            net: Arc::<FakeNodes>::clone(&self.nodes),
            surroundings: Arc::<Clock>::clone(&self.clock),
            buffer_bytes: 64 << 20,
            cache_bytes: 0,
            request_limits: RequestLimits::default(),
            on_layout: Box::new(|_| {}),
            on_given_up: Box::new(|_| {}),
            mailer: None,
            targets: Vec::new(),
            providers: Providers::default(),
            put_lease: limits::PUT_LEASE,
            audit_retention: AUDIT_RETENTION,
            partitions_log2: None,
            catalog_backups: Default::default(),
            backup_pace: Default::default(),
            backup_copies: None,
        };
        Core::assemble(config).await.unwrap().router
    }

    /// Nothing keeps a buffer; whoever computes in one for a request that ended has a moment to notice.
    pub(crate) async fn has_its_buffers_back(&self) {
        let all = self.core.context.budget.reserve(usize::MAX);
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("buffers are kept");
    }

    /// Where the catalog lies.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    async fn object(&self, key: &str) -> datamesh_catalog::Object {
        let bucket = self.catalog.buckets().await.unwrap()[0].id;
        self.catalog.object(bucket, &datamesh_catalog::ObjectKey::new(key).unwrap()).await.unwrap().unwrap()
    }

    /// The sealed keys of an object's first page.
    pub(crate) async fn sealed_page(&self, key: &str) -> Vec<u8> {
        let object = self.object(key).await;
        let at = datamesh_catalog::PageAt { part: 0, page: 0 };
        self.catalog.page(object.upload, at).await.unwrap().unwrap().sealed
    }

    /// A small object as it is sealed.
    pub(crate) async fn sealed_inline(&self, key: &str) -> Vec<u8> {
        match self.object(key).await.body {
            datamesh_catalog::Body::Inline { sealed } => sealed,
            datamesh_catalog::Body::Pages { .. } => panic!("{key} is no small object"),
        }
    }

    pub(crate) async fn open_pool(&self, members: u8) {
        for n in 0..members {
            self.join(n).await;
        }
        self.core.layouts.put_pool(&pool_name(), spec(members)).await.unwrap();
    }

    pub(crate) async fn join(&self, n: u8) {
        let node = NodeName::new(&format!("n{n}")).unwrap();
        self.catalog.bind_join([n; 16], &node, &pool_name(), peer(n)).await.unwrap();
    }

    pub(crate) fn router(&self) -> Router {
        self.core.router.clone()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.router().oneshot(request).await.unwrap()
    }

    /// One request with the user's token.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Got {
        self.ask_as(Some(USER), method, path, (headers, body.into())).await
    }

    pub(crate) async fn ask_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        (headers, body): (&[(&str, &str)], Body),
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let (method, path) = (request.method().clone(), path.to_owned());
        let got = read(self.send(request).await).await;
        described::hold(&method, &path, &got);
        got
    }

    pub(crate) async fn put(&self, key: &str, body: impl Into<Body>) -> Got {
        self.ask(Method::PUT, &format!("/api/v1/files/{key}"), &[], body).await
    }

    pub(crate) async fn get(&self, key: &str) -> Got {
        self.ask(Method::GET, &format!("/api/v1/files/{key}"), &[], Body::empty()).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Got {
        self.ask(Method::DELETE, &format!("/api/v1/files/{key}"), &[], Body::empty()).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.ask(Method::GET, "/api/v1/status", &[], Body::empty()).await.ok().json()
    }
}

pub(crate) async fn read(response: Response) -> Got {
    let (parts, mut body) = response.into_parts();
    // Copied piece by piece, as a socket would: the pieces themselves are budget.
    let mut copied = Vec::new();
    while let Some(frame) = body.frame().await {
        copied.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    Got { status: parts.status, headers: parts.headers, body: copied.into() }
}

/// Bytes that no compressor shortens, the same for the same seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new_derive_key("datamesh gateway test noise")
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

/// Bytes that compress well.
pub(crate) fn prose(bytes: usize) -> Vec<u8> {
    b"the quick brown fox jumps over the lazy dog; ".iter().copied().cycle().take(bytes).collect()
}

/// A body that comes in pieces and does not say how long it is.
pub(crate) fn pieces(bytes: &[u8], piece: usize) -> Body {
    let pieces: Vec<_> =
        bytes.chunks(piece).map(|p| Ok::<_, std::io::Error>(Bytes::copy_from_slice(p))).collect();
    Body::from_stream(futures::stream::iter(pieces))
}

/// A seed for this run, printed so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    });
    println!("SEED={seed}");
    seed
}

/// Small random numbers out of a seed.
pub(crate) struct Dice(pub(super) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
