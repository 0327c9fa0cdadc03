//! What works on segments without keys works on those of private buckets too.

use axum::body::Body;
use datamesh_settings::admin::{FsckEvent, PoolSpec, RecodeSpec};
use datamesh_shard::{ErasureProfile, SegmentHeader};
use http::Method;
use serde_json::json;

use super::client::{BUCKET, Client};
use crate::tests::house::{ADMIN, House, noise, spec};
use crate::work::Worker;

async fn want(house: &House, erasure: ErasureProfile) {
    let recode = RecodeSpec { enabled: true, max_bytes_per_second: None };
    let body = Body::from(serde_json::to_vec(&PoolSpec { erasure, recode, ..spec(6) }).unwrap());
    let headers = [("content-type", "application/json")];
    house.ask_as(Some(ADMIN), Method::PUT, "/api/v1/admin/pools/main", (&headers, body)).await.ok();
}

fn shards(house: &House, profile: ErasureProfile) -> usize {
    let all = house.nodes.headers();
    all.iter().filter(|header| SegmentHeader::profile_in(header).unwrap() == profile).count()
}

async fn passes(house: &mut House) {
    for _ in 0..3 {
        house.core.recode.work().await;
        house.core.reclaim.work().await;
    }
    house.core.advance.work().await;
}

