//! The way to the other members: replicas' questions, and how they are.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use datamesh_catalog::engine::raft::limits::MESSAGE_BYTES_MAX;
use datamesh_catalog::engine::raft::{PeerError, Peers, ReplicaId};
use datamesh_exchange::message::{Request, Response};
use datamesh_mesh::{AskError, Gateways, Told};
use datamesh_settings::mesh::CatalogStanding;
use datamesh_shard::limits::REPLICA_BYTES_MAX;
use datamesh_shard::{NodeName, PeerKey};
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, TryFutureExt};

use tokio::time::Instant;

use super::replica_of;

/// Patience with a replica's answer; whoever asks has its own, which is shorter for what hurries.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Patience with a member that is asked how it is.
const STANDING_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks for a replica that is not found.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Replicas a member may speak of: both sets of a change of the largest group, and more.
const VOTERS_MAX: usize = 64;

const _: () = assert!(MESSAGE_BYTES_MAX <= REPLICA_BYTES_MAX, "each question fits a frame");

/// The way to the members other than this one.
pub(super) struct Wires {
    gateways: Gateways,
    others: Vec<NodeName>,
    /// When the others were last asked who they are because a replica was not found.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Peers for Wires {
    fn ask(&self, to: ReplicaId, question: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>> {
        self.carry(to, question.into()).boxed()
    }
}

impl Wires {
    pub(super) fn new(gateways: Gateways, others: Vec<NodeName>) -> Self {
        Self { gateways, others, looked: tokio::sync::Mutex::default() }
    }

    /// Whose replica that is. Of those that came up later than this gateway nobody has told it: they are asked, but not for each
    /// question to a replica that is gone for good.
    async fn holder(&self, of: ReplicaId) -> Option<(NodeName, PeerKey)> {
        let known = || self.gateways.holder_of(|peer| replica_of(peer) == of);
        if let Some(known) = known() {
            return Some(known);
        }
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= LOOK_PERIOD) {
            *looked = Some(Instant::now());
            self.ask_others().await;
        }
        known()
    }

    async fn carry(&self, to: ReplicaId, question: Bytes) -> Result<Vec<u8>, PeerError> {
        let Some((node, peer)) = self.holder(to).await else { return Err(PeerError::Unreachable(to)) };
        let asked = self.gateways.ask((&node, Some(peer)), Request::Replica, question, ANSWER_WITHIN);
        match asked.await {
            Ok(Told { response: Response::Replica, payload, .. }) => Ok(payload.into()),
            Ok(Told { response, .. }) => {
                tracing::debug!(%node, ?response, "a gateway does not answer for its replica");
                Err(PeerError::Unreachable(to))
            }
            Err(error @ AskError::NotSent { .. }) => {
                tracing::debug!(%error, "a replica is not reached");
                Err(PeerError::Unreachable(to))
            }
            Err(error @ AskError::Lost { .. }) => {
                tracing::debug!(%error, "a replica's answer is lost");
                Err(PeerError::Lost(to))
            }
        }
    }

    /// How one member is, if it answers.
    async fn standing(&self, node: &NodeName) -> Option<CatalogStanding> {
        let asked = self.gateways.ask((node, None), Request::Standing, Bytes::new(), STANDING_WITHIN);
        let told = asked.inspect_err(|error| tracing::debug!(%error, "a member does not say how it is"));
        let Told { peer, response: Response::Standing(standing), .. } = told.await.ok()? else { return None };
        let fits = standing.node == *node
            && standing.replica == replica_of(&peer)
            && standing.voters.len() <= VOTERS_MAX;
        if !fits {
            tracing::warn!(%node, "a member says of itself what cannot be");
        }
        fits.then_some(standing)
    }

    /// How the members are that answer.
    pub(super) async fn ask_others(&self) -> BTreeMap<NodeName, CatalogStanding> {
        let asking = self.others.iter().cloned().map(|node| self.named(node));
        join_all(asking).await.into_iter().flatten().collect()
    }

    async fn named(&self, node: NodeName) -> Option<(NodeName, CatalogStanding)> {
        let standing = self.standing(&node).await?;
        Some((node, standing))
    }

    pub(super) async fn close(&self) {
        self.gateways.close().await;
    }
}
