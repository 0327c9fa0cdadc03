//! A storage node: serves its store's shards, joins the cluster and stays in it, and takes part in discovery.

mod join;
pub(crate) mod kept;

use std::net::SocketAddr;
use std::sync::Arc;

use datamesh_seal::SignedCertificate;
use datamesh_settings::{Endpoint, Role, Settings, StorageSettings};
use datamesh_store::{NodeKeyError, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dial::Dialer;
use crate::identity::{Identity, IdentityError};
use crate::keeper::{Crier, Homing, Keeper, KeeperParts, Pace, Scrub, Steward, StorageService};
use crate::peers::Peers;
use crate::server::{BulkServer, ServerError};
use crate::swarm::{RecordBytes, RecordBytesError, Swarm, SwarmBindError, SwarmConfig, SwarmHandle};
use crate::trust::{Trust, now_unix};
use crate::wire::receive_buffers;
use crate::worker;
use join::Joiner;
use kept::Kept;

/// Where the pod's own address stands on Kubernetes.
const ADVERTISE_HOST: &str = "ADVERTISE_HOST";

/// Whether a node takes part in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not let in yet, or its certificate has expired; it keeps trying.
    Joining {
        /// What the last attempt came to.
        reason: String,
    },
    /// It holds a certificate and serves.
    Ready,
}

