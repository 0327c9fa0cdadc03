//! How requests reach storage nodes: the mesh in production, an in-memory fake in tests.

use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response};
use datamesh_mesh::Peers;
use datamesh_settings::Endpoint;
use datamesh_shard::{Incarnation, PeerKey};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Why a node gave no answer. A refusal is an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub(crate) String);

/// An answer and its payload.
pub(crate) type Answer = Result<(Response, Bytes), NoAnswer>;

/// Sends requests to storage nodes.
pub(crate) trait Shards: Send + Sync + 'static {
    /// One request, one answer, within `timeout`.
    fn request<'a>(
        &'a self,
        peer: &'a PeerKey,
        request: Request,
        payload: Option<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Answer>;

    /// Whether the node is believed to answer.
    fn is_live(&self, peer: &PeerKey) -> bool;

    /// 95 of 100 reads from it took no longer.
    fn p95(&self, peer: &PeerKey) -> Option<Duration>;

    /// Notes where a node is.
    fn learn(&self, peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation);
}

impl Shards for Peers {
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

    fn is_live(&self, peer: &PeerKey) -> bool {
        Self::is_live(self, peer)
    }

    fn p95(&self, peer: &PeerKey) -> Option<Duration> {
        Self::p95(self, peer)
    }

    fn learn(&self, peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation) {
        let taken = Self::learn(self, peer, endpoint, incarnation);
        if !taken {
            tracing::warn!(%peer, "the mesh did not take the address of a node");
        }
    }
}
