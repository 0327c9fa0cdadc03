//! What dashboards are told.

use axum::body::Body;
use http::Method;
use serde_json::json;

use super::house::{ADMIN, Got, House};

async fn ask(house: &House, what: &str) -> Got {
    house.ask_as(Some(ADMIN), Method::GET, &format!("/api/v1/monitoring/{what}"), (&[], Body::empty())).await
}

#[tokio::test]
async fn health_is_what_the_status_says() {
    let house = House::without_pool(6, 64 << 20).await;
    assert_eq!(ask(&house, "health").await.ok().json()["state"], "failing", "nothing can be written");
    house.open_pool(6).await;
    assert_eq!(ask(&house, "health").await.ok().json(), json!({ "state": "healthy", "problems": [] }));
}

#[tokio::test]
async fn numbers_are_those_of_the_cluster() {
    let house = House::new(6).await;
    house.put("a", "x").await.ok();
    let numbers = ask(&house, "metrics").await.ok().json();
    assert_eq!(numbers["objects"], 1);
    let pool = &numbers["pools"][0];
    assert_eq!((&pool["name"], &pool["nodes"], &pool["upNodes"]), (&json!("main"), &json!(6), &json!(6)));
    let mesh =
        house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/mesh", (&[], Body::empty())).await.ok().json();
    assert_eq!(ask(&house, "alerts").await.ok().json()["items"], mesh["findings"]);
}

#[tokio::test]
async fn what_is_not_kept_is_not_made_up() {
    let house = House::without_pool(6, 64 << 20).await;
    let got = ask(&house, "analytics").await;
    assert_eq!((got.status.as_u16(), got.problem().as_str()), (501, "not-implemented"));
    assert!(got.json()["detail"].as_str().is_some_and(|detail| detail.contains("Prometheus")));
}
