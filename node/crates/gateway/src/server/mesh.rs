//! What reaches other processes, and is reached by them, from before the catalog is open: members of a group need each other for that.

use std::net::SocketAddr;
use std::sync::Arc;

use datamesh_mesh::{BulkServer, Gateways, Peers, Trust};
use datamesh_settings::{GatewaySettings, Settings};
use datamesh_shard::Incarnation;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::GatewayError;
use super::files::Prepared;
use crate::group::desk::FrontDesk;
use crate::group::{Group, Opening, replica_of, volume};
use crate::owned;
use crate::work::membership::certify;

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
    /// Until it has ended.
    pub(super) async fn ended(self) {
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Mesh {
    /// Shows the gateway's certificate, listens and answers.
    pub(super) async fn start(
        settings: &Settings,
        gateway: &GatewaySettings,
        prepared: &Prepared,
        incarnation: Incarnation,
    ) -> Result<Self, GatewayError> {
        let (cluster, identity) = (&settings.cluster, &prepared.identity);
        // Layouts come from the catalog, so nothing has to be kept.
        let trust = Arc::new(Trust::new(cluster.name.clone(), cluster.public_key, Box::new(|_, _| {})));
        // Without it nobody would talk to this gateway.
        certify(&trust, &prepared.secret.signing_key(), (&settings.node, identity.peer()))?;
        let encryption = cluster.bulk_encryption;
        let peers = Peers::new(identity.clone(), Arc::clone(&trust), incarnation).encrypting(encryption);
        let id = replica_of(&identity.peer());
        let desk = FrontDesk::new((settings.node.clone(), id), &gateway.catalog_members);
        let (listen, known) = (gateway.listen.bulk, Arc::clone(&trust));
        let server = BulkServer::bind(listen, identity, known, incarnation, desk.clone()).await?;
        let server = server.encrypting(identity, encryption)?;
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let bulk = Bulk { address, stop: stop.clone(), task: owned::spawn(server.run(stop)) };
        Ok(Self { trust, peers, desk, incarnation, bulk })
    }

    /// Takes part in the group that keeps the catalog: waits for as long as the others need.
    pub(super) async fn group(
        &self,
        settings: &Settings,
        gateway: &GatewaySettings,
        prepared: &Prepared,
    ) -> Result<Group, GatewayError> {
        let (identity, node) = (prepared.identity.clone(), settings.node.clone());
        let id = replica_of(&identity.peer());
        let members = gateway.catalog_members.clone();
        let others = members.iter().filter(|member| member.node != node).cloned();
        let gateways = Gateways::new(identity, Arc::clone(&self.trust), self.incarnation, others);
        let folder = volume::Folder { dir: gateway.data_dir.clone(), id };
        let opening = Opening { node, members, folder, gateways, desk: self.desk.clone() };
        Ok(Box::pin(opening.run()).await?)
    }
}
