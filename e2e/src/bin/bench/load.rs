//! Clients that send requests as fast as they are answered, a given number of them, and check what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinSet;

use crate::server::Server;
use crate::{Kind, Round};

/// How long a round took, and each of its requests.
pub(crate) struct Timing {
    pub(crate) wall: Duration,
    pub(crate) latencies: Vec<Duration>,
    /// Keys a LIST round saw.
    pub(crate) keys: usize,
}

#[derive(Clone)]
pub(crate) struct Load {
    http: reqwest::Client,
    url: String,
    token: String,
    seed: u64,
    written: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let certificate = reqwest::Certificate::from_pem(server.certificate()?.as_bytes())?;
        let http = reqwest::Client::builder()
            .tls_certs_only([certificate])
            .http1_only()
            .tcp_nodelay(true)
            .build()?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("{error}"))?;
        let seed = u64::from_le_bytes(seed);
        Ok(Self { http, url: server.url(), token: server.token()?, seed, written: Arc::default() })
    }

    pub(crate) async fn run(&self, round: &Round) -> anyhow::Result<Timing> {
        let next = Arc::new(AtomicUsize::new(0));
        let keys = Arc::new(AtomicUsize::new(0));
        let (kind, count, bytes, goes_round) = (round.kind, round.count, round.bytes, round.keys.max(1));
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..round.clients {
            let (load, next, keys) = (self.clone(), next.clone(), keys.clone());
            clients.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return anyhow::Ok(latencies);
                    }
                    let (elapsed, seen) = load.request(kind, at % goes_round, bytes).await?;
                    keys.fetch_add(seen, Ordering::Relaxed);
                    latencies.push(elapsed);
                }
            });
        }
        let mut latencies = Vec::new();
        while let Some(client) = clients.join_next().await {
            latencies.extend(client??);
        }
        latencies.sort_unstable();
        Ok(Timing { wall: started.elapsed(), latencies, keys: keys.load(Ordering::Relaxed) })
    }

    async fn request(&self, kind: Kind, at: usize, bytes: usize) -> anyhow::Result<(Duration, usize)> {
        match kind {
            Kind::Put => self.put(at, bytes).await.map(|elapsed| (elapsed, 0)),
            Kind::Get => self.get(at, bytes).await.map(|elapsed| (elapsed, 0)),
            Kind::Head => self.head(at, bytes).await.map(|elapsed| (elapsed, 0)),
            Kind::List => self.list(bytes).await,
        }
    }

    fn key(bytes: usize, at: usize) -> String {
        format!("bench/{bytes}/{at:08}")
    }

    fn file(&self, method: reqwest::Method, bytes: usize, at: usize) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/files/{}", self.url, Self::key(bytes, at)))
            .bearer_auth(&self.token)
    }

    async fn put(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let data = random(self.seed, self.written.fetch_add(1, Ordering::Relaxed), bytes);
        let started = Instant::now();
        self.file(reqwest::Method::PUT, bytes, at).body(data).send().await?.error_for_status()?;
        Ok(started.elapsed())
    }

    async fn get(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let response = self.file(reqwest::Method::GET, bytes, at).send().await?.error_for_status()?;
        let mut body = response.bytes_stream();
        let mut received = 0;
        while let Some(chunk) = body.next().await {
            received += chunk?.len();
        }
        anyhow::ensure!(received == bytes, "{received} of {bytes} bytes");
        Ok(started.elapsed())
    }

    async fn head(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.file(reqwest::Method::HEAD, bytes, at).send().await?.error_for_status()?;
        Ok(started.elapsed())
    }

    /// All keys of one size, page by page.
    async fn list(&self, bytes: usize) -> anyhow::Result<(Duration, usize)> {
        let started = Instant::now();
        let (mut seen, mut cursor) = (0, String::new());
        loop {
            let url = format!("{}/files?limit=1000&prefix=bench/{bytes}/{cursor}", self.url);
            let page = self.http.get(url).bearer_auth(&self.token).send().await?.error_for_status()?;
            let page: serde_json::Value = serde_json::from_slice(&page.bytes().await?)?;
            seen += page["items"].as_array().context("items")?.len();
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok((started.elapsed(), seen)),
            }
        }
    }
}

/// Bytes that nobody has stored before: a keyed stream for each request.
fn random(seed: u64, request: usize, bytes: usize) -> Bytes {
    let mut data = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&request.to_le_bytes());
    hasher.finalize_xof().fill(&mut data);
    data.into()
}
