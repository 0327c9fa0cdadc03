//! Who is there, while there is no catalog: nodes keep trying to join, and say where they are. None is let in.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::message::{JoinRequest, Refusal, Request, Response};
use datamesh_mesh::{BulkServer, Caller, Gateways, Handler, Identity, Peers, Trust};
use datamesh_seal::ClusterSecret;
use datamesh_settings::{GatewayAddress, GatewaySettings, Settings};
use datamesh_shard::{Incarnation, PeerKey};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::join::learn;
use crate::owned;
use crate::server::{GatewayError, Prepared, certified};

/// Nodes that are remembered at most.
const NODES_MAX: usize = 8192;

/// Listens where the gateway will.
pub(super) struct Listening {
    pub(super) peers: Peers,
    own: (Identity, Arc<Trust>, Incarnation),
    seen: Seen,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

type Seen = Arc<Mutex<BTreeSet<PeerKey>>>;

/// Answers.
struct Desk {
    secret: Arc<ClusterSecret>,
    peers: Peers,
    seen: Seen,
}

impl Listening {
    pub(super) async fn start(
        (settings, gateway): (&Settings, &GatewaySettings),
        prepared: &Prepared,
        incarnation: Incarnation,
    ) -> Result<Self, GatewayError> {
        let identity = &prepared.identity;
        let (trust, peers) = certified(settings, prepared, incarnation)?;
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let desk =
            Desk { secret: Arc::clone(&prepared.secret), peers: peers.clone(), seen: Arc::clone(&seen) };
        let own = (identity.clone(), Arc::clone(&trust), incarnation);
        let server = BulkServer::bind(gateway.listen.bulk, identity, trust, incarnation, desk).await?;
        let server = server.encrypting(identity, settings.cluster.bulk_encryption)?;
        let task = owned::spawn(server.run(stop.clone()));
        Ok(Self { peers, own, seen, stop, task })
    }

    /// The way to other gateways.
    pub(super) fn gateways(&self, others: impl IntoIterator<Item = GatewayAddress>) -> Gateways {
        let (identity, trust, incarnation) = self.own.clone();
        Gateways::new(identity, trust, incarnation, others)
    }

    /// The nodes that have come by.
    pub(super) fn known(&self) -> Vec<PeerKey> {
        self.seen.lock().iter().copied().collect()
    }

    /// Its port is free when this returns.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::debug!("listening for nodes ended early");
        }
    }
}

impl Desk {
    /// A token proves a node of the cluster: it is asked, and believed for nothing but what proves itself.
    fn note(&self, peer: PeerKey, request: JoinRequest) -> Refusal {
        let JoinRequest { token, node, pool, endpoint, incarnation, .. } = request;
        if let Err(error) = self.secret.check_join_token(&token, &node, &pool) {
            return Refusal::TokenRejected(error.to_string());
        }
        learn(&self.peers, peer, endpoint, incarnation);
        let mut seen = self.seen.lock();
        if seen.len() < NODES_MAX {
            seen.insert(peer);
        }
        Refusal::Busy
    }
}

impl Handler for Desk {
    async fn handle(&self, from: Caller, request: Request, _: Bytes) -> (Response, Bytes) {
        let refusal = match request {
            Request::Join(request) => self.note(from.peer, request),
            _ => Refusal::Busy,
        };
        (Response::Refused(refusal), Bytes::new())
    }
}
