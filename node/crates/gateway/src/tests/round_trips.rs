use axum::body::Body;
use http::{Method, StatusCode};

use super::house::{House, noise, pieces, prose};

/// Sizes at every edge: inline, frame, segment, several segments.
const SIZES: [usize; 11] = [
    0,
    1,
    4096,
    4097,
    (64 << 10) - 1,
    64 << 10,
    (64 << 10) + 1,
    (4 << 20) - 1,
    4 << 20,
    (4 << 20) + 1,
    9 << 20,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_comes_back_byte_for_byte() {
    let house = House::new(6).await;
    for bytes in SIZES {
        for (kind, text) in [("noise", noise(bytes as u64, bytes)), ("prose", prose(bytes))] {
            let key = format!("{kind}/{bytes}");
            let put = house.put(&key, text.clone()).await.ok();
            assert_eq!(
                (put.status, put.header("datamesh-durability")),
                (StatusCode::CREATED, "whole"),
                "{key}"
            );
            assert_eq!(put.json()["size"], bytes);
            let got = house.get(&key).await.ok();
            assert!(got.body == text, "{key}");
            assert_eq!(got.header("etag"), put.header("etag"));
            assert_eq!(got.header("content-length"), bytes.to_string());
            let streamed = house.put(&key, pieces(&text, 100_000)).await.ok();
            assert_eq!(streamed.status, StatusCode::OK, "a replacement is no creation");
            assert_ne!(streamed.header("etag"), put.header("etag"));
            assert!(house.get(&key).await.ok().body == text, "streamed {key}");
        }
    }
    house.has_its_buffers_back().await;
}

#[tokio::test]
async fn nodes_see_ciphertext_only_and_compression_saves_their_space() {
    let house = House::new(6).await;
    let text = noise(1, 200_000);
    house.put("noise", text.clone()).await.ok();
    assert_eq!(house.nodes.all_shards(), 6);
    assert!(!house.nodes.holds(&text[1000..1032]));
    let before = house.nodes.payload_bytes();
    // 1.5 times, and the seal's few bytes.
    assert!((300_000..303_000).contains(&before), "{before}");
    house.put("prose", prose(200_000)).await.ok();
    assert!(house.nodes.payload_bytes() - before < 60_000);
}

#[tokio::test]
async fn small_objects_are_inline_and_touch_no_node() {
    let house = House::new(6).await;
    house.put("small", noise(2, 4096)).await.ok();
    assert_eq!(house.nodes.all_shards(), 0);
    house.put("larger", noise(3, 4097)).await.ok();
    assert_eq!(house.nodes.all_shards(), 6);
}

#[tokio::test]
async fn type_and_metadata_are_kept() {
    let house = House::new(6).await;
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("x-datamesh-meta-owner", "ann"),
        ("x-datamesh-meta-b", "2"),
    ];
    for bytes in [10, 10_000] {
        let path = "/api/v1/files/with/meta";
        house.ask(Method::PUT, path, &headers, noise(4, bytes)).await.ok();
        for method in [Method::GET, Method::HEAD] {
            let got = house.ask(method.clone(), path, &[], Body::empty()).await.ok();
            assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(got.header("x-datamesh-meta-owner"), "ann");
            assert_eq!(got.header("x-datamesh-meta-b"), "2");
            assert_eq!(got.header("content-length"), bytes.to_string());
            assert_eq!(got.body.len(), if method == Method::HEAD { 0 } else { bytes });
        }
    }
}

#[tokio::test]
async fn keys_of_all_kinds() {
    let house = House::new(6).await;
    for key in ["a", "a/b/c", "with%20space", "%C3%A4%C3%B6%C3%BC", "a//b", "..", "trailing/", "%25"] {
        house.put(key, key.to_owned()).await.ok();
    }
    for key in ["a", "a/b/c", "with%20space", "%C3%A4%C3%B6%C3%BC", "a//b", "..", "trailing/", "%25"] {
        assert_eq!(house.get(key).await.ok().body, key);
    }
    let listed = house.ask(Method::GET, "/api/v1/files", &[], Body::empty()).await.ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 8);
    assert_eq!(house.delete("a").await.status, StatusCode::OK);
    assert_eq!(house.get("a").await.problem(), "no-such-object");
    let again = house.delete("a").await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test]
async fn conditions_guard_puts_reads_and_deletes() {
    let house = House::new(6).await;
    let path = "/api/v1/files/guarded";
    let absent = [("if-none-match", "*")];
    let first = house.ask(Method::PUT, path, &absent, "one").await.ok();
    assert_eq!(house.ask(Method::PUT, path, &absent, "two").await.problem(), "precondition-failed");
    let etag = first.header("etag").to_owned();
    let matching = [("if-match", etag.as_str())];
    assert_eq!(house.ask(Method::GET, path, &[("if-none-match", &etag)], Body::empty()).await.status, 304);
    house.ask(Method::PUT, path, &matching, noise(5, 10_000)).await.ok();
    assert_eq!(
        house.ask(Method::PUT, path, &matching, noise(5, 10_000)).await.problem(),
        "precondition-failed"
    );
    assert_eq!(house.ask(Method::GET, path, &matching, Body::empty()).await.problem(), "precondition-failed");
    assert_eq!(
        house.ask(Method::DELETE, path, &matching, Body::empty()).await.problem(),
        "precondition-failed"
    );
    assert_eq!(house.get("guarded").await.ok().body, noise(5, 10_000));
}
