//! Requests with a key are done once, whoever is asked, whoever hangs up; their answers are kept sealed, and for a day.

use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Batch, Keyspace as _, RangeLimits, Row, View as _};
use datamesh_catalog::limits::KEYED_REQUESTS_MAX;
use datamesh_catalog::{KeyedRequest, Role, record};
use datamesh_mesh::worker::Worker as _;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::accounts::{PASSWORD, signed_in, tell};
use super::house::{ADMIN, Got, House, USER, read};

const KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";
const OTHER_KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9325\"";

pub(super) async fn post(house: &House, token: &str, path: &str, key: &str, body: &Value) -> Got {
    let (headers, path) = ([("idempotency-key", key)], format!("/api/v1{path}"));
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    house.ask_as(Some(token), Method::POST, &path, (&headers, body)).await
}

async fn invite(house: &House, key: &str, role: &str) -> Got {
    post(house, ADMIN, "/admin/invites", key, &json!({ "role": role })).await
}

/// How many there are of what a list shows.
async fn listed(house: &House, token: &str, path: &str) -> usize {
    tell(house, Some(token), "GET", path, Value::Null).await.ok().json()["items"].as_array().unwrap().len()
}

async fn rows_of(house: &House, table: Table) -> Vec<Row> {
    let view = house.catalog.keyspace().view().await.unwrap();
    view.range(&keys::all(table), RangeLimits::default()).await.unwrap().rows
}

async fn rows(house: &House) -> Vec<Row> {
    rows_of(house, Table::KeyedRequest).await
}

