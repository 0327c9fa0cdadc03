//! A check says what is wrong, names the object, mends what can be, and finds nothing where nothing is.

use std::collections::BTreeMap;

use axum::body::Body;
use datamesh_catalog::keys;
use datamesh_catalog::keyspace::{Batch, Keyspace};
use datamesh_catalog::{ObjectKey, PageAt, Role, UploadId};
use datamesh_mesh::worker::Worker;
use datamesh_settings::admin::{FsckEvent, FsckFinding, FsckKind, FsckSummary};
use datamesh_shard::SegmentId;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::accounts::{signed_in, tell};
use super::house::{ADMIN, Dice, House, USER, noise, seed};

const PATH: &str = "/api/v1/admin/fsck";

/// Findings and the summary of a whole check.
async fn check(house: &House, repair: bool) -> (Vec<FsckFinding>, FsckSummary) {
    let body = Body::from(format!("{{\"repair\": {repair}}}"));
    let got = house.ask_as(Some(ADMIN), Method::POST, PATH, (&[], body)).await.ok();
    assert_eq!(got.header("content-type"), "application/x-ndjson");
    let (mut findings, mut end) = (Vec::new(), None);
    for line in got.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert_eq!(end, None, "nothing comes behind the end");
        match serde_json::from_slice(line).unwrap() {
            FsckEvent::Finding(finding) => findings.push(finding),
            FsckEvent::End(summary) => end = Some(summary),
            FsckEvent::Progress(_) => {}
            FsckEvent::Failed { detail } => panic!("{detail}"),
        }
    }
    (findings, end.unwrap())
}

fn kinds(findings: &[FsckFinding]) -> Vec<(FsckKind, Option<&str>, bool)> {
    findings.iter().map(|finding| (finding.kind, finding.key.as_deref(), finding.mended)).collect()
}

/// A house with an object of one segment, one of two, and a small one.
async fn stocked() -> House {
    let house = House::new(6).await;
    for (key, bytes) in [("small", 100), ("one", 100_000), ("two", (4 << 20) + 100_000)] {
        house.put(key, noise(bytes as u64, bytes)).await.ok();
    }
    house
}

/// An object's upload, and the first of its segments.
async fn of(house: &House, key: &str) -> (UploadId, SegmentId) {
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let object = house.catalog.object(bucket, &ObjectKey::new(key).unwrap()).await.unwrap().unwrap();
    let page = house.catalog.page(object.upload, PageAt { part: 0, page: 0 }).await.unwrap().unwrap();
    (object.upload, page.segments[0].id)
}

/// Writes behind the catalog's back.
async fn tamper(house: &House, deleted: Vec<Vec<u8>>) {
    let mut batch = Batch::new();
    deleted.into_iter().for_each(|key| batch.delete(key));
    house.catalog.keyspace().commit(batch).await.unwrap();
}

/// A reference comes before its shards, and those of a put that failed may be none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_what_a_part_that_failed_left_behind() {
    let house = House::new(6).await;
    let begun = house.ask(Method::POST, "/api/v1/uploads", &[], json!({ "key": "x" }).to_string()).await;
    let path = format!("/api/v1/uploads/{}", begun.ok().json()["id"].as_str().unwrap());
    let put = async || house.ask(Method::PUT, &format!("{path}/parts/1"), &[], noise(1, 100_000)).await;
    (0..6).for_each(|n| house.nodes.fill(n));
    assert_eq!(put().await.problem(), "pool-full");
    (0..6).for_each(|n| house.nodes.make_room(n));
    put().await.ok();
    house.ask(Method::POST, &format!("{path}/complete"), &[], Body::empty()).await.ok();
    let (findings, _) = check(&house, false).await;
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn where_nothing_is_wrong_nothing_is_found() {
    let house = stocked().await;
    house.put("gone", noise(5, 100_000)).await.ok();
    house.delete("gone").await.ok();
    let (findings, end) = check(&house, true).await;
    assert_eq!(findings, []);
    assert!(end.is_clean() && end.whole >= 3, "{end:?}");
    assert_eq!((end.short, end.unseen, end.findings), (0, 0, 0));
    assert_eq!(house.get("two").await.ok().body.len(), (4 << 20) + 100_000);
}

