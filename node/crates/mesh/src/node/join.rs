//! Getting into the cluster and staying in it: one session with each gateway address, for as long as the node runs.

mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datamesh_settings::{Endpoint, Settings, StorageSettings};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Readiness;
use super::kept::Kept;
use crate::backoff::Backoff;
use crate::dial::Dialer;
use crate::resolve::resolved;
use session::{JoinError, Session};

/// Gateway addresses joined with at a time at most.
const GATEWAYS_MAX: usize = 16;
/// How often gateways' names are resolved anew while all is well.
const RESOLVE_PERIOD: Duration = Duration::from_secs(10);
/// First and longest pause after a failed attempt at one address.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Longest pause after a gateway's refusal: it lives, and what it lacks (the operator's word on this node, as a rule) may
/// be there any moment.
const RETRY_REFUSED_MAX: Duration = Duration::from_secs(2);
/// Failures are logged this often at most.
const LOG_PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Joiner {
    shared: Arc<Shared>,
    attempts: HashMap<SocketAddr, Attempt>,
    resolving: Backoff,
    log: BoundedLog,
}

/// What all sessions share.
pub(super) struct Shared {
    settings: Settings,
    storage: StorageSettings,
    endpoint: Endpoint,
    dialer: Dialer,
    kept: Kept,
    ready: watch::Sender<Readiness>,
    /// Gateways the last answer named.
    named: Mutex<Vec<Endpoint>>,
}

struct Attempt {
    backoff: Backoff,
    not_before: Instant,
    running: bool,
}

impl Joiner {
    pub(super) fn new(
        settings: &Settings,
        storage: &StorageSettings,
        endpoint: Endpoint,
        dialer: Dialer,
        kept: Kept,
    ) -> (Self, watch::Receiver<Readiness>) {
        let state = match dialer.trust.own() {
            Some(_) => Readiness::Ready,
            None => Readiness::Joining { reason: "no gateway was asked yet".into() },
        };
        let (ready, receiver) = watch::channel(state);
        let shared = Shared {
            settings: settings.clone(),
            storage: storage.clone(),
            endpoint,
            dialer,
            kept,
            ready,
            named: Mutex::default(),
        };
        let joiner = Self {
            shared: Arc::new(shared),
            attempts: HashMap::new(),
            resolving: Backoff::new(RETRY_FIRST, RETRY_MAX),
            log: BoundedLog::default(),
        };
        (joiner, receiver)
    }

    /// Never gives up.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut sessions = JoinSet::new();
        loop {
            let Some(addresses) = stop.run_until_cancelled(self.shared.gateways()).await else {
                break;
            };
            let wait = self.begin(&addresses, &mut sessions);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                Some(ended) = sessions.join_next() => self.note_end(ended),
            }
        }
        sessions.shutdown().await;
    }

    /// Begins a session with each address whose pause is over; says when to look again.
    fn begin(
        &mut self,
        addresses: &[SocketAddr],
        sessions: &mut JoinSet<(SocketAddr, JoinError)>,
    ) -> Duration {
        self.attempts.retain(|address, attempt| attempt.running || addresses.contains(address));
        if addresses.is_empty() {
            self.shared.not_joined("no gateway's name has an address");
            self.log.warn("no gateway's name has an address yet");
            return self.resolving.next();
        }
        self.resolving.reset();
        let now = Instant::now();
        let mut wait = RESOLVE_PERIOD;
        for &address in addresses.iter().take(GATEWAYS_MAX) {
            let attempt = self.attempts.entry(address).or_insert_with(|| Attempt {
                backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
                not_before: now,
                running: false,
            });
            if attempt.running {
                continue;
            }
            if attempt.not_before > now {
                wait = wait.min(attempt.not_before - now);
                continue;
            }
            attempt.running = true;
            let session = Session::new(self.shared.clone(), address);
            sessions.spawn(async move { (address, Box::pin(session.hold()).await) });
        }
        wait
    }

    fn note_end(&mut self, ended: Result<(SocketAddr, JoinError), tokio::task::JoinError>) {
        let (address, error) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        if let Some(attempt) = self.attempts.get_mut(&address) {
            if error.had_joined() {
                attempt.backoff.reset();
            }
            let longest = if error.is_refusal() { RETRY_REFUSED_MAX } else { RETRY_MAX };
            attempt.not_before = Instant::now() + attempt.backoff.next().min(longest);
            attempt.running = false;
        }
        self.shared.not_joined(&error.to_string());
        self.log.warn(&format!("gateway {address}: {error}; trying again"));
    }
}

impl Shared {
    /// All gateways' addresses by now.
    async fn gateways(&self) -> Vec<SocketAddr> {
        let mut endpoints = self.settings.cluster.gateways.clone();
        endpoints.extend(self.named.lock().iter().cloned());
        let mut addresses = Vec::new();
        for endpoint in endpoints {
            match resolved(&endpoint.host, endpoint.bulk_port).await {
                Ok(found) => addresses.extend(found),
                Err(error) => tracing::debug!(host = endpoint.host, %error, "resolving a gateway"),
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Notes a failure; while the certificate holds the node takes part all the same.
    fn not_joined(&self, reason: &str) {
        if self.dialer.trust.own().is_none() {
            self.ready.send_replace(Readiness::Joining { reason: reason.into() });
        }
    }
}

/// Warns once per period and counts what it did not say.
#[derive(Default)]
struct BoundedLog {
    last: Option<Instant>,
    unsaid: u64,
}

impl BoundedLog {
    fn warn(&mut self, text: &str) {
        if self.last.is_some_and(|last| last.elapsed() < LOG_PERIOD) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(not_shown_since = self.unsaid, "joining: {text}");
        *self = Self { last: Some(Instant::now()), unsaid: 0 };
    }
}
