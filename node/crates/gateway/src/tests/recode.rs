//! A pool whose profile changes: new data in the new one, old data readable as it is, and coded anew when that is asked for.

use axum::body::Body;
use datamesh_settings::admin::{PoolSpec, RecodeSpec};
use datamesh_shard::{ErasureProfile, SegmentHeader};
use http::Method;
use serde_json::Value;

use super::house::{ADMIN, Got, House, noise, pool_name, spec};
use crate::work::{Next, Worker};

const BYTES: usize = (9 << 20) + 77;

fn profile(data: u8, parity: u8) -> ErasureProfile {
    ErasureProfile::new(data, parity).unwrap()
}

async fn want(house: &House, erasure: ErasureProfile, enabled: bool) -> Got {
    let recode = RecodeSpec { enabled, max_bytes_per_second: None };
    let wanted = PoolSpec { erasure, recode, ..spec(6) };
    let body = Body::from(serde_json::to_vec(&wanted).unwrap());
    let headers = [("content-type", "application/json")];
    house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, body)).await
}

/// Shards the nodes have of each profile.
fn shards(house: &House, profile: ErasureProfile) -> usize {
    let all = house.nodes.headers();
    all.iter().filter(|header| SegmentHeader::profile_in(header).unwrap() == profile).count()
}

async fn main_pool(house: &House) -> Value {
    house.status().await["pools"][0].clone()
}