/// The check's last line, which comes after no finding.
async fn fsck(house: &House) -> serde_json::Value {
    let body = (&[][..], Body::from("{\"repair\": false}"));
    let got = house.ask_as(Some(ADMIN), Method::POST, "/api/v1/admin/fsck", body).await.ok();
    let lines = got.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut end = None;
    for line in lines {
        match serde_json::from_slice(line).unwrap() {
            FsckEvent::End(summary) => end = Some(summary),
            FsckEvent::Progress(_) => {}
            found => panic!("{found:?}"),
        }
    }
    serde_json::to_value(end.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_coded_anew_without_a_key_and_their_ids_change() {
    let (old, new) = (ErasureProfile::new(4, 2).unwrap(), ErasureProfile::new(2, 1).unwrap());
    let mut house = House::new(6).await;
    let mut client = Client::new(&house).await;
    let (text, key) = (noise(1, 5 << 20), client.name("x"));
    client.store(&house, &key, &text).await;
    // Under way while the profile changes: what is durable stays, what comes is refused until it is coded for the new one.
    let other = noise(2, 9 << 20);
    let (mut object, upload) = (client.seal(&other), client.begin(&house, &client.name("y")).await);
    client.put_segment(&house, &upload, &object[0]).await.ok();
    client.put_segment(&house, &upload, &object[1]).await.ok();
    let before = client.manifest(&house, &key, "").await.ok().json();
    want(&house, new).await;
    assert_eq!(client.put_segment(&house, &upload, &object[0]).await.status, 200, "it is durable as it is");
    let refused = client.put_segment(&house, &upload, &object[2]).await;
    assert_eq!(refused.problem(), "segment-differs");
    assert!(refused.json()["detail"].as_str().unwrap().contains("2+1"));
    client.profile = new;
    for segment in &mut object[1..] {
        segment.id = datamesh_erasure::segment_id(new, &segment.sealed).unwrap();
        client.put_segment(&house, &upload, segment).await.ok();
    }
    client.commit(&house, &upload, &object, &[]).await.ok();
    // Nothing of the earlier profile is left, nor is what no page named: it keeps no profile open.
    passes(&mut house).await;
    assert_eq!((shards(&house, old), shards(&house, new)), (0, 15));
    assert_eq!(house.status().await["pools"][0]["profiles"].as_array().unwrap().len(), 1);
    assert!(client.read(&house, &key).await == text && client.read(&house, &client.name("y")).await == other);
    let after = client.manifest(&house, &key, "").await.ok().json();
    assert_eq!((&after["object"], &after["sealed"]), (&before["object"], &before["sealed"]));
    assert_ne!(after["segments"], before["segments"]);
    let (id, gone) = (before["object"].as_str().unwrap(), before["segments"][0]["id"].as_str().unwrap());
    let gone = house.ask(Method::GET, &client.segment(&key, id, gone), &[], Body::empty()).await;
    assert_eq!(gone.problem(), "no-such-object");
    assert!(gone.json()["detail"].as_str().unwrap().contains("read its manifest again"));
    assert_eq!(fsck(&house).await["privateReferences"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_page_names_twice_is_coded_anew_once() {
    let (old, new) = (ErasureProfile::new(4, 2).unwrap(), ErasureProfile::new(2, 1).unwrap());
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let (text, key) = (noise(1, 1000), client.name("x"));
    let (upload, segment) = (client.begin(&house, &key).await, client.seal(&text).remove(0));
    client.put_segment(&house, &upload, &segment).await.ok();
    let object = [segment.clone(), segment];
    client.commit(&house, &upload, &object, &[]).await.ok();
    want(&house, new).await;
    passes(&mut house).await;
    assert_eq!((shards(&house, old), shards(&house, new)), (0, 3));
    assert!(client.read(&house, &key).await == [&text[..], &text].concat());
    house.ask(Method::DELETE, &client.file(&key), &[], Body::empty()).await.ok();
    passes(&mut house).await;
    assert_eq!(house.nodes.all_shards(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_may_be_put_again() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let (text, key) = (noise(1, 100_000), client.name("x"));
    let object = client.seal(&text);
    let mut generations = Vec::new();
    for _ in 0..3 {
        let upload = client.begin(&house, &key).await;
        assert_eq!(client.put_segment(&house, &upload, &object[0]).await.ok().status, 201);
        client.commit(&house, &upload, &object, &[]).await.ok();
        generations.push(house.nodes.generations()[&object[0].id]);
        assert!(client.read(&house, &key).await == text);
        house.ask(Method::DELETE, &client.file(&key), &[], Body::empty()).await.ok();
        house.core.reclaim.work().await;
        assert_eq!(house.nodes.all_shards(), 0);
        // As a node that was set up anew: a delete that comes late must not meet what was put since.
        (0..6).for_each(|n| house.nodes.forget_deletes(n));
    }
    assert!(generations.is_sorted_by(|earlier, later| earlier < later), "{generations:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_share_a_segment_let_it_go_with_the_last() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let object = client.seal(&noise(1, 100_000));
    let keys = ["a", "b"].map(|name| client.name(name));
    for key in &keys {
        let upload = client.begin(&house, key).await;
        client.put_segment(&house, &upload, &object[0]).await.ok();
        client.commit(&house, &upload, &object, &[]).await.ok();
    }
    // An upload that is given up takes nothing along either.
    let upload = client.begin(&house, &keys[0]).await;
    client.put_segment(&house, &upload, &object[0]).await.ok();
    house.ask(Method::DELETE, &format!("/api/v1/uploads/{upload}"), &[], Body::empty()).await.ok();
    house.ask(Method::DELETE, &client.file(&keys[1]), &[], Body::empty()).await.ok();
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 6);
    client.read(&house, &keys[0]).await;
    house.ask(Method::DELETE, &client.file(&keys[0]), &[], Body::empty()).await.ok();
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trash_usage_and_shredding_are_as_in_other_buckets() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let trash = format!("/api/v1/buckets/{BUCKET}/trash");
    house.ask(Method::PUT, &trash, &[], json!({"days": 3}).to_string()).await.ok();
    let (key, text) = (client.name("x"), noise(1, 100_000));
    let object = client.store(&house, &key, &text).await;
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let usage = house.catalog.bucket_usage(bucket).await.unwrap();
    assert_eq!((usage.objects, usage.plain_bytes), (1, object[0].sealed.len() as u64));
    house.ask(Method::DELETE, &client.file(&key), &[], Body::empty()).await.ok();
    house.core.reclaim.work().await;
    let listed = house.ask(Method::GET, &format!("{trash}/files"), &[], Body::empty()).await.ok().json();
    let entry = json!({"key": key, "id": listed["items"][0]["id"]}).to_string();
    house.ask(Method::POST, &format!("{trash}/restore"), &[], entry).await.ok();
    assert!(client.read(&house, &key).await == text);
    let shred = format!("{}?shred=true", client.file(&key));
    let begun = house.ask(Method::DELETE, &shred, &[], Body::empty()).await.ok().json();
    for _ in 0..6 {
        house.core.reclaim.work().await;
        house.core.shredder.work().await;
    }
    let path = format!("/api/v1/shreds/{}", begun["id"].as_str().unwrap());
    assert_eq!(house.ask(Method::GET, &path, &[], Body::empty()).await.ok().json()["state"], "over");
    assert_eq!(house.nodes.all_shards(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_time_is_over_leaves_nothing() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let upload = client.begin(&house, &client.name("x")).await;
    let object = client.seal(&noise(1, 100_000));
    house.clock.move_on(std::time::Duration::from_secs(20 * 3600));
    client.put_segment(&house, &upload, &object[0]).await.ok();
    house.clock.move_on(std::time::Duration::from_secs(20 * 3600));
    house.core.reclaim.work().await;
    assert_eq!(client.durable(&house, &upload, 10).await.len(), 1, "a segment is a sign of life");
    house.clock.move_on(std::time::Duration::from_secs(6 * 3600));
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0);
    assert_eq!(client.commit(&house, &upload, &object, &[]).await.problem(), "no-such-upload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_page_names_goes_when_its_upload_ends() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let (key, text) = (client.name("x"), noise(1, 5 << 20));
    let (object, other) = (client.seal(&text), client.seal(&noise(2, 9 << 20)));
    let upload = client.begin(&house, &key).await;
    for segment in object.iter().chain(&other) {
        client.put_segment(&house, &upload, segment).await.ok();
    }
    client.commit(&house, &upload, &object, &[]).await.ok();
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 12, "of the object alone");
    assert!(client.read(&house, &key).await == text);
    assert_eq!(fsck(&house).await["privateReferences"], 2);
}
