//! Clients that hold connections and say nothing, or little, met at the real door over connections in memory. Time is tokio's and stands
//! still while anybody has something to do, so what a client waited is exact.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::house::{House, USER};
use super::https::write_certificate;
use crate::https::{Certificates, Connections, Https};
use crate::limits::{BODY_STALL, HEADER_WAIT, IDLE_WAIT, SEGMENT_WAIT, WRITE_STALL};

const ASKS: &[u8] = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

type Client = TlsStream<DuplexStream>;

/// Connections in memory that wait to be let in.
struct Queue(mpsc::Receiver<DuplexStream>);

impl Listener for Queue {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(stream) => (stream, ([127, 0, 0, 1], 1).into()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }
}

struct Door {
    queue: mpsc::Sender<DuplexStream>,
    root: CertificateDer<'static>,
    stop: CancellationToken,
    serving: AbortOnDropHandle<()>,
    _house: House,
}

impl Door {
    async fn with_places(places: usize) -> Self {
        let (house, dir) = (House::new(6).await, tempfile::tempdir().unwrap());
        // The bucket is there then, so that a put waits for its body alone.
        house.put("first", "1").await.ok();
        let (files, root) = write_certificate(dir.path());
        let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
        let (queue, waiting) = mpsc::channel(64);
        let certificates = Arc::new(Certificates::open(&files).unwrap());
        let address = ([127, 0, 0, 1], 1).into();
        let https = Https::over(Queue(waiting), address, certificates, Connections::of(places)).unwrap();
        let stop = CancellationToken::new();
        let serving = crate::owned::spawn(https.run(house.router(), stop.clone()));
        Self { queue, root, stop, serving, _house: house }
    }

    async fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        self.queue.send(theirs).await.unwrap();
        ours
    }

    async fn client(&self, protocol: &[u8]) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.unwrap()
    }

    async fn http1(&self) -> Client {
        self.client(b"http/1.1").await
    }

    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// Asks once, and reads the answer whole.
async fn ask(client: &mut Client) {
    client.write_all(ASKS).await.unwrap();
    let mut answer = Vec::new();
    let head = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "it was closed");
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let bytes = text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let whole = head + bytes.parse::<usize>().unwrap();
    while answer.len() < whole {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "it was closed");
    }
}

