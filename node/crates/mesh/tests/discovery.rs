//! The swarm: who is let in, what the DHT keeps, and what it is believed for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/stranger.rs"]
mod stranger;
#[path = "support/world.rs"]
mod world;

use std::net::{SocketAddr, TcpListener};
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
    start_at(loopback(), identity, trust, bootstrap, records).await
}

async fn start_at(
    listen: SocketAddr,
    identity: &Identity,
    trust: &Arc<Trust>,
    bootstrap: &[Endpoint],
    records: Arc<dyn RecordBytes>,
) -> Member {
    let peers = Peers::new(identity.clone(), trust.clone(), Incarnation(1));
    let config = SwarmConfig {
        identity: identity.clone(),
        node: NodeName::new("n").unwrap(),
        listen,
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

fn descriptor(peer: PeerKey, endpoint: &Endpoint) -> NodeDescriptor {
    let node = NodeName::new("someone").unwrap();
    NodeDescriptor { peer, node, endpoint: endpoint.clone(), incarnation: Incarnation(1), seq: 1 }
}

fn memory() -> Arc<dyn RecordBytes> {
    Arc::new(MemoryRecords::default())
}

/// What a process believes that has met these, by their certificates, and knows no layout yet. The first is a gateway.
fn met(world: &World, peers: &[PeerKey]) -> Arc<Trust> {
    let trust = world.trust();
    for (n, peer) in peers.iter().enumerate() {
        let storage = MemberRole::Storage { pool: pool(), zone: world::zone() };
        let role = if n == 0 { MemberRole::Gateway } else { storage };
        trust.admit(&world.certificate(role, *peer, 600).verify(&world.key.public(), peer, 0).unwrap());
    }
    trust
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_through_the_gateway_before_and_after_the_first_layout() {
    let world = World::new();
    let [g, a, b] = [(); 3].map(|()| Identity::generate().0);
    // The gateway has let both nodes in; each node has met the gateway and nobody else.
    let gateway = start(&g, &met(&world, &[g.peer(), a.peer(), b.peer()]), &[], memory()).await;
    // The gateway's own name may stand among its bootstrap addresses; here it has none.
    let bootstrap = [gateway.endpoint.clone()];
    let first = start(&a, &met(&world, &[g.peer(), a.peer()]), &bootstrap, memory()).await;
    let second = start(&b, &met(&world, &[g.peer(), b.peer()]), &bootstrap, memory()).await;
    gateway.connected_to(a.peer()).await;
    gateway.connected_to(b.peer()).await;
    until(async || gateway.peers.endpoint(&a.peer()).filter(|at| *at == first.endpoint)).await;
    for node in [&first, &second] {
        let connected = node.swarm.connected();
        assert!(connected.borrow().iter().all(|with| with.peer == g.peer()), "{:?}", connected.borrow());
    }

    let layout = world.layout(1, &[a.peer(), b.peer()]);
    for member in [&gateway, &first, &second] {
        member.trust.learn_layout(&layout).unwrap();
    }
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
    let certificate = world.certificate(MemberRole::Gateway, g.peer(), 600);
    gateway.swarm.publish_layout(pointer.clone(), certificate).await.unwrap();
    let mut wanted = second.trust.wanted();
    tokio::time::timeout(PATIENCE, wanted.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(second.swarm.layout_pointer(&pool()).await.unwrap(), Some(pointer));
    for member in [gateway, first, second] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_turned_away_and_leaves_nothing_behind_with_or_without_a_layout() {
    let world = World::new();
    let [g, a, b] = [(); 3].map(|()| Identity::generate().0);
    let records = Arc::new(MemoryRecords::default());
    let first = start(&a, &met(&world, &[g.peer(), a.peer(), b.peer()]), &[], records.clone()).await;
    let second = start(
        &b,
        &met(&world, &[g.peer(), b.peer(), a.peer()]),
        std::slice::from_ref(&first.endpoint),
        memory(),
    )
    .await;
    for layout in [None, Some(world.layout(1, &[a.peer(), b.peer()]))] {
        if let Some(layout) = layout {
            first.trust.learn_layout(&layout).unwrap();
        }
        let (stranger, bytes) = Identity::generate();
        let key = node_key(&stranger.peer());
        let record = descriptor(stranger.peer(), &first.endpoint).sign(&stranger).unwrap();
        let pushing = stranger::push(&bytes, &first.endpoint, (&key, &record));
        tokio::time::timeout(PATIENCE, pushing).await.expect("the stranger is still connected");
        // A member was let in meanwhile, and its record taken.
        first.connected_to(b.peer()).await;
        until(async || first.swarm.descriptor(&b.peer()).await.unwrap()).await;
        assert!(first.swarm.connected().borrow().iter().all(|with| with.peer == b.peer()));
        assert_eq!(first.swarm.get_record(key.clone()).await.unwrap(), None);
        assert_eq!(first.peers.endpoint(&stranger.peer()), None);
        let kept = records.iter(b"dht/").unwrap();
        assert!(!kept.is_empty() && kept.iter().all(|(kept, _)| !kept.ends_with(&key)));
    }
    for member in [first, second] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_else_has_the_listening_port_on_another_address_is_no_obstacle() {
    let world = World::new();
    let [g, a] = [(); 2].map(|()| Identity::generate().0);
    let gateway = start(&g, &met(&world, &[g.peer(), a.peer()]), &[], memory()).await;
    let other = TcpListener::bind("127.0.9.9:0").unwrap();
    let listen = SocketAddr::new(loopback().ip(), other.local_addr().unwrap().port());
    let bootstrap = [gateway.endpoint.clone()];
    let node = start_at(listen, &a, &met(&world, &[g.peer(), a.peer()]), &bootstrap, memory()).await;
    gateway.connected_to(a.peer()).await;
    drop(other);
    for member in [gateway, node] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_survives_the_restart_of_its_only_holder() {
    let world = World::new();
    let [a, b] = [(); 2].map(|()| Identity::generate().0);
    let records = memory();
    let trust = || met(&world, &[a.peer(), b.peer()]);
    let holder = start(&a, &trust(), &[], records.clone()).await;
    let publisher = start(&b, &trust(), std::slice::from_ref(&holder.endpoint), memory()).await;
    until(async || holder.swarm.descriptor(&b.peer()).await.unwrap()).await;
    let endpoint = publisher.endpoint.clone();
    publisher.stop().await;
    holder.stop().await;

    let holder = start(&a, &trust(), &[], records.clone()).await;
    assert!(holder.swarm.connected().borrow().is_empty());
    let found = holder.swarm.descriptor(&b.peer()).await.unwrap().unwrap();
    assert_eq!(found.endpoint, endpoint);
    until(async || holder.peers.endpoint(&b.peer()).filter(|at| *at == endpoint)).await;
    holder.stop().await;
    // Negative control: without the kept records nothing is found.
    let empty = start(&a, &trust(), &[], memory()).await;
    assert_eq!(empty.swarm.descriptor(&b.peer()).await.unwrap(), None);
    empty.stop().await;
    // Who does not know the publisher any more forgets what it said.
    let forgetful = start(&a, &met(&world, &[a.peer()]), &[], records.clone()).await;
    assert_eq!(forgetful.swarm.descriptor(&b.peer()).await.unwrap(), None);
    let key = node_key(&b.peer());
    assert!(records.iter(b"dht/").unwrap().iter().all(|(kept, _)| !kept.ends_with(&key)));
    forgetful.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_records_that_prove_themselves_are_taken() {
    let world = World::new();
    let [own, other, stranger] = [(); 3].map(|()| Identity::generate().0);
    let member = start(&own, &met(&world, &[own.peer(), other.peer()]), &[], memory()).await;
    let descriptor = descriptor(other.peer(), &member.endpoint);
    let put = async |key: Vec<u8>, value: Vec<u8>| member.swarm.put_record(key, value).await;
    let refused = |outcome: Result<(), SwarmError>| matches!(outcome, Err(SwarmError::Refused(_)));
    let good = descriptor.sign(&other).unwrap();
    // Nobody is there to take it, but it is kept here.
    assert!(matches!(put(node_key(&other.peer()), good.clone()).await, Err(SwarmError::NoPeer)));
    assert_eq!(member.swarm.get_record(node_key(&other.peer())).await.unwrap(), Some(good.clone()));

    let strangers = NodeDescriptor { peer: stranger.peer(), ..descriptor.clone() }.sign(&stranger).unwrap();
    assert!(refused(put(node_key(&stranger.peer()), strangers).await));
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
