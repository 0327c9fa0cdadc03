//! Lets storage nodes in: checks the one-use token and that the operator wants the node, binds its key to its name, hands
//! out its certificate.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::catalog::{BindError, IncarnationError};
use datamesh_exchange::message::{JoinRequest, Joined, Refusal, Request, Response};
use datamesh_mesh::{Caller, Handler, Peers, Trust, now_unix};
use datamesh_seal::{Certificate, ClusterSecret, ClusterSigningKey, MemberRole, SignedCertificate};
use datamesh_settings::Endpoint;
use datamesh_shard::{Incarnation, NodeName, PeerKey, PoolName, ZoneName};
use tokio::sync::Notify;

use crate::book::AddressBook;
use crate::pools::Pools;
use crate::restore;

/// How long a certificate is good; members renew at half of it.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Patience with a node of a pool without a layout, which is asked for backups before it is let in.
const ASKED_BACK_WITHIN: Duration = Duration::from_secs(5);
const LOST_CATALOG: &str = "this node keeps backups of a catalog that knew its pool, and this gateway's catalog does not: that one was \
    lost, or the node was of another pool. To restore a lost one, empty the gateway's volume and start it once with `--restore newest` \
    (spec.gateway.restore of a DataMeshCluster); if nothing was lost, or the data is to be given up, wipe the node's volume. The newest \
    backup it keeps is of ";

/// What other processes may ask a gateway over the mesh.
pub(crate) struct JoinDesk {
    pub(crate) catalog: EmbeddedCatalog,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) key: ClusterSigningKey,
    pub(crate) pools: Arc<Pools>,
    pub(crate) peers: Peers,
    pub(crate) trust: Arc<Trust>,
    pub(crate) book: Arc<AddressBook>,
    pub(crate) gateways: Vec<Endpoint>,
    /// Wakes the layout manager: a pool may be complete now.
    pub(crate) wake: Arc<Notify>,
}

impl Handler for JoinDesk {
    async fn handle(&self, from: Caller, request: Request, _: Bytes) -> (Response, Bytes) {
        let response = match request {
            Request::Join(request) => match self.join(&from.peer, request).await {
                Ok(joined) => Response::Joined(joined),
                Err(refusal) => Response::Refused(refusal),
            },
            _ => Response::Refused(Refusal::BadRequest("a gateway holds no shards".into())),
        };
        (response, Bytes::new())
    }
}

impl JoinDesk {
    async fn join(&self, peer: &PeerKey, request: JoinRequest) -> Result<Joined, Refusal> {
        let JoinRequest { token, node, pool, zone, endpoint, incarnation, .. } = request;
        let nonce = self
            .secret
            .check_join_token(&token, &node, &pool)
            .map_err(|error| Refusal::TokenRejected(error.to_string()))?;
        // Before the token is used up: what is wrong here can be put right.
        self.refuse_of_lost_catalog(peer, (&pool, &endpoint), incarnation).await?;
        let zone = self.pinned_zone(&node, &pool, &zone)?;
        self.catalog.bind_join(nonce, &node, &pool, *peer).await.map_err(not_bound)?;
        self.catalog.observe_incarnation(*peer, incarnation).await.map_err(not_current)?;
        let certificate = Certificate {
            role: MemberRole::Storage { pool: pool.clone(), zone },
            node: node.clone(),
            peer: *peer,
            not_after_unix: now_unix().saturating_add(CERTIFICATE_LIFE.as_secs()),
        };
        self.trust.admit(&certificate);
        let signed = SignedCertificate::sign(&self.key, certificate);
        let certificate = postcard::to_stdvec(&signed).map_err(|error| Refusal::Failed(error.to_string()))?;
        learn(&self.peers, *peer, endpoint.clone(), incarnation);
        self.book.note(*peer, endpoint, incarnation).await;
        self.wake.notify_one();
        tracing::info!(%node, %pool, %peer, %incarnation, "node joined");
        let layouts = self.pools.signed_for(&pool);
        Ok(Joined { certificate, layouts, gateways: self.gateways.clone() })
    }

