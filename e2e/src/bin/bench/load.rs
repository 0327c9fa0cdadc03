//! Clients that send requests as fast as they are answered, a given number of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::{Client, Door, done};
use crate::rounds::Round;
use crate::server::Server;

/// How long a round took, and each of its requests.
pub(crate) struct Timing {
    pub(crate) wall: Duration,
    pub(crate) latencies: Vec<Duration>,
    /// Keys a LIST round saw.
    pub(crate) keys: usize,
}

/// Clients in the making: each comes by the next of the doors.
#[derive(Clone)]
pub(crate) struct Load {
    http: reqwest::Client,
    doors: Arc<[Door]>,
    seed: u64,
    written: Arc<AtomicUsize>,
}

impl Load {
    /// By REST, with the token of the file.
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
        let token = server.token()?;
        let doors = server.urls().map(|url| Door::Rest { url, token: token.clone() }).collect();
        Ok(Self { http, doors, seed, written: Arc::default() })
    }

    /// The same by S3, in a bucket of its own.
    pub(crate) async fn over_s3(&self, server: &Server) -> anyhow::Result<Self> {
        let signers = server.signers()?;
        if let Some(signer) = signers.first() {
            let made = signer.request(&self.http, reqwest::Method::PUT, ("/bench", ""), Bytes::new());
            done(made).await?;
        }
        Ok(Self { doors: signers.into_iter().map(Door::S3).collect(), ..self.clone() })
    }

    /// The same by REST as the users of these sessions.
    pub(crate) fn of_users(&self, server: &Server, sessions: &[String]) -> Self {
        let url = server.url();
        let doors = sessions.iter().map(|token| Door::Rest { url: url.clone(), token: token.clone() });
        Self { doors: doors.collect(), ..self.clone() }
    }

    fn clients(&self, many: usize) -> impl Iterator<Item = Client> {
        self.doors.iter().cycle().take(many).map(|door| Client {
            http: self.http.clone(),
            door: door.clone(),
            seed: self.seed,
            written: Arc::clone(&self.written),
        })
    }

    pub(crate) async fn run(&self, round: &Round) -> anyhow::Result<Timing> {
        let next = Arc::new(AtomicUsize::new(0));
        let keys = Arc::new(AtomicUsize::new(0));
        let (kind, count, bytes, goes_round) = (round.kind, round.count, round.bytes, round.keys.max(1));
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for client in self.clients(round.clients) {
            let (next, keys) = (next.clone(), keys.clone());
            clients.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return anyhow::Ok(latencies);
                    }
                    let (elapsed, seen) = client.request(kind, at % goes_round, bytes).await?;
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
}
