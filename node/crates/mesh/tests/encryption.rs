//! What somebody on the network sees of a connection, and can do to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/world.rs"]
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_mesh::{BulkServer, Identity};
use datamesh_settings::{BulkEncryption, Endpoint};
use datamesh_shard::{Incarnation, SegmentId, ShardIndex, ShardKey};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use world::{MemoryShards, PATIENCE, World, gateway, loopback, noise, put, segment};

/// Stands between client and server: keeps what passes, and changes it if told so.
#[derive(Clone, Default)]
struct Eavesdropper {
    heard: Arc<Mutex<Vec<u8>>>,
    /// Flips a bit where these bytes pass by.
    spoils: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Eavesdropper {
    async fn listen(&self, server: SocketAddr, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = self.clone();
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                let (there, back) = (own.clone(), own.clone());
                pairs.spawn(async move { there.pass(near_in, far_out).await });
                pairs.spawn(async move { back.pass(far_in, near_out).await });
            }
        });
        address
    }

    async fn pass(&self, mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            let passing = &mut buffer[..bytes];
            self.heard.lock().extend_from_slice(passing);
            self.spoil(passing);
            if to.write_all(&buffer[..bytes]).await.is_err() {
                return;
            }
        }
    }

    fn spoil(&self, passing: &mut [u8]) {
        let mut spoils = self.spoils.lock();
        if let Some(at) = spoils.as_ref().and_then(|wanted| find(passing, wanted)) {
            passing[at] ^= 1;
            *spoils = None;
        }
    }

    fn has_heard(&self, bytes: &[u8]) -> bool {
        find(&self.heard.lock(), bytes).is_some()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A client and a server with somebody in between.
struct Scene {
    eavesdropper: Eavesdropper,
    peers: datamesh_mesh::Peers,
    identity: Identity,
    shards: MemoryShards,
    _tasks: JoinSet<()>,
}

impl Scene {
    async fn new(client: BulkEncryption, server: BulkEncryption) -> Self {
        let world = World::new();
        let (identity, shards, mut tasks) = (Identity::generate().0, MemoryShards::default(), JoinSet::new());
        let bulk =
            BulkServer::bind(loopback(), &identity, world.trust(), Incarnation(1), shards.clone()).await;
        let bulk = bulk.unwrap().encrypting(&identity, server).unwrap();
        let eavesdropper = Eavesdropper::default();
        let address = eavesdropper.listen(bulk.local_addr(), &mut tasks).await;
        tasks.spawn(bulk.run(CancellationToken::new()));
        let peers = gateway(&world).encrypting(client);
        let endpoint = Endpoint { host: "127.0.0.1".into(), mesh_port: 0, bulk_port: address.port() };
        assert!(peers.learn(identity.peer(), endpoint, Incarnation(1)));
        Self { eavesdropper, peers, identity, shards, _tasks: tasks }
    }

    async fn ask(&self, request: Request, payload: Option<Bytes>) -> (Response, Bytes) {
        self.peers.request(&self.identity.peer(), request, payload, PATIENCE).await.unwrap()
    }

    /// Puts a shard and gets it back, whole; its payload, its header and its segment's id.
    async fn put_and_get(&self, seed: u64) -> (Bytes, Bytes, [u8; 32]) {
        let payload = noise(seed, 300_000);
        let (header, keys) = segment(&payload);
        let (done, _) = self.ask(put(keys[0], &header, 1), Some(payload.clone())).await;
        assert_eq!(done, Response::Done);
        let (shard, back) = self.ask(Request::Get { key: keys[0] }, None).await;
        assert!(shard == Response::Shard { header: header.clone() } && back == payload);
        (payload, header, keys[0].segment.0)
    }
}

#[tokio::test]
async fn requests_are_never_seen_and_shards_only_where_both_sides_agree() {
    use BulkEncryption::{Everything, Requests};
    for (client, server) in
        [(Requests, Requests), (Requests, Everything), (Everything, Requests), (Everything, Everything)]
    {
        let scene = Scene::new(client, server).await;
        let (payload, header, segment) = scene.put_and_get(7).await;
        let seen = (client, server) == (Requests, Requests);
        // The control as well: had nothing been heard, nothing would be found.
        assert_eq!(scene.eavesdropper.has_heard(&payload[1000..1064]), seen, "{client:?} {server:?}");
        assert!(scene.eavesdropper.heard.lock().len() > 2 * payload.len(), "it stood in between");
        for hidden in [&header[8..40], &segment[..], b"fast"] {
            assert!(!scene.eavesdropper.has_heard(hidden), "{client:?} {server:?}: a request was seen");
        }
    }
}

/// The transport does not prove payloads: whoever takes one does. A test of the takers would find nothing if it did.
#[tokio::test]
async fn a_payload_that_was_changed_on_the_way_arrives_changed_and_its_answer_as_it_was() {
    let scene = Scene::new(BulkEncryption::Requests, BulkEncryption::Requests).await;
    let (payload, header, segment) = scene.put_and_get(1).await;
    *scene.eavesdropper.spoils.lock() = Some(payload[5000..5032].to_vec());
    let key = ShardKey { segment: SegmentId(segment), index: ShardIndex(0) };
    let (shard, back) = scene.ask(Request::Get { key }, None).await;
    assert_eq!(shard, Response::Shard { header });
    assert_eq!((back.len(), back[5000] ^ 1), (payload.len(), payload[5000]));
}

#[tokio::test]
async fn a_request_that_was_changed_on_the_way_is_not_answered_and_is_asked_again() {
    let scene = Scene::new(BulkEncryption::Requests, BulkEncryption::Requests).await;
    let (payload, ..) = scene.put_and_get(1).await;
    let asked = scene.shards.asked.load(std::sync::atomic::Ordering::SeqCst);
    // The lengths in front of the next put's head: another payload's length is what somebody would want to make of it.
    let lengths = u32::try_from(payload.len()).unwrap().to_le_bytes();
    *scene.eavesdropper.spoils.lock() = Some(lengths.to_vec());
    let (header, keys) = segment(&payload);
    let (done, _) = scene.ask(put(keys[1], &header, 1), Some(payload)).await;
    assert_eq!(done, Response::Done);
    assert!(scene.eavesdropper.spoils.lock().is_none(), "it was changed");
    let answered = scene.shards.asked.load(std::sync::atomic::Ordering::SeqCst) - asked;
    assert_eq!(answered, 1, "the changed one reached nobody, the second try did");
}

/// Names and wrapped keys travel there: outside TLS they would be seen, and could be changed.
#[tokio::test]
async fn questions_between_replicas_are_taken_in_tls_alone() {
    use BulkEncryption::{Everything, Requests};
    for (client, is_taken) in [(Requests, false), (Everything, true)] {
        let scene = Scene::new(client, Requests).await;
        for request in [Request::Standing, Request::Replica] {
            let (answer, _) = scene.ask(request, None).await;
            assert_eq!(answer != Response::Refused(Refusal::NotAMember), is_taken, "{client:?}: {answer:?}");
        }
    }
}
