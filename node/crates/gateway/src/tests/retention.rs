//! What was deleted is kept for reads under way, and a read that lasts longer is told so.

use axum::body::Body;
use http::Method;
use http_body_util::BodyExt;

use super::house::{House, USER, noise};
use crate::work::Worker;

const RETENTION_MS: u64 = 400;
/// More segments than are fetched ahead of a client that takes nothing.
const BYTES: usize = 40 << 20;

/// A read whose client has taken the first piece and nothing more.
pub(super) async fn begun(house: &House) -> Body {
    let request = http::Request::builder().method(Method::GET).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {USER}")).body(Body::empty()).unwrap();
    let mut body = house.send(request).await.into_body();
    body.frame().await.unwrap().unwrap();
    body
}

/// Bytes that the rest of the read gives, and why it ended early, if it did.
pub(super) async fn rest(mut body: Body) -> (usize, Option<String>) {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.into_data().map_or(0, |data| data.len()),
            Err(error) => return (bytes, Some(error.to_string())),
        }
    }
    (bytes, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_outlives_the_retention_goes_on_only_while_its_object_is_there() {
    let mut house = House::keeping(6, 512 << 20, RETENTION_MS).await;
    house.put("x", noise(1, BYTES)).await.ok();
    let (slow, slower) = (begun(&house).await, begun(&house).await);
    tokio::time::sleep(std::time::Duration::from_millis(RETENTION_MS)).await;
    let (bytes, error) = rest(slow).await;
    assert_eq!(error, None, "the object is there");
    assert!(bytes > BYTES - (1 << 20));
    house.delete("x").await.ok();
    let damaged = |house: &House| house.core.context.damage.of(&super::house::pool_name());
    let before = damaged(&house);
    let (bytes, error) = rest(slower).await;
    assert!(bytes < BYTES && error.is_some(), "{bytes} {error:?}");
    assert_eq!(damaged(&house), before, "what was deleted is no damage");
    tokio::time::sleep(std::time::Duration::from_millis(RETENTION_MS)).await;
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_younger_than_the_retention_gets_all_of_what_was_deleted() {
    let mut house = House::keeping(6, 512 << 20, 60_000).await;
    house.put("x", noise(1, BYTES)).await.ok();
    let slow = begun(&house).await;
    house.delete("x").await.ok();
    house.core.reclaim.work().await;
    let (bytes, error) = rest(slow).await;
    assert_eq!(error, None);
    assert!(bytes > BYTES - (1 << 20));
    assert_eq!(house.get("x").await.problem(), "no-such-object");
}
