//! Each kind of bucket is used in its own way, and says so to whoever comes by the other one.

use axum::body::Body;
use datamesh_catalog::{Grounds, ObjectKey, Versioning};
use http::Method;
use serde_json::{Value, json};

use super::client::{BUCKET, Client};
use crate::tests::accounts::signed_in;
use crate::tests::house::{House, noise};

#[tokio::test]
async fn a_bucket_s_kind_is_chosen_once_and_shown() {
    let house = House::new(6).await;
    let make = async |name: &str, body: &str| {
        house.ask(Method::PUT, &format!("/api/v1/buckets/{name}"), &[], body.to_owned()).await
    };
    assert_eq!(make("vault", "{\"kind\": \"private\"}").await.ok().json()["kind"], "private");
    assert_eq!(make("open", "").await.ok().json()["kind"], "managed");
    assert_eq!(make("vault", "{\"kind\": \"managed\"}").await.problem(), "bucket-exists");
    let wrong = make("other", "{\"kind\": \"secret\"}").await;
    assert_eq!((wrong.problem(), wrong.json()["field"].clone()), ("invalid-body".into(), json!("kind")));
    let all = house.ask(Method::GET, "/api/v1/buckets", &[], Body::empty()).await.ok().json();
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["managed", "private"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_ways_into_a_private_bucket_are_closed_and_name_the_others() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let key = client.name("x");
    client.store(&house, &key, &noise(1, 70_000)).await;
    client.put_small(&house, &client.name("small"), b"sealed", &[]).await.ok();
    let upload = client.begin(&house, &key).await;
    let file = client.file(&key);
    let metadata = file.replace("/files/", "/metadata/");
    let tag = house.ask(Method::GET, &metadata, &[], Body::empty()).await.ok().header("etag").to_owned();
    let small = client.file(&client.name("small"));
    let zip = format!("/api/v1/buckets/{BUCKET}/archive");
    let changed = json!({"contentType": "a/b", "meta": {"a": "b"}}).to_string();
    for (method, path, headers, body) in [
        (Method::GET, file.as_str(), vec![], String::new()),
        (Method::GET, small.as_str(), vec![], String::new()),
        (Method::PUT, file.as_str(), vec![], "plain".to_owned()),
        (Method::PUT, metadata.as_str(), vec![("if-match", tag.as_str())], changed),
        (Method::GET, zip.as_str(), vec![], String::new()),
        (Method::PUT, &format!("/api/v1/uploads/{upload}/parts/1"), vec![], "plain".to_owned()),
        (Method::POST, &format!("/api/v1/uploads/{upload}/complete"), vec![], "{\"parts\": [1]}".to_owned()),
    ] {
        let refused = house.ask(method.clone(), path, &headers, body).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem()),
            (409, "bucket-state".into()),
            "{method} {path}"
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("/sealed/{key}") && detail.contains("/api/v1/uploads"), "{detail}");
    }
    // What needs no key is as ever.
    let head = house.ask(Method::HEAD, &file, &[], Body::empty()).await.ok();
    let listed = house.ask(Method::GET, &format!("/api/v1/buckets/{BUCKET}/files"), &[], Body::empty()).await;
    let item = |listed: &Value, key: &str| {
        listed["items"].as_array().unwrap().iter().find(|item| item["key"] == *key).cloned().unwrap()
    };
    let item = item(&listed.ok().json(), &key);
    assert_eq!(head.header("content-length"), item["size"].to_string());
    assert_eq!(head.header("etag"), format!("\"{}\"", item["etag"].as_str().unwrap()));
    assert_eq!(house.ask(Method::DELETE, &file, &[], Body::empty()).await.ok().status, 200);
    assert_eq!(client.manifest(&house, &key, "").await.problem(), "no-such-object");
}

