//! Discovery: a libp2p swarm of the cluster's members, with Kademlia for small signed records.
//!
//! TCP, noise and yamux; the node's key is its libp2p identity. Shards never travel here.

mod behaviour;
pub(crate) mod descriptor;
mod dialing;
mod driver;
mod handle;
pub(crate) mod records;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datamesh_settings::Endpoint;
use datamesh_shard::{Incarnation, NodeName};
use futures::StreamExt;
use libp2p::core::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{noise, tcp, yamux};
use tokio_util::sync::CancellationToken;

use behaviour::MeshBehaviour;
use driver::Driver;
use records::MeshRecords;

use crate::identity::Identity;
use crate::peers::Peers;
use crate::trust::Trust;

pub use descriptor::{LayoutPointer, NodeDescriptor, RecordRefused, layout_key, node_key};
pub use handle::{ConnectedPeer, SwarmError, SwarmHandle};
pub use records::{MemoryRecords, RECORD_BYTES_MAX, RECORDS_MAX, RecordBytes, RecordBytesError, RecordPair};

/// A connection that carries nothing for this long is closed; pings keep those of members open.
const IDLE_CONNECTION: Duration = Duration::from_secs(3600);
/// Patience with the listening socket.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a swarm is made of.
pub struct SwarmConfig {
    /// Who takes part.
    pub identity: Identity,
    /// Under which name.
    pub node: NodeName,
    /// Where it listens; port 0: any.
    pub listen: SocketAddr,
    /// Where others reach this process, published as its descriptor. `mesh_port` 0 stands for the port that `listen`
    /// came to.
    pub announce: Endpoint,
    /// The process's incarnation.
    pub incarnation: Incarnation,
    /// Gateways, resolved anew at each attempt; may name this process itself.
    pub bootstrap: Vec<Endpoint>,
    /// Who is let in.
    pub trust: Arc<Trust>,
    /// Learns what the descriptors say.
    pub peers: Peers,
    /// Keeps the records over a restart.
    pub records: Arc<dyn RecordBytes>,
}

/// Why a swarm could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum SwarmBindError {
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordBytesError),
    /// noise does not take the identity.
    #[error("noise: {0}")]
    Noise(#[from] noise::Error),
    /// The address is not to be had.
    #[error("cannot listen on {address} for libp2p: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The transport's words.
        reason: String,
    },
}

/// A listening swarm.
pub struct Swarm {
    driver: Driver,
    handle: SwarmHandle,
    local_addr: SocketAddr,
}

impl Swarm {
    /// Listens; returns once it does.
    ///
    /// # Errors
    /// Names what is not to be had.
    pub async fn bind(mut config: SwarmConfig) -> Result<Self, SwarmBindError> {
        let records = MeshRecords::load(config.records.clone())?;
        let behaviour = MeshBehaviour::new(&config.identity, config.trust.clone(), records);
        let built = libp2p::SwarmBuilder::with_existing_identity(config.identity.libp2p())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
            .with_behaviour(|_| behaviour);
        let mut swarm = match built {
            Ok(built) => built.with_swarm_config(|c| c.with_idle_connection_timeout(IDLE_CONNECTION)).build(),
            Err(never) => match never {},
        };
        let local_addr = listen(&mut swarm, config.listen).await?;
        if config.announce.mesh_port == 0 {
            config.announce.mesh_port = local_addr.port();
        }
        let (driver, handle) = Driver::new(swarm, config);
        Ok(Self { driver, handle, local_addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// For asking it.
    #[must_use]
    pub fn handle(&self) -> SwarmHandle {
        self.handle.clone()
    }

    /// Runs until stopped.
    pub async fn run(self, stop: CancellationToken) {
        Box::pin(self.driver.run(stop)).await;
    }
}

async fn listen(
    swarm: &mut libp2p::Swarm<MeshBehaviour>,
    address: SocketAddr,
) -> Result<SocketAddr, SwarmBindError> {
    let failed = |reason: String| SwarmBindError::Listen { address, reason };
    swarm.listen_on(multiaddr_of(address)).map_err(|error| failed(error.to_string()))?;
    let listening = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address: bound, .. } => return Ok(bound),
                SwarmEvent::ListenerError { error, .. } => return Err(failed(error.to_string())),
                SwarmEvent::ListenerClosed { reason, .. } => return Err(failed(format!("{reason:?}"))),
                _ => {}
            }
        }
    };
    let bound = tokio::time::timeout(LISTEN_TIMEOUT, listening)
        .await
        .map_err(|_| failed(format!("not listening after {LISTEN_TIMEOUT:?}")))??;
    let port = bound.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    Ok(SocketAddr::new(address.ip(), port.unwrap_or(address.port())))
}

/// A TCP address in libp2p's words.
fn multiaddr_of(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}
