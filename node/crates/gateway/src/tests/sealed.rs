//! Private buckets: what a client sealed is put, kept, and given as it is.

pub(super) mod client;
mod cuts;
mod kinds;
mod refusals;
mod work;

use axum::body::Body;
use datamesh_seal::UNSEALED;
use datamesh_shard::SegmentHeader;
use http::{Method, header};
use serde_json::json;

use super::house::{House, noise};
use client::Client;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_comes_back_and_nobody_here_can_read_it() {
    let house = House::new(6).await;
    house.nodes.listen();
    let client = Client::new(&house).await;
    let text = noise(1, 9 * MIB + 5);
    let (key, object) = (client.name("folder/report.pdf"), client.seal(&text));
    let upload = client.begin(&house, &key).await;
    // In any order, and twice.
    for (n, status) in [(2, 201), (0, 201), (1, 201), (0, 200)] {
        let put = client.put_segment(&house, &upload, &object[n]).await.ok();
        assert_eq!(put.status.as_u16(), status);
        assert_eq!(put.json(), json!({"id": object[n].id, "sealedBytes": object[n].sealed.len()}));
    }
    assert_eq!(house.ask(Method::HEAD, &client.file(&key), &[], Body::empty()).await.status, 404, "not yet");
    let done = client.commit(&house, &upload, &object, &[]).await.ok();
    let sealed_bytes: usize = object.iter().map(|segment| segment.sealed.len()).sum();
    assert_eq!((done.status.as_u16(), done.json()["size"].as_u64()), (201, Some(sealed_bytes as u64)));
    assert_eq!(
        client.commit(&house, &upload, &object, &[]).await.header("etag"),
        done.header("etag"),
        "again"
    );
    assert!(client.read(&house, &key).await == text);

    let heard = house.nodes.heard();
    let heard =
        |needle: &[u8]| heard.iter().any(|frame| has(&frame.start, needle) || has(&frame.payload, needle));
    // Nodes keep what was sealed, and have heard of nothing else; the same search finds what they do keep. Where sealing is switched off it
    // is so in clients too, and all contents are found.
    for region in [100, 70_000, 5 * MIB, 9 * MIB - 40].map(|at| &text[at..at + 32]) {
        assert_eq!((house.nodes.holds(region), heard(region)), (UNSEALED, UNSEALED));
    }
    let keys = object.iter().map(|segment| segment.key.as_bytes().to_vec());
    for secret in keys.chain([b"report.pdf".to_vec(), text[100..132].to_vec()]).filter(|_| !UNSEALED) {
        assert!(!house.nodes.holds(&secret) && !heard(&secret), "{}", hex::encode(secret));
        assert_eq!(files_with(house.dir(), &secret), Vec::<std::path::PathBuf>::new());
    }
    let known = &object[0].sealed[1000..1032];
    assert!(house.nodes.holds(known) && heard(known), "the control");
    house.has_its_buffers_back().await;
}

