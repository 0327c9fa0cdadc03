//! The client side: an address book of peers, a bounded pool of connections to each, and what is known of their health.

mod latency;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_buffers::{Payload, Place};
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::{Answer, Fetched, Net, NoAnswer};
use datamesh_settings::{BulkEncryption, Endpoint};
use datamesh_shard::{Incarnation, PeerKey};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

pub use latency::Latency;
use slot::Slot;

use crate::dial::{DialError, Dialer};
use crate::identity::Identity;
use crate::trust::Trust;
use crate::wire::{WireError, receive_buffers};

/// Connections to one peer at most. A put waits for the peer's group fdatasync, so more are in flight than the peer has
/// cores; each costs either side up to 100 KiB of TLS buffers.
pub const CONNECTIONS_PER_PEER: usize = 8;
/// Peers in the address book at most.
const PEERS_MAX: usize = 8192;
/// How often peers that are down, or were silent, are asked whether they live.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// A peer is greeted this often at least, though it be heard of: that is how the way to it is measured.
const GREETING_PERIOD: Duration = Duration::from_secs(30);
/// A peer not heard of for this long is asked.
const SILENCE: Duration = Duration::from_secs(5);
/// Patience with the answer to such a question.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Peers asked at the same time at most.
const PROBES_AT_ONCE: usize = 16;

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody said where it is.
    #[error("no address is known of peer {0:?}")]
    Unknown(PeerKey),
    /// It was not reached a moment ago and is left alone for a while.
    #[error("peer {peer:?} is down; next attempt in {retry_in:?}")]
    Down {
        /// Who.
        peer: PeerKey,
        /// When the next request may try again.
        retry_in: Duration,
    },
    /// Its host name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// Its host.
        host: String,
        /// The resolver's reason.
        source: std::io::Error,
    },
    /// No connection came to be.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No answer in the time the caller gave.
    #[error("peer {peer:?} gave no answer within {timeout:?}")]
    Timeout {
        /// Who.
        peer: PeerKey,
        /// The caller's patience.
        timeout: Duration,
    },
}

/// What is known of one peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its key.
    pub peer: PeerKey,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The highest incarnation it was seen with.
    pub incarnation: Incarnation,
    /// Whether it is believed to answer.
    pub live: bool,
    /// How long its reads took, once there were some.
    pub reads: Option<Latency>,
}

/// Peers one can send requests to. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    dialer: Dialer,
    book: Arc<RwLock<HashMap<PeerKey, Arc<Slot>>>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peers({} known)", self.book.read().len())
    }
}

impl Peers {
    /// Nobody yet. `incarnation` is what this process says of itself.
    #[must_use]
    pub fn new(identity: Identity, trust: Arc<Trust>, incarnation: Incarnation) -> Self {
        let (buffers, encryption) = (receive_buffers(), BulkEncryption::default());
        let dialer = Dialer { identity, trust, incarnation, buffers, encryption };
        Self { dialer, book: Arc::default() }
    }

    /// The same, with what is to be encrypted between processes.
    #[must_use]
    pub fn encrypting(mut self, encryption: BulkEncryption) -> Self {
        self.dialer.encryption = encryption;
        self
    }

    /// Notes where a peer is. Returns whether it was taken: one of a lower incarnation than seen before is not, nor
    /// oneself. A higher incarnation or another address drops the connections to the old one.
    pub fn learn(&self, peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation) -> bool {
        if peer == self.dialer.identity.peer() || self.dialer.trust.observe(peer, incarnation).is_err() {
            return false;
        }
        if let Some(slot) = self.slot(&peer) {
            slot.move_to(endpoint, incarnation);
            return true;
        }
        let mut book = self.book.write();
        if book.len() >= PEERS_MAX {
            tracing::warn!(limit = PEERS_MAX, "the address book is full");
            return false;
        }
        book.entry(peer).or_insert_with(|| Arc::new(Slot::new(peer, endpoint, incarnation)));
        true
    }

