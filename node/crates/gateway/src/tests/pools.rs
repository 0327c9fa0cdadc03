use axum::body::Body;
use datamesh_catalog::catalog::BindError;
use datamesh_settings::admin::PoolSpec;
use datamesh_shard::NodeName;
use http::Method;

use super::fake::peer;
use super::house::{ADMIN, Got, House, USER, noise, pool_name, spec};
use crate::work::{Next, Worker};

async fn put_pool(house: &House, spec: &PoolSpec) -> Got {
    let body = Body::from(serde_json::to_vec(spec).unwrap());
    let headers = [("content-type", "application/json")];
    house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, body)).await
}

#[tokio::test]
async fn a_pool_opens_once_all_have_joined_and_grows() {
    let mut house = House::without_pool(8, 64 << 20).await;
    assert_eq!(house.put("x", "x").await.problem(), "not-writable");
    let status = put_pool(&house, &spec(6)).await.ok().json();
    assert_eq!(status["pools"][0]["epoch"], serde_json::Value::Null);
    assert!(status["pools"][0]["problems"][0].as_str().unwrap().contains("n0, n1"), "{status}");
    for n in 0..5 {
        house.join(n).await;
    }
    assert!(matches!(house.core.advance.work().await, Next::Wait(_)));
    assert_eq!(house.status().await["pools"][0]["writable"], false);
    house.join(5).await;
    house.core.advance.work().await;
    let pool = &house.status().await["pools"][0];
    assert_eq!((pool["epoch"].as_u64(), pool["writable"].as_bool()), (Some(1), Some(true)), "{pool}");
    assert_eq!(pool["problems"].as_array().unwrap().len(), 0, "{pool}");
    assert!((0..6).all(|n| house.nodes.layouts_learned(n) == 1));
    let old = noise(1, 1 << 20);
    house.put("old", old.clone()).await.ok();

    house.join(6).await;
    house.join(7).await;
    put_pool(&house, &spec(8)).await.ok();
    assert_eq!(house.status().await["pools"][0]["epoch"], 2);
    let new = noise(2, 9 << 20);
    house.put("new", new.clone()).await.ok();
    assert!(house.nodes.shards(6) + house.nodes.shards(7) > 0);
    assert!(house.get("old").await.ok().body == old, "the old epoch's table still finds it");
    assert!(house.get("new").await.ok().body == new);
    // Saying the same again changes nothing.
    put_pool(&house, &spec(8)).await.ok();
    assert_eq!(house.status().await["pools"][0]["epoch"], 2);
}

#[tokio::test]
async fn layouts_survive_a_restart() {
    let house = House::new(6).await;
    let text = noise(3, 100_000);
    house.put("x", text.clone()).await.ok();
    let epoch = house.core.pools.get(&pool_name()).unwrap().layout().unwrap().epoch;
    house.core.pools.put(pool_name(), crate::pools::Pool::new(spec(6)));
    assert_eq!(house.get("x").await.problem(), "not-readable", "without the layout it cannot be found");
    house.core.layouts.load().await.unwrap();
    assert_eq!(house.core.pools.get(&pool_name()).unwrap().layout().unwrap().epoch, epoch);
    assert!(house.get("x").await.ok().body == text);
}

#[tokio::test]
async fn changes_that_would_lose_data_are_refused() {
    let house = House::new(7).await;
    let mut moved = spec(7);
    moved.members[0].zone = moved.members[1].zone.clone();
    assert_eq!(put_pool(&house, &moved).await.problem(), "pool-in-use");
    let few = put_pool(&house, &spec(3)).await;
    assert_eq!(few.problem(), "invalid-body");
    let got =
        house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&[], Body::from("{"))).await;
    assert_eq!(got.problem(), "invalid-body");
    let got = house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/UP", (&[], Body::from("{}"))).await;
    assert_eq!(got.problem(), "invalid-parameter");
}

async fn change_drain(house: &House, token: &str, method: Method, pool: &str, node: &str) -> Got {
    let path = format!("/api/v1/admin/pools/{pool}/drains/{node}");
    house.ask_as(Some(token), method, &path, (&[], Body::empty())).await
}

