use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt as _;

use super::house::{Got, House, USER, noise, read};
use crate::limits;

mod cuts;
mod statuses;

const TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");
const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");

/// `name value`, as `Upload-Metadata` has it.
fn pair(name: &str, value: &str) -> String {
    format!("{name} {}", STANDARD.encode(value))
}

async fn create(house: &House, length: usize, metadata: &str) -> Got {
    let length = length.to_string();
    let headers = [VERSION, ("upload-length", length.as_str()), ("upload-metadata", metadata)];
    house.ask(Method::POST, "/api/v1/tus", &headers, Body::empty()).await
}

/// Begins an upload; its path.
async fn begin(house: &House, key: &str, length: usize) -> String {
    let begun = create(house, length, &pair("key", key)).await.ok();
    assert_eq!((begun.status.as_u16(), begun.header("tus-resumable")), (201, "1.0.0"));
    begun.header("location").to_owned()
}

async fn patch(house: &House, path: &str, offset: usize, body: impl Into<Body>) -> Got {
    let offset = offset.to_string();
    house.ask(Method::PATCH, path, &[VERSION, TYPE, ("upload-offset", offset.as_str())], body).await
}

async fn head(house: &House, path: &str) -> Got {
    house.ask(Method::HEAD, path, &[VERSION], Body::empty()).await
}

/// How far it is.
async fn at(house: &House, path: &str) -> usize {
    let got = head(house, path).await.ok();
    assert_eq!(got.header("cache-control"), "no-store");
    got.header("upload-offset").parse().unwrap()
}

