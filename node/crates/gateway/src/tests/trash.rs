//! What was deleted comes back, until its days are over.

use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::Versioning;
use datamesh_catalog::catalog::SettingError;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{Got, House, noise};
use crate::problem::Kind;
use crate::work::Worker as _;

const TRASH: &str = "/api/v1/buckets/default/trash";

async fn ask(house: &House, method: Method, path: &str, body: Value) -> Got {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    house.ask(method, &format!("{TRASH}{path}"), &[], body).await
}

/// A house whose default bucket has a trash of two days.
async fn keeping() -> House {
    let house = House::new(6).await;
    house.put("first", "1").await.ok();
    assert_eq!(ask(&house, Method::GET, "", Value::Null).await.ok().json(), json!({ "keeps": false }));
    let set = ask(&house, Method::PUT, "", json!({ "days": 2 })).await.ok().json();
    assert_eq!(set, json!({ "days": 2, "keeps": true }));
    house
}

async fn listed(house: &House) -> Vec<Value> {
    ask(house, Method::GET, "/files", Value::Null).await.ok().json()["items"].as_array().unwrap().clone()
}

fn entry(item: &Value) -> Value {
    json!({ "key": item["key"], "id": item["id"] })
}

/// Lets the worker walk until it has nothing to do.
async fn expire(house: &mut House) {
    house.core.app.new_rules.set();
    while house.core.expire.work().await != crate::work::Next::Wait(crate::work::expire::PERIOD) {}
}

#[tokio::test]
async fn what_was_deleted_is_listed_and_put_back() {
    let house = keeping().await;
    let bytes = noise(1, 10_000);
    house.put("a", bytes.clone()).await.ok();
    for key in ["a", "first"] {
        house.delete(key).await.ok();
        assert_eq!(house.get(key).await.problem(), "no-such-object");
    }
    let items = listed(&house).await;
    let keys: Vec<_> = items.iter().map(|item| (item["key"].clone(), item["size"].clone())).collect();
    assert_eq!(
        keys,
        [(json!("a"), json!(10_000)), (json!("first"), json!(1))],
        "also from before there was a trash"
    );
    let first = ask(&house, Method::GET, "/files?limit=1", Value::Null).await.ok().json();
    let rest = format!("/files?limit=1&cursor={}", first["nextCursor"].as_str().unwrap());
    let rest = ask(&house, Method::GET, &rest, Value::Null).await.ok().json();
    assert_eq!((&first["items"][0], &rest["items"][0]), (&items[0], &items[1]));
    let restore = async |item: &Value| ask(&house, Method::POST, "/restore", entry(item)).await;
    assert_eq!(restore(&items[0]).await.ok().json()["size"], json!(10_000));
    assert_eq!(house.get("a").await.ok().body, bytes);
    assert_eq!(restore(&items[0]).await.problem(), "no-such-object");
    house.put("first", "another").await.ok();
    let refused = restore(&items[1]).await;
    assert_eq!(
        (refused.problem().as_str(), refused.json()["field"].as_str()),
        ("conflict", Some("overwrite"))
    );
    let mut asked = entry(&items[1]);
    asked["overwrite"] = json!(true);
    ask(&house, Method::POST, "/restore", asked).await.ok();
    assert_eq!((house.get("first").await.ok().body, listed(&house).await.len()), ("1".into(), 0));
}

#[tokio::test]
async fn what_is_deleted_for_good_is_gone() {
    let house = keeping().await;
    for key in ["a", "b/1", "b/2"] {
        house.put(key, noise(1, 9000)).await.ok();
        house.delete(key).await.ok();
    }
    let items = listed(&house).await;
    let purge = async || ask(&house, Method::POST, "/purge", entry(&items[0])).await;
    assert_eq!(purge().await.ok().json(), json!({ "purged": 1 }));
    assert_eq!(purge().await.problem(), "no-such-object");
    let emptied = ask(&house, Method::DELETE, "/files?prefix=b/", Value::Null).await.ok().json();
    assert_eq!((emptied, listed(&house).await.len()), (json!({ "purged": 2 }), 0));
    assert_eq!(house.get("first").await.ok().body, "1", "what is there stays");
    assert_eq!(ask(&house, Method::DELETE, "/files", Value::Null).await.ok().json(), json!({ "purged": 0 }));
}

