//! One client: it sends a request, checks what comes back, and says how long that took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use datamesh_e2e::signed::Signer;
use futures::StreamExt as _;

use crate::rounds::Kind;

/// By which door requests go in, and as whose.
#[derive(Clone)]
pub(crate) enum Door {
    Rest { url: String, token: String },
    S3(Signer),
}

pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) door: Door,
    pub(crate) seed: u64,
    /// Of all clients.
    pub(crate) written: Arc<AtomicUsize>,
}

impl Client {
    pub(crate) async fn request(
        &self,
        kind: Kind,
        at: usize,
        bytes: usize,
    ) -> anyhow::Result<(Duration, usize)> {
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
        done(self.file(reqwest::Method::PUT, &Self::key(bytes, at), data)).await?;
        Ok(started.elapsed())
    }

    async fn get(&self, at: usize, bytes: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let request = self.file(reqwest::Method::GET, &Self::key(bytes, at), Bytes::new());
        let response = done(request).await?;
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
        done(request).await?;
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
                let text = done(request).await?.text().await?;
                let next = between(&text, "NextContinuationToken").0.map(encoded);
                return Ok((between(&text, "Key").1, next));
            }
        };
        let next = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let url = format!("{url}/files?limit=1000&prefix=bench/{bytes}/{next}");
        let page = done(self.http.get(url).bearer_auth(token)).await?;
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

/// The answer to a request; a refusal with what it says.
pub(crate) async fn done(request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
    let answer = request.send().await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let url = answer.url().clone();
    anyhow::bail!("{url}: {status} {}", answer.text().await.unwrap_or_default())
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
