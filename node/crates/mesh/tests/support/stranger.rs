//! A peer nobody knows, which speaks the swarm's protocols all the same.

use std::time::Duration;

use datamesh_settings::Endpoint;
use futures::StreamExt;
use libp2p::core::Multiaddr;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, Quorum, Record};
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{StreamProtocol, SwarmBuilder, noise, tcp, yamux};

/// It never hangs up by itself.
const FOREVER: Duration = Duration::from_secs(3600);

/// Connects as `identity` (a version byte and the seed), offers a record of key and value, and stays until turned away.
pub(crate) async fn push(identity: &[u8], at: &Endpoint, (key, value): (&[u8], &[u8])) {
    let keypair = Keypair::ed25519_from_bytes(identity[1..].to_vec()).unwrap();
    let id = keypair.public().to_peer_id();
    let config = kad::Config::new(StreamProtocol::new("/datamesh/kad/1"));
    let kad = kad::Behaviour::with_config(id, MemoryStore::new(id), config);
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| kad)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(FOREVER))
        .build();
    let address: Multiaddr = format!("/ip4/{}/tcp/{}", at.host, at.mesh_port).parse().unwrap();
    swarm.dial(DialOpts::unknown_peer_id().address(address.clone()).build()).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                swarm.behaviour_mut().add_address(&peer_id, address.clone());
                let record = Record::new(key.to_vec(), value.to_vec());
                swarm.behaviour_mut().put_record(record, Quorum::One).unwrap();
            }
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => return,
            _ => {}
        }
    }
}
