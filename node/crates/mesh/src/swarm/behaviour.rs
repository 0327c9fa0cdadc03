//! What the swarm does on each connection, and who is let in.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::kad::{self, StoreInserts};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{PeerId, StreamProtocol, identify, ping};

use super::records::MeshRecords;
use crate::identity::{Identity, peer_of_id};
use crate::trust::Trust;

/// Connections at a time at most: every member of the largest pool, once in and once out.
const ESTABLISHED_MAX: u32 = 2048;
/// Connections to one peer at most: both sides may have dialled at once.
const PER_PEER_MAX: u32 = 2;
/// Handshakes going on at a time at most, each way.
const PENDING_MAX: u32 = 128;
/// How often each connected peer is pinged; its round-trip time is for status only.
const PING_PERIOD: Duration = Duration::from_secs(10);
/// A ping unanswered for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a record lives without being published again.
pub(super) const RECORD_TTL: Duration = Duration::from_secs(24 * 3600);
/// How often holders hand a record on to whoever is closest to its key by now.
const REPLICATION_PERIOD: Duration = Duration::from_secs(600);
/// Patience with a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one Kademlia message at most.
const PACKET_BYTES_MAX: usize = 16 << 10;
/// Lookups of one query in flight at most.
const PARALLELISM: NonZeroUsize = kad::ALPHA_VALUE;

const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/datamesh/kad/1");
const IDENTIFY_PROTOCOL: &str = "/datamesh/1";

/// Everything the swarm does.
#[derive(NetworkBehaviour)]
pub(super) struct MeshBehaviour {
    gate: Gate,
    limits: connection_limits::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    pub(super) kad: kad::Behaviour<MeshRecords>,
}

impl MeshBehaviour {
    pub(super) fn new(identity: &Identity, trust: Arc<Trust>, records: MeshRecords) -> Self {
        let id = identity.peer_id();
        let limits = ConnectionLimits::default()
            .with_max_established(Some(ESTABLISHED_MAX))
            .with_max_established_per_peer(Some(PER_PEER_MAX))
            .with_max_pending_incoming(Some(PENDING_MAX))
            .with_max_pending_outgoing(Some(PENDING_MAX));
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.into(), identity.libp2p().public())
            .with_agent_version(concat!("datamesh/", env!("CARGO_PKG_VERSION")).into());
        let mut kad = kad::Behaviour::with_config(id, records, kad_config());
        // All members reach each other directly: nobody waits to be found reachable from outside.
        kad.set_mode(Some(kad::Mode::Server));
        Self {
            gate: Gate { trust },
            limits: connection_limits::Behaviour::new(limits),
            ping: ping::Behaviour::new(
                ping::Config::new().with_interval(PING_PERIOD).with_timeout(PING_TIMEOUT),
            ),
            identify: identify::Behaviour::new(identify),
            kad,
        }
    }
}

fn kad_config() -> kad::Config {
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_record_ttl(Some(RECORD_TTL))
        .set_replication_interval(Some(REPLICATION_PERIOD))
        // Publishers publish again by themselves, with what is true by then.
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_max_packet_size(PACKET_BYTES_MAX)
        .set_parallelism(PARALLELISM)
        .set_query_timeout(QUERY_TIMEOUT);
    config
}

/// Lets in whom [`Trust`] knows, and nobody else: members of a layout, and before there is one whoever showed a
/// certificate of the cluster's key over the bulk transport. Kademlia then meets no strangers, keeps none in its table and
/// takes no records from them.
pub(super) struct Gate {
    trust: Arc<Trust>,
}

/// Why a connection is not let in.
#[derive(Debug, thiserror::Error)]
#[error("peer {0} is no member")]
struct NoMember(PeerId);

/// Whether the swarm talks to `id` at all.
pub(super) fn lets_in(trust: &Trust, id: &PeerId) -> bool {
    peer_of_id(id).is_some_and(|peer| trust.knows(&peer))
}

impl Gate {
    fn check(&self, id: PeerId) -> Result<(), ConnectionDenied> {
        if lets_in(&self.trust, &id) { Ok(()) } else { Err(ConnectionDenied::new(NoMember(id))) }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(peer).map(|()| dummy::ConnectionHandler)
    }

    /// Kademlia hears of peers from others; those that are strangers are not even called. Who is behind a bootstrap address
    /// shows once it answers.
    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        peer.map_or(Ok(()), |peer| self.check(peer)).map(|()| Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(peer).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
