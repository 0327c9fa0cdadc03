//! Clients of S3 that write over, delete, read and list while things break, and check the history: a key is a register, a prefix a
//! set. Each request goes over a connection of its own, so that what one gateway acknowledged is asked of another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gateway::{Access, S3Key};
use crate::register::Register;
use crate::samples::random_bytes;
use crate::signed::{Signer, listed_keys};

const BUCKET: &str = "default";
const CLIENTS: u64 = 4;
const KEYS_EACH: usize = 3;
/// A row, and more than what lies in the catalog's own row.
const SIZES: [usize; 2] = [700, 100_003];
/// Before a request is asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two steps of a client: it goes on for minutes.
const PACE: Duration = Duration::from_millis(50);
/// For how long one is: longer than one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where S3 is reached, and as whom.
pub struct S3Door {
    /// Of the port.
    pub address: SocketAddr,
    /// The name its certificate is for.
    pub host: String,
    /// PEM.
    pub ca: Vec<u8>,
    /// Whose requests they are.
    pub key: S3Key,
}

impl S3Door {
    /// The one beside the API's, whose certificate is the same.
    #[must_use]
    pub fn beside(access: &Access, address: SocketAddr, key: S3Key) -> Self {
        Self { address, host: access.host.clone(), ca: access.ca.clone(), key }
    }

    fn http(&self) -> anyhow::Result<reqwest::Client> {
        Ok(reqwest::Client::builder()
            .http1_only()
            .pool_max_idle_per_host(0)
            .timeout(REQUEST_TIMEOUT)
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&self.ca)?)
            .resolve(&self.host, self.address)
            .build()?)
    }

    fn signer(&self) -> Signer {
        let host = format!("{}:{}", self.host, self.address.port());
        Signer::new(host, self.key.id.clone(), self.key.secret.clone())
    }
}

/// What happened: a run in which nothing did proves nothing.
#[derive(Debug, Default)]
pub struct Counts {
    writes: AtomicU64,
    deletes: AtomicU64,
    reads: AtomicU64,
    lists: AtomicU64,
    tried_again: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// # Errors
    /// Too little of something happened.
    pub fn ensure_enough(&self) -> anyhow::Result<()> {
        let all = [&self.writes, &self.deletes, &self.reads, &self.lists];
        let enough = all.iter().all(|counter| counter.load(Ordering::Relaxed) > 10);
        ensure!(enough, "too little happened: {self:?}");
        Ok(())
    }
}

/// Clients at work until told to stop.
pub struct History {
    clients: JoinSet<anyhow::Result<Client>>,
    stopped: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl History {
    /// Starts them; what they do follows from the seed.
    ///
    /// # Errors
    /// The CA is not one.
    pub fn start(door: &S3Door, seed: u64) -> anyhow::Result<Self> {
        let (stopped, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut clients = JoinSet::new();
        for name in 0..CLIENTS {
            let client = Client {
                http: door.http()?,
                signer: door.signer(),
                counts: Arc::clone(&counts),
                seed,
                name,
                steps: 0,
                keys: vec![Register::default(); KEYS_EACH],
            };
            clients.spawn(client.run(Arc::clone(&stopped)));
        }
        Ok(Self { clients, stopped, counts })
    }

    /// Stops, and reads everything once more.
    ///
    /// # Errors
    /// Something was lost, stale or invented, or a request failed that trying again did not mend.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.stopped.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            let mut client = client??;
            for n in 0..KEYS_EACH {
                client.get(n).await?;
            }
            client.list().await?;
        }
        eprintln!("  history: {:?}", self.counts);
        self.counts.ensure_enough()
    }
}

/// One client, and the keys only it writes.
struct Client {
    http: reqwest::Client,
    signer: Signer,
    counts: Arc<Counts>,
    seed: u64,
    name: u64,
    steps: u64,
    keys: Vec<Register>,
}

