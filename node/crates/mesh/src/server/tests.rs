//! What a server does with peers that lie, announce too much or say nothing.

mod crowd;

use std::time::{Duration, Instant};

use datamesh_exchange::message::Refusal;
use datamesh_seal::{Certificate, ClusterSecret, ClusterSigningKey, MemberRole, SignedCertificate};
use datamesh_settings::BulkEncryption;
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, REPLICA_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{NodeName, PeerKey, PoolName, ZoneName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::trust::now_unix;

struct Refuser;

impl Handler for Refuser {
    async fn handle(&self, _: Caller, _: Request, _: Bytes) -> (Response, Bytes) {
        (Response::Refused(Refusal::Busy), Bytes::new())
    }

    fn takes_payload(&self, _: &Caller, request: &Request) -> bool {
        !matches!(request, Request::Replica)
    }
}

struct Scene {
    key: ClusterSigningKey,
    address: SocketAddr,
    trust: Arc<Trust>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn new() -> Self {
        let key = ClusterSecret::generate().signing_key();
        let keep = Box::new(|_: &_, _: &_| {});
        let trust = Arc::new(Trust::new(NodeName::new("c").unwrap(), key.public(), keep));
        let identity = Identity::generate().0;
        let listen = "127.0.0.1:0".parse().unwrap();
        let server =
            BulkServer::bind(listen, &identity, trust.clone(), Incarnation(1), Refuser).await.unwrap();
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(stop.clone()));
        Self { key, address, trust, stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }

    async fn connect(&self, identity: &Identity) -> TlsStream<TcpStream> {
        self.try_connect(identity).await.unwrap()
    }

    async fn try_connect(&self, identity: &Identity) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let connector =
            TlsConnector::from(tls::client_config(identity, None, BulkEncryption::Everything).unwrap());
        connector.connect(tls::no_name().unwrap(), stream).await
    }

    fn gateway(&self, peer: PeerKey, seconds: i64) -> SignedCertificate {
        self.certificate(MemberRole::Gateway, peer, seconds)
    }

    fn storage(&self, peer: PeerKey, seconds: i64) -> SignedCertificate {
        let (pool, zone) = (PoolName::new("main").unwrap(), ZoneName::new("z").unwrap());
        self.certificate(MemberRole::Storage { pool, zone }, peer, seconds)
    }

    fn certificate(&self, role: MemberRole, peer: PeerKey, seconds: i64) -> SignedCertificate {
        let not_after_unix = now_unix().checked_add_signed(seconds).unwrap();
        let node = NodeName::new("g").unwrap();
        SignedCertificate::sign(&self.key, Certificate { role, node, peer, not_after_unix })
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &Request) -> Response {
    try_ask(stream, request).await.unwrap()
}

async fn try_ask(stream: &mut TlsStream<TcpStream>, request: &Request) -> io::Result<Response> {
    stream.write_all(&request.encode(0).unwrap()).await?;
    answer(stream).await
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> io::Result<Response> {
    let mut lengths = [0; 8];
    stream.read_exact(&mut lengths).await?;
    let mut head = vec![0; usize::try_from(u32::from_le_bytes(lengths[..4].try_into().unwrap())).unwrap()];
    stream.read_exact(&mut head).await?;
    Ok(Response::decode(&head).unwrap())
}

fn hello(certificate: &SignedCertificate, incarnation: u64) -> Request {
    let certificate = Some(postcard::to_stdvec(certificate).unwrap());
    Request::Hello { certificate, incarnation: Incarnation(incarnation) }
}

/// Whether the server ends the connection, soon, without another word.
async fn hung_up(stream: &mut TlsStream<TcpStream>) -> bool {
    let begin = Instant::now();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    ended.is_ok() && rest.is_empty() && begin.elapsed() < Duration::from_secs(2)
}

#[tokio::test]
async fn expired_foreign_and_borrowed_certificates_are_refused() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let stranger = Identity::generate().0.peer();
    let foreign_key = ClusterSecret::generate().signing_key();
    let certificate = Certificate {
        role: MemberRole::Gateway,
        node: NodeName::new("g").unwrap(),
        peer: me.peer(),
        not_after_unix: now_unix() + 60,
    };
    let foreign = SignedCertificate::sign(&foreign_key, certificate);
    for bad in [scene.gateway(me.peer(), -2), foreign, scene.gateway(stranger, 60)] {
        let mut stream = scene.connect(&me).await;
        assert_eq!(ask(&mut stream, &hello(&bad, 1)).await, Response::Refused(Refusal::NotAMember));
        assert!(hung_up(&mut stream).await);
    }
    // Positive control.
    let mut stream = scene.connect(&me).await;
    assert!(matches!(
        ask(&mut stream, &hello(&scene.gateway(me.peer(), 60), 1)).await,
        Response::Hello { .. }
    ));
    assert_eq!(ask(&mut stream, &Request::Report).await, Response::Refused(Refusal::Busy));
    scene.end().await;
}

#[tokio::test]
async fn a_certificate_that_expires_while_connected_counts_no_longer() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let mut stream = scene.connect(&me).await;
    assert!(matches!(
        ask(&mut stream, &hello(&scene.gateway(me.peer(), 1), 1)).await,
        Response::Hello { .. }
    ));
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    // The clock is the system's; the answer turns within two seconds.
    let turned = loop {
        match ask(&mut stream, &Request::Report).await {
            Response::Refused(Refusal::NotAMember) => break true,
            _ if tokio::time::Instant::now() > until => break false,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(turned);
    scene.end().await;
}

#[tokio::test]
async fn a_lower_incarnation_is_refused_also_on_an_open_connection() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let certificate = scene.gateway(me.peer(), 60);
    let mut old = scene.connect(&me).await;
    assert!(matches!(ask(&mut old, &hello(&certificate, 3)).await, Response::Hello { .. }));
    let mut new = scene.connect(&me).await;
    assert!(matches!(ask(&mut new, &hello(&certificate, 4)).await, Response::Hello { .. }));
    assert_eq!(ask(&mut old, &Request::Report).await, Response::Refused(Refusal::NotAMember));
    let mut again = scene.connect(&me).await;
    assert_eq!(ask(&mut again, &hello(&certificate, 3)).await, Response::Refused(Refusal::NotAMember));
    assert_eq!(ask(&mut new, &Request::Report).await, Response::Refused(Refusal::Busy));
    assert!(scene.trust.knows_gateway(&me.peer()));
    scene.end().await;
}

#[tokio::test]
async fn frames_that_announce_too_much_end_the_connection_before_anything_is_taken() {
    let scene = Scene::new().await;
    let head_max = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
    let [gateway, storage] = [(), ()].map(|()| Identity::generate().0);
    // Gateways bring one another more than a shard.
    let callers = [
        (scene.gateway(gateway.peer(), 60), gateway, REPLICA_BYTES_MAX),
        (scene.storage(storage.peer(), 60), storage, SHARD_BYTES_MAX),
    ];
    for (certificate, me, payload_max) in callers {
        let payload_max = u32::try_from(payload_max).unwrap();
        let announced = [(u32::MAX, 0), (head_max + 1, 0), (100, u32::MAX), (100, payload_max + 1)];
        for (head, payload) in announced {
            let mut stream = scene.connect(&me).await;
            assert!(matches!(ask(&mut stream, &hello(&certificate, 1)).await, Response::Hello { .. }));
            stream.write_all(&head.to_le_bytes()).await.unwrap();
            stream.write_all(&payload.to_le_bytes()).await.unwrap();
            assert!(hung_up(&mut stream).await, "{head} + {payload}: refused by the eight bytes alone");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_stranger_sends_no_payload_and_no_long_messages() {
    let scene = Scene::new().await;
    for (head, payload) in [(100_u32, 1_u32), (20 << 10, 0)] {
        let mut stream = scene.connect(&Identity::generate().0).await;
        stream.write_all(&head.to_le_bytes()).await.unwrap();
        stream.write_all(&payload.to_le_bytes()).await.unwrap();
        assert!(hung_up(&mut stream).await, "{head} + {payload}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_payload_where_none_belongs_is_refused() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let mut stream = scene.connect(&me).await;
    assert!(matches!(
        ask(&mut stream, &hello(&scene.gateway(me.peer(), 60), 1)).await,
        Response::Hello { .. }
    ));
    let mut report = Request::Report.encode(0).unwrap().to_vec();
    report[4..8].copy_from_slice(&1_000_000_u32.to_le_bytes());
    stream.write_all(&report).await.unwrap();
    assert!(hung_up(&mut stream).await);
    scene.end().await;
}

/// Room is there for all callers together: nobody takes it with bytes that nobody wants, and be it by sending none of them.
#[tokio::test]
async fn a_payload_that_is_not_taken_is_refused_before_it_has_room() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let mut stream = scene.connect(&me).await;
    let certificate = scene.gateway(me.peer(), 60);
    assert!(matches!(ask(&mut stream, &hello(&certificate, 1)).await, Response::Hello { .. }));
    let mut announced = Request::Replica.encode(0).unwrap().to_vec();
    announced[4..8].copy_from_slice(&1_000_000_u32.to_le_bytes());
    stream.write_all(&announced).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap(), Response::Refused(Refusal::NotAMember));
    assert!(hung_up(&mut stream).await);
    scene.end().await;
}

#[tokio::test]
async fn a_request_of_another_version_is_answered_and_the_connection_goes_on() {
    let scene = Scene::new().await;
    let me = Identity::generate().0;
    let mut stream = scene.connect(&me).await;
    // A variant that there is not, and one with a field too many.
    let unknown = [3_u8, 0, 0, 0, 0, 0, 0, 0, 1, 99, 0];
    let mut longer = Request::Report.encode(0).unwrap().to_vec();
    longer.push(7);
    longer[0] += 1;
    stream.write_all(&unknown).await.unwrap();
    assert!(hung_up(&mut stream).await, "a stranger is owed no answer");
    let mut stream = scene.connect(&me).await;
    let greeted = ask(&mut stream, &hello(&scene.gateway(me.peer(), 60), 1)).await;
    assert!(matches!(greeted, Response::Hello { .. }));
    for strange in [&unknown[..], &longer] {
        stream.write_all(strange).await.unwrap();
        let mut lengths = [0; 8];
        stream.read_exact(&mut lengths).await.unwrap();
        let mut head = vec![0; usize::from(lengths[0])];
        stream.read_exact(&mut head).await.unwrap();
        let answer = Response::decode(&head).unwrap();
        assert!(matches!(answer, Response::Refused(Refusal::BadRequest(_))), "{answer:?}");
    }
    let served = ask(&mut stream, &Request::Report).await;
    assert_eq!(served, Response::Refused(Refusal::Busy), "the control: the handler is asked");
    scene.end().await;
}

#[tokio::test]
async fn a_client_with_another_protocol_or_a_plain_one_gets_nowhere() {
    let scene = Scene::new().await;
    let mut plain = TcpStream::connect(scene.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), plain.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server ends it by itself");

    let mut config =
        (*tls::client_config(&Identity::generate().0, None, BulkEncryption::Everything).unwrap()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(scene.address).await.unwrap();
    let other = TlsConnector::from(Arc::new(config)).connect(tls::no_name().unwrap(), stream).await;
    assert!(other.is_err());
    scene.end().await;
}
