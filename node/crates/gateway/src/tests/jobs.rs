//! What goes on is in one list, with where it stands.

use axum::body::Body;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::house::{ADMIN, House, noise};
use crate::surroundings::Surroundings as _;
use crate::work::Worker as _;

async fn jobs(house: &House) -> Vec<Value> {
    let got =
        house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/jobs", (&[], Body::empty())).await.ok().json();
    assert_eq!(got["gateway"], json!("gw"));
    got["items"].as_array().unwrap().clone()
}

async fn ids(house: &House) -> Vec<String> {
    jobs(house).await.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

async fn as_admin(house: &House, method: Method, path: &str) {
    house.ask_as(Some(ADMIN), method, path, (&[], Body::empty())).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_and_shreddings_are_listed_until_they_are_over() {
    let mut house = House::keeping(7, 512 << 20, 3_600_000).await;
    house.put("gone", noise(1, 5 << 20)).await.ok();
    assert!(ids(&house).await.is_empty());
    let drain = "/api/v1/admin/pools/main/drains/n6";
    let asked_ms = house.clock.now_unix_ms();
    as_admin(&house, Method::PUT, drain).await;
    let [job] = jobs(&house).await.try_into().unwrap();
    assert_eq!(
        (&job["id"], &job["pool"], &job["node"]),
        (&json!("drain:main:n6"), &json!("main"), &json!("n6"))
    );
    assert!(
        job["sinceUnixMs"].as_u64().unwrap() >= asked_ms && job["canBeCancelled"] == json!(true),
        "{job}"
    );
    as_admin(&house, Method::DELETE, drain).await;
    assert!(ids(&house).await.is_empty());

    house.nodes.kill(2);
    let shred =
        house.ask(Method::DELETE, "/api/v1/files/gone?shred=true", &[], Body::empty()).await.ok().json();
    house.core.reclaim.work().await;
    house.core.shredder.work().await;
    let all = jobs(&house).await;
    let job = all.iter().find(|job| job["kind"] == "shred").unwrap();
    assert_eq!(job["id"], json!(format!("shred:{}", shred["id"].as_str().unwrap())));
    assert_eq!(
        (&job["bucket"], &job["name"], &job["state"]),
        (&json!("default"), &json!("gone"), &json!("waiting"))
    );
    let reclaim = all.iter().find(|job| job["kind"] == "reclaim").unwrap();
    assert!(reclaim["progress"]["left"].as_u64().unwrap() > 0, "{reclaim}");
    house.nodes.revive(2);
    house.core.reclaim.work().await;
    for _ in 0..4 {
        house.core.shredder.work().await;
    }
    assert!(ids(&house).await.is_empty(), "{:?}", jobs(&house).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_listed_for_as_long_as_somebody_reads_it() {
    let house = House::new(6).await;
    for n in 0..200 {
        house.put(&format!("k{n}"), noise(n, 5000)).await.ok();
    }
    let request = http::Request::post("/api/v1/admin/fsck")
        .header("authorization", format!("Bearer {ADMIN}"))
        .body(Body::empty())
        .unwrap();
    let check = house.send(request).await;
    assert_eq!(ids(&house).await, ["fsck:gw"]);
    // To its end, which ends it.
    drop(check.into_body().collect().await.unwrap());
    assert!(ids(&house).await.is_empty());
}