    /// Sends one request to `peer` and waits for its answer, at most `timeout` all in all: waiting for a free
    /// connection, connecting and the exchange. Every request is idempotent, so one that was sent on a connection which
    /// turned out to be closed is sent once more on a new one.
    ///
    /// # Errors
    /// Says why there is no answer. A refusal by the peer is an answer.
    pub async fn request(
        &self,
        peer: &PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> Result<(Response, Bytes), PeerError> {
        let (response, payload) = self.ask(peer, request, payload, None, timeout).await?;
        Ok((response, payload.into_bytes()))
    }

    async fn ask(
        &self,
        peer: &PeerKey,
        request: Request,
        payload: Option<Bytes>,
        place: Option<Place>,
        timeout: Duration,
    ) -> Result<(Response, Payload), PeerError> {
        let slot = self.slot(peer).ok_or(PeerError::Unknown(*peer))?;
        let payload = payload.unwrap_or_default();
        let asking = Box::pin(slot.ask(&self.dialer, &request, &payload, place));
        match tokio::time::timeout(timeout, asking).await {
            Ok(answer) => answer,
            Err(_) => {
                slot.note_timeout();
                Err(PeerError::Timeout { peer: *peer, timeout })
            }
        }
    }

    /// Whether `peer` is believed to answer: its address is known and the last attempt to reach it did not fail.
    #[must_use]
    pub fn is_live(&self, peer: &PeerKey) -> bool {
        self.slot(peer).is_some_and(|slot| slot.is_live())
    }

    /// How long whole or partial reads from `peer` took, once there were some: what a hedge deadline is made of.
    #[must_use]
    pub fn latency(&self, peer: &PeerKey) -> Option<Latency> {
        self.slot(peer)?.reads()
    }

    /// The 95th percentile of [`Peers::latency`].
    #[must_use]
    pub fn p95(&self, peer: &PeerKey) -> Option<Duration> {
        Some(self.latency(peer)?.p95)
    }

    /// Where `peer` is.
    #[must_use]
    pub fn endpoint(&self, peer: &PeerKey) -> Option<Endpoint> {
        Some(self.slot(peer)?.status().endpoint)
    }

    /// All known peers, by key.
    #[must_use]
    pub fn all(&self) -> Vec<PeerStatus> {
        let mut all: Vec<_> = self.book.read().values().map(|slot| slot.status()).collect();
        all.sort_unstable_by_key(|status| status.peer);
        all
    }

    /// Asks silent and dead peers whether they live, until stopped, and closes connections that rest for long.
    /// Without it a peer that is down is found alive again by the next request after its pause.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(PROBE_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if stop.run_until_cancelled(self.probe()).await.is_none() {
                return;
            }
        }
    }

    async fn probe(&self) {
        let now = Instant::now();
        let slots: Vec<_> = self.book.read().values().cloned().collect();
        let silent = slots.into_iter().filter(|slot| {
            slot.close_resting(now);
            slot.is_to_be_probed(now)
        });
        futures::stream::iter(silent)
            .for_each_concurrent(PROBES_AT_ONCE, |slot| async move {
                let outcome = tokio::time::timeout(PROBE_TIMEOUT, Box::pin(slot.probe(&self.dialer))).await;
                if outcome.is_err() {
                    slot.note_timeout();
                }
            })
            .await;
    }

    fn slot(&self, peer: &PeerKey) -> Option<Arc<Slot>> {
        self.book.read().get(peer).cloned()
    }
}

impl Net for Peers {
    fn request<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer> {
        let asked = Self::request(self, peer, request, payload, timeout);
        async move { asked.await.map_err(|error| NoAnswer(error.to_string())) }.boxed()
    }

    fn fetch<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        place: Option<Place>,
        timeout: Duration,
    ) -> BoxFuture<'a, Fetched> {
        let asked = self.ask(peer, request, None, place, timeout);
        async move { asked.await.map_err(|error| NoAnswer(error.to_string())) }.boxed()
    }

    fn is_live(&self, peer: &PeerKey) -> bool {
        Self::is_live(self, peer)
    }

    fn p95(&self, peer: &PeerKey) -> Option<Duration> {
        Self::p95(self, peer)
    }

    fn round_trip(&self, peer: &PeerKey) -> Option<Duration> {
        self.slot(peer)?.round_trip()
    }
}
