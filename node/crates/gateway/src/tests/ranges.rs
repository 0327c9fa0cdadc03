use axum::body::Body;
use http::Method;

use super::house::{Dice, House, noise, prose, seed};

async fn range(house: &House, key: &str, range: &str) -> super::house::Got {
    house.ask(Method::GET, &format!("/api/v1/files/{key}"), &[("range", range)], Body::empty()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_slices() {
    let house = House::new(6).await;
    let mut dice = Dice(seed());
    let objects = [
        ("inline", noise(1, 3000)),
        ("frames", noise(2, 300_001)),
        ("segments", noise(3, (9 << 20) + 5)),
        ("packed", prose((9 << 20) + 5)),
    ];
    for (key, text) in &objects {
        house.put(key, text.clone()).await.ok();
        for _ in 0..40 {
            let first = dice.below(text.len());
            let small = dice.below(3) > 0;
            let bytes = 1 + dice.below(if small { text.len().min(100_000) } else { text.len() });
            let last = (first + bytes - 1).min(text.len() - 1);
            let got = range(&house, key, &format!("bytes={first}-{last}")).await.ok();
            assert_eq!(got.status, 206);
            assert!(got.body == text[first..=last], "{key} {first}-{last}");
            assert_eq!(got.header("content-range"), format!("bytes {first}-{last}/{}", text.len()));
        }
        let got = range(&house, key, "bytes=-100").await.ok();
        assert_eq!(got.body, text[text.len() - 100..]);
        let got = range(&house, key, &format!("bytes={}-", text.len() - 7)).await.ok();
        assert_eq!(got.body, text[text.len() - 7..]);
        assert_eq!(
            range(&house, key, &format!("bytes={}-", text.len())).await.problem(),
            "range-not-satisfiable"
        );
    }
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_frame_falls_back_to_the_whole_read() {
    let house = House::new(6).await;
    let text = noise(4, 4 << 20);
    house.put("x", text.clone()).await.ok();
    for n in 0..6 {
        house.nodes.lie(n, true);
        for first in (0..text.len()).step_by(777_777) {
            let last = first + 999;
            assert_eq!(
                range(&house, "x", &format!("bytes={first}-{last}")).await.ok().body,
                text[first..=last]
            );
        }
        house.nodes.lie(n, false);
    }
    house.nodes.kill(0);
    house.nodes.kill(5);
    for first in (0..text.len()).step_by(333_333) {
        let last = (first + 70_000).min(text.len() - 1);
        assert_eq!(range(&house, "x", &format!("bytes={first}-{last}")).await.ok().body, text[first..=last]);
    }
}

#[tokio::test]
async fn if_range_protects_from_mixing_versions() {
    let house = House::new(6).await;
    let etag = house.put("x", "0123456789").await.ok().header("etag").to_owned();
    let path = "/api/v1/files/x";
    let part = [("range", "bytes=2-3"), ("if-range", etag.as_str())];
    assert_eq!(house.ask(Method::GET, path, &part, Body::empty()).await.ok().body, "23");
    house.put("x", "abcdefghij").await.ok();
    let whole = house.ask(Method::GET, path, &part, Body::empty()).await.ok();
    assert_eq!((whole.status.as_u16(), whole.body.as_ref()), (200, b"abcdefghij".as_slice()));
}
