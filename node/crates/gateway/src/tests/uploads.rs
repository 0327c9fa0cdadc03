use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::house::{ADMIN, House, noise};
use crate::work::Worker as _;

async fn begin(house: &House, body: &Value) -> String {
    let begun = house.ask(Method::POST, "/api/v1/uploads", &[], body.to_string()).await.ok();
    assert_eq!(begun.status, 201);
    assert!(begun.json()["partBytes"].as_u64().unwrap() > 0);
    begun.json()["id"].as_str().unwrap().to_owned()
}

async fn part(house: &House, id: &str, number: u32, text: Vec<u8>) {
    let path = format!("/api/v1/uploads/{id}/parts/{number}");
    let put = house.ask(Method::PUT, &path, &[], text.clone()).await.ok();
    assert_eq!(put.json(), json!({"number": number, "size": text.len()}));
    assert_eq!(put.header("datamesh-durability"), "whole");
}

async fn complete(house: &House, id: &str, body: Body) -> super::house::Got {
    house.ask(Method::POST, &format!("/api/v1/uploads/{id}/complete"), &[], body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_in_any_order_and_sent_twice_make_the_object() {
    let house = House::new(6).await;
    let id = begin(&house, &json!({"key": "big", "contentType": "video/mp4", "meta": {"a": "b"}})).await;
    let texts = [noise(1, 5 << 20), noise(2, 9 << 20), noise(3, 10)];
    part(&house, &id, 3, texts[2].clone()).await;
    part(&house, &id, 2, noise(9, 6 << 20)).await;
    part(&house, &id, 1, texts[0].clone()).await;
    part(&house, &id, 2, texts[1].clone()).await;
    let shown =
        house.ask(Method::GET, &format!("/api/v1/uploads/{id}"), &[], Body::empty()).await.ok().json();
    let sizes: Vec<_> =
        shown["parts"].as_array().unwrap().iter().map(|part| part["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [5 << 20, 9 << 20, 10]);
    assert_eq!(house.get("big").await.problem(), "no-such-object");
    let done = complete(&house, &id, Body::empty()).await.ok();
    assert_eq!((done.status.as_u16(), done.header("etag")), (201, format!("\"{id}-3\"").as_str()));
    assert!(!done.headers.contains_key("datamesh-durability"), "each part's answer said its own");
    let got = house.get("big").await.ok();
    assert!(got.body == texts.concat());
    assert_eq!((got.header("content-type"), got.header("x-datamesh-meta-a")), ("video/mp4", "b"));
    let (first, last) = ((5 << 20) - 1000, (5 << 20) + 1000);
    let headers = [("range", format!("bytes={first}-{last}"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let across = house.ask(Method::GET, "/api/v1/files/big", &headers, Body::empty()).await.ok();
    assert!(across.body == texts.concat()[first..=last]);
    assert!(
        complete(&house, &id, Body::empty()).await.status.is_success(),
        "completing again answers the same"
    );
}

/// Puts a part whose connection breaks once its first segment is stored.
async fn cut(house: &House, id: &str, number: u32, text: &[u8]) {
    let before = house.nodes.all_shards();
    let nodes = Arc::clone(&house.nodes);
    let broken = stream::once(async move {
        nodes.stored(before + 6).await;
        Err(std::io::Error::other("reset"))
    });
    let body = stream::iter([Ok(Bytes::copy_from_slice(text))]).chain(broken);
    let path = format!("/api/v1/uploads/{id}/parts/{number}");
    let cut = house.ask(Method::PUT, &path, &[], Body::from_stream(body)).await;
    assert!(cut.status.is_client_error(), "{}", cut.status);
    assert_eq!(house.nodes.all_shards(), before + 6);
}

async fn fsck_finds_nothing(house: &House) {
    let body = (&[][..], Body::from("{\"repair\": false}"));
    let checked = house.ask_as(Some(ADMIN), Method::POST, "/api/v1/admin/fsck", body).await.ok();
    let lines = String::from_utf8(checked.body.to_vec()).unwrap();
    assert!(lines.contains("\"end\"") && !lines.contains("\"finding\""), "{lines}");
}

/// What a connection that broke left of a part is named by no page: nobody misses it, and it goes once the object is made. All that the
/// object names stays, and what belongs to an upload that is still open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_left_of_a_part_goes_when_the_object_is_made() {
    let mut house = House::new(6).await;
    let id = begin(&house, &json!({"key": "x"})).await;
    let open = begin(&house, &json!({"key": "y"})).await;
    let texts = [noise(1, 9 << 20), noise(2, 5 << 20)];
    cut(&house, &id, 1, &texts[0][..6 << 20]).await;
    cut(&house, &id, 7, &texts[1]).await;
    cut(&house, &open, 1, &texts[1]).await;
    part(&house, &id, 1, texts[0].clone()).await;
    part(&house, &id, 2, texts[1].clone()).await;
    assert_eq!(house.nodes.all_shards(), (1 + 1 + 1 + 3 + 2) * 6);
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 8 * 6, "any gateway may be about to name it");
    complete(&house, &id, Body::empty()).await.ok();
    for _ in 0..3 {
        house.core.reclaim.work().await;
    }
    assert_eq!(house.nodes.all_shards(), (3 + 2 + 1) * 6, "those of the object, and the open upload's");
    assert_eq!(house.catalog.leftovers(10).await.unwrap(), []);
    assert!(house.get("x").await.ok().body == texts.concat());
    fsck_finds_nothing(&house).await;
    part(&house, &open, 1, texts[1].clone()).await;
    complete(&house, &open, Body::empty()).await.ok();
    assert!(house.get("y").await.ok().body == texts[1]);
    for _ in 0..3 {
        house.core.reclaim.work().await;
    }
    assert_eq!(house.nodes.all_shards(), (3 + 2 + 2) * 6);
    house.has_its_buffers_back().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_named() {
    let house = House::new(6).await;
    let id = begin(&house, &json!({"key": "x"})).await;
    assert_eq!(complete(&house, &id, Body::empty()).await.problem(), "conflict");
    part(&house, &id, 1, noise(1, 5000)).await;
    assert_eq!(
        complete(&house, &id, json!({"parts": [1, 2]}).to_string().into()).await.problem(),
        "conflict"
    );
    assert_eq!(
        complete(&house, &id, json!({"part": [1]}).to_string().into()).await.problem(),
        "invalid-body"
    );
    for number in ["0", "10001", "x", "-1"] {
        let path = format!("/api/v1/uploads/{id}/parts/{number}");
        assert_eq!(
            house.ask(Method::PUT, &path, &[], "text").await.problem(),
            "invalid-parameter",
            "{number}"
        );
    }
    let path = format!("/api/v1/uploads/{id}/parts/1");
    assert_eq!(house.ask(Method::PUT, &path, &[], Body::empty()).await.problem(), "invalid-body");
    for wrong in
        [json!({"key": ""}), json!({}), json!({"key": "x", "what": 1}), json!({"key": "k".repeat(1025)})]
    {
        let got = house.ask(Method::POST, "/api/v1/uploads", &[], wrong.to_string()).await;
        assert!(["invalid-body", "invalid-parameter"].contains(&got.problem().as_str()), "{wrong}");
    }
    let path = format!("/api/v1/uploads/{id}");
    assert_eq!(house.ask(Method::DELETE, &path, &[], Body::empty()).await.status, 204);
    assert_eq!(house.ask(Method::DELETE, &path, &[], Body::empty()).await.status, 204);
    // A body of `x` is no JSON, but an upload that is gone is found out first only where none is read.
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PUT, format!("{path}/parts/1")),
        (Method::GET, "/api/v1/uploads/zz".to_owned()),
    ] {
        assert_eq!(house.ask(method, &path, &[], "x").await.problem(), "no-such-upload", "{path}");
    }
}
