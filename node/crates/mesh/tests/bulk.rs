//! The bulk transport: who may talk to whom, and that shards come across.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_exchange::message::{JoinRequest, Refusal, Request, Response};
use datamesh_mesh::{CONNECTIONS_PER_PEER, DialError, Identity, NotTrusted, PeerError, Peers, Trust};
use datamesh_shard::{Incarnation, NodeName};
use futures::FutureExt as _;
use world::{
    MemoryShards, PATIENCE, Running, World, gateway, loopback, noise, pool, put, segment, serve, serve_as,
    zone,
};

/// A server of shards, and a client that knows where it is.
struct Scene {
    world: World,
    identity: Identity,
    shards: MemoryShards,
    server: Running,
    peers: Peers,
}

impl Scene {
    /// The server knows nobody yet; the client is a gateway and can show it.
    async fn new() -> Self {
        let world = World::new();
        let (trust, peers) = (world.trust(), gateway(&world));
        Self::of(world, Identity::generate().0, trust, peers).await
    }

    async fn of(world: World, identity: Identity, trust: Arc<Trust>, peers: Peers) -> Self {
        let shards = MemoryShards::default();
        let server = serve(loopback(), &identity, trust, shards.clone()).await;
        assert!(peers.learn(server.peer, server.endpoint(), Incarnation(1)));
        Self { world, identity, shards, server, peers }
    }

    /// The server's answer to the client.
    async fn ask(&self, request: Request, payload: Option<Bytes>) -> Result<(Response, Bytes), PeerError> {
        self.peers.request(&self.server.peer, request, payload, PATIENCE).await
    }
}

fn join_request(token: &str) -> Request {
    Request::Join(JoinRequest {
        token: token.into(),
        node: NodeName::new("n").unwrap(),
        pool: pool(),
        zone: zone(),
        capacity_bytes: 1,
        endpoint: datamesh_settings::Endpoint { host: "h".into(), mesh_port: 1, bulk_port: 2 },
        incarnation: Incarnation(1),
    })
}

fn refusal(answer: Result<(Response, Bytes), PeerError>) -> Option<Refusal> {
    match answer {
        Ok((Response::Refused(refusal), _)) => Some(refusal),
        Err(PeerError::Dial(DialError::Refused(refusal))) => Some(refusal),
        _ => None,
    }
}

#[tokio::test]
async fn shards_of_a_mebibyte_come_across_and_back() {
    let scene = Scene::new().await;
    for (seed, len) in [(1, 1 << 20), (2, (1 << 20) + 1037), (3, 1), (4, 4 << 20)] {
        let payload = noise(seed, len);
        let (header, keys) = segment(&payload);
        let (done, _) = scene.ask(put(keys[0], &header, 1), Some(payload.clone())).await.unwrap();
        assert_eq!(done, Response::Done);
        let (shard, back) = scene.ask(Request::Get { key: keys[0] }, None).await.unwrap();
        assert_eq!(shard, Response::Shard { header });
        assert!(back == payload, "{len} bytes");
        assert_eq!(back.as_ptr().align_offset(64), 0, "received into an aligned buffer");
    }
    let (peers, peer) = (&scene.peers, scene.server.peer);
    assert!(peers.is_live(&peer));
    let latency = peers.latency(&peer).unwrap();
    assert_eq!(latency.samples, 4);
    assert!(latency.p95 > Duration::ZERO && peers.p95(&peer) == Some(latency.p95));
    scene.server.stop().await;
}

#[tokio::test]
async fn many_parallel_requests_share_few_connections() {
    let scene = Scene::new().await;
    let rounds = (0..64_u64).map(async |seed| {
        let payload = noise(seed, 100_000 + usize::try_from(seed).unwrap());
        let (header, keys) = segment(&payload);
        scene.ask(put(keys[1], &header, 1), Some(payload.clone())).await.unwrap();
        let (_, back) = scene.ask(Request::Get { key: keys[1] }, None).await.unwrap();
        assert!(back == payload);
    });
    futures::future::join_all(rounds).await;
    let busiest = scene.shards.busiest.load(Ordering::SeqCst);
    assert!((2..=CONNECTIONS_PER_PEER as u64).contains(&busiest), "{busiest} requests at a time");
    scene.server.stop().await;
}

#[tokio::test]
async fn another_key_than_expected_is_refused() {
    let scene = Scene::new().await;
    let other = Identity::generate().0.peer();
    scene.peers.learn(other, scene.server.endpoint(), Incarnation(1));
    let error = scene.peers.request(&other, Request::Report, None, PATIENCE).await.unwrap_err();
    assert!(matches!(error, PeerError::Dial(DialError::Tls { .. })), "{error}");
    assert!(!scene.peers.is_live(&other));
    // The right key at the same place is fine.
    assert!(scene.ask(Request::Report, None).await.is_ok());
    scene.server.stop().await;
}

