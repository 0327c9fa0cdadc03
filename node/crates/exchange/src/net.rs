//! How one process reaches the storage nodes: the mesh in production, a simulated net in the simulation, a fake in tests.

use std::time::Duration;

use bytes::Bytes;
use datamesh_buffers::{Payload, Place};
use datamesh_settings::mesh::Sight;
use datamesh_shard::PeerKey;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::message::{Request, Response};

/// Why a node gave no answer. A refusal is an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// An answer and its payload. The answer is the node's; the payload is proven by whoever takes it: it may come changed from a
/// disk, and outside TLS from the way.
pub type Answer = Result<(Response, Bytes), NoAnswer>;

/// The same, with the payload where it was wanted.
pub type Fetched = Result<(Response, Payload), NoAnswer>;

/// Sends requests to storage nodes.
pub trait Net: Send + Sync + 'static {
    /// One request, one answer, within `timeout`. After no answer the request may have been done or not.
    fn request<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer>;

    /// A request without a payload, whose answer's payload goes into `place` if it fills that: a real net receives it there.
    fn fetch<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        place: Option<Place>,
        timeout: Duration,
    ) -> BoxFuture<'a, Fetched> {
        let asked = self.request(peer, request, None, timeout);
        async move { asked.await.map(|(response, payload)| (response, Payload::put(payload, place))) }.boxed()
    }

    /// Whether the node is believed to answer.
    fn is_live(&self, peer: &PeerKey) -> bool;

    /// 95 of 100 reads from it took no longer.
    fn p95(&self, peer: &PeerKey) -> Option<Duration>;

    /// How long the last greeting on an open connection took to be answered.
    fn round_trip(&self, peer: &PeerKey) -> Option<Duration>;

    /// All of it, for a report.
    fn sight(&self, peer: &PeerKey) -> Sight {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Sight {
            live: self.is_live(peer),
            rtt_micros: self.round_trip(peer).map(micros),
            read_p95_micros: self.p95(peer).map(micros),
        }
    }
}