#[tokio::test]
async fn a_bucket_that_was_made_lockable_gets_rid_of_its_trash() {
    let house = keeping().await;
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    house.put("a", noise(1, 9000)).await.ok();
    let whose = (bucket, &datamesh_catalog::ObjectKey::new("a").unwrap());
    house.catalog.set_locking(bucket, datamesh_catalog::Locking::default()).await.unwrap();
    let (hold, now) = (datamesh_catalog::LockChange::LegalHold(true), datamesh_catalog::Grounds::at(1));
    house.catalog.change_lock(whose, None, hold, now).await.unwrap();
    house.put("a", "newer").await.ok();
    house.delete("a").await.ok();
    let refused = ask(&house, Method::POST, "/purge", entry(&listed(&house).await[0])).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (423, "locked".to_owned()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1 of them") && detail.contains("legal hold"), "it says what went: {detail}");
    assert_eq!(ask(&house, Method::DELETE, "", Value::Null).await.status, StatusCode::NO_CONTENT);
    let left = ask(&house, Method::GET, "", Value::Null).await.ok().json();
    assert_eq!(left, json!({ "keeps": true }), "versions are kept, and nothing ends them");
    let purged = ask(&house, Method::POST, "/purge", entry(&listed(&house).await[0])).await;
    let emptied = ask(&house, Method::DELETE, "/files", Value::Null).await;
    assert_eq!(
        [purged.problem(), emptied.problem()],
        ["conflict", "conflict"],
        "they are no trash's any more"
    );
    assert_eq!(listed(&house).await.len(), 1);
    assert_eq!(ask(&house, Method::DELETE, "", Value::Null).await.problem(), "conflict");
}

#[tokio::test]
async fn a_trash_is_empty_after_its_days() {
    let mut house = keeping().await;
    house.put("a", noise(1, 9000)).await.ok();
    house.put("kept", "x").await.ok();
    house.delete("a").await.ok();
    house.clock.move_on(Duration::from_secs(24 * 3600));
    house.delete("first").await.ok();
    expire(&mut house).await;
    assert_eq!(listed(&house).await.len(), 2);
    house.clock.move_on(Duration::from_secs(2 * 24 * 3600));
    expire(&mut house).await;
    let left = listed(&house).await;
    assert_eq!((left.len(), left[0]["key"].clone()), (1, json!("first")), "days end at midnight");
    house.clock.move_on(Duration::from_secs(24 * 3600));
    expire(&mut house).await;
    expire(&mut house).await;
    assert_eq!((listed(&house).await.len(), house.get("kept").await.ok().body), (0, "x".into()));
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let usage = house.catalog.bucket_usage(bucket).await.unwrap();
    assert_eq!((usage.objects, usage.versions), (1, 0), "deletes that hide nothing go too");
}

#[tokio::test]
async fn a_bucket_that_keeps_versions_for_another_purpose_is_left_alone() {
    let house = House::new(6).await;
    house.put("a", "1").await.ok();
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    house.catalog.set_versioning(bucket, datamesh_catalog::Versioning::Enabled).await.unwrap();
    assert_eq!(ask(&house, Method::PUT, "", json!({ "days": 2 })).await.problem(), "conflict");
    house.delete("a").await.ok();
    let items = listed(&house).await;
    ask(&house, Method::POST, "/restore", entry(&items[0])).await.ok();
    assert_eq!(house.get("a").await.ok().body, "1", "yet what is deleted there comes back");
}

#[tokio::test]
async fn a_trash_is_set_within_bounds_and_turned_off() {
    let house = keeping().await;
    for days in [0, 3661] {
        let got = ask(&house, Method::PUT, "", json!({ "days": days })).await;
        assert_eq!((got.problem().as_str(), got.json()["field"].as_str()), ("invalid-body", Some("days")));
    }
    assert_eq!(ask(&house, Method::PUT, "", json!({ "days": 7 })).await.ok().json()["days"], json!(7));
    let shorter = ask(&house, Method::PUT, "", json!({ "days": 6 })).await;
    assert_eq!((shorter.problem().as_str(), shorter.json()["field"].as_str()), ("conflict", Some("days")));
    house.delete("first").await.ok();
    assert_eq!(ask(&house, Method::DELETE, "", Value::Null).await.ok().status, StatusCode::NO_CONTENT);
    assert_eq!(
        ask(&house, Method::GET, "", Value::Null).await.ok().json(),
        json!({ "days": 7, "keeps": false })
    );
    house.put("later", "x").await.ok();
    house.delete("later").await.ok();
    let items = listed(&house).await;
    assert_eq!(items.iter().map(|item| item["key"].clone()).collect::<Vec<_>>(), [json!("first")]);
    for wrong in [json!({ "key": "first", "id": "null" }), json!({ "key": "first", "id": "x" })] {
        let got = ask(&house, Method::POST, "/restore", wrong).await;
        assert_eq!(got.json()["field"], json!("id"));
    }
    ask(&house, Method::POST, "/restore", entry(&items[0])).await.ok();
    assert_eq!(ask(&house, Method::PUT, "", json!({ "days": 1 })).await.ok().json()["keeps"], json!(true));
    let nowhere = house.ask(Method::GET, "/api/v1/buckets/nowhere/trash", &[], Body::empty()).await;
    assert_eq!(nowhere.problem(), "no-such-bucket");
}

/// The rule of a trash must not end what is kept for another purpose.
#[tokio::test]
async fn the_rule_of_a_trash_ends_where_versions_are_kept_for_another_purpose() {
    let house = keeping().await;
    let objects = &house.core.app.objects;
    let bucket = objects.bucket(&"default".parse().unwrap()).await.unwrap();
    let refused = objects.set_versioning(&bucket, Versioning::Enabled).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::BucketState, "it would be ended by the trash");
    assert_eq!(ask(&house, Method::DELETE, "", Value::Null).await.status, StatusCode::NO_CONTENT);
    objects.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    let left = ask(&house, Method::GET, "", Value::Null).await.ok().json();
    assert_eq!(left, json!({ "keeps": true }), "without an end");
    assert_eq!(ask(&house, Method::PUT, "", json!({ "days": 1 })).await.problem(), "conflict");
}

/// Whoever turns versions on between the look at a bucket and its trash keeps them without a rule.
#[tokio::test]
async fn a_trash_is_set_only_on_what_was_looked_at() {
    let house = House::new(6).await;
    house.put("a", "1").await.ok();
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let looked = house.catalog.keeping(bucket).await.unwrap();
    house.catalog.set_versioning(bucket, Versioning::Enabled).await.unwrap();
    let rule = Some(br#"{"days":1}"#.to_vec());
    let set = house.catalog.set_keeping(bucket, &looked, (Versioning::Enabled, rule)).await;
    assert_eq!(set, Err(SettingError::Changed));
    assert_eq!(house.catalog.keeping(bucket).await.unwrap().trash, None);
}