#[tokio::test]
async fn members_drain_when_asked_to_or_when_they_are_not_wanted() {
    let house = House::new(8).await;
    let drain_of = async |n: usize| house.status().await["pools"][0]["members"][n]["drain"].clone();
    assert_eq!(drain_of(7).await, serde_json::Value::Null);
    change_drain(&house, ADMIN, Method::PUT, "main", "n7").await.ok();
    assert_eq!(drain_of(7).await["state"], "Moving");
    put_pool(&house, &spec(8)).await.ok();
    assert_eq!(drain_of(7).await["state"], "Moving", "what the operator wants does not undo it");
    house.core.layouts.load().await.unwrap();
    assert_eq!(drain_of(7).await["state"], "Moving", "nor does a restart");

    let mut without_six = spec(8);
    without_six.members.remove(6);
    put_pool(&house, &without_six).await.ok();
    assert_eq!(drain_of(6).await["state"], "Moving");
    house.put("new", noise(4, 20 << 20)).await.ok();
    assert_eq!(house.nodes.shards(6) + house.nodes.shards(7), 0, "they take nothing");

    let too_many = change_drain(&house, ADMIN, Method::PUT, "main", "n5").await;
    assert_eq!(
        (too_many.problem().as_str(), too_many.json()["field"].as_str()),
        ("pool-in-use", Some("node"))
    );
    change_drain(&house, ADMIN, Method::DELETE, "main", "n7").await.ok();
    assert_eq!(drain_of(7).await, serde_json::Value::Null);
    put_pool(&house, &spec(8)).await.ok();
    assert_eq!(drain_of(6).await, serde_json::Value::Null, "wanted again");
}

#[tokio::test]
async fn who_may_drain_what_is_said() {
    let house = House::new(7).await;
    for (pool, node, field) in [("main", "n9", "node"), ("other", "n1", "pool")] {
        let got = change_drain(&house, ADMIN, Method::PUT, pool, node).await;
        assert_eq!((got.problem().as_str(), got.json()["field"].as_str()), ("no-such-node", Some(field)));
    }
    assert_eq!(change_drain(&house, ADMIN, Method::PUT, "main", "N").await.problem(), "invalid-parameter");
    assert_eq!(change_drain(&house, USER, Method::PUT, "main", "n1").await.problem(), "forbidden");
}

#[tokio::test]
async fn the_status_tells_what_members_report() {
    let mut house = House::new(6).await;
    house.nodes.kill(1);
    house.nodes.fill(2);
    let first_look = house.core.reports.first_look.clone();
    assert!(!first_look.is_done(), "nobody was asked");
    house.core.reports.work().await;
    assert!(first_look.is_done(), "also where one does not answer");
    let pool = &house.status().await["pools"][0];
    let states: Vec<_> =
        pool["members"].as_array().unwrap().iter().map(|m| m["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["Up", "Down", "Full", "Up", "Up", "Up"]);
    assert_eq!(pool["problems"].as_array().unwrap().len(), 2, "{pool}");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &house.core.registry).unwrap();
    assert!(text.contains("datamesh_gateway_pool_members{pool=\"main\",state=\"up\"} 4"), "{text}");
    assert!(text.contains("datamesh_gateway_http_requests_total{route=\"/api/v1/status\""), "{text}");
    assert!(text.contains("datamesh_gateway_buffer_budget_bytes "), "{text}");
}

#[tokio::test]
async fn the_volume_of_a_replaced_node_does_not_come_back() {
    let house = House::new(7).await;
    let path = "/api/v1/admin/pools/main/nodes/n6/replace";
    let replace = async || house.ask_as(Some(ADMIN), Method::POST, path, (&[], Body::empty())).await;
    assert_eq!(replace().await.problem(), "conflict", "it answers");
    house.nodes.kill(6);
    replace().await.ok();
    let catalog = &house.core.layouts.catalog;
    let node = NodeName::new("n6").unwrap();
    let join = async |nonce, n| catalog.bind_join([nonce; 16], &node, &pool_name(), peer(n)).await;
    for nonce in [6, 66] {
        assert!(matches!(join(nonce, 6).await, Err(BindError::GivenUp { .. })), "by whatever token");
    }
    join(6, 60).await.unwrap();
    house.core.layouts.advance_all().await.unwrap();
    let pool = house.core.pools.get(&pool_name()).unwrap();
    assert_eq!(pool.layout().unwrap().member(&node).unwrap().peer, peer(60));
}
