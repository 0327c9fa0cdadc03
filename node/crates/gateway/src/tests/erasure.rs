//! What the answer to a delete claims comes true, and nothing is claimed that may not.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::engine::MemoryKeyspace;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::deterministic::{World, alone, gateway_of};
use super::house::{Got, House, USER, noise, read};
use crate::embed::{EmbeddedGateway, Surroundings};
use crate::owned;
use crate::work::Worker;

const MEMBERS: u8 = 6;
const RETENTION_MS: u64 = 3_600_000;

async fn ask(gateway: &EmbeddedGateway, method: Method, key: usize, body: Vec<u8>) -> Got {
    let request = http::Request::builder().method(method).uri(format!("/api/v1/files/{key}"));
    let request = request.header("authorization", format!("Bearer {USER}")).body(Body::from(body)).unwrap();
    read(gateway.router().oneshot(request).await.unwrap()).await
}

fn unix_ms(answer: &Value, field: &str) -> u64 {
    let time: jiff::Timestamp = answer[field].as_str().unwrap().parse().unwrap();
    time.as_millisecond().try_into().unwrap()
}

/// With each node as slow as one that still answers may be, and many objects that wait.
#[test]
fn shards_are_kept_until_the_first_time_and_gone_by_the_second() {
    alone(async {
        let world = Arc::new(World::new(5, MEMBERS));
        let gateway = gateway_of(&world, &MemoryKeyspace::new(), (MEMBERS, RETENTION_MS)).await;
        let stop = CancellationToken::new();
        let workers = gateway.take_workers().into_iter();
        let working: Vec<_> =
            workers.map(|worker| owned::spawn(crate::work::run(worker, stop.clone()))).collect();
        let keys = 150;
        for key in 0..keys {
            ask(&gateway, Method::PUT, key, noise(key as u64, 20 << 10)).await.ok();
        }
        let mut answer = Value::Null;
        for key in 0..keys {
            answer = ask(&gateway, Method::DELETE, key, Vec::new()).await.ok().json();
        }
        let kept_until = unix_ms(&answer, "keptUntil");
        let erased_by = unix_ms(&answer, "erasedBy");
        for n in 0..MEMBERS {
            world.nodes.slow_down(n, Duration::from_secs(9));
        }
        let until = |at: u64| sleep(Duration::from_millis(at.saturating_sub(world.now_unix_ms())));
        until(kept_until - 200).await;
        // Earlier ones may have become due; the last one has not.
        assert!(world.nodes.all_shards() >= usize::from(MEMBERS));
        until(erased_by).await;
        assert_eq!(world.nodes.all_shards(), 0);
        stop.cancel();
        for worker in working {
            worker.await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_time_is_named_while_a_node_is_away() {
    let mut house = House::new(6).await;
    for key in ["x", "y"] {
        house.put(key, noise(2, 5 << 20)).await.ok();
    }
    house.nodes.kill(3);
    let answer = house.delete("x").await.ok().json();
    assert_eq!((&answer["key"], &answer["waitsFor"]), (&json!("x"), &json!(["n3"])));
    assert!(answer["keptUntil"].is_string() && answer.get("erasedBy").is_none(), "{answer}");
    // It is so: nothing goes anywhere before all can be told.
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 24);
    house.nodes.revive(3);
    let answer = house.delete("y").await.ok().json();
    assert_eq!(answer["waitsFor"], json!([]));
    assert!(unix_ms(&answer, "keptUntil") < unix_ms(&answer, "erasedBy"));
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0);
}

#[tokio::test]
async fn what_lies_in_the_catalog_alone_is_gone_at_once_and_nothing_claims_nothing() {
    let house = House::new(6).await;
    house.put("small", noise(3, 100)).await.ok();
    house.nodes.kill(0);
    let answer = house.delete("small").await.ok().json();
    assert_eq!(answer["erasedBy"], answer["keptUntil"]);
    assert_eq!(answer["waitsFor"], json!([]));
    for path in ["/api/v1/files/small", "/api/v1/files/never"] {
        let got = house.ask(Method::DELETE, path, &[], Body::empty()).await;
        assert_eq!((got.status.as_u16(), got.body.len()), (204, 0));
    }
}
