//! Keys of customers (SSE-C): who has the key reads, nobody else does, and the key is nowhere.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::{ObjectKey, Page, PageAt, PartTag, Permission, PlacedPage, Role};
use datamesh_settings::admin::{PoolSpec, RecodeSpec};
use datamesh_shard::{BucketName, ErasureProfile};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use s3s::crypto::{Checksum as _, Md5};
use serde_json::json;

use super::signer::{Ask, Client};
use crate::pipeline::Record;
use crate::tests::accounts::{signed_in, tell};
use crate::tests::house::{ADMIN, Got, House, USER, noise, spec};
use crate::work::Worker as _;

/// A customer's key, in the headers of a request: of an object, or of the source of a copy.
pub(super) struct Key {
    text: String,
    md5: String,
}

const OF_OBJECT: [&str; 3] = [
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];
const SSE_S3: &str = "x-amz-server-side-encryption";
const OF_SOURCE: [&str; 3] = [
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
];

impl Key {
    fn new(byte: u8) -> Self {
        let mut md5 = Md5::new();
        md5.update(&[byte; 32]);
        Self { text: STANDARD.encode([byte; 32]), md5: STANDARD.encode(md5.finalize()) }
    }

    fn headers(&self, names: [&'static str; 3]) -> Vec<(&'static str, &str)> {
        names.into_iter().zip(["AES256", &self.text, &self.md5]).collect()
    }

    fn said(&self) -> Vec<(&'static str, &str)> {
        self.headers(OF_OBJECT)
    }
}

/// A house and a key that may all, used at the bucket that REST uses by itself.
async fn opened() -> (House, Client) {
    let house = House::new(6).await;
    house.put("plain", "plain").await.ok();
    let client = Client::new(&house, Permission::Admin, &[]).await;
    (house, client)
}

async fn put(client: &Client, name: &str, body: &[u8], headers: &[(&str, &str)]) -> Got {
    client.ask("PUT", &format!("/default/{name}"), Ask { headers, body, ..Ask::default() }).await.ok()
}

async fn got(client: &Client, name: &str, headers: &[(&str, &str)]) -> Got {
    client.ask("GET", &format!("/default/{name}"), Ask { headers, ..Ask::default() }).await
}

async fn refusal(client: &Client, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    client.refusal(method, &format!("/default/{target}"), Ask { headers, ..Ask::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_key_reads_and_nobody_else() {
    let (_house, client) = opened().await;
    let (key, other) = (Key::new(1), Key::new(2));
    for (name, body) in [("small", noise(1, 500)), ("large", noise(2, (9 << 20) + 77))] {
        let made = put(&client, name, &body, &key.said()).await;
        assert_eq!(made.header(OF_OBJECT[0]), "AES256");
        assert_eq!(made.header(OF_OBJECT[2]), key.md5);
        let read = got(&client, name, &key.said()).await.ok();
        assert!(
            [&made, &read].iter().all(|got| !got.headers.contains_key(SSE_S3)),
            "no key of the cluster alone"
        );
        assert!(read.body == body, "{name}");
        assert_eq!((read.header(OF_OBJECT[0]), read.header(OF_OBJECT[2])), ("AES256", key.md5.as_str()));
        let mut ranged = key.said();
        ranged.push(("range", "bytes=100-199"));
        assert_eq!(got(&client, name, &ranged).await.ok().body, body[100..200], "{name}");
        let head = async |headers: Vec<(&str, &str)>| {
            let target = format!("/default/{name}");
            client.ask("HEAD", &target, Ask { headers: &headers, ..Ask::default() }).await.status.as_u16()
        };
        assert_eq!(
            (head(key.said()).await, head(Vec::new()).await, head(other.said()).await),
            (200, 400, 403)
        );
        let invalid = Some("InvalidRequest".to_owned());
        for method in ["GET", "PUT"] {
            let target = if method == "GET" { name } else { "copy" };
            let source = format!("/default/{name}");
            let copy = [("x-amz-copy-source", source.as_str())];
            let headers: &[(&str, &str)] = if method == "GET" { &[] } else { &copy };
            assert_eq!(refusal(&client, method, target, headers).await, invalid, "{method}");
        }
        let attributes = [("x-amz-object-attributes", "ETag")];
        assert_eq!(refusal(&client, "GET", &format!("{name}?attributes="), &attributes).await, invalid);
        assert_eq!(refusal(&client, "GET", name, &other.said()).await.as_deref(), Some("AccessDenied"));
    }
    assert_eq!(refusal(&client, "GET", "plain", &key.said()).await.as_deref(), Some("InvalidRequest"));
    assert_eq!(refusal(&client, "GET", "none", &key.said()).await.as_deref(), Some("NoSuchKey"));
    let mut both = key.said();
    both.push((SSE_S3, "AES256"));
    assert_eq!(refusal(&client, "PUT", "both", &both).await.as_deref(), Some("InvalidArgument"));
    assert_eq!(refusal(&client, "PUT", "half", &key.said()[..2]).await.as_deref(), Some("InvalidArgument"));
    let mut empty = [("x-amz-server-side-encryption-customer-algorithm", "")];
    assert_eq!(refusal(&client, "PUT", "empty", &empty).await.as_deref(), Some("InvalidArgument"));
    empty[0].0 = "x-amz-copy-source-server-side-encryption-customer-key";
    assert_eq!(refusal(&client, "PUT", "empty", &empty).await.as_deref(), Some("InvalidArgument"));
    let in_url = "url?x-amz-server-side-encryption-customer-algorithm=AES256";
    assert_eq!(
        refusal(&client, "PUT", in_url, &[]).await.as_deref(),
        Some("InvalidArgument"),
        "it is not ignored"
    );
    assert_eq!(refusal(&client, "DELETE", "large", &[]).await, None, "nobody needs the key to delete");
}

#[tokio::test]
async fn nothing_that_is_kept_tells_of_the_contents_or_the_key() {
    const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let (house, client) = opened().await;
    let key = Key::new(1);
    let mut headers = key.said();
    headers.extend([("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="), ("x-amz-checksum-sha256", SHA256)]);
    let made = put(&client, "a", b"hello", &headers).await;
    assert!(made.header("etag").ends_with("-1\""), "no MD5 of the contents lies in the row");
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let object = house.catalog.object(bucket, &ObjectKey::new("a").unwrap()).await.unwrap().unwrap();
    let objects = &house.core.app.objects;
    let kept = objects.fields_of_object(&object, None).await.unwrap();
    let sums = |fields: &crate::objects::Fields| {
        fields.system.keys().filter(|name| name.starts_with("x-amz-checksum-")).count()
    };
    assert_eq!(sums(&kept), 0, "{kept:?}");
    let mut asks = key.said();
    asks.push(("x-amz-checksum-mode", "ENABLED"));
    let read = got(&client, "a", &asks).await.ok();
    assert_eq!(read.header("x-amz-checksum-sha256"), SHA256);
    // What else reads what the cluster can: never the bytes.
    let entries =
        house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit", (&[], Body::empty())).await.ok();
    let text = String::from_utf8_lossy(&entries.body).into_owned();
    assert!(text.contains("s3:PutObject"), "the control: {text}");
    for secret in [key.text.as_str(), &hex::encode([1; 32]), key.md5.as_str()] {
        assert!(!text.contains(secret) && !format!("{kept:?}").contains(secret));
    }
    let refused = got(&client, "a", &Key::new(2).said()).await;
    assert!(!String::from_utf8_lossy(&refused.body).contains(&Key::new(2).text));
}

/// The id of an upload to `/default/parts`.
async fn begun(client: &Client, headers: &[(&str, &str)]) -> String {
    let begun = client.ask("POST", "/default/parts?uploads=", Ask { headers, ..Ask::default() }).await.ok();
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_parts_takes_its_key_with_each() {
    let (house, client) = opened().await;
    let (key, other) = (Key::new(1), Key::new(2));
    let mut headers = key.said();
    headers.push(("x-amz-checksum-algorithm", "CRC32"));
    let id = begun(&client, &headers).await;
    let part = format!("parts?partNumber=1&uploadId={id}");
    let body = noise(3, 5 << 20);
    for wrong in [Vec::new(), other.said()] {
        let ask = Ask { headers: &wrong, body: &body, ..Ask::default() };
        let refused = client.refusal("PUT", &format!("/default/{part}"), ask).await;
        assert_eq!(refused.as_deref(), Some("InvalidRequest"));
    }
    let by_rest = house.ask(Method::PUT, &format!("/api/v1/uploads/{id}/parts/1"), &[], "part").await;
    assert_eq!(by_rest.problem(), "customer-key");
    let tag = put(&client, &part, &body, &key.said()).await.header("etag").to_owned();
    let second = format!("parts?partNumber=2&uploadId={id}");
    let mut copied = key.said();
    copied.push(("x-amz-copy-source", "/default/plain"));
    let copy = put(&client, &second, b"", &copied).await;
    let text = String::from_utf8_lossy(&copy.body).replace("&quot;", "\"");
    let copy_tag = text.split_once("<ETag>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned();
    let list = async |headers: &[(&str, &str)]| {
        let listed = got(&client, &format!("parts?uploadId={id}"), headers).await.ok();
        String::from_utf8_lossy(&listed.body).into_owned()
    };
    assert!(list(&key.said()).await.contains("<ChecksumCRC32>"), "the control");
    let without = list(&[]).await;
    assert!(without.contains("<PartNumber>1<") && !without.contains("<ChecksumCRC32>"), "{without}");
    let named =
        |number: u8, tag: &str| format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
    let document = format!(
        "<CompleteMultipartUpload>{}{}</CompleteMultipartUpload>",
        named(1, &tag),
        named(2, &copy_tag)
    );
    let complete = async |headers: Vec<(&str, &str)>| {
        let ask = Ask { headers: &headers, body: document.as_bytes(), ..Ask::default() };
        client.refusal("POST", &format!("/default/parts?uploadId={id}"), ask).await
    };
    assert_eq!(complete(Vec::new()).await.as_deref(), Some("InvalidRequest"), "its checksums are sealed");
    assert_eq!(complete(other.said()).await.as_deref(), Some("InvalidRequest"));
    assert_eq!(complete(key.said()).await, None);
    assert_eq!(complete(key.said()).await, None, "again");
    let mut asks = key.said();
    asks.push(("x-amz-checksum-mode", "ENABLED"));
    let read = got(&client, "parts", &asks).await.ok();
    assert!(read.body == [&body[..], b"plain"].concat());
    assert!(read.header("x-amz-checksum-crc32").ends_with("-2"), "of the parts");
    assert_eq!(refusal(&client, "GET", "parts", &other.said()).await.as_deref(), Some("AccessDenied"));
    // Whoever chose no checksums needs the key for nothing but the parts.
    let id = begun(&client, &key.said()).await;
    let tag = put(&client, &format!("parts?partNumber=1&uploadId={id}"), b"x", &key.said()).await;
    let named = named(1, tag.header("etag"));
    let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let ask = Ask { body: document.as_bytes(), ..Ask::default() };
    let made = client.ask("POST", &format!("/default/parts?uploadId={id}"), ask).await.ok();
    assert!(!made.headers.contains_key(SSE_S3));
    assert_eq!(&got(&client, "parts", &key.said()).await.ok().body[..], b"x");
    let id = begun(&client, &[]).await;
    let refused = refusal(&client, "PUT", &format!("parts?partNumber=1&uploadId={id}"), &key.said()).await;
    assert_eq!(refused.as_deref(), Some("InvalidRequest"), "the upload began without");
}

/// As a gateway of an earlier version takes a part that is a copy: it knows no such keys.
#[tokio::test]
async fn a_part_that_was_taken_without_the_key_becomes_no_object() {
    let (house, client) = opened().await;
    let (key, objects) = (Key::new(1), &house.core.app.objects);
    let id = begun(&client, &key.said()).await;
    let upload = objects.open_upload(id.parse().unwrap()).await.unwrap().unwrap();
    let bucket = objects.bucket(&BucketName::new("default").unwrap()).await.unwrap();
    let secrets = bucket.secrets().unwrap();
    let at = PageAt { part: 1, page: 0 };
    let sealed = secrets.seal(&upload.target, Record::Page(at), b"keys").unwrap();
    let page = Page { segments: Vec::new(), plain_bytes: 1, last: true, sealed };
    let sealed = secrets.seal(&upload.target, Record::Part(1), b"[]").unwrap();
    let tag = PartTag { etag: "a-1".into(), put_unix_ms: 1, sealed };
    house.catalog.put_part(upload.target.upload, &PlacedPage { at, page }, tag).await.unwrap();
    got(&client, &format!("parts?uploadId={id}"), &key.said()).await.ok();
    let complete = async |tag: &str, headers: &[(&str, &str)]| {
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        );
        let ask = Ask { headers, body: document.as_bytes(), ..Ask::default() };
        client.refusal("POST", &format!("/default/parts?uploadId={id}"), ask).await
    };
    for headers in [Vec::new(), key.said()] {
        assert_eq!(complete("\"a-1\"", &headers).await.as_deref(), Some("InvalidRequest"));
    }
    let by_rest =
        house.ask(Method::POST, &format!("/api/v1/uploads/{id}/complete"), &[], Body::empty()).await;
    assert_eq!(by_rest.problem(), "customer-key");
    let again = put(&client, &format!("parts?partNumber=1&uploadId={id}"), b"x", &key.said()).await;
    assert_eq!(complete(again.header("etag"), &[]).await, None);
    assert_eq!(&got(&client, "parts", &key.said()).await.ok().body[..], b"x");
}

#[tokio::test]
async fn copies_are_sealed_as_is_asked_for_them() {
    let (_house, client) = opened().await;
    let (key, other) = (Key::new(1), Key::new(2));
    put(&client, "a", b"text", &key.said()).await;
    let copy = async |to: &str, from: Option<&Key>, sealed: Option<&Key>| {
        let mut headers = vec![("x-amz-copy-source", "/default/a")];
        headers.extend(from.iter().flat_map(|key| key.headers(OF_SOURCE)));
        headers.extend(sealed.iter().flat_map(|key| key.said()));
        refusal(&client, "PUT", to, &headers).await
    };
    assert_eq!(copy("b", Some(&other), None).await.as_deref(), Some("AccessDenied"));
    assert_eq!(copy("b", None, Some(&key)).await.as_deref(), Some("InvalidRequest"));
    assert_eq!(copy("open", Some(&key), None).await, None);
    assert_eq!(&got(&client, "open", &[]).await.ok().body[..], b"text", "a copy without a key has none");
    assert_eq!(copy("b", Some(&key), Some(&other)).await, None);
    assert_eq!(refusal(&client, "GET", "b", &key.said()).await.as_deref(), Some("AccessDenied"));
    assert_eq!(&got(&client, "b", &other.said()).await.ok().body[..], b"text");
    assert_eq!(copy("a", Some(&key), Some(&other)).await, None, "so keys are changed");
    assert_eq!(&got(&client, "a", &other.said()).await.ok().body[..], b"text");
}

#[tokio::test]
async fn other_ways_to_the_bytes_are_refused() {
    let (house, client) = opened().await;
    let key = Key::new(1);
    put(&client, "in/a", b"text", &key.said()).await;
    for method in [Method::GET, Method::HEAD] {
        let got = house.ask(method, "/api/v1/files/in/a", &[], Body::empty()).await;
        assert_eq!(got.status.as_u16(), 400);
    }
    let got_by_rest = house.get("in/a").await;
    assert_eq!(got_by_rest.problem(), "customer-key");
    let alice = signed_in(&house, "alice", Role::Member).await;
    let share = async |wanted| tell(&house, Some(&alice), "POST", "/shares", wanted).await;
    let never = share(json!({ "key": "in/a" })).await;
    assert_eq!(never.problem(), "customer-key", "no stranger could ever open it");
    let shared = share(json!({ "prefix": "in/", "downloads": 1 })).await.ok().json();
    let link = shared["link"].as_str().unwrap();
    let of_link = async |path: &str| {
        house.ask_as(None, Method::GET, &format!("{link}/{path}"), (&[], Body::empty())).await
    };
    for path in ["files/a", "archive", "archive"] {
        assert_eq!(of_link(path).await.problem(), "customer-key", "and it is not counted: {path}");
    }
    house.put("in/0", "open").await.ok();
    let request =
        Request::get("/api/v1/archive?prefix=in/").header("authorization", format!("Bearer {USER}"));
    let zip = house.send(request.body(Body::empty()).unwrap()).await;
    assert!(zip.into_body().collect().await.is_err(), "a zip breaks off: nothing is left out in silence");
    house.delete("in/0").await.ok();
    // What tells nothing of the bytes goes on as ever.
    let tags = Ask {
        body: b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
        ..Ask::default()
    };
    assert_eq!(client.refusal("PUT", "/default/in/a?tagging=", tags).await, None);
    let shown = house.ask(Method::GET, "/api/v1/metadata/in/a", &[], Body::empty()).await.ok();
    let change = Body::from(json!({ "contentType": "a/b", "meta": { "colour": "blue" } }).to_string());
    let headers = [("content-type", "application/json"), ("if-match", shown.header("etag"))];
    house.ask(Method::PUT, "/api/v1/metadata/in/a", &headers, change).await.ok();
    let read = got(&client, "in/a", &key.said()).await.ok();
    assert_eq!((&read.body[..], read.header("x-amz-meta-colour")), (&b"text"[..], "blue"));
    assert_eq!(read.header("x-amz-tagging-count"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_s_own_work_needs_no_key() {
    let (mut house, client) = opened().await;
    let (key, body) = (Key::new(1), noise(4, (5 << 20) + 3));
    put(&client, "a", &body, &key.said()).await;
    let page = house.sealed_page("a").await;
    let recode = RecodeSpec { enabled: true, max_bytes_per_second: None };
    let wanted = PoolSpec { erasure: ErasureProfile::new(2, 1).unwrap(), recode, ..spec(6) };
    let wanted = Body::from(serde_json::to_vec(&wanted).unwrap());
    let headers = [("content-type", "application/json")];
    house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, wanted)).await.ok();
    for _ in 0..3 {
        house.core.recode.work().await;
        house.core.reclaim.work().await;
    }
    house.core.advance.work().await;
    assert_eq!(
        house.status().await["pools"][0]["profiles"].as_array().map(Vec::len),
        Some(1),
        "all is coded anew"
    );
    assert_eq!(house.sealed_page("a").await, page, "with what the key seals as it was");
    assert!(got(&client, "a", &key.said()).await.ok().body == body);
    let shredded = house.ask(Method::DELETE, "/api/v1/files/a?shred=true", &[], Body::empty()).await;
    assert_eq!(shredded.status.as_u16(), 202);
    assert_eq!(refusal(&client, "GET", "a", &key.said()).await.as_deref(), Some("NoSuchKey"));
}
