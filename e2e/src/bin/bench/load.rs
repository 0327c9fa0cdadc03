//! Clients that send requests as fast as they are answered, a given number of them, and check what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use datamesh_e2e::signed::Signer;
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

/// By which door requests go in.
#[derive(Clone)]
enum Door {
    Rest { url: String, token: String },
    S3(Signer),
}

#[derive(Clone)]
pub(crate) struct Load {
    http: reqwest::Client,
    door: Door,
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
        let door = Door::Rest { url: server.url(), token: server.token()? };
        Ok(Self { http, door, seed, written: Arc::default() })
    }

    /// The same by S3, in a bucket of its own.
    pub(crate) async fn over_s3(&self, server: &Server) -> anyhow::Result<Self> {
        let signer = server.signer()?;
        let made = signer.request(&self.http, reqwest::Method::PUT, ("/bench", ""), Bytes::new());
        made.send().await?.error_for_status()?;
        Ok(Self { door: Door::S3(signer), ..self.clone() })
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

    fn file(&self, method: reqwest::Method, key: &str, body: Bytes) -> reqwest::RequestBuilder {
        match &self.door {
            Door::Rest { url, token } => {
                self.http.request(method, format!("{url}/files/{key}")).bearer_auth(token).body(body)
            }
            Door::S3(signer) => signer.request(&self.http, method, (&format!("/{key}"), ""), body),
        }
    }

    async fn put(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let data = random(self.seed, self.written.fetch_add(1, Ordering::Relaxed), bytes);
        let started = Instant::now();
        self.file(reqwest::Method::PUT, &Self::key(bytes, at), data).send().await?.error_for_status()?;
        Ok(started.elapsed())
    }

    async fn get(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let request = self.file(reqwest::Method::GET, &Self::key(bytes, at), Bytes::new());
        let response = request.send().await?.error_for_status()?;
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
        let request = self.file(reqwest::Method::HEAD, &Self::key(bytes, at), Bytes::new());
        request.send().await?.error_for_status()?;
        Ok(started.elapsed())
    }

    /// Keys on a page, and where the next one begins.
    async fn page(&self, bytes: usize, cursor: &str) -> anyhow::Result<(usize, Option<String>)> {
        let (url, token) = match &self.door {
            Door::Rest { url, token } => (url, token),
            Door::S3(signer) => {
                let start =
                    if cursor.is_empty() { String::new() } else { format!("continuation-token={cursor}&") };
                let query = format!("{start}list-type=2&prefix={bytes}%2F");
                let request =
                    signer.request(&self.http, reqwest::Method::GET, ("/bench", &query), Bytes::new());
                let text = request.send().await?.error_for_status()?.text().await?;
                let next = between(&text, "NextContinuationToken").0.map(encoded);
                return Ok((between(&text, "Key").1, next));
            }
        };
        let next = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let url = format!("{url}/files?limit=1000&prefix=bench/{bytes}/{next}");
        let page = self.http.get(url).bearer_auth(token).send().await?.error_for_status()?;
        let page: serde_json::Value = serde_json::from_slice(&page.bytes().await?)?;
        Ok((page["items"].as_array().context("items")?.len(), page["nextCursor"].as_str().map(str::to_owned)))
    }

    /// All keys of one size, page by page.
    async fn list(&self, bytes: usize) -> anyhow::Result<(Duration, usize)> {
        let started = Instant::now();
        let (mut seen, mut cursor) = (0, String::new());
        loop {
            let (keys, next) = self.page(bytes, &cursor).await?;
            seen += keys;
            match next {
                Some(next) => cursor = next,
                None => return Ok((started.elapsed(), seen)),
            }
        }
    }
}

/// A value of a query as it is signed.
fn encoded(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
        .replace("%5F", "_")
        .replace("%2E", ".")
        .replace("%7E", "~")
}

/// What stands between two tags of a document, and how often the first one does.
fn between<'a>(text: &'a str, tag: &str) -> (Option<&'a str>, usize) {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let first = text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    (first.map(|(inside, _)| inside), text.matches(&open).count())
}

/// Bytes that nobody has stored before: a keyed stream for each request.
fn random(seed: u64, request: usize, bytes: usize) -> Bytes {
    let mut data = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&request.to_le_bytes());
    hasher.finalize_xof().fill(&mut data);
    data.into()
}
