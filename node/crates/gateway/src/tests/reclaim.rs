use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::Method;

use super::house::{House, USER, noise};
use crate::work::Worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_put_leaves_nothing() {
    let mut house = House::new(6).await;
    // Two segments arrive, then the client says nothing more.
    let begun = Bytes::from(noise(1, (8 << 20) + 10));
    let silent = futures::stream::iter([Ok::<_, std::io::Error>(begun)]).chain(futures::stream::pending());
    let request = http::Request::builder().method(Method::PUT).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {USER}"));
    let putting = crate::owned::spawn({
        let router = house.router();
        let request = request.body(Body::from_stream(silent)).unwrap();
        async move { tower::ServiceExt::oneshot(router, request).await }
    });
    house.nodes.stored(12).await;
    // References are written alongside: both uploads' rows are there once the catalog counts the upload.
    while house.catalog.counters().await.unwrap().uploads == 0 {
        tokio::task::yield_now().await;
    }
    putting.abort();
    assert!(putting.await.unwrap_err().is_cancelled());
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 0);
    assert_eq!(house.nodes.all_shards(), 0);
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 0);
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_replaced_objects_give_their_space_back_once_all_nodes_confirmed() {
    let mut house = House::new(6).await;
    house.put("x", noise(2, 5 << 20)).await.ok();
    house.put("y", noise(3, 5 << 20)).await.ok();
    house.delete("x").await.ok();
    house.put("y", "small now").await.ok();
    house.nodes.kill(0);
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.deletes(), 0, "a member that is down keeps the rows");
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 4);
    house.nodes.revive(0);
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0);
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 0);
    assert_eq!(house.get("y").await.ok().body, "small now");
}
