//! What is stored by S3 and by REST is the same, in buckets that come and go.

use axum::body::Body;
use datamesh_catalog::Permission;
use http::Method;

use super::signer::{Ask, Client};
use crate::tests::house::{House, noise};

async fn admin(house: &House) -> Client {
    let client = Client::new(house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_apis_see_the_same_objects() {
    let house = House::new(6).await;
    let client = admin(&house).await;
    let text = noise(1, 5 << 20);
    let headers = [("content-type", "a/b"), ("cache-control", "no-cache"), ("x-amz-meta-colour", "blue")];
    let put = client
        .ask("PUT", "/photos/big%20one", Ask { headers: &headers, body: &text, ..Ask::default() })
        .await
        .ok();
    let path = "/api/v1/buckets/photos/files/big%20one";
    let got = house.ask(Method::GET, path, &[], Body::empty()).await.ok();
    assert!(got.body == text);
    assert_eq!(got.header("etag"), put.header("etag"));
    assert!(put.header("etag").ends_with("-1\""), "no client takes it for an MD5");
    assert_eq!((got.header("content-type"), got.header("cache-control")), ("a/b", "no-cache"));
    assert_eq!(got.header("x-datamesh-meta-colour"), "blue");
    house
        .ask(Method::PUT, "/api/v1/buckets/photos/files/x", &[("x-datamesh-meta-a", "b")], "rest")
        .await
        .ok();
    let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
    assert_eq!((&got.body[..], got.header("x-amz-meta-a")), (&b"rest"[..], "b"));
    assert!(got.headers.contains_key("x-amz-request-id"));
    let by_name = client.ask_host("photos.buckets.test", "GET", "/x", Ask::default()).await.ok();
    assert_eq!(&by_name.body[..], b"rest");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_signed_or_summed_is_no_object() {
    let house = House::new(6).await;
    let client = admin(&house).await;
    let wrong_md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let wrong_crc = [("x-amz-checksum-crc32", "AAAAAA==")];
    let unsigned = "0".repeat(64);
    let wrong_hash = [("x-amz-content-sha256", unsigned.as_str())];
    let never_came = [("x-amz-trailer", "x-amz-checksum-crc32")];
    for (headers, code) in [
        (&wrong_md5, "BadDigest"),
        (&wrong_crc, "BadDigest"),
        (&wrong_hash, "BadDigest"),
        (&never_came, "InvalidRequest"),
    ] {
        for body in [noise(1, 100), noise(2, 5 << 20)] {
            let refused =
                client.refusal("PUT", "/photos/bad", Ask { headers, body: &body, ..Ask::default() }).await;
            assert_eq!(refused.as_deref(), Some(code), "{headers:?}");
        }
    }
    assert_eq!(client.refusal("GET", "/photos/bad", Ask::default()).await.as_deref(), Some("NoSuchKey"));
}

#[tokio::test]
async fn a_bucket_that_was_deleted_elsewhere_is_not_served() {
    let house = House::new(6).await;
    let client = admin(&house).await;
    let put = || Ask { body: b"one", ..Ask::default() };
    assert_eq!(client.refusal("PUT", "/photos/a", put()).await, None);
    assert_eq!(client.refusal("DELETE", "/photos", Ask::default()).await.as_deref(), Some("BucketNotEmpty"));
    client.ask("DELETE", "/photos/a", Ask::default()).await.ok();
    // As another gateway would: this one keeps the bucket by its name.
    house.catalog.delete_bucket(&"photos".parse().unwrap()).await.unwrap().unwrap();
    for (method, target) in [
        ("GET", "/photos/a"),
        ("PUT", "/photos/a"),
        ("DELETE", "/photos/a"),
        ("GET", "/photos?list-type=2"),
        ("POST", "/photos/a?uploads="),
    ] {
        let refused = client.refusal(
            method,
            target,
            Ask { body: if method == "PUT" { b"two" } else { b"" }, ..Ask::default() },
        );
        assert_eq!(refused.await.as_deref(), Some("NoSuchBucket"), "{method} {target}");
    }
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    assert_eq!(client.refusal("GET", "/photos/a", Ask::default()).await.as_deref(), Some("NoSuchKey"));
    assert_eq!(client.refusal("PUT", "/photos/a", put()).await, None);
    assert_eq!(&client.ask("GET", "/photos/a", Ask::default()).await.ok().body[..], b"one");
}

#[tokio::test]
async fn buckets_by_rest() {
    let house = House::new(6).await;
    let ask = async |method, path: &str| house.ask(method, path, &[], Body::empty()).await;
    assert_eq!(ask(Method::PUT, "/api/v1/buckets/photos").await.status, 201);
    assert_eq!(ask(Method::PUT, "/api/v1/buckets/photos").await.problem(), "bucket-exists");
    assert_eq!(ask(Method::PUT, "/api/v1/buckets/NO").await.problem(), "invalid-parameter");
    house.ask(Method::PUT, "/api/v1/buckets/photos/files/a", &[], "x").await.ok();
    assert_eq!(ask(Method::DELETE, "/api/v1/buckets/photos").await.problem(), "bucket-not-empty");
    assert_eq!(ask(Method::GET, "/api/v1/buckets").await.json()["items"][0]["name"], "photos");
    ask(Method::DELETE, "/api/v1/buckets/photos/files/a").await.ok();
    assert_eq!(ask(Method::DELETE, "/api/v1/buckets/photos").await.status, 204);
    assert_eq!(ask(Method::DELETE, "/api/v1/buckets/photos").await.problem(), "no-such-bucket");
    assert_eq!(ask(Method::GET, "/api/v1/buckets").await.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn an_upload_of_a_deleted_bucket_is_given_up() {
    let house = House::new(6).await;
    let client = admin(&house).await;
    let begun = client.ask("POST", "/photos/a?uploads=", Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned();
    let part = format!("/photos/a?partNumber=1&uploadId={id}");
    assert_eq!(client.refusal("PUT", &part, Ask { body: b"part", ..Ask::default() }).await, None);
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 1);
    assert_eq!(client.refusal("DELETE", "/photos", Ask::default()).await, None);
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 0);
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let refused = client.refusal("PUT", &part, Ask { body: b"part", ..Ask::default() }).await;
    assert_eq!(refused.as_deref(), Some("NoSuchUpload"), "an upload of the bucket that was");
}

/// Each copy holds what it reads into while it waits for what it writes from: many at once must not wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_copies_at_once_get_through() {
    let house = House::keeping(6, 32 << 20, 0).await;
    let client = std::sync::Arc::new(admin(&house).await);
    let bytes = noise(7, 9 << 20);
    assert_eq!(client.refusal("PUT", "/photos/x", Ask { body: &bytes, ..Ask::default() }).await, None);
    let mut copies = tokio::task::JoinSet::new();
    for copy in 0..24 {
        let client = std::sync::Arc::clone(&client);
        copies.spawn(async move {
            let headers = &[("x-amz-copy-source", "/photos/x")];
            client.refusal("PUT", &format!("/photos/copy-{copy}"), Ask { headers, ..Ask::default() }).await
        });
    }
    let done = tokio::time::timeout(std::time::Duration::from_secs(120), copies.join_all()).await;
    assert!(done.expect("they wait for each other").iter().all(Option::is_none));
    let last = client.ask("GET", "/photos/copy-23", Ask::default()).await.ok();
    assert!(last.body == bytes);
}

#[tokio::test]
async fn conditions_of_ranges_and_copies_hold() {
    let house = House::new(6).await;
    let client = admin(&house).await;
    let put = client.ask("PUT", "/photos/x", Ask { body: b"0123456789", ..Ask::default() }).await.ok();
    let etag = put.header("etag").to_owned();
    for (tag, whole) in [(etag.as_str(), false), ("\"another\"", true)] {
        let headers = &[("range", "bytes=2-3"), ("if-range", tag)];
        let got = client.ask("GET", "/photos/x", Ask { headers, ..Ask::default() }).await.ok();
        let (status, body): (u16, &[u8]) = if whole { (200, b"0123456789") } else { (206, b"23") };
        assert_eq!((got.status.as_u16(), &got.body[..]), (status, body), "{tag}");
    }
    let copy = async |condition: (&str, &str)| {
        let headers = &[("x-amz-copy-source", "/photos/x"), condition];
        client.refusal("PUT", "/photos/y", Ask { headers, ..Ask::default() }).await
    };
    assert_eq!(copy(("if-none-match", "*")).await, None);
    assert_eq!(copy(("if-none-match", "*")).await.as_deref(), Some("PreconditionFailed"));
    assert_eq!(copy(("if-match", "\"another\"")).await.as_deref(), Some("PreconditionFailed"));
}