impl Client {
    async fn run(mut self, stopped: Arc<AtomicBool>) -> anyhow::Result<Self> {
        while !stopped.load(Ordering::Relaxed) {
            self.steps += 1;
            self.step().await.with_context(|| format!("client {}, step {}", self.name, self.steps))?;
            tokio::time::sleep(PACE).await;
        }
        Ok(self)
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let dice = random_bytes(self.seed ^ (self.name << 32), self.steps, 2);
        let n = usize::from(dice[0]) % KEYS_EACH;
        match dice[1] % 10 {
            0..4 => self.put(n).await,
            4..8 => self.get(n).await,
            8 => self.delete(n).await,
            _ => self.list().await,
        }
    }

    fn key(&self, n: usize) -> String {
        format!("history/{}/{n}", self.name)
    }

    /// A value says who wrote it and when; its bytes follow from it.
    fn bytes(&self, value: u64) -> Bytes {
        let size = SIZES[usize::from(value % 2 == 1)];
        [&value.to_le_bytes()[..], &random_bytes(self.seed, value, size)].concat().into()
    }

    async fn put(&mut self, n: usize) -> anyhow::Result<()> {
        let value = (self.name << 48) + self.steps;
        // An attempt that failed was done or not; once one is acknowledged, it was.
        self.ask(Method::PUT, &self.path(n), "", &self.bytes(value)).await?;
        self.keys[n].acknowledged(Some(value));
        Counts::add(&self.counts.writes);
        Ok(())
    }

    async fn delete(&mut self, n: usize) -> anyhow::Result<()> {
        self.ask(Method::DELETE, &self.path(n), "", &Bytes::new()).await?;
        self.keys[n].acknowledged(None);
        Counts::add(&self.counts.deletes);
        Ok(())
    }

    async fn get(&mut self, n: usize) -> anyhow::Result<()> {
        let key = self.key(n);
        let (status, body) = self.ask(Method::GET, &self.path(n), "", &Bytes::new()).await?;
        let seen = match status {
            StatusCode::NOT_FOUND => None,
            _ => Some(self.value_of(&body).with_context(|| key.clone())?),
        };
        self.keys[n].saw(seen).map_err(|what| anyhow::anyhow!("{key}: {what}"))?;
        Counts::add(&self.counts.reads);
        Ok(())
    }

    fn value_of(&self, body: &Bytes) -> anyhow::Result<u64> {
        let value = body.first_chunk().map(|value| u64::from_le_bytes(*value));
        let value = value.with_context(|| format!("{} bytes", body.len()))?;
        ensure!(*body == self.bytes(value), "{} bytes that nobody wrote", body.len());
        Ok(value)
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        let query = format!("list-type=2&prefix=history%2F{}%2F", self.name);
        let (_, body) = self.ask(Method::GET, &format!("/{BUCKET}"), &query, &Bytes::new()).await?;
        let listed = listed_keys(std::str::from_utf8(&body)?);
        for (n, register) in self.keys.iter().enumerate() {
            let key = self.key(n);
            let checked = register.listed(listed.contains(&key));
            checked.map_err(|what| anyhow::anyhow!("{key}: {what}"))?;
        }
        Counts::add(&self.counts.lists);
        Ok(())
    }

    fn path(&self, n: usize) -> String {
        format!("/{BUCKET}/{}", self.key(n))
    }

    /// Asks until it is answered. What no trying again mends is an error at once: an answer that says the request itself is wrong.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: &Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.once(&method, path, query, body).await {
                Ok((status, answer)) if status.is_success() || is_no_key(status, &answer) => {
                    return Ok((status, answer));
                }
                Ok((status, answer))
                    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
                {
                    bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&answer))
                }
                failed if Instant::now() > until => {
                    bail!(
                        "{method} {path}: not within {PATIENCE:?}, at last {:?}",
                        failed.map(|(status, _)| status)
                    )
                }
                _ => Counts::add(&self.counts.tried_again),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &Bytes,
    ) -> reqwest::Result<(StatusCode, Bytes)> {
        let request = self.signer.request(&self.http, method.clone(), (path, query), body.clone());
        let answer = request.send().await?;
        Ok((answer.status(), answer.bytes().await?))
    }
}

/// The one refusal that is an answer: nothing is under this key. A bucket that is missing is not.
fn is_no_key(status: StatusCode, answer: &Bytes) -> bool {
    status == StatusCode::NOT_FOUND && String::from_utf8_lossy(answer).contains("<Code>NoSuchKey</Code>")
}