#[tokio::test]
async fn without_a_certificate_one_may_join_and_nothing_else() {
    let (world, gateway) = (World::new(), Identity::generate().0);
    let (trust, stranger) = (world.gateway_trust(&gateway), Identity::generate().0);
    let peers = Peers::new(stranger, world.trust(), Incarnation(1));
    let scene = Scene::of(world, gateway, trust, peers).await;
    for request in [Request::Report, Request::Get { key: segment(b"x").1[0] }] {
        assert_eq!(refusal(scene.ask(request, None).await), Some(Refusal::NotAMember));
    }
    let answer = scene.ask(join_request("bad"), None).await;
    assert!(matches!(refusal(answer), Some(Refusal::TokenRejected(_))), "it got as far as the handler");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_member_of_a_layout_needs_no_certificate() {
    let (world, identity, member) = (World::new(), Identity::generate().0, Identity::generate().0);
    let trust = world.trust();
    trust.learn_layout(&world.layout(1, &[identity.peer(), member.peer()])).unwrap();
    let peers = Peers::new(member, world.trust(), Incarnation(1));
    let scene = Scene::of(world, identity, trust, peers).await;
    let answer = scene.ask(Request::Get { key: segment(b"x").1[0] }, None).await;
    assert_eq!(refusal(answer), Some(Refusal::NotFound));
    scene.server.stop().await;
}

/// Homing rests up to ten minutes; a drain must not wait for that.
#[tokio::test]
async fn a_newer_layout_wakes_whoever_rests() {
    let (world, members) = (World::new(), [Identity::generate().0.peer(), Identity::generate().0.peer()]);
    let trust = world.trust();
    let learned = trust.layout_learned();
    let (first, second) = (world.layout(1, &members), world.layout(2, &members));
    let is_woken_by = |layout| {
        let mut notified = Box::pin(learned.notified());
        notified.as_mut().enable();
        trust.learn_layout(layout).unwrap();
        notified.now_or_never().is_some()
    };
    assert!(is_woken_by(&first));
    assert!(!is_woken_by(&first), "known already");
    assert!(is_woken_by(&second));
}

#[tokio::test]
async fn a_restarted_server_is_reached_again() {
    let scene = Scene::new().await;
    let payload = noise(9, 200_000);
    let (header, keys) = segment(&payload);
    scene.ask(put(keys[0], &header, 1), Some(payload.clone())).await.unwrap();
    let Scene { world, identity, shards, server, peers } = scene;
    let address = server.address;
    server.stop().await;

    // Down: fails, and fails at once while the pause lasts.
    let get = Request::Get { key: keys[0] };
    assert!(peers.request(&identity.peer(), get.clone(), None, PATIENCE).await.is_err());
    assert!(!peers.is_live(&identity.peer()));
    let begin = Instant::now();
    let error = peers.request(&identity.peer(), get.clone(), None, PATIENCE).await.unwrap_err();
    assert!(matches!(error, PeerError::Down { .. } | PeerError::Dial(_)), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(1));

    let server = serve_as(address, &identity, world.trust(), shards, Incarnation(2)).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let (prober, token) = (peers.clone(), stop.clone());
    let mut probing = tokio::task::JoinSet::new();
    probing.spawn(async move { prober.run(token).await });
    let back = loop {
        match peers.request(&identity.peer(), get.clone(), None, PATIENCE).await {
            Ok((_, back)) => break back,
            Err(PeerError::Down { retry_in, .. }) => tokio::time::sleep(retry_in).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(back == payload && peers.is_live(&identity.peer()));
    stop.cancel();
    probing.join_all().await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_closed_while_it_rested_is_made_anew_without_an_error() {
    let scene = Scene::new().await;
    let get = Request::Get { key: segment(b"x").1[0] };
    assert_eq!(refusal(scene.ask(get.clone(), None).await), Some(Refusal::NotFound));
    let Scene { world, identity, shards, server, peers } = scene;
    let address = server.address;
    server.stop().await;
    let server = serve(address, &identity, world.trust(), shards).await;
    let answer = peers.request(&identity.peer(), get, None, PATIENCE).await;
    assert_eq!(
        refusal(answer),
        Some(Refusal::NotFound),
        "the request was sent once more on a new connection"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_process_is_not_believed_any_more() {
    let world = World::new();
    let identity = Identity::generate().0;
    let old = serve_as(loopback(), &identity, world.trust(), MemoryShards::default(), Incarnation(4)).await;
    let new = serve_as(loopback(), &identity, world.trust(), MemoryShards::default(), Incarnation(5)).await;
    let peers = gateway(&world);
    assert!(peers.learn(identity.peer(), old.endpoint(), Incarnation(4)));
    let get = Request::Get { key: segment(b"x").1[0] };
    assert!(peers.request(&identity.peer(), get.clone(), None, PATIENCE).await.is_ok());
    assert!(peers.learn(identity.peer(), new.endpoint(), Incarnation(5)));
    assert!(peers.request(&identity.peer(), get.clone(), None, PATIENCE).await.is_ok());
    assert!(
        !peers.learn(identity.peer(), old.endpoint(), Incarnation(4)),
        "the older one is not learnt again"
    );
    assert_eq!(peers.endpoint(&identity.peer()).unwrap(), new.endpoint());
    // Even one who is led to the old process does not believe it.
    peers.learn(identity.peer(), old.endpoint(), Incarnation(5));
    let error = peers.request(&identity.peer(), get, None, PATIENCE).await.unwrap_err();
    let refused = matches!(
        &error,
        PeerError::Dial(DialError::NotTrusted { source: NotTrusted::Incarnation { .. }, .. })
    );
    assert!(refused, "{error}");
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_silent_peer_costs_no_more_than_the_timeout() {
    let world = World::new();
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peers = gateway(&world);
    let silent = Identity::generate().0.peer();
    let endpoint = datamesh_settings::Endpoint { host: "127.0.0.1".into(), mesh_port: 0, bulk_port: port };
    peers.learn(silent, endpoint, Incarnation(1));
    let begin = Instant::now();
    let error = peers.request(&silent, Request::Report, None, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, PeerError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
    drop(listener);
}
