//! A shredded object is gone from the catalog's files and every node is asked, once it is deleted everywhere.

use std::path::Path;

use axum::body::Body;
use http::Method;
use serde_json::json;

use super::house::{House, USER, noise, read};
use crate::work::Worker;

/// Files of the catalog in which these bytes stand.
fn holding(dir: &Path, needle: &[u8]) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle)).count()
}

async fn shred(house: &House, key: &str) -> super::house::Got {
    house.ask(Method::DELETE, &format!("/api/v1/files/{key}?shred=true"), &[], Body::empty()).await
}

async fn shown(house: &House, id: &str) -> serde_json::Value {
    house.ask(Method::GET, &format!("/api/v1/shreds/{id}"), &[], Body::empty()).await.ok().json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_sealed_keys_are_in_no_file_of_the_catalog_and_every_node_is_asked() {
    let mut house = House::keeping(6, 512 << 20, 3_600_000).await;
    house.put("kept", noise(1, 5 << 20)).await.ok();
    house.put("a-name-that-goes", noise(2, 5 << 20)).await.ok();
    house.put("small-name-that-goes", noise(3, 500)).await.ok();
    let catalog = house.dir().join("catalog");
    let (page, inline) =
        (house.sealed_page("a-name-that-goes").await, house.sealed_inline("small-name-that-goes").await);
    assert!(holding(&catalog, &page[40..72]) > 0 && holding(&catalog, &inline[40..72]) > 0, "the control");
    house.nodes.kill(2);
    let begun = shred(&house, "a-name-that-goes").await;
    assert_eq!(begun.status.as_u16(), 202);
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(begun.header("location"), format!("/api/v1/shreds/{id}"));
    let small = shred(&house, "small-name-that-goes").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(house.get("a-name-that-goes").await.problem(), "no-such-object");
    house.core.reclaim.work().await;
    house.core.shredder.work().await;
    let waiting = shown(&house, &id).await;
    assert_eq!((&waiting["state"], &waiting["waitsFor"]), (&json!("deleting"), &json!(["n2"])));
    assert_eq!(shown(&house, &small).await["state"], json!("over"), "nothing of it was on nodes");
    house.nodes.revive(2);
    // Without waiting for the retention.
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 12, "those of the other object");
    for _ in 0..4 {
        house.core.shredder.work().await;
    }
    let over = shown(&house, &id).await;
    assert_eq!((&over["state"], &over["partly"], over.get("key")), (&json!("over"), &json!([]), None));
    assert_eq!(over["stays"].as_array().unwrap().len(), 6);
    for gone in [&page[40..72], &inline[40..72], b"a-name-that-goes", b"small-name-that-goes"] {
        assert_eq!(holding(&catalog, gone), 0, "{}", String::from_utf8_lossy(gone));
    }
    for n in 0..6 {
        // Asked until it is done: the fake says so the second time. Two segments.
        assert_eq!(house.nodes.shredded(n), 4, "node {n}");
    }
    house.get("kept").await.ok();
    let listed = house.ask(Method::GET, "/api/v1/shreds", &[], Body::empty()).await.ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    for id in [id, small] {
        let path = format!("/api/v1/shreds/{id}");
        assert_eq!(house.ask(Method::DELETE, &path, &[], Body::empty()).await.status.as_u16(), 204);
        assert_eq!(house.ask(Method::DELETE, &path, &[], Body::empty()).await.problem(), "no-such-upload");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_none_is_not_shredded_and_odd_questions_are_refused() {
    let house = House::new(6).await;
    assert_eq!(shred(&house, "none").await.status.as_u16(), 204);
    for query in ["shred=perhaps", "shredd=true"] {
        let got = house.ask(Method::DELETE, &format!("/api/v1/files/x?{query}"), &[], Body::empty()).await;
        assert_eq!(got.problem(), "invalid-parameter", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_under_way_ends_and_says_why() {
    let mut house = House::keeping(6, 512 << 20, 3_600_000).await;
    house.put("x", noise(1, 40 << 20)).await.ok();
    let request = http::Request::builder().method(Method::GET).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {USER}")).body(Body::empty()).unwrap();
    let response = house.send(request).await;
    shred(&house, "x").await;
    house.core.reclaim.work().await;
    // More than was fetched ahead of a client that takes nothing.
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(body.is_err());
    let got = read(
        house
            .send(
                http::Request::builder()
                    .uri("/api/v1/files/x")
                    .header("authorization", format!("Bearer {USER}"))
                    .body(Body::empty())
                    .unwrap(),
            )
            .await,
    )
    .await;
    assert_eq!(got.problem(), "no-such-object");
}

/// Begun by a gateway that was alone, and ended where others have a copy of what was deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_the_catalog_that_nobody_clears_are_named() {
    let mut house = House::keeping(6, 512 << 20, 3_600_000).await;
    house.put("small", noise(3, 500)).await.ok();
    let id = shred(&house, "small").await.json()["id"].as_str().unwrap().to_owned();
    house.core.shredder.copies = vec!["gw-1".parse().unwrap()];
    house.core.reclaim.work().await;
    house.core.shredder.work().await;
    let over = shown(&house, &id).await;
    assert_eq!((&over["state"], &over["partly"]), (&json!("over"), &json!(["gw-1"])));
}