#[tokio::test]
async fn the_ways_of_private_buckets_are_closed_in_managed_ones() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    house.ask(Method::PUT, "/api/v1/buckets/open", &[], Body::empty()).await.ok();
    house.ask(Method::PUT, "/api/v1/buckets/open/files/x", &[], "plain").await.ok();
    let begun =
        house.ask(Method::POST, "/api/v1/uploads", &[], json!({"bucket": "open", "key": "y"}).to_string());
    let begun = begun.await.ok().json();
    assert_eq!(begun.get("sealing"), None);
    let upload = begun["id"].as_str().unwrap();
    let object = client.seal(b"text");
    let small = json!({"sealed": "c2VhbGVk"}).to_string();
    let segment = format!("/api/v1/buckets/open/segments/{}/x?object={}", object[0].id, "0".repeat(32));
    for (method, path, body) in [
        (Method::GET, "/api/v1/buckets/open/sealed/x", String::new()),
        (Method::PUT, "/api/v1/buckets/open/sealed/x", small),
        (Method::GET, segment.as_str(), String::new()),
        (Method::PUT, &format!("/api/v1/uploads/{upload}/segments/{}", object[0].id), "x".into()),
        (Method::GET, &format!("/api/v1/uploads/{upload}/segments"), String::new()),
        (Method::PUT, &format!("/api/v1/uploads/{upload}/pages/0"), client.page(0, &object).to_string()),
        (Method::POST, &format!("/api/v1/uploads/{upload}/commit"), client.page(0, &object).to_string()),
    ] {
        let refused = house.ask(method.clone(), path, &[], body).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem()),
            (409, "bucket-state".into()),
            "{method} {path}"
        );
        assert!(refused.json()["detail"].as_str().unwrap().contains("/files/{key}"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_is_read_by_its_version() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    house.catalog.set_versioning(bucket, Versioning::Enabled).await.unwrap();
    let key = client.name("x");
    let object_key = ObjectKey::new(key.as_str()).unwrap();
    let (mut objects, mut versions) = (Vec::new(), Vec::new());
    for n in 0..2 {
        objects.push(client.store(&house, &key, &noise(n, 70_000)).await.remove(0));
        versions.push(house.catalog.object(bucket, &object_key).await.unwrap().unwrap().version.unwrap());
    }
    client.put_small(&house, &key, b"the newest", &[]).await.ok();
    for (segment, version) in objects.iter().zip(&versions) {
        let manifest = client.manifest(&house, &key, &format!("?version={version}")).await.ok().json();
        let (id, object) = (segment.id.to_string(), manifest["object"].as_str().unwrap());
        assert_eq!(manifest["segments"][0]["id"], json!(id));
        let path = client.segment(&key, object, &id);
        let get = async |path: &str| house.ask(Method::GET, path, &[], Body::empty()).await;
        assert_eq!(get(&path).await.problem(), "no-such-object", "it is not the key's object");
        assert!(get(&format!("{path}&version={version}")).await.ok().body == segment.sealed);
        let both = client.manifest(&house, &key, &format!("?version={version}&object={object}&page=1")).await;
        assert_eq!(both.json()["field"], "page");
    }
    let other = format!("{}{}", "0".repeat(16), versions[0]);
    for (version, kind) in [("null", "no-such-object"), (other.as_str(), "invalid-parameter")] {
        let refused = client.manifest(&house, &key, &format!("?version={version}")).await;
        assert_eq!((refused.problem(), refused.json()["field"].clone()), (kind.into(), json!("version")));
    }
    house.catalog.delete_version((bucket, &object_key), versions[0], Grounds::at(0)).await.unwrap();
    let gone = client.manifest(&house, &key, &format!("?version={}", versions[0])).await;
    assert_eq!(gone.problem(), "no-such-object");
}

#[tokio::test]
async fn no_link_leads_into_a_private_bucket() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let key = client.name("x");
    client.store(&house, &key, &noise(1, 100)).await;
    let session = signed_in(&house, "alice", datamesh_catalog::Role::Member).await;
    for what in [
        json!({"key": key}),
        json!({"prefix": "a/"}),
        json!({"prefix": "a/", "upload": {"files": 1, "bytes": 9}}),
    ] {
        let mut body = json!({"bucket": BUCKET, "days": 1});
        body.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        let body = (&[][..], Body::from(body.to_string()));
        let refused = house.ask_as(Some(&session), Method::POST, "/api/v1/shares", body).await;
        assert_eq!(refused.problem(), "bucket-state", "{what}");
    }
}