fn is_again(got: &Got) -> bool {
    got.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn every_route_that_makes_something_makes_it_once_and_answers_the_same() {
    let house = House::new(6).await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    let routes = [
        (USER, "/uploads", json!({ "key": "x" }), "id"),
        (
            alice.as_str(),
            "/auth/tokens",
            json!({ "name": "t", "scopes": ["read"], "days": 1, "password": PASSWORD }),
            "token",
        ),
        (
            alice.as_str(),
            "/auth/keys",
            json!({ "name": "k", "permission": "readOnly", "password": PASSWORD }),
            "secret",
        ),
        (alice.as_str(), "/shares", json!({ "prefix": "in/", "upload": { "files": 1, "bytes": 1 } }), "link"),
        (ADMIN, "/admin/keys", json!({ "name": "k", "permission": "readOnly" }), "secret"),
        (ADMIN, "/admin/users", json!({ "name": "bob", "role": "member" }), "code"),
        (ADMIN, "/admin/users/bob/reset", Value::Null, "code"),
        (ADMIN, "/admin/invites", json!({ "role": "member" }), "code"),
    ];
    for (token, path, body, shown) in routes {
        let first = post(&house, token, path, KEY, &body).await.ok();
        let again = post(&house, token, path, KEY, &body).await.ok();
        assert!(!is_again(&first) && is_again(&again), "{path}");
        assert_eq!((first.status, first.json()), (again.status, again.json()), "{path}");
        assert_eq!(first.headers.get("cache-control"), again.headers.get("cache-control"), "{path}");
        let secret = first.json()[shown].as_str().unwrap().to_owned();
        let other = post(&house, token, path, OTHER_KEY, &body).await;
        // A second user of one name there cannot be.
        let made_another = other.status.is_success() && other.json()[shown] != secret.as_str();
        assert!(made_another || other.problem() == "user-exists", "{path}");
        for row in rows(&house).await {
            let found = row.value.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{path}: the secret stands in the catalog");
        }
    }
    assert_eq!(listed(&house, &alice, "/auth/tokens").await, 2);
    assert_eq!(listed(&house, &alice, "/auth/keys").await, 2);
    assert_eq!(listed(&house, ADMIN, "/admin/keys").await, 4, "hers are among them");
    assert_eq!(listed(&house, ADMIN, "/admin/invites").await, 2);
    assert_eq!(rows_of(&house, Table::Upload).await.len(), 2);
}

#[tokio::test]
async fn a_key_is_one_request_of_one_asker() {
    let house = House::new(6).await;
    let path = "/uploads";
    let first = post(&house, USER, path, KEY, &json!({ "key": "x" })).await.ok();
    let reused = post(&house, USER, path, KEY, &json!({ "key": "y" })).await;
    assert_eq!((reused.status.as_u16(), reused.problem().as_str()), (422, "idempotency-key-reused"));
    assert_eq!(reused.json()["errors"][0]["header"], "Idempotency-Key");
    let query = post(&house, USER, "/uploads?x=1", KEY, &json!({ "key": "x" })).await;
    assert_eq!(query.problem(), "idempotency-key-reused");
    let admin = post(&house, ADMIN, path, KEY, &json!({ "key": "x" })).await.ok();
    assert!(!is_again(&admin) && admin.json()["id"] != first.json()["id"], "somebody else's key is another");
    invite(&house, KEY, "member").await.ok();
    let wrong = post(&house, USER, path, "short", &json!({ "key": "x" })).await;
    assert_eq!(
        (wrong.problem().as_str(), &wrong.json()["field"]),
        ("invalid-parameter", &json!("Idempotency-Key"))
    );
    for name in ["alice", "bob"] {
        let path = format!("/admin/users/{name}/reset");
        assert_eq!(post(&house, ADMIN, &path, KEY, &Value::Null).await.problem(), "no-such-user");
    }
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_mended() {
    let house = House::new(6).await;
    let user = |name: &str| json!({ "name": name, "role": "member" });
    tell(&house, Some(ADMIN), "POST", "/admin/users", user("alice")).await.ok();
    for _ in 0..2 {
        let refused = post(&house, ADMIN, "/admin/users", KEY, &user("alice")).await;
        assert_eq!(refused.problem(), "user-exists");
        assert!(rows(&house).await.is_empty());
    }
    let made = post(&house, ADMIN, "/admin/users", KEY, &user("bob")).await.ok();
    assert!(!is_again(&made));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_over_two_gateways_one_is_done() {
    let house = House::new(6).await;
    let other = house.another_gateway("gw-other").await;
    let send = |number: usize| {
        let gateway = if number.is_multiple_of(2) { house.router() } else { other.clone() };
        let request =
            Request::post("/api/v1/admin/invites").header("authorization", format!("Bearer {ADMIN}"));
        let request =
            request.header("idempotency-key", KEY).body(Body::from(r#"{"role":"member"}"#)).unwrap();
        async move { read(gateway.oneshot(request).await.unwrap()).await }
    };
    let answers = futures::future::join_all((0..16).map(send)).await;
    let made = answers.iter().find(|got| got.status == 201 && !is_again(got)).unwrap().json();
    for got in &answers {
        if got.status == 409 {
            assert_eq!((got.problem().as_str(), got.header("retry-after")), ("request-under-way", "1"));
        } else {
            assert_eq!((got.status.as_u16(), got.json()), (201, made.clone()));
        }
    }
    assert_eq!(answers.iter().filter(|got| got.status == 201 && !is_again(got)).count(), 1);
    let restarted = read(
        house
            .another_gateway("gw-again")
            .await
            .oneshot({
                let request =
                    Request::post("/api/v1/admin/invites").header("authorization", format!("Bearer {ADMIN}"));
                request.header("idempotency-key", KEY).body(Body::from(r#"{"role":"member"}"#)).unwrap()
            })
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(restarted.json(), made, "a gateway that is started again knows it");
    assert_eq!(listed(&house, ADMIN, "/admin/invites").await, 1);
}

/// Whatever the moment at which a client hangs up once its request has begun, it is done, and told to whoever asks again.
#[tokio::test]
async fn a_client_that_hangs_up_finds_the_answer_when_it_asks_again() {
    let house = House::new(6).await;
    let mut asking = Box::pin(invite(&house, KEY, "member"));
    while rows(&house).await.is_empty() {
        assert!(futures::poll!(&mut asking).is_pending(), "it was answered before its row was there");
        tokio::task::yield_now().await;
    }
    drop(asking);
    let got = loop {
        match invite(&house, KEY, "member").await {
            got if got.status == 201 => break got,
            got => assert_eq!(got.problem(), "request-under-way"),
        }
    };
    assert!(is_again(&got));
    assert_eq!(listed(&house, ADMIN, "/admin/invites").await, 1);
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json();
    let entries: Vec<_> = audit["items"].as_array().unwrap().iter().map(|item| &item["entry"]).collect();
    let did = entries.iter().filter(|entry| entry["detail"] == json!("role=member"));
    assert_eq!(did.map(|entry| entry["status"].clone()).collect::<Vec<_>>(), [json!(201)], "{entries:?}");
}

#[tokio::test]
async fn a_request_whose_gateway_stopped_is_never_done_twice() {
    let house = House::new(6).await;
    invite(&house, KEY, "member").await.ok();
    let row = rows(&house).await.remove(0);
    let known: KeyedRequest = record::decode(&row.value).unwrap();
    let mut batch = Batch::new();
    batch.put(row.key, record::encode(&KeyedRequest { answer: None, ..known }).unwrap());
    house.catalog.keyspace().commit(batch).await.unwrap();
    assert_eq!(invite(&house, KEY, "member").await.problem(), "request-under-way");
    house.clock.move_on(Duration::from_secs(301));
    let lost = invite(&house, KEY, "member").await;
    assert_eq!((lost.status.as_u16(), lost.problem().as_str()), (409, "outcome-unknown"));
    assert_eq!(listed(&house, ADMIN, "/admin/invites").await, 1);
}

#[tokio::test]
async fn keys_are_known_for_a_day_and_then_forgotten() {
    let mut house = House::new(6).await;
    invite(&house, KEY, "member").await.ok();
    house.clock.move_on(Duration::from_secs(24 * 3600 - 60));
    assert!(is_again(&invite(&house, KEY, "member").await.ok()));
    house.core.reclaim.work().await;
    assert_eq!(rows(&house).await.len(), 1);
    house.clock.move_on(Duration::from_secs(120));
    house.core.reclaim.work().await;
    assert!(rows(&house).await.is_empty());
    assert!(!is_again(&invite(&house, KEY, "auditor").await.ok()), "it may stand for something else");
}

#[tokio::test]
async fn who_has_too_many_is_told_so_and_may_go_on_without() {
    let house = House::new(6).await;
    invite(&house, KEY, "member").await.ok();
    let known: KeyedRequest = record::decode(&rows(&house).await[0].value).unwrap();
    let full = record::KeyedRequestCountRecord { requests: KEYED_REQUESTS_MAX };
    let mut batch = Batch::new();
    batch.put(keys::keyed_request_count(&known.asker), record::encode(&full).unwrap());
    house.catalog.keyspace().commit(batch).await.unwrap();
    let refused = invite(&house, OTHER_KEY, "member").await;
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("too-many-requests", "3600"));
    assert!(is_again(&invite(&house, KEY, "member").await.ok()));
    tell(&house, Some(ADMIN), "POST", "/admin/invites", json!({ "role": "member" })).await.ok();
}
