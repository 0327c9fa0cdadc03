//! The cache of hot segments, seen from outside: what is read is what a read of the row says, and hits ask no node.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use futures::future::join_all;
use http::Method;

use super::house::{Dice, Got, House, noise, prose, seed};
use crate::work::Worker;

/// Frames on the wire of one segment read from 4 data shards: as many requests, as many answers.
const FRAMES_OF_A_READ: usize = 8;

async fn range(house: &House, key: &str, first: usize, last: usize) -> Got {
    let range = format!("bytes={first}-{last}");
    house.ask(Method::GET, &format!("/api/v1/files/{key}"), &[("range", &range)], Body::empty()).await.ok()
}

fn hits(house: &House) -> u64 {
    house.core.context.metrics.cache.hits.get()
}

fn used(house: &House) -> i64 {
    house.core.context.metrics.cache.used.get()
}

/// Twice: from then on it is kept.
async fn warm(house: &House, key: &str) {
    house.get(key).await.ok();
    house.get(key).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_again_asks_no_node() {
    let house = House::caching(6, 64 << 20).await;
    house.nodes.listen();
    for (n, text) in [noise(1, 5000), noise(2, 300_001), noise(3, (9 << 20) + 5), prose((9 << 20) + 5)]
        .into_iter()
        .enumerate()
    {
        let key = n.to_string();
        house.put(&key, text.clone()).await.ok();
        assert!(house.get(&key).await.ok().body == text);
        let before = used(&house);
        assert!(house.get(&key).await.ok().body == text);
        assert!(used(&house) > before, "{key} is kept");
        house.nodes.heard();
        let before = hits(&house);
        assert!(house.get(&key).await.ok().body == text);
        let end = text.len() - 1;
        for (first, last) in [(0, 0), (end / 3, end / 3 + 70_000), (end, end), (end / 2, end)] {
            let last = last.min(end);
            assert!(range(&house, &key, first, last).await.body == text[first..=last], "{key} {first}");
        }
        assert!(house.nodes.heard().is_empty(), "{key}");
        assert!(hits(&house) >= before + 5);
    }
    let metrics = &house.core.context.metrics.cache;
    assert!(metrics.misses.get() > 0 && metrics.used.get() <= metrics.budget.get());
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_keeps_nothing() {
    let house = House::caching(6, 16 << 20).await;
    for n in 0..20 {
        house.put(&n.to_string(), noise(n, 1 << 20)).await.ok();
    }
    for n in 0..20 {
        house.get(&n.to_string()).await.ok();
    }
    assert_eq!((used(&house), hits(&house)), (0, 0));
    assert_eq!(house.core.context.metrics.cache.misses.get(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_follow_each_other_are_read_ahead() {
    let house = House::caching(6, 64 << 20).await;
    let text = noise(1, 4 << 20);
    house.put("x", text.clone()).await.ok();
    house.nodes.listen();
    let mut asked = Vec::new();
    for first in (0..text.len()).step_by(64 << 10) {
        let last = first + (64 << 10) - 1;
        assert!(range(&house, "x", first, last).await.body == text[first..=last], "{first}");
        asked.push(!house.nodes.heard().is_empty());
    }
    assert_eq!(asked.iter().filter(|asked| **asked).count(), 16, "a quarter, then the whole: {asked:?}");
    assert!(asked.iter().take(16).all(|asked| *asked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_a_segment_cost_one_read() {
    let house = House::caching(6, 64 << 20).await;
    let text = noise(1, 1 << 20);
    house.put("x", text.clone()).await.ok();
    house.get("x").await.ok();
    house.nodes.listen();
    for got in join_all((0..20).map(|_| house.get("x"))).await {
        assert!(got.ok().body == text);
    }
    assert_eq!(house.nodes.heard().len(), FRAMES_OF_A_READ);
}

/// As a reader of the rows sees it, whatever is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_follow_the_rows() {
    let house = House::caching(6, 1 << 20).await;
    let mut dice = Dice(seed());
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for turn in 0..600_u64 {
        let key = format!("k{}", dice.below(8));
        match dice.below(20) {
            0..2 => {
                let text = noise(turn, 5000 + dice.below(200_000));
                house.put(&key, text.clone()).await.ok();
                model.insert(key, text);
            }
            2 => {
                house.delete(&key).await.ok();
                model.remove(&key);
            }
            kind => {
                let Some(text) = model.get(&key) else {
                    assert_eq!(house.get(&key).await.problem(), "no-such-object");
                    continue;
                };
                let (first, last) = if kind < 8 {
                    let first = dice.below(text.len());
                    (first, (first + dice.below(9000)).min(text.len() - 1))
                } else {
                    (0, text.len() - 1)
                };
                assert!(range(&house, &key, first, last).await.body == text[first..=last], "{key} {first}");
            }
        }
        assert!(used(&house) <= 1 << 20);
    }
    assert!(hits(&house) > 50, "{}", hits(&house));
    assert!(house.core.context.metrics.cache.evictions.get() > 0);
}

/// Of the right length or not, or another segment's: the tags tell, and the nodes have it still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_proves_itself_each_time() {
    let house = House::caching(6, 16 << 20).await;
    let (text, other) = (noise(1, 300_000), noise(2, 300_000));
    house.put("x", text.clone()).await.ok();
    house.put("other", other).await.ok();
    warm(&house, "other").await;
    let others = std::sync::Mutex::new(Bytes::new());
    house.core.context.cache.damage(|sealed| {
        *others.lock().unwrap() = sealed.clone();
        sealed.clone()
    });
    let others = others.into_inner().unwrap();
    let flipped = |sealed: &Bytes| {
        let mut sealed = sealed.to_vec();
        let middle = sealed.len() / 2;
        sealed[middle] ^= 1;
        Bytes::from(sealed)
    };
    let damages: [&dyn Fn(&Bytes) -> Bytes; 4] =
        [&flipped, &|sealed| sealed.slice(..100_000), &|_| Bytes::new(), &|_| others.clone()];
    for damage in damages {
        warm(&house, "x").await;
        house.core.context.cache.damage(damage);
        assert!(range(&house, "x", 140_000, 160_000).await.body == text[140_000..=160_000]);
        assert!(house.get("x").await.ok().body == text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_dropped_when_it_is_reclaimed() {
    let mut house = House::caching(6, 16 << 20).await;
    house.put("x", noise(1, 300_000)).await.ok();
    house.put("y", noise(1, 300_000)).await.ok();
    warm(&house, "x").await;
    let one = used(&house);
    warm(&house, "y").await;
    assert_eq!(used(&house), 2 * one, "the same text under another key is another segment");
    house.delete("x").await.ok();
    assert_eq!(house.get("x").await.problem(), "no-such-object");
    house.core.reclaim.work().await;
    assert_eq!(used(&house), one);
    house.delete("y").await.ok();
    house.core.reclaim.work().await;
    assert_eq!(used(&house), 0);
}
