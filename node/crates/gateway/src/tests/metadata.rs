//! Type and metadata of objects, without their bytes.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::house::{Got, House};

async fn set(house: &House, path: &str, tag: Option<&str>, body: Value) -> Got {
    let headers: Vec<_> = tag.map(|tag| ("if-match", tag)).into_iter().collect();
    house.ask(Method::PUT, path, &headers, body.to_string()).await
}

#[tokio::test]
async fn metadata_is_changed_without_the_bytes() {
    let house = House::new(6).await;
    let headers = [("content-type", "text/plain"), ("x-datamesh-meta-colour", "red")];
    let bytes = super::house::noise(1, 100_000);
    house.ask(Method::PUT, "/api/v1/files/a/b", &headers, bytes.clone()).await.ok();
    let shown = house.ask(Method::GET, "/api/v1/metadata/a/b", &[], Body::empty()).await.ok();
    assert_eq!(shown.json(), json!({ "contentType": "text/plain", "meta": { "colour": "red" } }));
    let tag = shown.header("etag").to_owned();
    let new = json!({ "contentType": "image/png", "meta": { "size": "small" } });
    let changed = set(&house, "/api/v1/metadata/a/b", Some(&tag), new.clone()).await.ok();
    assert_eq!(changed.json(), new);
    assert_ne!(changed.header("etag"), tag, "the tag is of type and metadata");
    let late = set(&house, "/api/v1/metadata/a/b", Some(&tag), json!({ "contentType": "text/html" })).await;
    assert_eq!(late.status, 412, "another's change is not lost");
    let again = house.ask(Method::GET, "/api/v1/metadata/a/b", &[], Body::empty()).await.ok();
    assert_eq!(again.header("etag"), changed.header("etag"));
    let got = house.get("a/b").await.ok();
    assert!(got.body == bytes && !got.headers.contains_key("x-datamesh-meta-colour"));
    assert_eq!((got.header("content-type"), got.header("x-datamesh-meta-size")), ("image/png", "small"));
    let listed = house.ask(Method::GET, "/api/v1/files", &[], Body::empty()).await.ok().json();
    assert_eq!(listed["items"][0]["contentType"], "image/png");
}

#[tokio::test]
async fn who_has_not_looked_changes_no_metadata() {
    let house = House::new(6).await;
    house.put("a", "1").await.ok();
    let path = "/api/v1/buckets/default/metadata/a";
    let tag = async || house.ask(Method::GET, path, &[], Body::empty()).await.ok().header("etag").to_owned();
    let old = tag().await;
    let new = || json!({ "contentType": "image/png" });
    let blind = set(&house, path, None, new()).await;
    assert_eq!((blind.status.as_u16(), blind.problem().as_str()), (428, "precondition-required"));
    house.put("a", "2").await.ok();
    let late = set(&house, path, Some(&old), new()).await;
    assert_eq!((late.status.as_u16(), late.problem().as_str()), (412, "precondition-failed"));
    let none = set(&house, "/api/v1/metadata/none", Some(&old), new()).await;
    assert_eq!(none.problem(), "no-such-object");
    let now = tag().await;
    let wrong = json!({ "contentType": "x", "meta": { "Ä/": "1" } });
    let wrong = set(&house, path, Some(&now), wrong).await;
    assert_eq!(
        (wrong.problem().as_str(), &wrong.json()["errors"][0]["pointer"]),
        ("invalid-body", &json!("#/meta/Ä~1"))
    );
    let control = set(&house, path, Some(&now), json!({ "contentType": "a\nb" })).await;
    assert_eq!(control.json()["errors"][0]["pointer"], "#/contentType");
    let long = json!({ "contentType": "x", "meta": { "a": "b".repeat(3000) } });
    let wrongs = [(json!({ "contentType": 7 }), "#/contentType"), (long, "#/meta")];
    let longer = (json!({ "contentType": "x".repeat(300) }), "#/contentType");
    for (wrong, place) in wrongs.into_iter().chain([longer]) {
        let wrong = set(&house, path, Some(&now), wrong).await;
        assert_eq!(
            (wrong.problem().as_str(), &wrong.json()["errors"][0]["pointer"]),
            ("invalid-body", &json!(place))
        );
    }
}

/// Whatever names and values came by headers.
#[tokio::test]
async fn what_is_shown_can_be_put_back() {
    let house = House::new(6).await;
    let headers =
        [("x-datamesh-meta-my_key", "a\tb"), ("x-datamesh-meta-a.b", ""), ("x-datamesh-meta-", "x")];
    house.ask(Method::PUT, "/api/v1/files/a", &headers, "1").await.ok();
    let shown = house.ask(Method::GET, "/api/v1/metadata/a", &[], Body::empty()).await.ok();
    let mut new = shown.json();
    assert_eq!(new["meta"], json!({ "my_key": "a\tb", "a.b": "", "": "x" }));
    new["contentType"] = json!("image/png");
    let changed = set(&house, "/api/v1/metadata/a", Some(shown.header("etag")), new.clone()).await.ok();
    assert_eq!(changed.json(), new);
    let held = house.get("a").await.ok().header("etag").to_owned();
    let same = house.ask(Method::GET, "/api/v1/files/a", &[("if-none-match", &held)], Body::empty()).await;
    assert_eq!((same.status.as_u16(), same.header("content-type")), (304, "image/png"), "caches learn of it");
}