/// What else comes until the connection is closed, whichever way.
async fn rest(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

/// Sends a byte each second until the connection is closed.
async fn drip(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let (mut reads, mut writes) = tokio::io::split(client);
    let dripping = async {
        while writes.write_all(b"a").await.is_ok() && writes.flush().await.is_ok() {
            sleep(SECOND).await;
        }
    };
    tokio::select! {
        () = dripping => {}
        _ = rest(&mut reads) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_holds_its_place_for_ten_seconds() {
    let (door, began) = (Door::with_places(3).await, Instant::now());
    let mut silent = Vec::new();
    for half in [&b""[..], b"\x16\x03\x01\x02", b"\x16"] {
        let mut stream = door.connect().await;
        stream.write_all(half).await.unwrap();
        silent.push(stream);
    }
    ask(&mut door.http1().await).await;
    assert_eq!(began.elapsed().as_secs(), HEADER_WAIT.as_secs(), "all places were taken");
    for stream in silent {
        rest(stream).await;
    }
    assert_eq!(began.elapsed().as_secs(), HEADER_WAIT.as_secs());
    door.close().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_given_up_and_others_are_served_meanwhile() {
    let (door, began) = (Door::with_places(4).await, Instant::now());
    let (mut first, mut second) = (door.http1().await, door.http1().await);
    first.write_all(&ASKS[..ASKS.len() - 2]).await.unwrap();
    second.write_all(b"GET /").await.unwrap();
    ask(&mut door.http1().await).await;
    assert!(began.elapsed() < SECOND, "there was a place");
    let (_, dripped) = tokio::join!(rest(first), drip(&mut second));
    assert_eq!((began.elapsed().as_secs(), dripped), (HEADER_WAIT.as_secs(), ()));
    door.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_but_not_half_a_head_on_it() {
    let door = Door::with_places(8).await;
    let mut client = door.http1().await;
    for idle in [Duration::ZERO, 2 * HEADER_WAIT, IDLE_WAIT - SECOND] {
        sleep(idle).await;
        ask(&mut client).await;
    }
    let mut idle = door.http1().await;
    ask(&mut idle).await;
    let began = Instant::now();
    sleep(IDLE_WAIT - SECOND).await;
    drip(&mut client).await;
    let (least, waited) = (IDLE_WAIT - SECOND + HEADER_WAIT, began.elapsed());
    assert_eq!(waited.as_secs(), least.as_secs(), "from its first byte");
    door.close().await;
    assert!(rest(idle).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_let_go_after_a_while() {
    let door = Door::with_places(8).await;
    let mut client = door.http1().await;
    ask(&mut client).await;
    let began = Instant::now();
    assert!(rest(client).await.is_empty());
    assert_eq!(began.elapsed().as_secs(), IDLE_WAIT.as_secs());
    door.close().await;
}

/// Three places: two clients that are idle and one that comes.
#[tokio::test(start_paused = true)]
async fn who_is_idle_longest_gives_way() {
    let (door, began) = (Door::with_places(3).await, Instant::now());
    let mut kept = Vec::new();
    for _ in 0..10 {
        let mut client = door.http1().await;
        ask(&mut client).await;
        kept.push(client);
    }
    assert!(began.elapsed() < SECOND, "nobody had to wait");
    let mut youngest = kept.pop().unwrap();
    for client in kept.drain(..8) {
        assert!(rest(client).await.is_empty());
    }
    assert!(began.elapsed() < SECOND, "they were closed at once");
    ask(&mut youngest).await;
    door.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_byte_by_byte_is_given_up() {
    let door = Door::with_places(4).await;
    let put = |length: usize| {
        format!(
            "PUT /api/v1/files/x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {USER}\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let (mut drips, mut stops) = (door.http1().await, door.http1().await);
    let began = Instant::now();
    for client in [&mut drips, &mut stops] {
        client.write_all(put(1 << 20).as_bytes()).await.unwrap();
    }
    let stopped = rest(&mut stops);
    let (stopped, ()) = tokio::join!(timeout(BODY_STALL + SECOND, stopped), drip(&mut drips));
    assert!(stopped.unwrap().starts_with(b"HTTP/1.1 4"), "what brings nothing ends first");
    assert!(began.elapsed() <= SEGMENT_WAIT + HEADER_WAIT, "{:?}", began.elapsed());
    assert!(began.elapsed() > BODY_STALL + SECOND, "{:?}", began.elapsed());
    ask(&mut door.http1().await).await;
    door.close().await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET /` of stream 1 by the static table of HPACK.
const GET: &[u8] = b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x87\x84\x41\x09localhost";
const PING: u8 = 6;

/// Answers pings and asks for nothing more, until the connection is closed; says how many there were.
async fn answer_pings(mut client: Client) -> usize {
    let mut pings = 0;
    let mut head = [0; 9];
    while client.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if client.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == PING && head[4] == 0 {
            pings += 1;
            head[4] = 1;
            let answer = [&head[..], &payload].concat();
            if client.write_all(&answer).await.is_err() || client.flush().await.is_err() {
                break;
            }
        }
    }
    pings
}

#[tokio::test(start_paused = true)]
async fn a_silent_http2_connection_is_let_go() {
    let (door, began) = (Door::with_places(8).await, Instant::now());
    let mut silent = Vec::new();
    for said in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut client = door.client(b"h2").await;
        client.write_all(said).await.unwrap();
        silent.push(crate::owned::spawn(rest(client)));
    }
    let mut deaf = door.client(b"h2").await;
    deaf.write_all(&[PREFACE, GET].concat()).await.unwrap();
    ask(&mut door.http1().await).await;
    assert!(began.elapsed() < SECOND);
    for one in silent {
        one.await.unwrap();
    }
    assert!(began.elapsed() <= 2 * HEADER_WAIT + SECOND, "{:?}", began.elapsed());
    rest(deaf).await;
    assert!(began.elapsed() <= WRITE_STALL, "who answers no ping: {:?}", began.elapsed());
    door.close().await;
}

#[tokio::test(start_paused = true)]
async fn pings_alone_do_not_keep_an_http2_connection() {
    let (door, began) = (Door::with_places(8).await, Instant::now());
    let (mut never, mut once) = (door.client(b"h2").await, door.client(b"h2").await);
    never.write_all(PREFACE).await.unwrap();
    once.write_all(&[PREFACE, GET].concat()).await.unwrap();
    answer_pings(never).await;
    assert_eq!(began.elapsed().as_secs(), HEADER_WAIT.as_secs());
    assert!(answer_pings(once).await > 3, "they kept it for a while");
    assert!(began.elapsed() >= IDLE_WAIT && began.elapsed() <= 2 * IDLE_WAIT, "{:?}", began.elapsed());
    door.close().await;
}
