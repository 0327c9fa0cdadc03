//! What breaks off, what comes at once, and what is not what it was said to be.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use super::*;

type Pieces = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A body that brings what is sent to it, and the word that somebody reads it.
fn fed() -> (Pieces, Body, oneshot::Receiver<()>) {
    let ((feed, pieces), (tell, read)) = (mpsc::unbounded_channel(), oneshot::channel());
    let pieces = stream::unfold((pieces, Some(tell)), |(mut pieces, mut tell)| async move {
        if let Some(tell) = tell.take() {
            // Not every test waits for it.
            let _ = tell.send(());
        }
        Some((pieces.recv().await?, (pieces, tell)))
    });
    (feed, Body::from_stream(pieces), read)
}

/// A body that breaks off behind these bytes.
fn cut(bytes: &[u8]) -> Body {
    let broken = stream::iter([Err(std::io::Error::other("reset"))]);
    Body::from_stream(stream::iter([Ok(Bytes::copy_from_slice(bytes))]).chain(broken))
}

/// Waits until it is that far.
async fn until(house: &House, path: &str, offset: usize) {
    let reached = async {
        while at(house, path).await != offset {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_body_that_breaks_off_every_byte_is_kept() {
    let house = House::new(6).await;
    let text = noise(3, 10 << 20);
    let path = begin(&house, "cut", text.len()).await;
    let mut from = 0;
    for came in [1, 70_000, 4 << 20, (4 << 20) + 70_001] {
        let broken = patch(&house, &path, from, cut(&text[from..from + came])).await;
        from += came;
        assert_eq!(
            (broken.status.as_u16(), broken.header("upload-offset")),
            (204, from.to_string().as_str())
        );
        assert_eq!(at(&house, &path).await, from);
    }
    // All of it came, and then the connection broke: that is an upload that is whole.
    let last = patch(&house, &path, from, cut(&text[from..])).await;
    assert_eq!((last.status.as_u16(), at(&house, &path).await), (204, text.len()));
    assert!(house.get("cut").await.ok().body == text);
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sent_before_it_went_away_is_kept() {
    let house = std::sync::Arc::new(House::new(6).await);
    let text = noise(4, 6 << 20);
    let path = begin(&house, "gone", text.len()).await;
    let (feed, body, _) = fed();
    let asked = {
        let (house, path) = (std::sync::Arc::clone(&house), path.clone());
        crate::owned::spawn(async move { patch(&house, &path, 0, body).await })
    };
    feed.send(Ok(Bytes::copy_from_slice(&text[..5 << 20]))).unwrap();
    // The first segment is full, and written down while the request goes on.
    until(&house, &path, 4 << 20).await;
    let busy = patch(&house, &path, 4 << 20, "x").await;
    assert_eq!((busy.status.as_u16(), busy.problem().as_str()), (423, "upload-busy"));
    drop(asked);
    drop(feed);
    until(&house, &path, 5 << 20).await;
    let rest = async || patch(&house, &path, 5 << 20, text[5 << 20..].to_vec()).await.status;
    let mut status = rest().await;
    while status == 423 {
        // What came is there a moment before whoever wrote it is done.
        tokio::task::yield_now().await;
        status = rest().await;
    }
    assert_eq!(status, 204);
    assert!(house.get("gone").await.ok().body == text);
}

/// Two gateways know nothing of one another's requests: the catalog has one of them go on, or make the object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_write_at_once_one_goes_on() {
    let house = std::sync::Arc::new(House::new(6).await);
    let other = house.another_gateway("other").await;
    for (key, length, slow_text, fast_text) in [("part", 10, "slow", "fast"), ("whole", 5, "slow!", "fast!")]
    {
        let path = begin(&house, key, length).await;
        let (feed, body, read) = fed();
        let slow = {
            let (house, path) = (std::sync::Arc::clone(&house), path.clone());
            crate::owned::spawn(async move { patch(&house, &path, 0, body).await })
        };
        feed.send(Ok(Bytes::from(slow_text))).unwrap();
        // Not asked again and again who may write: whoever asks might be the one who does, and the slow one would be refused.
        read.await.unwrap();
        assert_eq!(patch(&house, &path, 99, "").await.status, 423);
        // The slow one holds what came, for its body goes on.
        let headers = [VERSION, TYPE, ("upload-offset", "0")];
        let fast = by(&other, Method::PATCH, &path, &headers, fast_text.into()).await;
        assert_eq!(fast.status, 204);
        drop(feed);
        assert_eq!(slow.await.unwrap().problem(), "upload-busy", "{key}");
        assert_eq!(at(&house, &path).await, fast_text.len());
    }
    assert_eq!(house.get("whole").await.ok().body, "fast!");
    let let_go = house.catalog.counters().await.unwrap().condemned_segments;
    assert_eq!(
        let_go, 1,
        "of the slow one nothing stays beside the upload, and beside the object nothing is stored"
    );
}

/// What nobody wrote down, as after the death of a gateway, is not the object's to keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_left_behind_goes_when_the_object_is_made() {
    let house = House::new(6).await;
    let path = begin(&house, "x", 10).await;
    assert_eq!(patch(&house, &path, 0, "hello").await.status, 204);
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let page = house.catalog.page(id, datamesh_catalog::PageAt { part: 0, page: 0 }).await.unwrap().unwrap();
    let left =
        datamesh_catalog::SegmentRef { id: datamesh_shard::SegmentId([9; 32]), ..page.segments[0].clone() };
    house.catalog.reference(id, &[left]).await.unwrap();
    assert_eq!(patch(&house, &path, 5, "world").await.status, 204);
    assert_eq!(house.get("x").await.ok().body, "helloworld");
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_bytes_that_are_not_those_of_their_checksum_none_is_kept() {
    let house = House::new(6).await;
    let text = noise(5, 9 << 20);
    let path = begin(&house, "sum", text.len()).await;
    let sum = |bytes: &[u8]| {
        let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
        format!("sha256 {}", STANDARD.encode(sum))
    };
    let ask = async |offset: usize, sum: &str, body: Body| {
        let offset = offset.to_string();
        let headers = [VERSION, TYPE, ("upload-offset", offset.as_str()), ("upload-checksum", sum)];
        house.ask(Method::PATCH, &path, &headers, body).await
    };
    let half = 5 << 20;
    let wrong = ask(0, &sum(b"other"), text[..half].to_vec().into()).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.problem().as_str(), at(&house, &path).await),
        (460, "checksum-mismatch", 0)
    );
    let broken = ask(0, &sum(&text[..half]), cut(&text[..half])).await;
    assert_eq!(
        (broken.problem().as_str(), at(&house, &path).await),
        ("body-incomplete", 0),
        "it cannot be judged"
    );
    assert_eq!(ask(0, &sum(&text[..half]), text[..half].to_vec().into()).await.status, 204);
    assert_eq!(at(&house, &path).await, half);
    let wrong = ask(half, &sum(b"other"), text[half..].to_vec().into()).await;
    assert_eq!((wrong.status.as_u16(), at(&house, &path).await), (460, half), "the last ones neither");
    assert_eq!(ask(half, &sum(&text[half..]), text[half..].to_vec().into()).await.status, 204);
    assert!(house.get("sum").await.ok().body == text);
    // What was refused is let go, and not only when the upload ends.
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 2 + 2 + 1);
    house.has_its_buffers_back().await;
}