    /// A node that keeps backups of a catalog is of one that knew its pool. Where this one does not, it took the place of one that was
    /// lost: to let the node in would bury that.
    async fn refuse_of_lost_catalog(
        &self,
        peer: &PeerKey,
        (pool, endpoint): (&PoolName, &Endpoint),
        incarnation: Incarnation,
    ) -> Result<(), Refusal> {
        // Another gateway may have made the pool's first layout a moment ago.
        let known = self.catalog.newest_epoch(pool).await.map_err(|error| failed(&error))?;
        if known.is_some() {
            return Ok(());
        }
        learn(&self.peers, *peer, endpoint.clone(), incarnation);
        match self.peers.request(peer, Request::Anchors, None, ASKED_BACK_WITHIN).await {
            Ok((Response::Anchors(anchors), _)) if !anchors.is_empty() => {
                let newest = anchors.iter().max().map_or(0, |anchor| anchor.at_unix_ms);
                let refusal = format!("{LOST_CATALOG}{}", restore::time(newest));
                tracing::error!(%peer, %pool, "{refusal}");
                Err(Refusal::TokenRejected(refusal))
            }
            // It has none, is of a version that keeps none, or cannot be asked: what it knows of layouts protects it all the same.
            _ => Ok(()),
        }
    }

    /// The zone the operator pinned a node to: where shards may be together is for the operator to say, not for a node. A
    /// node that says otherwise is not let in silently: one of the two is mistaken about where it stands, and if that is
    /// the operator, a lost zone costs more shards than the pool allows for.
    fn pinned_zone(&self, node: &NodeName, pool: &PoolName, said: &ZoneName) -> Result<ZoneName, Refusal> {
        let known = self.pools.get(pool);
        let desired = known.iter().find_map(|pool| pool.spec.member(node)).map(|member| &member.zone);
        // Not wanted any more, but not gone yet: what it has must leave it.
        let leaving = known.iter().find_map(|pool| pool.layout()?.member(node)).map(|member| &member.zone);
        let refused = |reason| Err(Refusal::TokenRejected(reason));
        match desired.or(leaving) {
            Some(pinned) if pinned == said => Ok(pinned.clone()),
            Some(pinned) => refused(format!(
                "node {node} says it stands in zone {said}, but the operator pinned it to zone {pinned}: set \
                 role.storage.zone to {pinned} in the node's settings, or, if {said} is right, the member's zone in pool \
                 {pool}"
            )),
            None => refused(format!(
                "node {node} is not among the members wanted in pool {pool}: it is let in once the operator has named it \
                 there"
            )),
        }
    }
}

/// The same of all that are in a book.
pub(crate) fn learn_all(peers: &Peers, book: &AddressBook) {
    for (peer, endpoint, incarnation) in book.all() {
        learn(peers, peer, endpoint, incarnation);
    }
}

/// Has the mesh know where a node is.
pub(crate) fn learn(peers: &Peers, peer: PeerKey, endpoint: Endpoint, incarnation: Incarnation) {
    if !peers.learn(peer, endpoint, incarnation) {
        tracing::warn!(%peer, "the mesh did not take the address of a node");
    }
}

fn not_bound(error: BindError) -> Refusal {
    match error {
        BindError::UsedByOther
        | BindError::NodeBoundToOther { .. }
        | BindError::PeerBoundToOther { .. }
        | BindError::GivenUp { .. } => Refusal::TokenRejected(error.to_string()),
        error => failed(&error),
    }
}

fn not_current(error: IncarnationError) -> Refusal {
    match error {
        IncarnationError::Lower { .. } => Refusal::TokenRejected(error.to_string()),
        error => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Refusal {
    tracing::error!(%error, "the catalog failed while a node joined");
    Refusal::Failed("the gateway's catalog failed".into())
}