/// Why a storage node could not be bound, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The settings are of another role.
    #[error("these settings are not a storage node's")]
    Role,
    /// The identity on the volume cannot be read or made.
    #[error(transparent)]
    NodeKey(#[from] NodeKeyError),
    /// The identity on the volume is none.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What is kept on the volume cannot be read.
    #[error(transparent)]
    Records(#[from] RecordBytesError),
    /// The bulk server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The swarm.
    #[error(transparent)]
    Swarm(#[from] SwarmBindError),
    /// A part ended although nobody stopped it.
    #[error("{0} ended before it was stopped")]
    Ended(&'static str),
}

/// A storage node that listens.
pub struct StorageNode {
    server: BulkServer<StorageService>,
    swarm: Swarm,
    joiner: Joiner,
    peers: Peers,
    steward: Steward,
    homing: Homing,
    scrub: Scrub,
    crier: Crier,
    identity: Identity,
    endpoint: Endpoint,
    trust: Arc<Trust>,
    ready: watch::Receiver<Readiness>,
}

impl StorageNode {
    /// Reads what the volume knows, and listens. Serves nothing before [`StorageNode::run`].
    ///
    /// # Errors
    /// Says what is missing.
    pub async fn bind(settings: &Settings, store: Store) -> Result<Self, NodeError> {
        let Role::Storage(storage) = &settings.role else {
            return Err(NodeError::Role);
        };
        let identity = Identity::from_bytes(&store.node_key(|| Identity::generate().1.to_vec())?)?;
        let records: Arc<dyn RecordBytes> = Arc::new(store.records());
        let kept = Kept::new(records.clone());
        let trust = recall(settings, &identity, &kept)?;
        let incarnation = store.incarnation();
        let encryption = settings.cluster.bulk_encryption;
        let peers = Peers::new(identity.clone(), trust.clone(), incarnation).encrypting(encryption);
        let Keeper { service, steward, homing, scrub, crier } = Keeper::new(KeeperParts {
            shelf: Arc::new(store),
            records: Arc::clone(&records),
            net: Arc::new(peers.clone()),
            trust: trust.clone(),
            pool: storage.pool.clone(),
            own: identity.peer(),
            clock: Arc::new(now_unix),
            pace: Pace::default(),
        });
        let server =
            BulkServer::bind(storage.listen.bulk, &identity, trust.clone(), incarnation, service).await?;
        let server = server.encrypting(&identity, encryption)?;
        let mut endpoint =
            Endpoint { host: advertised_host(storage), mesh_port: 0, bulk_port: server.local_addr().port() };
        let swarm = Box::pin(Swarm::bind(SwarmConfig {
            identity: identity.clone(),
            node: settings.node.clone(),
            listen: storage.listen.mesh,
            announce: endpoint.clone(),
            incarnation,
            bootstrap: settings.cluster.gateways.clone(),
            trust: trust.clone(),
            peers: peers.clone(),
            records,
        }))
        .await?;
        endpoint.mesh_port = swarm.local_addr().port();
        let dialer = Dialer {
            identity: identity.clone(),
            trust: trust.clone(),
            incarnation,
            buffers: receive_buffers(),
            encryption,
        };
        let (joiner, ready) = Joiner::new(settings, storage, endpoint.clone(), dialer, kept);
        Ok(Self {
            server,
            swarm,
            joiner,
            peers,
            steward,
            homing,
            scrub,
            crier,
            identity,
            endpoint,
            trust,
            ready,
        })
    }

    /// The same node at another pace: tests do not wait for minutes.
    #[must_use]
    pub fn paced(mut self, pace: Pace) -> Self {
        (self.steward.pace, self.homing.pace, self.scrub.pace, self.crier.pace) = (pace, pace, pace, pace);
        self
    }

    /// Its key.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where others reach it.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where its bulk server listens.
    #[must_use]
    pub fn bulk_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What it believes.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
    }

    /// For asking its swarm.
    #[must_use]
    pub fn swarm(&self) -> SwarmHandle {
        self.swarm.handle()
    }

    /// Whether it takes part.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<Readiness> {
        self.ready.clone()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When a part ends by itself.
    pub async fn run(self, stop: CancellationToken) -> Result<(), NodeError> {
        let child = stop.child_token();
        let mut tasks: JoinSet<&'static str> = JoinSet::new();
        let Self { server, swarm, joiner, peers, steward, homing, scrub, crier, .. } = self;
        let (for_server, for_swarm, for_joiner) = (child.clone(), child.clone(), child.clone());
        let (for_peers, for_steward, for_homing) = (child.clone(), child.clone(), child.clone());
        let (for_scrub, for_crier) = (child.clone(), child.clone());
        tasks.spawn(async move {
            server.run(for_server).await;
            "the bulk server"
        });
        tasks.spawn(async move {
            swarm.run(for_swarm).await;
            "the swarm"
        });
        tasks.spawn(async move {
            joiner.run(for_joiner).await;
            "joining"
        });
        tasks.spawn(async move {
            peers.run(for_peers).await;
            "probing"
        });
        tasks.spawn(async move {
            worker::run(steward, for_steward).await;
            "the steward"
        });
        tasks.spawn(async move {
            worker::run(homing, for_homing).await;
            "homing"
        });
        tasks.spawn(async move {
            worker::run(scrub, for_scrub).await;
            "the scrub"
        });
        tasks.spawn(async move {
            worker::run(crier, for_crier).await;
            "the crier"
        });
        let first = tasks.join_next().await;
        let early = !stop.is_cancelled();
        child.cancel();
        while tasks.join_next().await.is_some() {}
        match first {
            Some(Ok(name)) if early => Err(NodeError::Ended(name)),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => Ok(()),
        }
    }
}

/// What this node believed when it last ran, as far as it still holds.
fn recall(settings: &Settings, identity: &Identity, kept: &Kept) -> Result<Arc<Trust>, NodeError> {
    let keeper = kept.clone();
    let keep = Box::new(move |pool: &_, layout: &_| keeper.keep_layout(pool, layout));
    let trust = Arc::new(Trust::new(settings.cluster.name.clone(), settings.cluster.public_key, keep));
    for layout in kept.layouts()? {
        if let Err(error) = trust.learn_layout(&layout) {
            tracing::warn!(%error, "a kept layout is not believed");
        }
    }
    if let Some(certificate) = kept.certificate()?
        && let Err(error) = show(&trust, &certificate, identity)
    {
        tracing::info!(%error, "the kept certificate does not hold any more; joining anew");
    }
    Ok(trust)
}

fn show(
    trust: &Trust,
    certificate: &SignedCertificate,
    identity: &Identity,
) -> Result<(), crate::trust::NotTrusted> {
    let checked = trust.set_own(certificate, &identity.peer())?;
    let left = checked.not_after_unix.saturating_sub(now_unix());
    tracing::debug!(seconds = left, "own certificate");
    Ok(())
}

/// The host others reach this node by: as set, else from the environment, else where it listens.
fn advertised_host(settings: &StorageSettings) -> String {
    settings
        .advertise_host
        .clone()
        .or_else(|| std::env::var(ADVERTISE_HOST).ok())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| settings.listen.bulk.ip().to_string())
}
