use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::house::{House, USER, noise, pieces, prose};

/// Far more transfers than the budget holds segments: all wait, none fails, none waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_share_a_small_budget() {
    let house = House::without_pool(6, 32 << 20).await;
    house.open_pool(6).await;
    let house = Arc::new(house);
    let (peak, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = crate::owned::spawn({
        let (budget, peak, over) = (house.core.context.budget.clone(), Arc::clone(&peak), Arc::clone(&over));
        async move {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(budget.used_bytes(), Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut transfers = JoinSet::new();
    for n in 0..12_u64 {
        let house = Arc::clone(&house);
        transfers.spawn(async move {
            let text = noise(n, (9 << 20) + 1);
            let key = format!("{n}");
            match n % 2 {
                0 => house.put(&key, text.clone()).await.ok(),
                _ => house.put(&key, pieces(&text, 70_000)).await.ok(),
            };
            assert!(house.get(&key).await.ok().body == text, "{key}");
        });
    }
    while let Some(done) = transfers.join_next().await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    watching.await.unwrap();
    let peak = peak.load(Ordering::Relaxed);
    assert!(peak > 16 << 20 && peak <= 32 << 20, "{peak}");
    house.has_its_buffers_back().await;
}

/// What was decompressed is passed on piece by piece, not a queue of whole segments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_holds_few_segments() {
    let house = House::new(6).await;
    house.put("x", prose(64 << 20)).await.ok();
    let request = Request::builder().method(Method::GET).uri("/api/v1/files/x");
    let request = request.header("authorization", format!("Bearer {USER}"));
    let mut body = house.send(request.body(Body::empty()).unwrap()).await.into_body();
    body.frame().await.unwrap().unwrap();
    let (begun, mut peak) = (std::time::Instant::now(), 0);
    while begun.elapsed() < std::time::Duration::from_millis(500) {
        peak = peak.max(house.core.context.budget.used_bytes());
        tokio::task::yield_now().await;
    }
    assert!(peak > 0 && peak <= 5 * (5 << 20), "{peak}");
}
