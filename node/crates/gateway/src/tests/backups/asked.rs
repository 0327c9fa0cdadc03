//! Backups that somebody asks for, and what is said of those there are.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::tests::house::{ADMIN, Got};

async fn ask(house: &House, method: Method, path: &str) -> Got {
    house.ask_as(Some(ADMIN), method, &format!("/api/v1/admin/{path}"), (&[], Body::empty())).await
}

async fn overview(house: &House) -> Value {
    ask(house, Method::GET, "backup").await.ok().json()
}

async fn points(house: &House) -> Vec<Value> {
    let points = ask(house, Method::GET, "backup/points").await.ok().json();
    assert_eq!((&points["silentNodes"], points.get("copiesError")), (&json!(0), None));
    points["points"].as_array().unwrap().clone()
}

/// One that does not hurry.
async fn backed_up() -> House {
    let mut house = House::keeping(NODES, BUFFERS.0, RETENTION_MS).await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_before_the_asking_is_kept_at_once() {
    let mut house = backed_up().await;
    // Whether each is a snapshot is a matter of how long the last one took.
    for key in ["b", "c", "d"] {
        house.put(key, "1").await.ok();
        house.core.backup.work().await;
        assert!(
            !has(&restored(&house, Wish::Newest).await.unwrap().0, key).await,
            "it is not time for {key}"
        );
        let asked = ask(&house, Method::POST, "backup").await;
        assert_eq!(asked.status, StatusCode::ACCEPTED);
        let revision = asked.json()["revision"].as_u64().unwrap();
        let before = overview(&house).await;
        assert_eq!(
            (&before["asked"]["done"], &before["asked"]["revision"]),
            (&json!(false), &json!(revision))
        );
        let job = ask(&house, Method::GET, "jobs").await.ok().json()["items"][0].clone();
        assert_eq!((&job["id"], &job["state"]), (&json!("backup"), &json!("waiting")), "{job}");
        house.core.backup.work().await;
        let after = overview(&house).await;
        assert_eq!(after["asked"]["done"], json!(true), "{after}");
        assert!(after["newest"]["revision"].as_u64().unwrap() >= revision);
        assert!(points(&house).await[0]["revision"].as_u64().unwrap() >= revision);
        assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, key).await);
    }
    assert!(overview(&house).await["nextSnapshotSeconds"].is_u64());
    let shards = house.nodes.all_shards();
    house.core.backup.work().await;
    assert_eq!(house.nodes.all_shards(), shards, "it was asked for once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_makes_none_says_what_nodes_prove() {
    let house = backed_up().await;
    let newest = overview(&house).await["newest"].clone();
    let other = house.another_gateway("other").await;
    let told = |path: &'static str| {
        let other = other.clone();
        async move {
            let request = http::Request::get(format!("/api/v1/admin/{path}"))
                .header("authorization", format!("Bearer {ADMIN}"))
                .body(Body::empty())
                .unwrap();
            let got = tower::ServiceExt::oneshot(other, request).await.unwrap();
            crate::tests::house::read(got).await.ok().json()
        }
    };
    let there = told("backup").await;
    assert_eq!(there["gateway"], json!("other"));
    for field in ["lastUnixMs", "revision", "bytes", "segments"] {
        assert_eq!(there["newest"][field], newest[field], "{field}");
    }
    assert_eq!(there.get("nextSnapshotSeconds"), None, "nobody told it");
    assert_eq!(told("backup/points").await["points"], json!(points(&house).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_says_where_it_leads_and_who_keeps_it_and_is_believed_by_proof_alone() {
    let house = backed_up().await;
    let [point] = points(&house).await.try_into().unwrap();
    let newest = overview(&house).await["newest"].clone();
    assert_eq!((&point["place"], &point["nodes"]), (&json!("mesh"), &json!(NODES)));
    assert_eq!((&point["untilUnixMs"], &point["bytes"]), (&newest["lastUnixMs"], &newest["bytes"]));
    assert!(point["fromUnixMs"].as_u64() <= point["untilUnixMs"].as_u64());
    house.nodes.kill(0);
    let told = ask(&house, Method::GET, "backup/points").await.ok().json();
    assert_eq!((&told["silentNodes"], &told["points"][0]["nodes"]), (&json!(1), &json!(NODES - 1)));
}
