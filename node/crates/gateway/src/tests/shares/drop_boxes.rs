//! Links that files are dropped at.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Method;
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{drop_file, get, share, stocked};
use crate::tests::accounts::tell;
use crate::tests::house::{ADMIN, noise, pieces};

#[tokio::test]
async fn a_drop_box_takes_what_fits_shows_nothing_and_replaces_nothing() {
    let (house, alice) = stocked().await;
    let wanted = json!({ "prefix": "in/", "upload": { "files": 2, "bytes": 100_000 } });
    let (_, path) = share(&house, &alice, wanted).await;
    assert_eq!(get(&house, &path).await.ok().json()["kind"], json!("dropBox"));
    for reads in ["/files", "/files/one", "/download"] {
        assert_eq!(get(&house, &format!("{path}{reads}")).await.problem(), "conflict", "{reads}");
    }
    let drop_path = |name: &str| format!("{path}/drop/{name}");
    let came = drop_file(&house, &drop_path("..%2f..%2Fone"), "mine").await.ok();
    assert_eq!(came.json(), json!({ "name": "one", "size": 4 }));
    assert_eq!(house.get("in/one").await.ok().body, "1", "what was there stays");
    let too_large = drop_file(&house, &drop_path("x"), noise(1, 99_997)).await;
    assert_eq!((too_large.status.as_u16(), too_large.problem().as_str()), (410, "share-used-up"));
    let unknown = drop_file(&house, &drop_path("x"), pieces(b"abc", 1)).await;
    assert_eq!(unknown.json()["errors"][0]["header"], json!("Content-Length"));
    drop_file(&house, &drop_path("one"), noise(2, 9000)).await.ok();
    assert_eq!(drop_file(&house, &drop_path("three"), "3").await.problem(), "share-used-up");
    let listed = house.ask(Method::GET, "/api/v1/files?prefix=in/2", &[], Body::empty()).await.ok().json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed}");
    for item in items {
        let key = item["key"].as_str().unwrap();
        assert!(key.ends_with("-one") && item["contentType"] == json!("application/octet-stream"), "{item}");
    }
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json();
    let entries = audit["items"].as_array().unwrap().iter().map(|line| line["entry"].clone());
    let drops: Vec<Value> =
        entries.filter(|entry| entry["actor"].as_str().unwrap().starts_with("link:")).collect();
    assert!(drops.iter().all(|entry| entry["status"] == json!(201)), "{drops:?}");
    assert_eq!(drops.len(), 2, "strangers do not fill it with what is refused");
    assert!(drops[0]["target"].as_str().unwrap().starts_with("/default/in/"), "{drops:?}");
    assert!(!audit.to_string().contains("dml_"), "the audit knows no secret");
}

/// A body that is announced, begins and breaks.
struct Breaking(bool);

impl hyper::body::Body for Breaking {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let is_first = std::mem::take(&mut self.0);
        Poll::Ready(Some(match is_first {
            true => Ok(Frame::data(Bytes::from(vec![7; 5000]))),
            false => Err(std::io::Error::other("reset")),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(9000)
    }
}

/// A body that comes whole; whoever waits is told of its end.
struct Whole(bool, Arc<Notify>);

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if std::mem::take(&mut self.0) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; 3000])))));
        }
        self.1.notify_one();
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(3000)
    }
}

#[tokio::test]
async fn who_hangs_up_while_the_file_is_committed_has_used_its_room() {
    let (house, alice) = stocked().await;
    let wanted = json!({ "prefix": "in/", "upload": { "files": 1, "bytes": 10_000 } });
    let (_, path) = share(&house, &alice, wanted).await;
    let ended = Arc::new(Notify::new());
    let body = Body::new(Whole(true, Arc::clone(&ended)));
    let request = http::Request::post(format!("{path}/drop/x")).body(body).unwrap();
    {
        let mut sent = std::pin::pin!(house.send(request));
        tokio::select! {
            biased;
            answer = &mut sent => panic!("it was answered before it could hang up: {answer:?}"),
            () = ended.notified() => {}
        }
    }
    house.core.context.tails.close();
    house.core.context.tails.wait().await;
    assert_eq!(drop_file(&house, &format!("{path}/drop/x"), "second").await.problem(), "share-used-up");
}

#[tokio::test]
async fn of_what_does_not_come_only_the_bytes_that_came_take_room() {
    let (house, alice) = stocked().await;
    let wanted = json!({ "prefix": "in/", "upload": { "files": 1, "bytes": 10_000 } });
    let (_, path) = share(&house, &alice, wanted).await;
    let request = http::Request::post(format!("{path}/drop/x")).body(Body::new(Breaking(true))).unwrap();
    assert_eq!(house.send(request).await.status().as_u16(), 400);
    house.core.context.tails.close();
    house.core.context.tails.wait().await;
    let again = drop_file(&house, &format!("{path}/drop/x"), noise(1, 5001)).await;
    assert_eq!(again.problem(), "share-used-up", "5000 bytes came, and may lie on nodes for a while");
    drop_file(&house, &format!("{path}/drop/x"), noise(1, 5000)).await.ok();
}
