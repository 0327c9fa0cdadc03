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
    let put = client.ask("PUT", "/photos/big%20one", Ask { headers: &headers, body: &text }).await.ok();
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
        (&wrong_hash, "SignatureDoesNotMatch"),
        (&never_came, "InvalidRequest"),
    ] {
        for body in [noise(1, 100), noise(2, 5 << 20)] {
            let refused = client.refusal("PUT", "/photos/bad", Ask { headers, body: &body }).await;
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
