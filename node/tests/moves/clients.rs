//! Clients that write and read while the catalog moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::cluster::{Cluster, random};
use crate::register::Register;

const KEYS_EACH: u64 = 6;
/// A row, and a segment.
const SIZES: [usize; 3] = [1, 3000, 70_000];
/// Between two writes of a client: each leaves rows that the next move copies.
const PACE: Duration = Duration::from_millis(20);
/// After a request that was not answered.
const PAUSE: Duration = Duration::from_millis(100);

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) writes: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) not_answered: AtomicU64,
}

/// One client and the keys only it writes.
pub(crate) struct Client {
    cluster: Arc<Cluster>,
    counts: Arc<Counts>,
    name: u64,
    keys: Vec<Register>,
    written: u64,
}

impl Client {
    pub(crate) fn new(cluster: &Arc<Cluster>, counts: &Arc<Counts>, name: u64) -> Self {
        let keys = vec![Register::default(); usize::try_from(KEYS_EACH).unwrap()];
        Self { cluster: Arc::clone(cluster), counts: Arc::clone(counts), name, keys, written: 0 }
    }

    fn key(&self, n: u64) -> String {
        format!("moves/{}/{n}", self.name)
    }

    /// A value says who wrote it and when; its bytes follow from it.
    fn bytes(value: u64) -> Vec<u8> {
        let size = SIZES[usize::try_from(value % SIZES.len() as u64).unwrap()];
        [&value.to_le_bytes()[..], &random(value, size)].concat()
    }

    fn register(&mut self, n: u64) -> &mut Register {
        &mut self.keys[usize::try_from(n).unwrap()]
    }

    /// Writes and reads in turn, now and then deletes, until told to stop.
    pub(crate) async fn work(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let n = self.written % KEYS_EACH;
            self.write(n).await;
            let read = self.written.wrapping_mul(7) % KEYS_EACH;
            self.read(read).await.unwrap();
            tokio::time::sleep(PACE).await;
        }
        self
    }

    async fn write(&mut self, n: u64) {
        self.written += 1;
        let (key, value) = (self.key(n), (self.name << 48) + self.written);
        let (value, done) = if self.written.is_multiple_of(11) {
            let sent = self.cluster.request(Method::DELETE, &format!("/files/{key}")).send().await;
            (
                None,
                sent.is_ok_and(|said| said.status().is_success() || said.status() == StatusCode::NOT_FOUND),
            )
        } else {
            (Some(value), self.cluster.put(&key, Self::bytes(value)).await.is_ok())
        };
        if done {
            self.register(n).acknowledged(value);
            self.counts.writes.fetch_add(1, Ordering::Relaxed);
        } else {
            self.register(n).unknown(value);
            self.not_answered().await;
        }
    }

    /// As a client does it: it waits a little before it asks again.
    async fn not_answered(&self) {
        self.counts.not_answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }

    /// A read that fails says nothing; one that ends well must be right.
    async fn read(&mut self, n: u64) -> Result<(), String> {
        let key = self.key(n);
        let answer = self.cluster.request(Method::GET, &format!("/files/{key}")).send().await;
        let seen = match answer {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => None,
            Ok(answer) if answer.status() == StatusCode::OK => {
                let Ok(body) = answer.bytes().await else {
                    self.not_answered().await;
                    return Ok(());
                };
                let value = body.first_chunk().map(|value| u64::from_le_bytes(*value));
                let value = value.ok_or_else(|| format!("{key}: {} bytes", body.len()))?;
                if body != Self::bytes(value) {
                    return Err(format!("{key}: {} bytes that nobody wrote", body.len()));
                }
                Some(value)
            }
            _ => {
                self.not_answered().await;
                return Ok(());
            }
        };
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.register(n).saw(seen).map_err(|what| format!("{key}: {what}"))
    }

    /// All its keys.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        for n in 0..KEYS_EACH {
            self.read(n).await?;
        }
        Ok(())
    }

    /// Somebody else deletes what this one has written last: as if it had been lost.
    pub(crate) async fn lose_one(&self) {
        let n = self.keys.iter().position(|key| key.clone().saw(None).is_err());
        let key = self.key(u64::try_from(n.expect("all were deleted")).unwrap());
        let sent = self.cluster.request(Method::DELETE, &format!("/files/{key}")).send().await.unwrap();
        assert!(sent.status().is_success());
    }
}
