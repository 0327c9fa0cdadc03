//! What reaches other processes, and is reached by them, from before the catalog is open: members of a group need each other for that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::{BulkServer, Gateways, NotTrusted, Peers, Trust};
use datamesh_settings::{GatewaySettings, Settings};
use datamesh_shard::Incarnation;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::files::Prepared;
use super::{GatewayError, Waiting};
use crate::group::desk::FrontDesk;
use crate::group::{Group, Members, Opening, replica_of, volume};
use crate::join::CERTIFICATE_LIFE;
use crate::owned;
use crate::work::membership::certify;

/// Patience with requests under way when the server ends: below what the process has for its end.
const END_WAIT: Duration = Duration::from_secs(5);

/// A gateway's part of the mesh.
pub(super) struct Mesh {
    pub(super) trust: Arc<Trust>,
    pub(super) peers: Peers,
    pub(super) desk: FrontDesk,
    pub(super) incarnation: Incarnation,
    pub(super) bulk: Bulk,
}

/// The bulk server, which serves from the beginning.
pub(super) struct Bulk {
    pub(super) address: SocketAddr,
    /// Ends it.
    pub(super) stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Bulk {
    /// Until it has ended; soon after it was told to, whatever a request still waits for.
    pub(super) async fn ended(mut self) {
        let late = async {
            self.stop.cancelled().await;
            tokio::time::sleep(END_WAIT).await;
        };
        tokio::select! {
            ended = &mut self.task => {
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            () = late => tracing::warn!("the bulk server still has requests after {END_WAIT:?}: they are left"),
        }
    }
}

/// Shows the gateway's certificate, without which nobody would talk to it. Gives whom it trusts, and its way to them.
pub(crate) fn certified(
    settings: &Settings,
    Prepared { identity, secret, .. }: &Prepared,
    incarnation: Incarnation,
) -> Result<(Arc<Trust>, Peers), NotTrusted> {
    let cluster = &settings.cluster;
    // Layouts come from the catalog, or from nodes that are asked, so nothing has to be kept.
    let trust = Arc::new(Trust::new(cluster.name.clone(), cluster.public_key, Box::new(|_, _| {})));
    certify(&trust, &secret.signing_key(), (&settings.node, identity.peer()))?;
    let peers = Peers::new(identity.clone(), Arc::clone(&trust), incarnation);
    Ok((trust, peers.encrypting(cluster.bulk_encryption)))
}

impl Mesh {
    /// Shows the gateway's certificate, listens and answers.
    pub(super) async fn start(
        settings: &Settings,
        gateway: &GatewaySettings,
        prepared: &Prepared,
        incarnation: Incarnation,
    ) -> Result<Self, GatewayError> {
        let identity = &prepared.identity;
        let (trust, peers) = certified(settings, prepared, incarnation)?;
        let id = replica_of(&identity.peer());
        let desk = FrontDesk::new((settings.node.clone(), id), gateway.catalog_gateways());
        let (listen, known) = (gateway.listen.bulk, Arc::clone(&trust));
        let server = BulkServer::bind(listen, identity, known, incarnation, desk.clone()).await?;
        let server = server.encrypting(identity, settings.cluster.bulk_encryption)?;
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let bulk = Bulk { address, stop: stop.clone(), task: owned::spawn(server.run(stop)) };
        Ok(Self { trust, peers, desk, incarnation, bulk })
    }

    /// Renews this gateway's certificate for as long as it waits for others, which may be longer than the first one lasts.
    pub(super) async fn keep_certified(&self, settings: &Settings, prepared: &Prepared) -> NotTrusted {
        let (key, own) = (prepared.secret.signing_key(), (&settings.node, prepared.identity.peer()));
        loop {
            tokio::time::sleep(CERTIFICATE_LIFE / 4).await;
            if let Err(refused) = certify(&self.trust, &key, own) {
                return refused;
            }
        }
    }

    /// Takes part in the group that keeps the catalog: waits for as long as the others need.
    pub(super) async fn group(
        &self,
        (settings, gateway): (&Settings, &GatewaySettings),
        prepared: &Prepared,
        waiting: &Waiting,
    ) -> Result<Group, GatewayError> {
        let (identity, node) = (prepared.identity.clone(), settings.node.clone());
        let id = replica_of(&identity.peer());
        let others = gateway.catalog_gateways().filter(|member| member.node != node).cloned();
        let gateways = Gateways::new(identity, Arc::clone(&self.trust), self.incarnation, others);
        let members = Members::of(gateway, &node);
        let folder = volume::Folder { dir: gateway.data_dir.clone(), id, node: node.clone() };
        let opening =
            Opening { node, members, folder, gateways, desk: self.desk.clone(), waiting: waiting.clone() };
        Ok(Box::pin(opening.run()).await?)
    }
}
