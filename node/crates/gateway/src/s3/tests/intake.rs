//! Bodies that come slowly, and more of them than there is memory for. Time is tokio's, and goes on when nobody has something to do: for
//! whoever puts an object it also does while that is stored, so no put is timed.

use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::Permission;
use futures::{StreamExt as _, stream};
use http::Request;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::chunks::{Chunked, SIGNED};
use super::signer::{Ask, Client, HOST};
use crate::s3::chunks::SIGNED_CHUNK_BYTES_MAX;
use crate::tests::house::{Got, House, noise};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Bytes of a piece that comes each second, faster than it has to.
pub(super) const IN_TIME: usize = 20 << 10;
const DELETE: &str = "/photos?delete=";
const MIB: usize = 1 << 20;

/// A body whose pieces come a second after each other.
pub(super) fn slowly(bytes: &[u8], piece: usize) -> Body {
    let pieces: Vec<_> = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
    Body::from_stream(stream::iter(pieces).then(|piece| async {
        sleep(SECOND).await;
        Ok::<_, std::io::Error>(piece)
    }))
}

async fn photos(house: &House) -> Client {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    client
}

/// A document that deletes nothing, of more than so many bytes.
fn document(bytes: usize) -> Vec<u8> {
    let object = format!("<Object><Key>{}</Key></Object>", "k".repeat(1000));
    format!("<Delete>{}</Delete>", object.repeat(bytes / object.len() + 1)).into_bytes()
}

/// A request with another body than it was signed with.
fn with_body(client: &Client, target: &str, document: &[u8], body: Body) -> Request<Body> {
    let hash = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    let ask = Ask { headers: &hash, body: document, ..Ask::default() };
    let mut request = client.signed(HOST, "POST", target, &ask);
    *request.body_mut() = body;
    request
}

/// Sends it and goes on.
pub(super) fn sent(client: &Client, request: Request<Body>) -> AbortOnDropHandle<Got> {
    let router = client.router();
    crate::owned::spawn(async move {
        crate::tests::house::read(tower::ServiceExt::oneshot(router, request).await.unwrap()).await
    })
}

#[tokio::test(start_paused = true)]
async fn a_document_comes_at_its_rate_or_is_given_up() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let document = document(15 * IN_TIME);
    let began = Instant::now();
    let got = client.send(with_body(&client, DELETE, &document, slowly(&document, IN_TIME))).await;
    assert_eq!((got.code(), began.elapsed().as_secs()), (None, 16), "longer than the grace, and done");
    let began = Instant::now();
    let got = client.send(with_body(&client, DELETE, &document, slowly(&document, 1))).await;
    assert_eq!((got.status.as_u16(), got.code().as_deref()), (400, Some("RequestTimeout")));
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_owner_s_documents_leave_memory_for_another_s() {
    let house = House::new(6).await;
    let first = photos(&house).await;
    let of = async |owner| Client::of(&house, owner, (Permission::Admin, &[])).await.beside(&first);
    let (client, again, other) = (of("alice").await, of("Alice").await, of("other").await);
    let large = document(3 * MIB);
    let holding = sent(&client, with_body(&client, DELETE, &large, slowly(&large, IN_TIME)));
    sleep(SECOND).await;
    let began = Instant::now();
    let got = again.send(with_body(&again, DELETE, &large, Body::from(large.clone()))).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_deref()),
        (503, Some("SlowDown")),
        "another key of theirs"
    );
    assert_eq!((got.header("retry-after"), began.elapsed().as_secs()), ("10", 10));
    let small = document(1);
    for (client, sent, why) in [(&client, &small, "a small one"), (&other, &large, "another owner's")] {
        let got = client.send(with_body(client, DELETE, sent, Body::from(sent.clone()))).await;
        assert_ne!(got.status, 503, "{why}: {got:?}");
    }
    drop(holding);
    let got = client.send(with_body(&client, DELETE, &large, Body::from(large.clone()))).await;
    assert_ne!(got.status, 503, "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_document_without_end_is_refused() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    let mut request = with_body(&client, DELETE, b"", endless);
    request.headers_mut().insert("content-length", "99999999999".parse().unwrap());
    assert_eq!(client.send(request).await.code().as_deref(), Some("MaxMessageLengthExceeded"));
}

