use std::task::Poll;

use futures::poll;
use proptest::prelude::{Strategy, any, prop, proptest};

use super::*;

fn id(n: u16) -> SegmentId {
    SegmentId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn cache(bytes: u64) -> (SegmentCache, CacheMetrics) {
    let metrics = CacheMetrics::default();
    (SegmentCache::new(bytes, metrics.clone()), metrics)
}

fn segment(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

#[tokio::test]
async fn switched_off_it_keeps_nothing_and_lets_nobody_wait() {
    let (cache, metrics) = cache(0);
    cache.insert(id(1), segment(10));
    assert!(cache.get(&id(1)).is_none());
    assert!((0..9).all(|_| !cache.touch(&id(1), 10, 10)));
    assert!(matches!(cache.lookup(id(1)).await, Lookup::Miss(None)));
    assert_eq!((metrics.misses.get(), metrics.used.get(), metrics.budget.get()), (0, 0, 0));
}

#[test]
fn what_is_asked_for_again_is_worth_keeping() {
    let (cache, _) = cache(1 << 20);
    assert!(!cache.touch(&id(1), 100, 100));
    assert!(!cache.touch(&id(2), 100, 100));
    assert!(cache.touch(&id(1), 100, 100));
    // A little of it now and then, until it was a quarter.
    let pieces: Vec<bool> = (0..5).map(|_| cache.touch(&id(3), 60, 1000)).collect();
    assert_eq!(pieces, [false, false, false, false, true]);
}

#[test]
fn what_passed_long_ago_is_forgotten() {
    let (cache, _) = cache(1 << 20);
    assert!(!cache.touch(&id(1), 1 << 19, 1 << 19));
    for n in 2..9 {
        assert!(!cache.touch(&id(n), 1 << 19, 1 << 19));
    }
    assert!(cache.touch(&id(1), 1, 1 << 19), "four caches are remembered");
    assert!(!cache.touch(&id(9), 1 << 19, 1 << 19));
    assert!(!cache.touch(&id(1), 1 << 19, 1 << 19), "and not more");
}

#[test]
fn hot_ones_stay_while_others_pass() {
    let (cache, metrics) = cache(1 << 20);
    for n in 0..10 {
        cache.insert(id(n), segment(50_000));
    }
    for n in 100..200 {
        (0..10).for_each(|hot| assert!(cache.get(&id(hot)).is_some(), "{hot} at {n}"));
        cache.insert(id(n), segment(50_000));
    }
    assert!(metrics.evictions.get() > 50);
}

#[test]
fn a_segment_larger_than_the_cache_is_not_kept() {
    let (cache, metrics) = cache(1 << 20);
    cache.insert(id(1), segment(1 << 20));
    assert!(cache.get(&id(1)).is_none());
    assert_eq!(metrics.used.get(), 0);
}

#[tokio::test]
async fn one_reads_and_the_others_wait() {
    let (cache, metrics) = cache(1 << 20);
    let Lookup::Miss(Some(flight)) = cache.lookup(id(1)).await else { panic!("nobody else is here") };
    assert!(!flight.is_followed());
    let mut others = [Box::pin(cache.lookup(id(1))), Box::pin(cache.lookup(id(1)))];
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    assert!(flight.is_followed());
    assert!(matches!(cache.lookup(id(2)).await, Lookup::Miss(Some(_))), "another segment is another matter");
    cache.insert(id(1), segment(10));
    drop(flight);
    for other in others {
        assert!(matches!(other.await, Lookup::Hit(sealed) if sealed == segment(10)));
    }
    assert_eq!(metrics.hits.get(), 2);
}

#[tokio::test]
async fn a_reader_that_brings_nothing_holds_nobody_up_for_long() {
    let (cache, _) = cache(1 << 20);
    let Lookup::Miss(Some(first)) = cache.lookup(id(1)).await else { panic!("nobody else is here") };
    let mut others = [Box::pin(cache.lookup(id(1))), Box::pin(cache.lookup(id(1)))];
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    drop(first);
    let [mut second, mut third] = others;
    let Poll::Ready(Lookup::Miss(Some(flight))) = poll!(&mut second) else { panic!("the next one reads") };
    assert!(poll!(&mut third).is_pending());
    drop(flight);
    assert!(matches!(third.await, Lookup::Miss(None)), "has waited twice, and goes on its own");
}

proptest! {
    #[test]
    fn the_bound_is_kept_whatever_comes(
        steps in prop::collection::vec((0_u16..300, (0_u32..18).prop_map(|log| 1_usize << log), any::<bool>()), 1..600)
    ) {
        const BYTES: u64 = 1 << 18;
        let (cache, metrics) = cache(BYTES);
        let hot = cache.0.as_ref().unwrap();
        for (n, bytes, look) in steps {
            if look {
                cache.get(&id(n));
            } else if cache.touch(&id(n), bytes, bytes) {
                cache.insert(id(n), segment(bytes));
            } else if n % 50 == 0 {
                cache.remove(&id(n));
            }
            let held: u64 = hot.entries.iter().map(|(_, sealed)| sealed.len() as u64 + ENTRY_BYTES).sum();
            let seen = hot.seen.lock().len();
            assert_eq!(i64::try_from(held).unwrap(), metrics.used.get());
            assert!(held <= BYTES - BYTES / SEEN_PART && seen <= 32, "{held} bytes, {seen} ids");
        }
    }
}
