//! A storage node whole, against a gateway that lives in the test.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datamesh_exchange::message::{Joined, Refusal, Request, Response};
use datamesh_mesh::{Caller, Identity, Peers, Readiness, StorageNode, SwarmHandle, Trust};
use datamesh_placement::{Layout, SignedLayout, Table};
use datamesh_seal::{ClusterSecret, MemberRole};
use datamesh_settings::{
    BulkEncryption, ClusterSettings, Endpoint, Listen, Role, SETTINGS_VERSION, Settings, StorageSettings,
};
use datamesh_shard::{Epoch, Generation, Held, Incarnation, NodeName, PeerKey, PoolName, ShardIndex};
use datamesh_store::{Store, StoreOptions};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use world::{
    MemoryShards, PATIENCE, Running, World, cluster, loopback, noise, pool, put, segment, serve, zone,
};

struct Gateway {
    running: Running,
    handler: MemoryShards,
    identity: Identity,
    trust: Arc<Trust>,
    layouts: Arc<Mutex<Vec<SignedLayout>>>,
}

impl Gateway {
    async fn start(world: &World, secret: &ClusterSecret, listen: SocketAddr, identity: Identity) -> Self {
        let trust = world.gateway_trust(&identity);
        let layouts: Arc<Mutex<Vec<SignedLayout>>> = Arc::default();
        let (signer, given) = (World { key: secret.signing_key() }, layouts.clone());
        let answer = move |caller: &Caller| {
            let role = MemberRole::Storage { pool: pool(), zone: zone() };
            let certificate = signer.certificate(role, caller.peer, 3600);
            let certificate = postcard::to_stdvec(&certificate).unwrap();
            Joined { certificate, layouts: given.lock().clone(), gateways: vec![] }
        };
        let handler = MemoryShards { answer: Some(Arc::new(answer)), ..MemoryShards::default() };
        let running = serve(listen, &identity, trust.clone(), handler.clone()).await;
        Self { running, handler, identity, trust, layouts }
    }

    /// The address book knows `node` at `endpoint`.
    fn peers(&self, node: PeerKey, endpoint: &Endpoint, incarnation: Incarnation) -> Peers {
        let peers = Peers::new(self.identity.clone(), self.trust.clone(), Incarnation(1));
        assert!(peers.learn(node, endpoint.clone(), incarnation));
        peers
    }
}

struct Node {
    peer: PeerKey,
    endpoint: Endpoint,
    incarnation: Incarnation,
    trust: Arc<Trust>,
    ready: tokio::sync::watch::Receiver<Readiness>,
    swarm: SwarmHandle,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl Node {
    async fn start(dir: &Path, world: &World, gateway_bulk: u16) -> Self {
        let token = dir.join("token");
        std::fs::write(&token, "good\n").unwrap();
        let settings = settings(world, dir, gateway_bulk);
        let store = Store::open(&dir.join("volume"), StoreOptions::new(1 << 30, 1 << 20)).unwrap();
        let incarnation = store.incarnation();
        let node = StorageNode::bind(&settings, store).await.unwrap();
        let (peer, endpoint, trust) = (node.identity().peer(), node.endpoint().clone(), node.trust());
        let (ready, swarm, stop) = (node.ready(), node.swarm(), CancellationToken::new());
        let token = stop.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { node.run(token).await.unwrap() });
        Self { peer, endpoint, incarnation, trust, ready, swarm, stop, tasks }
    }

    async fn ready(&mut self) {
        let is_ready = |state: &Readiness| *state == Readiness::Ready;
        tokio::time::timeout(PATIENCE, self.ready.wait_for(is_ready)).await.unwrap().unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        drop((self.trust, self.swarm));
        self.tasks.join_all().await;
    }
}