/// The same by another gateway.
async fn by(gateway: &Router, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Got {
    let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
    let all: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    *request.headers_mut() = all;
    request.headers_mut().insert("authorization", format!("Bearer {USER}").parse().unwrap());
    read(gateway.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_where_it_is_at_any_gateway() {
    let house = House::new(6).await;
    let text = noise(1, (9 << 20) + 70_000);
    let metadata = [
        pair("key", "dir/clip"),
        pair("filename", "Ä clip.mp4"),
        pair("filetype", "video/mp4"),
        pair("Camera", "old"),
    ];
    let begun = create(&house, text.len(), &metadata.join(",")).await.ok();
    let path = begun.header("location").to_owned();
    assert!(begun.header("upload-expires").ends_with(" GMT"));
    let first = patch(&house, &path, 0, text[..5_000_001].to_vec()).await.ok();
    assert_eq!((first.status.as_u16(), first.header("upload-offset")), (204, "5000001"));
    assert_eq!(first.header("datamesh-durability"), "whole");
    assert_eq!(house.get("dir/clip").await.problem(), "no-such-object");
    let shown = head(&house, &path).await.ok();
    assert_eq!(
        (shown.header("upload-offset"), shown.header("upload-length")),
        ("5000001", text.len().to_string().as_str())
    );
    assert_eq!(shown.header("upload-metadata"), metadata.join(","));
    assert_eq!(patch(&house, &path, 5_000_001, Body::empty()).await.ok().header("upload-offset"), "5000001");
    // The first one knows nothing that another does not.
    let other = house.another_gateway("other").await;
    let headers = [VERSION, TYPE, ("upload-offset", "5000001")];
    let last = by(&other, Method::PATCH, &path, &headers, text[5_000_001..].to_vec().into()).await.ok();
    assert_eq!(last.header("upload-offset"), text.len().to_string());
    assert_eq!(last.header("datamesh-durability"), "whole");
    let got = house.get("dir/clip").await.ok();
    assert!(got.body == text);
    assert_eq!((got.header("content-type"), got.header("x-datamesh-meta-camera")), ("video/mp4", "old"));
    assert_eq!(got.header("content-disposition"), "attachment; filename*=UTF-8''%C3%84%20clip%2Emp4");
    assert_eq!(got.header("etag"), last.header("etag"));
    let headers = [("range", "bytes=4999990-5000010")];
    let across = house.ask(Method::GET, "/api/v1/files/dir/clip", &headers, Body::empty()).await.ok();
    assert!(across.body == text[4_999_990..=5_000_010]);
    // Whoever missed the answer asks, and is told that it is whole; nothing goes behind it.
    assert_eq!(at(&house, &path).await, text.len());
    assert_eq!(patch(&house, &path, text.len(), Body::empty()).await.status, 204);
    assert_eq!(patch(&house, &path, text.len(), "more").await.problem(), "too-large");
    assert_eq!(patch(&house, &path, 5_000_001, "more").await.problem(), "conflict");
    assert_eq!(house.status().await["uploads"].as_u64().unwrap_or_default(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_pieces_fill_pages_and_the_object_is_whole() {
    let house = House::new(6).await;
    let text = noise(2, 40 * 1000);
    let path = begin(&house, "pieces", text.len()).await;
    for (n, piece) in text.chunks(1000).enumerate() {
        assert_eq!(patch(&house, &path, n * 1000, piece.to_vec()).await.status, 204, "{n}");
    }
    assert!(house.get("pieces").await.ok().body == text);
    let id: datamesh_catalog::UploadId = path.rsplit('/').next().unwrap().parse().unwrap();
    let parts = house.catalog.parts(id).await.unwrap();
    assert_eq!(
        (parts.len(), parts[0].pages, parts[0].segments),
        (1, 3, 40),
        "16 segments to a page at first"
    );
    assert!(parts[0].complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_may_come_with_the_creation_and_an_empty_upload_is_whole_at_once() {
    let house = House::new(6).await;
    let metadata = pair("filename", "with");
    let of = |length: &'static str| {
        [VERSION, TYPE, ("upload-length", length), ("upload-metadata", metadata.as_str())]
    };
    let begun = house.ask(Method::POST, "/api/v1/tus", &of("11"), "hello ").await.ok();
    assert_eq!((begun.status.as_u16(), begun.header("upload-offset")), (201, "6"));
    let path = begun.header("location").to_owned();
    assert_eq!(patch(&house, &path, 6, "world").await.status, 204);
    assert_eq!(house.get("with").await.ok().body, "hello world");
    let whole = house.ask(Method::POST, "/api/v1/tus", &of("5"), "again").await.ok();
    assert_eq!((whole.status.as_u16(), whole.header("upload-offset")), (201, "5"));
    assert!(whole.headers.contains_key("etag") && !whole.headers.contains_key("upload-expires"));
    assert_eq!(house.get("with").await.ok().body, "again");
    let empty = create(&house, 0, &pair("key", "nothing")).await.ok();
    assert_eq!(at(&house, empty.header("location")).await, 0);
    let got = house.get("nothing").await.ok();
    assert_eq!((got.body.len(), got.header("etag")), (0, empty.header("etag")));
    // What is refused with its creation is nobody's to go on with.
    let mut headers = of("6").to_vec();
    headers.push(("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="));
    let refused = house.ask(Method::POST, "/api/v1/tus", &headers, "hello?").await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (460, "checksum-mismatch"));
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_ends_with_its_time_or_its_client_s_word() {
    let house = House::new(6).await;
    let (ended, late) = (begin(&house, "a", 10).await, begin(&house, "b", 9_000_000).await);
    for path in [&ended, &late] {
        assert_eq!(patch(&house, path, 0, "hello").await.status, 204);
    }
    assert_eq!(house.ask(Method::DELETE, &ended, &[VERSION], Body::empty()).await.status, 204);
    for method in [Method::HEAD, Method::DELETE, Method::PATCH] {
        let headers = [VERSION, TYPE, ("upload-offset", "5")];
        assert_eq!(house.ask(method.clone(), &ended, &headers, Body::empty()).await.status, 404, "{method}");
    }
    // Each sign of its client gives it its time anew.
    house.clock.move_on(limits::UPLOAD_LEASE / 2);
    assert_eq!(patch(&house, &late, 5, "world").await.status, 204);
    house.clock.move_on(limits::UPLOAD_LEASE / 2 + limits::UPLOAD_LEASE / 4);
    let now = crate::surroundings::Surroundings::now_unix_ms(&*house.clock);
    assert_eq!(house.catalog.reclaim_expired(now, 10).await.unwrap(), []);
    assert_eq!(at(&house, &late).await, 10);
    house.clock.move_on(limits::UPLOAD_LEASE / 2);
    let now = crate::surroundings::Surroundings::now_unix_ms(&*house.clock);
    assert_eq!(house.catalog.reclaim_expired(now, 10).await.unwrap().len(), 1);
    assert_eq!(head(&house, &late).await.status, 404);
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 0);
}