/// Writes and deletes objects of its own until it is told to stop; says what of them is there.
async fn churn(router: axum::Router, seed: u64, stop: CancellationToken) -> BTreeMap<String, Vec<u8>> {
    let (mut there, mut dice) = (BTreeMap::new(), Dice(seed));
    while !stop.is_cancelled() {
        let key = format!("churned/{seed}/{}", dice.below(4));
        let path = format!("/api/v1/files/{key}");
        let (method, body) = match dice.below(3) {
            0 => (Method::DELETE, None),
            _ => (Method::PUT, Some(noise(seed, [100, 5000, 200_000][dice.below(3)]))),
        };
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {USER}"));
        let request = request.body(body.clone().map_or_else(Body::empty, Body::from)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_success(), "{key}: {}", answer.status());
        match body {
            Some(body) => there.insert(key, body),
            None => there.remove(&key),
        };
    }
    there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_objects_come_and_go_nothing_is_found_and_nothing_is_lost() {
    let mut house = stocked().await;
    let (stop, mut writers) = (CancellationToken::new(), tokio::task::JoinSet::new());
    let seed = seed() % 1_000_000;
    for n in 0..8 {
        writers.spawn(churn(house.router(), seed + n, stop.clone()));
    }
    for _ in 0..10 {
        let (findings, end) = check(&house, true).await;
        assert_eq!(findings, [], "{end:?}");
        house.core.reclaim.work().await;
    }
    stop.cancel();
    let mut there = BTreeMap::new();
    while let Some(written) = writers.join_next().await {
        there.append(&mut written.unwrap());
    }
    assert!(!there.is_empty(), "nothing was written meanwhile");
    let (findings, end) = check(&house, true).await;
    assert!(findings.is_empty() && end.is_clean(), "{findings:?} {end:?}");
    house.core.reclaim.work().await;
    for (key, bytes) in there {
        assert!(house.get(&key).await.ok().body == bytes, "{key} is another");
    }
}

#[tokio::test]
async fn a_lost_segment_is_told_by_the_name_of_its_object() {
    let house = stocked().await;
    let (_, segment) = of(&house, "two").await;
    house.nodes.lose(segment);
    let (findings, end) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::LostSegment, Some("two"), false)]);
    assert_eq!(findings[0].bucket.as_deref(), Some("default"));
    assert_eq!(findings[0].segment, Some(segment.to_string()));
    assert!(!end.is_clean() && end.whole == 2, "{end:?}");
}

#[tokio::test]
async fn what_is_short_is_counted_and_the_stewards_are_told() {
    let mut house = stocked().await;
    house.nodes.wipe(0);
    let (findings, end) = check(&house, false).await;
    assert_eq!(
        (findings.len(), end.whole, end.short, end.unseen),
        (0, 0, 3, 0),
        "each member has a shard of all"
    );
    assert!(!end.is_clean());
    house.core.alarms.work().await;
    let told: usize = (0..6).map(|n| house.nodes.looks(n).len()).sum();
    assert!(told > 0, "nobody was told");
}

#[tokio::test]
async fn nothing_is_called_lost_while_a_node_is_away() {
    let house = stocked().await;
    let (_, segment) = of(&house, "one").await;
    house.nodes.lose(segment);
    house.nodes.kill(1);
    let (findings, end) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::NodeSilent, None, false)]);
    assert!(findings[0].detail.contains("n1"), "{findings:?}");
    assert_eq!((end.whole, end.short, end.unseen), (0, 2, 1));
}

#[tokio::test]
async fn what_nobody_needs_is_deleted_after_a_repair() {
    let mut house = stocked().await;
    let (upload, segment) = of(&house, "one").await;
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    tamper(
        &house,
        vec![
            keys::object(bucket, b"one"),
            keys::upload(upload),
            keys::part(upload, 0),
            keys::page(upload, PageAt { part: 0, page: 0 }),
            keys::used_segment(upload, segment),
            keys::reference(bucket, segment, upload),
        ],
    )
    .await;
    let before = house.nodes.all_shards();
    let (findings, end) = check(&house, false).await;
    assert_eq!(kinds(&findings), [(FsckKind::UnknownSegment, None, false)]);
    assert_eq!((findings[0].segment.clone(), end.is_clean()), (Some(segment.to_string()), false));
    let (findings, end) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::UnknownSegment, None, true)]);
    assert!(end.is_clean(), "{end:?}");
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), before - 6);
    assert_eq!(check(&house, false).await.0, []);
}

#[tokio::test]
async fn rows_that_disagree_are_mended() {
    let house = stocked().await;
    let (upload, segment) = of(&house, "two").await;
    tamper(&house, vec![keys::used_segment(upload, segment)]).await;
    let (findings, end) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::Rows, Some("two"), true)]);
    assert!(end.is_clean(), "{end:?}");
    assert_eq!(check(&house, false).await.0, []);
    let (upload, _) = of(&house, "one").await;
    tamper(&house, vec![keys::upload(upload)]).await;
    let (findings, _) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::BrokenObject, Some("one"), false)]);
}

#[tokio::test]
async fn one_runs_at_a_time_and_ends_with_its_reader() {
    let house = stocked().await;
    let request = || {
        let request = http::Request::builder().method(Method::POST).uri(PATH);
        request.header("authorization", format!("Bearer {ADMIN}")).body(Body::empty()).unwrap()
    };
    let first = house.send(request()).await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = house.ask_as(Some(ADMIN), Method::POST, PATH, (&[], Body::empty())).await;
    assert_eq!((second.status, second.problem().as_str()), (StatusCode::CONFLICT, "conflict"));
    drop(first);
    let third = house.send(request()).await;
    assert!(third.into_body().collect().await.unwrap().to_bytes().ends_with(b"}\n"));
    let wrong = house.ask_as(Some(ADMIN), Method::POST, PATH, (&[], Body::from("{\"mend\": true}"))).await;
    assert_eq!(wrong.problem(), "invalid-body");
}

#[tokio::test]
async fn what_is_left_of_links_is_taken_away() {
    let house = stocked().await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    tell(&house, Some(&alice), "POST", "/shares", json!({ "key": "one" })).await.ok();
    assert_eq!(check(&house, false).await.0, []);
    let user = house.catalog.user_of(&"alice".parse().unwrap()).await.unwrap().unwrap();
    tamper(&house, vec![keys::user(user.id)]).await;
    let (findings, end) = check(&house, true).await;
    assert_eq!(kinds(&findings), [(FsckKind::Rows, None, true)]);
    assert!(end.is_clean(), "{end:?}");
    assert_eq!(check(&house, false).await.0, []);
}
