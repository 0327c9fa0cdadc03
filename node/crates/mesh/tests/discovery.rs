//! The swarm: who is let in, what the DHT keeps, and what it is believed for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::{
    ConnectedPeer, Identity, LayoutPointer, MemoryRecords, NodeDescriptor, Peers, RecordBytes, Swarm,
    SwarmConfig, SwarmError, SwarmHandle, Trust, layout_key, node_key,
};
use datamesh_seal::MemberRole;
use datamesh_settings::Endpoint;
use datamesh_shard::{Epoch, Incarnation, NodeName, PeerKey};
use tokio_util::sync::CancellationToken;
use world::{World, loopback, pool};

const PATIENCE: Duration = Duration::from_secs(20);

struct Member {
    identity: Identity,
    trust: Arc<Trust>,
    peers: Peers,
    swarm: SwarmHandle,
    endpoint: Endpoint,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

async fn start(
    identity: &Identity,
    trust: &Arc<Trust>,
    bootstrap: &[Endpoint],
    records: Arc<dyn RecordBytes>,
) -> Member {
    let peers = Peers::new(identity.clone(), trust.clone(), Incarnation(1));
    let config = SwarmConfig {
        identity: identity.clone(),
        node: NodeName::new("n").unwrap(),
        listen: loopback(),
        announce: Endpoint { host: "127.0.0.1".into(), mesh_port: 0, bulk_port: 7 },
        incarnation: Incarnation(1),
        bootstrap: bootstrap.to_vec(),
        trust: trust.clone(),
        peers: peers.clone(),
        records,
    };
    let swarm = Swarm::bind(config).await.unwrap();
    let (handle, port, stop) = (swarm.handle(), swarm.local_addr().port(), CancellationToken::new());
    assert_ne!(port, 0);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(swarm.run(stop.clone()));
    let endpoint = Endpoint { host: "127.0.0.1".into(), mesh_port: port, bulk_port: 7 };
    Member { identity: identity.clone(), trust: trust.clone(), peers, swarm: handle, endpoint, stop, tasks }
}

impl Member {
    async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }

    async fn connected_to(&self, peer: PeerKey) {
        let has = |list: &Vec<ConnectedPeer>| list.iter().any(|connected| connected.peer == peer);
        let mut connected = self.swarm.connected();
        tokio::time::timeout(PATIENCE, connected.wait_for(has)).await.unwrap().unwrap();
    }
}

/// Awaits what comes by asking again; nothing wakes the asker.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