fn has(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn files_with(folder: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = |path: std::path::PathBuf| match path.is_dir() {
        true => files_with(&path, needle),
        false if has(&std::fs::read(&path).unwrap_or_default(), needle) => vec![path],
        false => Vec::new(),
    };
    entries.flat_map(found).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_another_gateway_where_it_stopped() {
    let mut house = House::new(6).await;
    let client = Client::new(&house).await;
    let text = noise(2, 30 * MIB);
    let (key, object) = (client.name("big"), client.seal(&text));
    let upload = client.begin(&house, &key).await;
    for segment in &object[..3] {
        client.put_segment(&house, &upload, segment).await.ok();
    }
    let listed = client.durable(&house, &upload, 2).await;
    assert_eq!(listed.len(), 3);
    assert!(object[..3].iter().all(|segment| listed.contains(&segment.id.to_string())));
    // The first gateway is gone; nothing is stored twice.
    house.core.router = house.another_gateway("other").await;
    assert_eq!(client.durable(&house, &upload, 1000).await, listed);
    house.nodes.listen();
    assert_eq!(client.put_segment(&house, &upload, &object[0]).await.status, 200);
    assert!(house.nodes.heard().is_empty(), "no node is told of it");
    for segment in object.iter().filter(|segment| !listed.contains(&segment.id.to_string())) {
        assert_eq!(client.put_segment(&house, &upload, segment).await.status, 201);
    }
    client.commit(&house, &upload, &object, &[]).await.ok();
    assert!(client.read(&house, &key).await == text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_manifests_come_in_pages() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let texts: Vec<Vec<u8>> = (0..5).map(|n| noise(n, 5000)).collect();
    let object: Vec<_> = texts.iter().flat_map(|text| client.seal(text)).collect();
    let (key, upload) = (client.name("pages"), client.begin(&house, &client.name("pages")).await);
    for segment in &object {
        client.put_segment(&house, &upload, segment).await.ok();
    }
    client.put_page(&house, &upload, 0, &object[..1]).await.ok();
    client.put_page(&house, &upload, 1, &object[3..4]).await.ok();
    // Begun anew from the first page on: what was put stays put.
    let first = client.put_page(&house, &upload, 0, &object[..2]).await.ok();
    assert_eq!((&first.json()["pages"], &first.json()["segments"]), (&json!(1), &json!(2)));
    assert_eq!(client.durable(&house, &upload, 1000).await.len(), 5);
    let gap = client.put_page(&house, &upload, 2, &object[2..]).await;
    assert_eq!((gap.problem(), gap.json()["field"].clone()), ("conflict".into(), json!("page")));
    client.put_page(&house, &upload, 1, &object[2..3]).await.ok();
    let early = client.commit_as(&house, &upload, (3, &object[3..]), &[]).await;
    assert_eq!((early.problem(), early.json()["field"].clone()), ("conflict".into(), json!("page")));
    client.commit_as(&house, &upload, (2, &object[3..]), &[]).await.ok();
    assert!(client.read(&house, &key).await == texts.concat());

    // The last page may take the place of the last one that was put; a commit that fails changes nothing.
    let upload = client.begin(&house, &key).await;
    for segment in &object {
        client.put_segment(&house, &upload, segment).await.ok();
    }
    for (page, segment) in object.iter().enumerate().take(3) {
        client.put_page(&house, &upload, page, std::slice::from_ref(segment)).await.ok();
    }
    let middle = client.commit_as(&house, &upload, (1, &object[4..]), &[]).await;
    assert_eq!((middle.problem(), middle.json()["field"].clone()), ("conflict".into(), json!("page")));
    let taken = client.commit_as(&house, &upload, (2, &object[4..]), &[("if-none-match", "*")]).await;
    assert_eq!(taken.problem(), "precondition-failed");
    client.put_page(&house, &upload, 3, &object[3..4]).await.ok();
    let done = client.commit_as(&house, &upload, (3, &object[4..]), &[]).await.ok();
    assert_eq!(done.status, 200, "it replaced another");
    let expected = [&texts[0][..], &texts[1], &texts[2], &texts[4]].concat();
    assert!(client.read(&house, &key).await == expected);
    let sizes = [0, 1, 2, 4].map(|n: usize| object[n].sealed.len());
    assert_eq!(done.json()["size"], sizes.iter().sum::<usize>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_read_in_parts_and_while_their_object_is_there() {
    let house = House::keeping(6, 512 << 20, 60_000).await;
    let client = Client::new(&house).await;
    let key = client.name("x");
    let old = client.store(&house, &key, &noise(3, 5 * MIB)).await;
    let manifest = client.manifest(&house, &key, "").await.ok();
    assert_eq!(manifest.header("cache-control"), "no-store");
    let object = manifest.json()["object"].as_str().unwrap().to_owned();
    let same = client.manifest(&house, &key, &format!("?object={object}")).await.ok();
    assert_eq!(same.json(), manifest.json());
    let path = client.segment(&key, &object, &old[1].id.to_string());
    let get = async |headers: &[(&str, &str)]| house.ask(Method::GET, &path, headers, Body::empty()).await;
    let whole = get(&[]).await.ok();
    assert!(whole.body == old[1].sealed);
    assert_eq!(whole.header("content-length"), old[1].sealed.len().to_string());
    let part = get(&[("range", "bytes=70000-70099")]).await.ok();
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &old[1].sealed[70_000..70_100]));
    assert_eq!(part.header("content-range"), format!("bytes 70000-70099/{}", old[1].sealed.len()));
    assert_eq!(get(&[("range", "bytes=9000000-")]).await.problem(), "range-not-satisfiable");
    let tag = whole.header("etag").to_owned();
    assert_eq!(get(&[("if-none-match", &tag)]).await.status, 304);
    assert_eq!(
        get(&[("if-range", "\"other\""), ("range", "bytes=0-1")]).await.ok().body.len(),
        old[1].sealed.len()
    );
    // With a node lost, and another's shards rotten.
    house.nodes.kill(0);
    house.nodes.rot(1);
    assert!(get(&[]).await.ok().body == old[1].sealed);
    house.nodes.revive(0);
    house.ask(Method::DELETE, &client.file(&key), &[], Body::empty()).await.ok();
    assert_eq!(get(&[]).await.problem(), "no-such-object", "what is deleted is gone at once");
    client.store(&house, &key, &noise(4, 100)).await;
    assert_eq!(get(&[]).await.problem(), "no-such-object", "and stays so");
    let other = client.manifest(&house, &key, &format!("?object={object}")).await;
    assert_eq!((other.problem(), other.json()["field"].clone()), ("no-such-object".into(), json!("object")));
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_small_part_no_more_is_asked_of_nodes_than_the_shards_it_lies_in() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let key = client.name("x");
    let segment = client.store(&house, &key, &noise(3, 4 * MIB - (128 << 10))).await.remove(0);
    let manifest = client.manifest(&house, &key, "").await.ok().json();
    let path = client.segment(&key, manifest["object"].as_str().unwrap(), &segment.id.to_string());
    let shard_bytes = SegmentHeader::shard_bytes_of(client.profile, segment.sealed.len());
    let k = client.profile.k();
    house.nodes.listen();
    let get = async |from: usize, to: usize| {
        let range = format!("bytes={from}-{}", to - 1);
        let got = house.ask(Method::GET, &path, &[("range", &range)], Body::empty()).await.ok();
        assert!(got.body == segment.sealed[from..to], "{from}..{to}");
        house.nodes.heard().iter().map(|frame| frame.payload.len()).sum::<usize>()
    };
    let end = segment.sealed.len();
    for (from, to, shards) in [
        (0, 1, 1),
        (70_000, 70_100, 1),
        (shard_bytes - 1, shard_bytes, 1),
        (shard_bytes - 1, shard_bytes + 1, 2),
        (end - 1, end, 1),
        (shard_bytes / 2, 2 * shard_bytes + 7, 3),
        (0, end, k),
    ] {
        assert_eq!(get(from, to).await, shards * shard_bytes, "{from}..{to}");
    }
    // What comes wrong, or not at all, costs a read of all; what is given is right.
    for n in 0..6 {
        house.nodes.lie(n, true);
        for from in (0..end - 100).step_by(shard_bytes / 2) {
            get(from, from + 100).await;
        }
        house.nodes.lie(n, false);
    }
    house.nodes.kill(0);
    house.nodes.kill(3);
    for from in (0..end - 100).step_by(shard_bytes / 2) {
        get(from, from + 100).await;
    }
    house.has_its_buffers_back().await;
}

#[tokio::test]
async fn small_objects_are_one_request_and_conditions_hold() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let key = client.name("small");
    let put =
        async |sealed: &[u8], headers: &[(&str, &str)]| client.put_small(&house, &key, sealed, headers).await;
    let first = put(b"sealed by me", &[("if-none-match", "*")]).await.ok();
    assert_eq!((first.status.as_u16(), first.header("datamesh-durability")), (201, "whole"));
    assert_eq!(put(b"again", &[("if-none-match", "*")]).await.problem(), "precondition-failed");
    let etag = first.header(header::ETAG.as_str()).to_owned();
    assert_eq!(put(&[7; 4096], &[("if-match", &etag)]).await.ok().status, 200);
    assert_eq!(put(b"late", &[("if-match", &etag)]).await.problem(), "precondition-failed");
    let manifest = client.manifest(&house, &key, "").await.ok().json();
    assert_eq!((&manifest["segments"], &manifest["last"]), (&json!([]), &json!(true)));
    assert_eq!(client::base64(&[7; 4096]), manifest["sealed"].as_str().unwrap());
    let named = format!("?object={}", manifest["object"].as_str().unwrap());
    assert_eq!(client.manifest(&house, &key, &named).await.ok().json(), manifest);
    assert_eq!(house.nodes.all_shards(), 0, "it is in its row");
    for (sealed, why) in [(vec![], "nothing"), (vec![0; 4097], "too much")] {
        let refused = put(&sealed, &[]).await;
        assert_eq!(
            (refused.problem(), refused.json()["field"].clone()),
            ("invalid-body".into(), json!("sealed")),
            "{why}"
        );
    }
    // Of what has segments too.
    let (upload, object) = (client.begin(&house, &key).await, client.seal(&noise(5, 10)));
    client.put_segment(&house, &upload, &object[0]).await.ok();
    let refused = client.commit(&house, &upload, &object, &[("if-none-match", "*")]).await;
    assert_eq!(refused.problem(), "precondition-failed");
    client.commit(&house, &upload, &object, &[]).await.ok();
}