fn settings(world: &World, dir: &Path, gateway_bulk: u16) -> Settings {
    let data_dir = dir.join("volume");
    std::fs::create_dir_all(&data_dir).unwrap();
    let storage = StorageSettings {
        pool: pool(),
        zone: zone(),
        data_dir,
        capacity_bytes: 1 << 30,
        reserve_bytes: 1 << 20,
        join_token_file: dir.join("token"),
        listen: Listen { mesh: loopback(), bulk: loopback(), health: loopback() },
        advertise_host: None,
    };
    let gateway = Endpoint { host: "127.0.0.1".into(), mesh_port: 1, bulk_port: gateway_bulk };
    Settings {
        version: SETTINGS_VERSION,
        cluster: ClusterSettings {
            name: cluster(),
            public_key: world.key.public(),
            gateways: vec![gateway],
            bulk_encryption: BulkEncryption::default(),
        },
        node: NodeName::new("node-0").unwrap(),
        role: Role::Storage(Box::new(storage)),
    }
}

fn world() -> (World, ClusterSecret) {
    let secret = ClusterSecret::generate();
    (World { key: secret.signing_key() }, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_serves_and_refuses() {
    let (world, secret) = world();
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&world, &secret, loopback(), Identity::generate().0).await;
    let mut node = Node::start(dir.path(), &world, gateway.running.address.port()).await;
    node.ready().await;
    let peers = gateway.peers(node.peer, &node.endpoint, node.incarnation);
    let ask = async |request: Request, payload: Option<bytes::Bytes>| {
        peers.request(&node.peer, request, payload, PATIENCE).await.unwrap()
    };
    let payload = noise(1, 1 << 20);
    let (header, keys) = segment(&payload);

    let (no_layout, _) = ask(put(keys[0], &header, 1), Some(payload.clone())).await;
    assert!(matches!(no_layout, Response::Refused(Refusal::BadRequest(_))), "{no_layout:?}");
    let layout = world.layout(5, &[node.peer, Identity::generate().0.peer()]);
    assert_eq!(ask(Request::Layout(layout), None).await.0, Response::Done);
    let older = world.layout(4, &[node.peer, Identity::generate().0.peer()]);
    let stale = Response::Refused(Refusal::StaleEpoch { known: Epoch(5) });
    assert_eq!(ask(Request::Layout(older), None).await.0, stale);
    let foreign = World::new().layout(6, &[node.peer, Identity::generate().0.peer()]);
    assert!(matches!(ask(Request::Layout(foreign), None).await.0, Response::Refused(Refusal::BadRequest(_))));

    assert_eq!(ask(put(keys[0], &header, 5), Some(payload.clone())).await.0, Response::Done);
    assert_eq!(ask(put(keys[1], &header, 4), Some(payload.clone())).await.0, stale);
    let mut elsewhere = put(keys[1], &header, 5);
    if let Request::Put { pool, .. } = &mut elsewhere {
        *pool = PoolName::new("slow").unwrap();
    }
    assert!(matches!(
        ask(elsewhere, Some(payload.clone())).await.0,
        Response::Refused(Refusal::BadRequest(_))
    ));
    let wrong = noise(2, 1 << 20);
    let (not_its_leaf, _) = ask(put(keys[1], &header, 5), Some(wrong)).await;
    assert_eq!(not_its_leaf, Response::Refused(Refusal::Busy), "it may have been changed on its way");

    let (shard, back) = ask(Request::Get { key: keys[0] }, None).await;
    assert!(shard == Response::Shard { header } && back == payload);
    let (range, part) = ask(Request::GetRange { key: keys[0], offset: 1000, len: 70_000 }, None).await;
    assert!(range == Response::Range && part == payload.slice(1000..71_000));
    let (located, _) = ask(Request::Locate { segment: keys[0].segment }, None).await;
    assert_eq!(located, Response::Located(vec![ShardIndex(0)]));
    let Response::Report(report) = ask(Request::Report, None).await.0 else { panic!("no report") };
    assert_eq!((report.shards, report.epoch, report.incarnation), (1, Some(Epoch(5)), node.incarnation));
    let delete = Request::Delete { key: keys[0], generation: Generation(0) };
    assert_eq!(ask(delete, None).await.0, Response::Done);
    assert_eq!(ask(Request::Get { key: keys[0] }, None).await.0, Response::Refused(Refusal::NotFound));
    node.stop().await;
    gateway.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_again_when_the_gateway_was_restarted_and_learns_its_layouts() {
    let (world, secret) = world();
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate().0;
    let gateway = Gateway::start(&world, &secret, loopback(), identity.clone()).await;
    let address = gateway.running.address;
    let mut node = Node::start(dir.path(), &world, address.port()).await;
    node.ready().await;
    assert_eq!(gateway.handler.joins.load(Ordering::SeqCst), 1);
    let mut changes = node.trust.changes();
    changes.mark_unchanged();
    gateway.running.stop().await;

    let again = Gateway::start(&world, &secret, address, identity).await;
    again.layouts.lock().push(world.layout(7, &[node.peer, Identity::generate().0.peer()]));
    let learnt = async {
        while node.trust.layout(&pool()).is_none() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), learnt).await.unwrap();
    assert!(again.handler.joins.load(Ordering::SeqCst) >= 1);
    assert_eq!(node.trust.layout(&pool()).unwrap().epoch, Epoch(7));

    // A newer layout that someone mentions is fetched at once.
    again.layouts.lock().push(world.layout(8, &[node.peer, Identity::generate().0.peer()]));
    node.trust.want_layout(&pool(), Epoch(8));
    let learnt = async {
        while node.trust.layout(&pool()).unwrap().epoch < Epoch(8) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, learnt).await.unwrap();
    node.stop().await;
    again.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_serves_without_any_gateway() {
    let (world, secret) = world();
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&world, &secret, loopback(), Identity::generate().0).await;
    let mut node = Node::start(dir.path(), &world, gateway.running.address.port()).await;
    node.ready().await;
    let (peer, incarnation) = (node.peer, node.incarnation);
    let layout = world.layout(3, &[peer, Identity::generate().0.peer()]);
    let peers = gateway.peers(peer, &node.endpoint, incarnation);
    peers.request(&peer, Request::Layout(layout), None, PATIENCE).await.unwrap();
    let payload = noise(3, 5000);
    let (header, keys) = segment(&payload);
    let done = peers.request(&peer, put(keys[0], &header, 3), Some(payload.clone()), PATIENCE).await.unwrap();
    assert_eq!(done.0, Response::Done);
    node.stop().await;
    let Gateway { running, identity, trust, .. } = gateway;
    running.stop().await;

    let node = Node::start(dir.path(), &world, 1).await;
    assert_eq!(node.peer, peer, "its key lives on the volume");
    assert!(node.incarnation > incarnation);
    assert_eq!(*node.ready.borrow(), Readiness::Ready, "so does its certificate");
    assert_eq!(node.trust.layout(&pool()).unwrap().epoch, Epoch(3));
    let peers = Peers::new(identity, trust, Incarnation(1));
    peers.learn(peer, node.endpoint.clone(), node.incarnation);
    let (_, back) = peers.request(&peer, Request::Get { key: keys[0] }, None, PATIENCE).await.unwrap();
    assert!(back == payload);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_not_given_to_who_is_no_gateway() {
    let (world, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let imposters = [
        // No certificate at all; that of a storage node; a gateway's of another cluster.
        (Identity::generate().0, None),
        (Identity::generate().0, Some(MemberRole::Storage { pool: pool(), zone: zone() })),
    ];
    for (identity, role) in imposters {
        let trust = world.trust();
        if let Some(role) = role {
            trust.set_own(&world.certificate(role, identity.peer(), 60), &identity.peer()).unwrap();
        }
        let handler = MemoryShards::default();
        let server = serve(loopback(), &identity, trust, handler.clone()).await;
        let mut node = Node::start(dir.path(), &world, server.address.port()).await;
        let refused = |state: &Readiness| matches!(state, Readiness::Joining { reason } if reason.contains("no gateway") && reason.contains("not trusted"));
        tokio::time::timeout(PATIENCE, node.ready.wait_for(refused)).await.unwrap().unwrap();
        assert_eq!(
            handler.asked.load(Ordering::SeqCst),
            0,
            "nothing was asked of it, so no token went there"
        );
        node.stop().await;
        server.stop().await;
    }
}

/// What a member asks, who is no gateway.
fn fellow(world: &World, layout: &SignedLayout, identity: Identity, node: &Node) -> Peers {
    let trust = world.trust();
    let role = MemberRole::Storage { pool: pool(), zone: zone() };
    trust.set_own(&world.certificate(role, identity.peer(), 3600), &identity.peer()).unwrap();
    trust.learn_layout(layout).unwrap();
    let peers = Peers::new(identity, trust, Incarnation(1));
    assert!(peers.learn(node.peer, node.endpoint.clone(), node.incarnation));
    peers
}

#[tokio::test(flavor = "multi_thread")]
async fn members_bring_only_what_belongs_here_and_what_was_deleted_stays_away() {
    let (world, secret) = world();
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&world, &secret, loopback(), Identity::generate().0).await;
    let mut node = Node::start(dir.path(), &world, gateway.running.address.port()).await;
    node.ready().await;
    let other = Identity::generate().0;
    let layout = world.layout(5, &[node.peer, other.peer()]);
    let table = Table::compute(Layout::decode(&layout.bytes).unwrap()).unwrap();
    let of_gateway = gateway.peers(node.peer, &node.endpoint, node.incarnation);
    let of_fellow = fellow(&world, &layout, other, &node);
    let ask = async |peers: &Peers, request: Request, payload: Option<&bytes::Bytes>| {
        peers.request(&node.peer, request, payload.cloned(), PATIENCE).await.unwrap().0
    };
    let refused = Response::Refused;
    assert_eq!(ask(&of_gateway, Request::Layout(layout), None).await, Response::Done);

    let payload = noise(1, 1 << 20);
    let (header, keys) = segment(&payload);
    let holders = table.holders(table.partition_of(keys[0].segment));
    // Member 0 is the node: the names are sorted.
    let (ours, theirs) = if holders[0] == 0 { (keys[0], keys[1]) } else { (keys[1], keys[0]) };
    let put_theirs = ask(&of_fellow, put(theirs, &header, 5), Some(&payload)).await;
    assert_eq!(put_theirs, refused(Refusal::NotAMember), "not its place");
    assert_eq!(ask(&of_fellow, put(ours, &header, 6), Some(&payload)).await, refused(Refusal::NotAMember));
    let home = |key, epoch| Request::Home { key, epoch: Epoch(epoch), generation: Generation(0) };
    assert_eq!(ask(&of_fellow, home(ours, 5), None).await, refused(Refusal::NotFound));
    assert_eq!(ask(&of_fellow, put(ours, &header, 5), Some(&payload)).await, Response::Done);
    assert_eq!(ask(&of_fellow, home(ours, 5), None).await, Response::Done);
    assert_eq!(ask(&of_fellow, home(ours, 4), None).await, refused(Refusal::NotFound), "another layout");
    let newer = Request::Home { key: ours, epoch: Epoch(5), generation: Generation(1) };
    assert_eq!(ask(&of_fellow, newer, None).await, refused(Refusal::NotFound), "of an earlier generation");
    let partition = table.partition_of(ours.segment).0;
    let inventory = Request::Inventory { partitions_log2: 4, partition, after: None };
    let shards = [ours.index].into_iter().collect();
    let profile = table.layout().profile;
    let held = Held { segment: ours.segment, profile, generation: Generation(0), shards };
    assert_eq!(ask(&of_fellow, inventory, None).await, Response::Inventory(vec![held]));
    let beyond = Request::Inventory { partitions_log2: 4, partition: 16, after: None };
    assert!(matches!(ask(&of_fellow, beyond, None).await, Response::Refused(Refusal::BadRequest(_))));

    let delete = |segment, generation| Request::DeleteSegment { segment, generation: Generation(generation) };
    assert_eq!(ask(&of_fellow, delete(ours.segment, 0), None).await, refused(Refusal::NotAMember));
    assert_eq!(ask(&of_gateway, delete(ours.segment, 0), None).await, Response::Done);
    assert_eq!(ask(&of_fellow, home(ours, 5), None).await, refused(Refusal::NotFound));
    for peers in [&of_fellow, &of_gateway] {
        let late = ask(peers, put(ours, &header, 5), Some(&payload)).await;
        assert_eq!(late, refused(Refusal::StaleGeneration), "what was still on its way comes too late");
    }
    let mut newer = put(ours, &header, 5);
    if let Request::Put { generation, .. } = &mut newer {
        *generation = Generation(1);
    }
    assert_eq!(
        ask(&of_gateway, newer, Some(&payload)).await,
        Response::Done,
        "the control: a later one is taken"
    );
    node.stop().await;
    gateway.running.stop().await;
}