/// A put of one signed chunk.
fn chunk(client: &Client, data: &[u8], slow: impl Fn(&[u8]) -> Body) -> Request<Body> {
    let (headers, body) = Chunked::new(SIGNED, data, data.len(), None).sign(client, HOST, "/photos/x");
    let mut request = Request::put("/photos/x").body(slow(&body)).unwrap();
    *request.headers_mut() = headers;
    request
}

#[tokio::test(start_paused = true)]
async fn signed_chunks_come_at_their_rate_and_within_their_memory() {
    let house = House::new(6).await;
    let (client, other) = (photos(&house).await, Client::of(&house, "other", (Permission::Admin, &[])).await);
    let other = other.beside(&client);
    let data = noise(1, usize::try_from(SIGNED_CHUNK_BYTES_MAX).unwrap());
    let in_time = |body: &[u8]| slowly(body, IN_TIME);
    let got = client.send(chunk(&client, &data[..15 * IN_TIME], in_time)).await;
    assert_eq!(got.code(), None, "longer than the grace, and done");
    let began = Instant::now();
    let got = client.send(chunk(&client, &data, |body| slowly(body, 200))).await;
    assert_eq!((got.status.as_u16(), got.code().as_deref()), (400, Some("RequestTimeout")));
    assert!(began.elapsed() < 12 * SECOND, "{:?}", began.elapsed());
    let holding: Vec<_> = (0..8).map(|_| sent(&client, chunk(&client, &data, in_time))).collect();
    sleep(2 * SECOND).await;
    let halves = |body: &[u8]| slowly(body, body.len() / 2 + 1);
    let got = client.send(chunk(&client, &data, halves)).await;
    assert_eq!((got.status.as_u16(), got.code().as_deref()), (503, Some("SlowDown")));
    assert_eq!(other.send(chunk(&other, &data, halves)).await.code(), None, "another owner");
    drop(holding);
    assert_eq!(client.send(chunk(&client, &data, halves)).await.code(), None, "it came back");
}

/// A chunk is in memory until its end has come, so that comes at its rate too.
#[tokio::test(start_paused = true)]
async fn a_chunk_without_its_end_is_given_up() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let data = noise(1, 1000);
    let began = Instant::now();
    let endless = |body: &[u8]| {
        let at = body.windows(data.len()).position(|window| window == data).unwrap() + data.len();
        // In two pieces: what came in one takes no memory of its own.
        let come = [&body[..at - 1], &body[at - 1..at]].map(|piece| Ok::<_, std::io::Error>(piece.to_vec()));
        Body::from_stream(stream::iter(come).chain(stream::pending()))
    };
    let got = client.send(chunk(&client, &data, endless)).await;
    assert_eq!((got.status.as_u16(), got.code().as_deref()), (400, Some("RequestTimeout")));
    assert!(began.elapsed() < 12 * SECOND, "{:?}", began.elapsed());
}

/// An object in small chunks that pause between each other waits for nobody: only what is in memory has a rate.
#[tokio::test(start_paused = true)]
async fn chunks_may_pause_between_each_other() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let data = noise(1, 40 * 100);
    let (headers, body) = Chunked::new(SIGNED, &data, 100, None).sign(&client, HOST, "/photos/x");
    let each = body.len() / 40;
    let mut request = Request::put("/photos/x").body(slowly(&body, each)).unwrap();
    *request.headers_mut() = headers;
    let began = Instant::now();
    assert_eq!(client.send(request).await.code(), None);
    assert!(began.elapsed() > 30 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_objects_come_in_chunks() {
    let house = House::new(6).await;
    let client = photos(&house).await;
    let document = document(1);
    let (headers, body) =
        Chunked::new(SIGNED, &document, document.len(), None).sign(&client, HOST, "/photos/x");
    for (target, code) in [("/photos/x", None), ("/photos/x?tagging=", Some("NotImplemented"))] {
        let said = [
            ("x-amz-content-sha256", SIGNED),
            ("x-amz-decoded-content-length", headers["x-amz-decoded-content-length"].to_str().unwrap()),
        ];
        let mut request = client.signed(HOST, "PUT", target, &Ask { headers: &said, ..Ask::default() });
        let headers = if code.is_none() { headers.clone() } else { request.headers().clone() };
        *request.headers_mut() = headers;
        *request.body_mut() = Body::from(body.clone());
        assert_eq!(client.send(request).await.code().as_deref(), code, "{target}");
    }
}