/// Lets the worker look at all pages, and what is due be deleted.
async fn passes(house: &mut House) {
    for _ in 0..3 {
        house.core.recode.work().await;
        house.core.reclaim.work().await;
    }
    house.core.advance.work().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_coded_anew_only_when_that_is_asked_for() {
    let (old, new) = (profile(4, 2), profile(2, 1));
    let mut house = House::new(6).await;
    let (text, packed) = (noise(1, BYTES), super::house::prose(5 << 20));
    house.put("x", text.clone()).await.ok();
    house.put("packed", packed.clone()).await.ok();
    let before = shards(&house, old);
    want(&house, new, false).await.ok();
    house.put("y", text.clone()).await.ok();
    passes(&mut house).await;
    assert_eq!(shards(&house, old), before, "what was there stays as it is");
    assert_eq!(shards(&house, new), 9);
    for key in ["x", "y"] {
        assert_eq!(house.get(key).await.ok().body, text, "{key}");
    }
    let pool = main_pool(&house).await;
    assert_eq!((pool["profiles"].as_array().unwrap().len(), &pool["recode"]["state"]), (2, &"Off".into()));
    let left = pool["recode"]["leftBytes"].as_u64().unwrap();
    assert!(left > BYTES as u64 && left == pool["profiles"][1]["bytes"].as_u64().unwrap());

    want(&house, new, true).await.ok();
    passes(&mut house).await;
    assert_eq!((shards(&house, old), house.core.pools.recoding.of(&pool_name()).is_some()), (0, false));
    for key in ["x", "y"] {
        assert_eq!(house.get(key).await.ok().body, text, "{key}");
    }
    assert_eq!(house.get("packed").await.ok().body, packed);
    let range =
        house.ask(Method::GET, "/api/v1/files/x", &[("range", "bytes=5000000-5000099")], Body::empty());
    assert_eq!(range.await.ok().body, text[5_000_000..5_000_100]);
    let pool = main_pool(&house).await;
    assert_eq!((pool["profiles"].as_array().unwrap().len(), &pool["recode"]), (1, &Value::Null));
    let counters = house.catalog.counters().await.unwrap();
    assert_eq!((counters.uploads, counters.condemned_segments), (0, 0), "nothing is left over");
    house.has_its_buffers_back().await;
    // With one node away of three, two suffice.
    house.nodes.kill(0);
    assert_eq!(house.get("x").await.ok().body, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_coded_anew_stays_and_says_why() {
    let (old, new) = (profile(4, 2), profile(3, 3));
    let mut house = House::new(6).await;
    let text = noise(2, BYTES);
    house.put("x", text.clone()).await.ok();
    want(&house, new, true).await.ok();
    // Each node takes some more shards, and then no more: the reference is there, the shards are not.
    (0..6).for_each(|n| house.nodes.fill(n));
    house.core.recode.work().await;
    let pool = main_pool(&house).await;
    assert_eq!(pool["recode"]["state"], "Stalled", "{pool}");
    assert!(pool["recode"]["waitsFor"][0].as_str().unwrap().contains("cannot be stored"), "{pool}");
    assert_eq!((house.catalog.counters().await.unwrap().uploads, shards(&house, old)), (0, 18));
    assert_eq!(house.get("x").await.ok().body, text);
    (0..6).for_each(|n| house.nodes.make_room(n));
    passes(&mut house).await;
    assert_eq!((shards(&house, old), shards(&house, new)), (0, 18));
    assert_eq!(house.get("x").await.ok().body, text);
}

/// The object's page is read before its segments are coded anew, which are deleted while the client takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_outlives_the_old_segments_goes_on_with_the_new_ones() {
    const RETENTION_MS: u64 = 400;
    let mut house = House::keeping(6, 512 << 20, RETENTION_MS).await;
    let bytes = 40 << 20;
    house.put("x", noise(1, bytes)).await.ok();
    let slow = super::retention::begun(&house).await;
    // Its shards are a little longer together.
    want(&house, profile(3, 2), true).await.ok();
    house.core.recode.work().await;
    tokio::time::sleep(std::time::Duration::from_millis(RETENTION_MS)).await;
    house.core.reclaim.work().await;
    assert_eq!(shards(&house, profile(4, 2)), 0, "they are gone");
    let (rest, error) = super::retention::rest(slow).await;
    assert_eq!(error, None);
    assert!(rest > bytes - (1 << 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_or_being_uploaded_is_left_alone() {
    let mut house = House::keeping(6, 512 << 20, 60_000).await;
    house.put("gone", noise(3, BYTES)).await.ok();
    house.put("replaced", noise(4, BYTES)).await.ok();
    house.delete("gone").await.ok();
    house.put("replaced", "small now").await.ok();
    want(&house, profile(2, 1), true).await.ok();
    house.core.recode.work().await;
    house.core.recode.work().await;
    assert_eq!(shards(&house, profile(2, 1)), 0);
    let pool = main_pool(&house).await;
    assert_eq!(pool["recode"]["state"], "Ending", "{pool}");
    assert_eq!(house.get("replaced").await.ok().body, "small now");
}

#[tokio::test]
async fn a_pool_without_data_becomes_another_at_once_and_with_too_many_profiles_is_refused() {
    let house = House::new(6).await;
    want(&house, profile(3, 2), false).await.ok();
    assert_eq!(main_pool(&house).await["profiles"].as_array().unwrap().len(), 1);
    for (n, wanted) in [profile(2, 1), profile(2, 2)].into_iter().enumerate() {
        house.put(&format!("k{n}"), noise(5, 100_000)).await.ok();
        want(&house, wanted, false).await.ok();
    }
    house.put("k2", noise(5, 100_000)).await.ok();
    let refused = want(&house, profile(4, 2), true).await;
    assert_eq!(refused.problem(), "pool-in-use");
    assert!(refused.json()["detail"].as_str().unwrap().contains("as 2+2 and as 2+1 and as 3+2"));
    let limit = RecodeSpec { enabled: true, max_bytes_per_second: Some(1) };
    let body = Body::from(serde_json::to_vec(&PoolSpec { recode: limit, ..spec(6) }).unwrap());
    let headers = [("content-type", "application/json")];
    let slow = house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, body)).await;
    assert_eq!(slow.json()["field"], "recode");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_whole_gives_way_to_what_would_not_be() {
    let (old, new) = (profile(2, 1), profile(4, 2));
    let mut house = House::new(6).await;
    want(&house, old, false).await.ok();
    let text = noise(2, 1 << 20);
    house.put("x", text.clone()).await.ok();
    want(&house, new, true).await.ok();
    // Known to be down: it is not even tried.
    house.nodes.kill(5);
    house.core.recode.work().await;
    assert_eq!((shards(&house, old), shards(&house, new)), (3, 0));
    let pool = main_pool(&house).await;
    assert_eq!(pool["recode"]["waitsFor"][0].as_str().unwrap().matches("n5, which").count(), 1, "{pool}");
    // Not known to be: five of six shards would do for a put, or six on five nodes.
    house.nodes.revive(5);
    house.nodes.kill_after(5, 0);
    house.core.recode.work().await;
    house.core.recode.work().await;
    assert_eq!((shards(&house, old), shards(&house, new)), (3, 5));
    let counters = house.catalog.counters().await.unwrap();
    assert_eq!((counters.uploads, counters.condemned_segments), (0, 1), "what was put in vain goes");
    house.nodes.revive(5);
    house.core.reclaim.work().await;
    assert_eq!((shards(&house, old), shards(&house, new)), (3, 0));
    passes(&mut house).await;
    assert_eq!((shards(&house, old), shards(&house, new)), (0, 6));
    assert_eq!(house.get("x").await.ok().body, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_has_a_generation_that_it_never_had() {
    let (wide, narrow) = (profile(4, 2), profile(2, 1));
    let mut house = House::new(6).await;
    let text = noise(2, 1 << 20);
    house.put("x", text.clone()).await.ok();
    let mut before = house.nodes.generations();
    let mut seen = before.len();
    for wanted in [narrow, wide, narrow, wide] {
        want(&house, wanted, true).await.ok();
        passes(&mut house).await;
        (0..6).for_each(|n| house.nodes.forget_deletes(n));
        let now = house.nodes.generations();
        assert_eq!((now.len(), shards(&house, wanted)), (1, wanted.total()));
        for (segment, generation) in now {
            seen += usize::from(!before.contains_key(&segment));
            let earlier = before.insert(segment, generation);
            assert!(earlier < Some(generation), "{segment}: {generation} after {earlier:?}");
        }
    }
    assert_eq!(seen, 2, "the same bytes in the same profile are the same segment");
    assert_eq!(house.get("x").await.ok().body, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_read_keeps_no_other() {
    let (old, new) = (profile(4, 2), profile(2, 1));
    let mut house = House::new(6).await;
    let text = noise(2, BYTES);
    house.put("x", text.clone()).await.ok();
    // The last bytes are the shortest segment's.
    let last = house.nodes.headers().into_iter().map(|header| SegmentHeader::decode(&header).unwrap());
    let last = last.min_by_key(SegmentHeader::sealed_bytes).unwrap();
    let first = house.nodes.headers().into_iter().map(|header| SegmentHeader::decode(&header).unwrap());
    let lost = first.map(|header| header.id()).find(|id| *id != last.id()).unwrap();
    house.nodes.lose(lost);
    want(&house, new, true).await.ok();
    passes(&mut house).await;
    assert_eq!((shards(&house, old), shards(&house, new)), (0, 6), "two of three");
    let pool = main_pool(&house).await;
    assert_eq!(pool["recode"]["state"], "Stalled", "{pool}");
    assert!(pool["recode"]["waitsFor"][0].as_str().unwrap().contains("cannot be read"), "{pool}");
    assert_eq!(pool["recode"]["leftBytes"], pool["profiles"][1]["bytes"]);
    let counters = house.catalog.counters().await.unwrap();
    assert_eq!((counters.uploads, counters.condemned_segments), (0, 0));
    let range = format!("bytes={}-", BYTES - 70);
    let tail = house.ask(Method::GET, "/api/v1/files/x", &[("range", &range)], Body::empty()).await;
    assert_eq!(tail.ok().body, text[BYTES - 70..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_rests_longer_and_longer_while_nothing_comes_of_it() {
    let mut house = House::keeping(6, 512 << 20, 60_000).await;
    house.put("gone", noise(3, BYTES)).await.ok();
    house.delete("gone").await.ok();
    want(&house, profile(2, 1), true).await.ok();
    let mut rests = Vec::new();
    while rests.len() < 6 {
        let Next::Wait(rest) = house.core.recode.work().await else { panic!("no rest at all") };
        rests.extend(Some(rest.as_secs()).filter(|seconds| *seconds > 5));
    }
    assert_eq!(rests, [20, 40, 80, 160, 160, 160]);
    // Something to do ends that.
    want(&house, profile(4, 2), true).await.ok();
    house.put("x", noise(3, 100)).await.ok();
    house.put("y", noise(3, 100_000)).await.ok();
    want(&house, profile(2, 1), true).await.ok();
    house.core.recode.work().await;
    assert_eq!(house.core.recode.work().await, Next::Wait(std::time::Duration::from_secs(10)));
}
