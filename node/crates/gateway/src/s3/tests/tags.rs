//! Tags of objects, of their versions, and of buckets.

use datamesh_catalog::Permission;

use super::signer::{Ask, Client};
use crate::tests::house::House;

fn tagging(tags: &[(&str, &str)]) -> String {
    let tags = tags.iter().map(|(name, value)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>"));
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>())
}

async fn put(client: &Client, target: &str, body: &str) -> Option<String> {
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    let headers = [("x-amz-checksum-sha256", &*sum)];
    client.refusal("PUT", target, Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() }).await
}

async fn shown(client: &Client, target: &str) -> Vec<(String, String)> {
    let got = client.ask("GET", target, Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&got.body).into_owned();
    let between = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
        rest.split_once("</").unwrap().0.to_owned()
    };
    text.split("<Tag>").skip(1).map(|tag| (between(tag, "Key"), between(tag, "Value"))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_object_has_tags_and_keeps_what_else_it_has() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let headers = [("x-amz-tagging", "colour=deep%20blue&a=1"), ("x-amz-meta-m", "n")];
    let ask = Ask { headers: &headers, body: b"text", ..Ask::default() };
    let first = client.ask("PUT", "/photos/x", ask).await.ok();
    assert_eq!(shown(&client, "/photos/x?tagging=").await, pairs(&[("a", "1"), ("colour", "deep blue")]));
    let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
    assert_eq!((got.header("x-amz-tagging-count"), got.header("x-amz-meta-m")), ("2", "n"));
    let got = client.ask("HEAD", "/photos/x", Ask::default()).await.ok();
    assert_eq!(got.header("x-amz-tagging-count"), "2");
    assert_eq!(put(&client, "/photos/x?tagging=", &tagging(&[("b", "2")])).await, None);
    let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
    assert_eq!((got.header("x-amz-tagging-count"), got.header("x-amz-meta-m")), ("1", "n"));
    assert_eq!(
        (got.header("etag"), &got.body[..]),
        (first.header("etag"), &b"text"[..]),
        "it is the same object"
    );
    for (directive, expected) in [("COPY", &[("b", "2")][..]), ("REPLACE", &[("c", "3")][..])] {
        let headers = [
            ("x-amz-copy-source", "/photos/x"),
            ("x-amz-tagging-directive", directive),
            ("x-amz-tagging", "c=3"),
        ];
        client.ask("PUT", "/photos/copy", Ask { headers: &headers, ..Ask::default() }).await.ok();
        assert_eq!(shown(&client, "/photos/copy?tagging=").await, pairs(expected), "{directive}");
    }
    assert_eq!(client.refusal("DELETE", "/photos/x?tagging=", Ask::default()).await, None);
    assert_eq!(shown(&client, "/photos/x?tagging=").await, []);
    let got = client.ask("GET", "/photos/x", Ask::default()).await.ok();
    assert!(!got.headers.contains_key("x-amz-tagging-count"));
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let eleven: Vec<_> = eleven.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(put(&client, "/photos/x?tagging=", &tagging(&eleven)).await.as_deref(), Some("InvalidTag"));
    let missing = put(&client, "/photos/none?tagging=", &tagging(&[("b", "2")])).await;
    assert_eq!(missing.as_deref(), Some("NoSuchKey"));
}

#[tokio::test]
async fn each_version_has_its_own_and_so_has_the_bucket() {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(put(&client, "/photos?versioning=", enabled).await, None);
    let one = client.ask("PUT", "/photos/x", Ask { body: b"one", ..Ask::default() }).await.ok();
    let id = one.header("x-amz-version-id").to_owned();
    client.ask("PUT", "/photos/x", Ask { body: b"two", ..Ask::default() }).await.ok();
    let of_one = format!("/photos/x?tagging=&versionId={id}");
    assert_eq!(put(&client, &of_one, &tagging(&[("v", "1")])).await, None);
    assert_eq!(shown(&client, &of_one).await, pairs(&[("v", "1")]));
    assert_eq!(shown(&client, "/photos/x?tagging=").await, []);
    let got = client.ask("GET", &format!("/photos/x?versionId={id}"), Ask::default()).await.ok();
    assert_eq!(&got.body[..], b"one");
    let refused = client.refusal("GET", "/photos?tagging=", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchTagSet"));
    assert_eq!(put(&client, "/photos?tagging=", &tagging(&[("team", "blue")])).await, None);
    assert_eq!(shown(&client, "/photos?tagging=").await, pairs(&[("team", "blue")]));
    assert_eq!(client.refusal("DELETE", "/photos?tagging=", Ask::default()).await, None);
    let refused = client.refusal("GET", "/photos?tagging=", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchTagSet"));
}
