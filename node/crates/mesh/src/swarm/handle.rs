//! Asking the swarm's task.

use std::time::Duration;

use datamesh_seal::SignedCertificate;
use datamesh_shard::{PeerKey, PoolName};
use tokio::sync::{mpsc, oneshot, watch};

use super::descriptor::{LayoutPointer, NodeDescriptor, RecordRefused};

/// Requests to the swarm's task that wait at most; askers beyond it wait themselves.
pub(super) const COMMANDS_MAX: usize = 64;

/// A peer the swarm is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedPeer {
    /// Its key.
    pub peer: PeerKey,
    /// Round-trip time of the last ping, once there was one.
    pub rtt: Option<Duration>,
}

/// Why the swarm did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// Its task has ended.
    #[error("the swarm is stopped")]
    Stopped,
    /// The record is not one that members would believe.
    #[error(transparent)]
    Refused(#[from] RecordRefused),
    /// The own store of records does not take it.
    #[error("the record store: {0}")]
    Store(#[from] libp2p::kad::store::Error),
    /// No peer took the record. It is kept here and handed on when peers are there.
    #[error("no peer took the record")]
    NoPeer,
    /// The record cannot be encoded.
    #[error(transparent)]
    Encode(#[from] postcard::Error),
}

pub(super) type PutReply = oneshot::Sender<Result<(), SwarmError>>;
pub(super) type GetReply = oneshot::Sender<Option<Vec<u8>>>;

pub(super) enum Command {
    Put { key: Vec<u8>, value: Vec<u8>, reply: PutReply },
    Get { key: Vec<u8>, reply: GetReply },
    PublishLayout { pointer: LayoutPointer, certificate: SignedCertificate },
}

/// Asks one swarm. Cheap to clone.
#[derive(Clone)]
pub struct SwarmHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) connected: watch::Receiver<Vec<ConnectedPeer>>,
}

impl SwarmHandle {
    /// Publishes a record. Its key and value must be a [`NodeDescriptor`]'s or a [`LayoutPointer`]'s.
    ///
    /// # Errors
    /// Says why it is not published.
    pub async fn put_record(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), SwarmError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Put { key, value, reply }).await?;
        answer.await.map_err(|_| SwarmError::Stopped)?
    }

    /// The newest believable record under `key` that is found here or at the peers closest to the key.
    ///
    /// # Errors
    /// When the swarm is stopped.
    pub async fn get_record(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, SwarmError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Get { key, reply }).await?;
        answer.await.map_err(|_| SwarmError::Stopped)
    }

    /// Publishes, now and again and again, that a layout exists. For gateways: `certificate` is the own one.
    ///
    /// # Errors
    /// When the swarm is stopped.
    pub async fn publish_layout(
        &self,
        pointer: LayoutPointer,
        certificate: SignedCertificate,
    ) -> Result<(), SwarmError> {
        self.send(Command::PublishLayout { pointer, certificate }).await
    }

    /// Where `peer` is by its own newest descriptor.
    ///
    /// # Errors
    /// When the swarm is stopped.
    pub async fn descriptor(&self, peer: &PeerKey) -> Result<Option<NodeDescriptor>, SwarmError> {
        let value = self.get_record(super::node_key(peer)).await?;
        Ok(value.and_then(|value| super::descriptor::read_node(&value)))
    }

    /// The newest layout of `pool` that the DHT knows of.
    ///
    /// # Errors
    /// When the swarm is stopped.
    pub async fn layout_pointer(&self, pool: &PoolName) -> Result<Option<LayoutPointer>, SwarmError> {
        let value = self.get_record(super::layout_key(pool)).await?;
        Ok(value.and_then(|value| super::descriptor::read_pointer(&value)))
    }

    /// Whom the swarm is connected with, by key; changes wake the receiver.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<Vec<ConnectedPeer>> {
        self.connected.clone()
    }

    /// Round-trip time of the last ping to `peer`, if connected.
    #[must_use]
    pub fn rtt(&self, peer: &PeerKey) -> Option<Duration> {
        self.connected.borrow().iter().find(|connected| connected.peer == *peer)?.rtt
    }

    async fn send(&self, command: Command) -> Result<(), SwarmError> {
        self.commands.send(command).await.map_err(|_| SwarmError::Stopped)
    }
}
