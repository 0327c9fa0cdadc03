//! Whom the swarm should be connected with and is not: bootstrap gateways and everyone in the address book.

use std::collections::HashMap;
use std::net::SocketAddr;

use datamesh_settings::Endpoint;
use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use tokio::task::JoinSet;

use super::driver::Connected;
use super::multiaddr_of;
use crate::identity::peer_id_of;
use crate::peers::Peers;
use crate::resolve::resolved;

/// Hosts being resolved at a time at most; the rest have their turn at the next round.
const RESOLVING_MAX: usize = 32;
/// Addresses of one host that are tried at most.
const ADDRESSES_MAX: usize = 8;
/// Addresses whose owners are remembered at most.
const OWNERS_MAX: usize = 4096;

struct Target {
    peer: Option<PeerId>,
    addresses: Vec<SocketAddr>,
}

/// Resolves hosts beside the swarm's task and says whom to dial.
#[derive(Default)]
pub(super) struct Dialing {
    resolving: JoinSet<Target>,
    /// Whom a bootstrap address led to, so that it is not dialled again while that peer is connected.
    owners: HashMap<Multiaddr, PeerId>,
    /// Where in the address book the next round begins.
    cursor: usize,
}

impl Dialing {
    /// Begins a round.
    pub(super) fn begin(&mut self, bootstrap: &[Endpoint], peers: &Peers, connected: &Connected) {
        for endpoint in bootstrap {
            self.resolve(None, endpoint.clone());
        }
        let book = peers.all();
        let missing: Vec<_> = book
            .into_iter()
            .filter_map(|status| Some((peer_id_of(&status.peer)?, status.endpoint)))
            .filter(|(id, _)| !connected.contains_key(id))
            .collect();
        let count = missing.len();
        for (id, endpoint) in missing.into_iter().cycle().skip(self.cursor % count.max(1)).take(count) {
            if self.resolve(Some(id), endpoint) {
                self.cursor = self.cursor.wrapping_add(1);
            }
        }
    }

    /// The next peer to dial; pends while there is none.
    pub(super) async fn next(&mut self, connected: &Connected) -> Vec<DialOpts> {
        match self.resolving.join_next().await {
            Some(Ok(target)) => self.options(target, connected),
            Some(Err(_)) => Vec::new(),
            None => std::future::pending().await,
        }
    }

    /// Notes who answered at an address.
    pub(super) fn note_owner(&mut self, address: Multiaddr, peer: PeerId) {
        if self.owners.len() < OWNERS_MAX {
            self.owners.insert(address, peer);
        }
    }

    /// Forgets who answered at an address, since it may be another by now.
    pub(super) fn forget_owner(&mut self, peer: &PeerId) {
        self.owners.retain(|_, owner| owner != peer);
    }

    fn resolve(&mut self, peer: Option<PeerId>, endpoint: Endpoint) -> bool {
        if self.resolving.len() >= RESOLVING_MAX {
            return false;
        }
        self.resolving.spawn(async move {
            let addresses = match resolved(&endpoint.host, endpoint.mesh_port).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    tracing::debug!(host = endpoint.host, %error, "resolving for libp2p");
                    Vec::new()
                }
            };
            Target { peer, addresses }
        });
        true
    }

    /// Calls come from a port of their own: libp2p would take the listening one, for the sake of holes in firewalls that are
    /// not punched here, and fails for as long as any other socket of the machine has that port on any address.
    fn options(&self, target: Target, connected: &Connected) -> Vec<DialOpts> {
        let addresses: Vec<_> = target.addresses.into_iter().take(ADDRESSES_MAX).map(multiaddr_of).collect();
        match target.peer {
            Some(peer) if addresses.is_empty() || connected.contains_key(&peer) => Vec::new(),
            Some(peer) => vec![
                DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(addresses)
                    .allocate_new_port()
                    .build(),
            ],
            None => addresses
                .into_iter()
                .filter(|address| {
                    !self.owners.get(address).is_some_and(|owner| connected.contains_key(owner))
                })
                .map(|address| DialOpts::unknown_peer_id().address(address).allocate_new_port().build())
                .collect(),
        }
    }
}
