//! The swarm's one task: turns its events into what the rest of the process wants to know.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use datamesh_seal::SignedCertificate;
use datamesh_shard::PoolName;
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::core::multiaddr::{Multiaddr, Protocol};
use libp2p::kad::{self, GetRecordOk, InboundRequest, QueryId, QueryResult, Quorum, Record, RecordKey};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, identify};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::SwarmConfig;
use super::behaviour::{MeshBehaviour, MeshBehaviourEvent, lets_in};
use super::descriptor::{LayoutPointer, NodeDescriptor, node_key};
use super::dialing::Dialing;
use super::handle::{COMMANDS_MAX, Command, ConnectedPeer, GetReply, PutReply, SwarmError, SwarmHandle};
use crate::identity::peer_of_id;
use crate::trust::now_unix;

mod answers;
mod believed;

/// The task's heartbeat.
const TICK: Duration = Duration::from_secs(1);
/// Heartbeats between two attempts to reach who is not connected, while someone is.
const ROUND_TICKS: u64 = 5;
/// Heartbeats between two lookups of members' descriptors.
const LOOKUP_TICKS: u64 = 10;
/// Descriptors looked up at a time.
const LOOKUPS_AT_ONCE: usize = 16;
/// How often the own records are published again. Well below their time to live, often enough that a holder which
/// lost them has them back soon.
const PUBLISH_PERIOD: Duration = Duration::from_secs(300);
/// After a publication that nobody took, or a new acquaintance, the next one follows this soon.
const PUBLISH_SOON: Duration = Duration::from_secs(2);
/// Addresses of one peer that are believed at most.
const ADDRESSES_MAX: usize = 8;

/// Connected peers.
pub(super) type Connected = HashMap<PeerId, Acquaintance>;

/// What is known of a connected peer.
pub(super) struct Acquaintance {
    rtt: Option<Duration>,
    loopback: bool,
}

/// A lookup that is going on.
struct Lookup {
    best: Option<((u64, u64), Vec<u8>)>,
    reply: Option<GetReply>,
}

pub(super) struct Driver {
    swarm: libp2p::Swarm<MeshBehaviour>,
    config: SwarmConfig,
    commands: mpsc::Receiver<Command>,
    published: watch::Sender<Vec<ConnectedPeer>>,
    connected: Connected,
    dialing: Dialing,
    /// `None`: an own publication, whose outcome only decides when the next one is.
    puts: HashMap<QueryId, Option<PutReply>>,
    lookups: HashMap<QueryId, Lookup>,
    pointers: HashMap<PoolName, (LayoutPointer, SignedCertificate)>,
    publish_at: Instant,
    ticks: u64,
    lookup_cursor: usize,
}

impl Driver {
    pub(super) fn new(swarm: libp2p::Swarm<MeshBehaviour>, config: SwarmConfig) -> (Self, SwarmHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (published, connected) = watch::channel(Vec::new());
        let driver = Self {
            swarm,
            config,
            commands,
            published,
            connected: HashMap::new(),
            dialing: Dialing::default(),
            puts: HashMap::new(),
            lookups: HashMap::new(),
            pointers: HashMap::new(),
            publish_at: Instant::now(),
            ticks: 0,
            lookup_cursor: 0,
        };
        (driver, SwarmHandle { commands: sender, connected })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.believe_stored();
        let mut changes = self.config.trust.changes();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.tick(),
                Ok(()) = changes.changed() => self.membership_changed(),
                Some(command) = self.commands.recv() => self.obey(command),
                event = self.swarm.select_next_some() => self.note(event),
                targets = self.dialing.next(&self.connected) => {
                    for target in targets {
                        if let Err(error) = self.swarm.dial(target) {
                            tracing::trace!(%error, "not dialled");
                        }
                    }
                }
            }
        }
    }

    fn tick(&mut self) {
        let alone = self.connected.is_empty();
        if alone || self.ticks.is_multiple_of(ROUND_TICKS) {
            self.reach_out();
        }
        if !alone && self.ticks.is_multiple_of(LOOKUP_TICKS) {
            self.look_up_members();
        }
        if Instant::now() >= self.publish_at {
            self.publish_own();
        }
        self.ticks += 1;
    }

    fn membership_changed(&mut self) {
        let trust = &self.config.trust;
        let expelled: Vec<_> = self.connected.keys().filter(|id| !lets_in(trust, id)).copied().collect();
        for id in expelled {
            tracing::info!(peer = %id, "no longer a member: libp2p connection closed");
            self.swarm.behaviour_mut().kad.remove_peer(&id);
            if self.swarm.disconnect_peer_id(id).is_err() {
                tracing::trace!(peer = %id, "was not connected any more");
            }
        }
        self.reach_out();
    }

    /// Begins to call those who are not connected. Before it was let in itself it knows of nobody whom to believe, and
    /// nobody would let it in: joining comes first.
    fn reach_out(&mut self) {
        if self.config.trust.knows(&self.config.identity.peer()) {
            self.dialing.begin(&self.config.bootstrap, &self.config.peers, &self.connected);
        }
    }

    fn note(&mut self, event: SwarmEvent<MeshBehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.note_connection(peer_id, &endpoint)
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.connected.remove(&peer_id);
                self.dialing.forget_owner(&peer_id);
                self.publish_connected();
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "libp2p connection failed");
            }
            SwarmEvent::Behaviour(MeshBehaviourEvent::Ping(event)) => {
                if let (Ok(rtt), Some(known)) = (event.result, self.connected.get_mut(&event.peer)) {
                    known.rtt = Some(rtt);
                    self.publish_connected();
                }
            }
            SwarmEvent::Behaviour(MeshBehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                self.note_addresses(peer_id, info.listen_addrs);
            }
            SwarmEvent::Behaviour(MeshBehaviourEvent::Kad(event)) => self.note_kad(event),
            _ => {}
        }
    }

    fn note_connection(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        let remote = endpoint.get_remote_address();
        if endpoint.is_dialer() {
            let address: Multiaddr = remote.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
            self.dialing.note_owner(address, peer);
        }
        let new = Acquaintance { rtt: None, loopback: is_loopback(remote) };
        if self.connected.insert(peer, new).is_none() {
            tracing::debug!(%peer, "libp2p connection");
            self.publish_connected();
        }
    }

    /// Kademlia needs to know where to reach who reached us. A peer that listens on all its addresses also names its
    /// loopback one, which leads others to themselves.
    fn note_addresses(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let Some(known) = self.connected.get(&peer) else {
            return;
        };
        let loopback = known.loopback;
        for address in addresses.into_iter().filter(|a| loopback || !is_loopback(a)).take(ADDRESSES_MAX) {
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
        self.publish_at = self.publish_at.min(Instant::now() + PUBLISH_SOON);
    }

    fn publish_connected(&self) {
        let mut list: Vec<_> = self
            .connected
            .iter()
            .filter_map(|(id, known)| Some(ConnectedPeer { peer: peer_of_id(id)?, rtt: known.rtt }))
            .collect();
        list.sort_unstable_by_key(|connected| connected.peer);
        self.published.send_replace(list);
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}
