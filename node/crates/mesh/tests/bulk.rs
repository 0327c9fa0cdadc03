//! The bulk transport: who may talk to whom, and that shards come across.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_exchange::message::{JoinRequest, Refusal, Request, Response};
use datamesh_mesh::{CONNECTIONS_PER_PEER, DialError, Identity, NotTrusted, PeerError, Peers};
use datamesh_shard::{Incarnation, NodeName};
use world::{
    MemoryShards, PATIENCE, World, gateway, loopback, noise, pool, put, segment, serve, serve_as, zone,
};

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
    let world = World::new();
    let server = serve(loopback(), &Identity::generate().0, world.trust(), MemoryShards::default()).await;
    let peers = gateway(&world);
    assert!(peers.learn(server.peer, server.endpoint(), Incarnation(1)));
    for (seed, len) in [(1, 1 << 20), (2, (1 << 20) + 1037), (3, 1), (4, 4 << 20)] {
        let payload = noise(seed, len);
        let (header, keys) = segment(&payload);
        let put = put(keys[0], &header, 1);
        let (done, _) = peers.request(&server.peer, put, Some(payload.clone()), PATIENCE).await.unwrap();
        assert_eq!(done, Response::Done);
        let (shard, back) =
            peers.request(&server.peer, Request::Get { key: keys[0] }, None, PATIENCE).await.unwrap();
        assert_eq!(shard, Response::Shard { header });
        assert!(back == payload, "{len} bytes");
        assert_eq!(back.as_ptr().align_offset(64), 0, "received into an aligned buffer");
    }
    assert!(peers.is_live(&server.peer));
    let latency = peers.latency(&server.peer).unwrap();
    assert_eq!(latency.samples, 4);
    assert!(latency.p95 > Duration::ZERO && peers.p95(&server.peer) == Some(latency.p95));
    server.stop().await;
}

#[tokio::test]
async fn many_parallel_requests_share_few_connections() {
    let world = World::new();
    let shards = MemoryShards::default();
    let server = serve(loopback(), &Identity::generate().0, world.trust(), shards.clone()).await;
    let peers = gateway(&world);
    peers.learn(server.peer, server.endpoint(), Incarnation(1));
    let rounds = (0..64_u64).map(|seed| {
        let (peers, peer) = (peers.clone(), server.peer);
        async move {
            let payload = noise(seed, 100_000 + usize::try_from(seed).unwrap());
            let (header, keys) = segment(&payload);
            let put = put(keys[1], &header, 1);
            peers.request(&peer, put, Some(payload.clone()), PATIENCE).await.unwrap();
            let get = Request::Get { key: keys[1] };
            let (_, back) = peers.request(&peer, get, None, PATIENCE).await.unwrap();
            assert!(back == payload);
        }
    });
    futures::future::join_all(rounds).await;
    let busiest = shards.busiest.load(Ordering::SeqCst);
    assert!((2..=CONNECTIONS_PER_PEER as u64).contains(&busiest), "{busiest} requests at a time");
    server.stop().await;
}

#[tokio::test]
async fn another_key_than_expected_is_refused() {
    let world = World::new();
    let server = serve(loopback(), &Identity::generate().0, world.trust(), MemoryShards::default()).await;
    let peers = gateway(&world);
    let other = Identity::generate().0.peer();
    peers.learn(other, server.endpoint(), Incarnation(1));
    let error = peers.request(&other, Request::Report, None, PATIENCE).await.unwrap_err();
    assert!(matches!(error, PeerError::Dial(DialError::Tls { .. })), "{error}");
    assert!(!peers.is_live(&other));
    // The right key at the same place is fine.
    peers.learn(server.peer, server.endpoint(), Incarnation(1));
    assert!(peers.request(&server.peer, Request::Report, None, PATIENCE).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn without_a_certificate_one_may_join_and_nothing_else() {
    let world = World::new();
    let gateway = Identity::generate().0;
    let trust = world.gateway_trust(&gateway);
    let server = serve(loopback(), &gateway, trust, MemoryShards::default()).await;
    let peers = Peers::new(Identity::generate().0, world.trust(), Incarnation(1));
    peers.learn(server.peer, server.endpoint(), Incarnation(1));
    for request in [Request::Report, Request::Get { key: segment(b"x").1[0] }] {
        let answer = peers.request(&server.peer, request, None, PATIENCE).await;
        assert_eq!(refusal(answer), Some(Refusal::NotAMember));
    }
    let answer = peers.request(&server.peer, join_request("bad"), None, PATIENCE).await;
    assert!(matches!(refusal(answer), Some(Refusal::TokenRejected(_))), "it got as far as the handler");
    server.stop().await;
}

#[tokio::test]
async fn a_member_of_a_layout_needs_no_certificate() {
    let world = World::new();
    let (server_identity, client_identity) = (Identity::generate().0, Identity::generate().0);
    let trust = world.trust();
    trust.learn_layout(&world.layout(1, &[server_identity.peer(), client_identity.peer()])).unwrap();
    let server = serve(loopback(), &server_identity, trust, MemoryShards::default()).await;
    let peers = Peers::new(client_identity, world.trust(), Incarnation(1));
    peers.learn(server.peer, server.endpoint(), Incarnation(1));
    let answer = peers.request(&server.peer, Request::Get { key: segment(b"x").1[0] }, None, PATIENCE).await;
    assert_eq!(refusal(answer), Some(Refusal::NotFound));
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_is_reached_again() {
    let world = World::new();
    let identity = Identity::generate().0;
    let shards = MemoryShards::default();
    let server = serve(loopback(), &identity, world.trust(), shards.clone()).await;
    let (address, endpoint) = (server.address, server.endpoint());
    let peers = gateway(&world);
    peers.learn(identity.peer(), endpoint, Incarnation(1));
    let payload = noise(9, 200_000);
    let (header, keys) = segment(&payload);
    peers.request(&identity.peer(), put(keys[0], &header, 1), Some(payload.clone()), PATIENCE).await.unwrap();
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
    let world = World::new();
    let identity = Identity::generate().0;
    let shards = MemoryShards::default();
    let server = serve(loopback(), &identity, world.trust(), shards.clone()).await;
    let (address, endpoint) = (server.address, server.endpoint());
    let peers = gateway(&world);
    peers.learn(identity.peer(), endpoint, Incarnation(1));
    let get = Request::Get { key: segment(b"x").1[0] };
    let answer = peers.request(&identity.peer(), get.clone(), None, PATIENCE).await;
    assert_eq!(refusal(answer), Some(Refusal::NotFound));
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