fn memory() -> Arc<dyn RecordBytes> {
    Arc::new(MemoryRecords::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_through_the_gateway() {
    let world = World::new();
    let [g, a, b] = [(); 3].map(|()| Identity::generate().0);
    let gateway_certificate = world.certificate(MemberRole::Gateway, g.peer(), 600);
    let trust = |own: &Identity| {
        let trust = world.trust();
        trust.learn_layout(&world.layout(1, &[a.peer(), b.peer()])).unwrap();
        trust.admit(&gateway_certificate.verify(&world.key.public(), &g.peer(), 0).unwrap());
        assert_eq!(trust.knows_gateway(&own.peer()), own.peer() == g.peer());
        trust
    };
    let gateway = start(&g, &trust(&g), &[], memory()).await;
    // The gateway's own name may stand among its bootstrap addresses; here it has none.
    let bootstrap = [gateway.endpoint.clone()];
    let first = start(&a, &trust(&a), &bootstrap, memory()).await;
    let second = start(&b, &trust(&b), &bootstrap, memory()).await;
    gateway.connected_to(a.peer()).await;
    gateway.connected_to(b.peer()).await;

    // Descriptors come by themselves, into the DHT and into the address books.
    let found = until(async || gateway.swarm.descriptor(&a.peer()).await.unwrap()).await;
    assert_eq!((found.peer, &found.endpoint), (a.peer(), &first.endpoint));
    until(async || second.peers.endpoint(&a.peer()).filter(|at| *at == first.endpoint)).await;
    until(async || gateway.peers.endpoint(&b.peer()).filter(|at| *at == second.endpoint)).await;
    // And by the address books members connect directly.
    second.connected_to(a.peer()).await;
    until(async || second.swarm.rtt(&a.peer())).await;

    // A layout pointer of a gateway reaches members, who then want the layout.
    let pointer = LayoutPointer { pool: pool(), epoch: Epoch(2), hash: [7; 32] };
    gateway.swarm.publish_layout(pointer.clone(), gateway_certificate).await.unwrap();
    let mut wanted = second.trust.wanted();
    tokio::time::timeout(PATIENCE, wanted.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(second.swarm.layout_pointer(&pool()).await.unwrap(), Some(pointer));
    for member in [gateway, first, second] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_let_in_only_while_no_layout_is_known() {
    let world = World::new();
    let [a, b, stranger] = [(); 3].map(|()| Identity::generate().0);
    let trust = world.trust();
    let first = start(&a, &trust, &[], memory()).await;
    let bootstrap = [first.endpoint.clone()];
    let other = start(&stranger, &world.trust(), &bootstrap, memory()).await;
    first.connected_to(stranger.peer()).await;

    trust.learn_layout(&world.layout(1, &[a.peer(), b.peer()])).unwrap();
    let gone = |list: &Vec<ConnectedPeer>| list.is_empty();
    tokio::time::timeout(PATIENCE, first.swarm.connected().wait_for(gone)).await.unwrap().unwrap();
    // A member is let in, at a time at which the stranger keeps trying.
    let second = start(&b, &trust, &bootstrap, memory()).await;
    first.connected_to(b.peer()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(first.swarm.connected().borrow().iter().all(|connected| connected.peer == b.peer()));
    for member in [first, other, second] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_survives_the_restart_of_its_only_holder() {
    let world = World::new();
    let [a, b] = [(); 2].map(|()| Identity::generate().0);
    let records = memory();
    let holder = start(&a, &world.trust(), &[], records.clone()).await;
    let publisher = start(&b, &world.trust(), std::slice::from_ref(&holder.endpoint), memory()).await;
    until(async || holder.swarm.descriptor(&b.peer()).await.unwrap()).await;
    let endpoint = publisher.endpoint.clone();
    publisher.stop().await;
    holder.stop().await;

    let holder = start(&a, &world.trust(), &[], records).await;
    assert!(holder.swarm.connected().borrow().is_empty());
    let found = holder.swarm.descriptor(&b.peer()).await.unwrap().unwrap();
    assert_eq!(found.endpoint, endpoint);
    until(async || holder.peers.endpoint(&b.peer()).filter(|at| *at == endpoint)).await;
    holder.stop().await;
    // Negative control: without the kept records nothing is found.
    let empty = start(&a, &world.trust(), &[], memory()).await;
    assert_eq!(empty.swarm.descriptor(&b.peer()).await.unwrap(), None);
    empty.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_records_that_prove_themselves_are_taken() {
    let world = World::new();
    let member = start(&Identity::generate().0, &world.trust(), &[], memory()).await;
    let other = Identity::generate().0;
    let descriptor = NodeDescriptor {
        peer: other.peer(),
        node: NodeName::new("o").unwrap(),
        endpoint: member.endpoint.clone(),
        incarnation: Incarnation(1),
        seq: 1,
    };
    let put = async |key: Vec<u8>, value: Vec<u8>| member.swarm.put_record(key, value).await;
    let refused = |outcome: Result<(), SwarmError>| matches!(outcome, Err(SwarmError::Refused(_)));
    let good = descriptor.sign(&other).unwrap();
    // Nobody is there to take it, but it is kept here.
    assert!(matches!(put(node_key(&other.peer()), good.clone()).await, Err(SwarmError::NoPeer)));
    assert_eq!(member.swarm.get_record(node_key(&other.peer())).await.unwrap(), Some(good.clone()));

    assert!(refused(put(b"anything".to_vec(), good.clone()).await));
    assert!(refused(put(node_key(&member.identity.peer()), good.clone()).await), "under another's key");
    assert!(refused(put(node_key(&other.peer()), descriptor.sign(&member.identity).unwrap()).await));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(refused(put(node_key(&other.peer()), flipped).await), "byte {at}");
    }
    let pointer = LayoutPointer { pool: pool(), epoch: Epoch(9), hash: [1; 32] };
    let gateway = world.certificate(MemberRole::Gateway, other.peer(), 60);
    let storage = MemberRole::Storage { pool: pool(), zone: world::zone() };
    let storage = world.certificate(storage, other.peer(), 60);
    let borrowed = pointer.sign(&member.identity, &gateway).unwrap();
    assert!(refused(put(layout_key(&pool()), borrowed).await));
    assert!(refused(put(layout_key(&pool()), pointer.sign(&other, &storage).unwrap()).await));
    let fine = pointer.sign(&other, &gateway).unwrap();
    assert!(matches!(put(layout_key(&pool()), fine).await, Err(SwarmError::NoPeer)), "positive control");
    member.stop().await;
}
