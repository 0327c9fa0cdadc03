use std::io::Read as _;

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::Value;

use super::house::{ADMIN, Got, House, noise, prose, read};
use crate::api::routes::ROUTES;
use crate::auth::Need;

async fn get(house: &House, path: &str, taken: &str) -> Got {
    let request = Request::get(path)
        .header(header::AUTHORIZATION, format!("Bearer {ADMIN}"))
        .header(header::ACCEPT_ENCODING, taken);
    read(house.send(request.body(Body::empty()).unwrap()).await).await
}

fn coding(got: &Got) -> Option<&str> {
    got.headers.get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap())
}

fn unpacked(got: &Got) -> Vec<u8> {
    let mut out = Vec::new();
    match coding(got) {
        Some("gzip") => drop(flate2::read::GzDecoder::new(&got.body[..]).read_to_end(&mut out).unwrap()),
        Some("zstd") => out = zstd::decode_all(&got.body[..]).unwrap(),
        coding => panic!("{coding:?}"),
    }
    out
}

/// Every route, by what the table says of it: whoever marks one that shows a secret, or an object's bytes, is told here.
#[test]
fn no_answer_with_a_secret_or_an_object_s_bytes_is_compressed() {
    let mut compressed = 0;
    for route in ROUTES {
        let says = (route.says)();
        if !says.is_compressed {
            continue;
        }
        compressed += 1;
        let named = format!("{} {}", route.method, route.path);
        assert_eq!(route.method, "GET", "{named}: what is sent for a change may come back in its answer");
        assert!(!says.shows_a_secret() && !says.gives_an_object(), "{named}");
        assert!(route.need != Need::Anyone, "{named}: strangers must not have this gateway compress");
        for secret in ["/auth/", "/shared/", "/shares", "/keys", "/key/", "/invites", "/metadata/"] {
            assert!(!route.path.contains(secret), "{named}");
        }
    }
    assert!(compressed > 10 && compressed < ROUTES.len() / 3, "{compressed}");
}

/// Every route that is read without naming anything: those that are not marked come as they are, however long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_marked_routes_are_compressed() {
    let house = House::new(6).await;
    for n in 0..40 {
        house.put(&format!("a-rather-long-name-of-a-folder/object-number-{n}"), "x").await.ok();
    }
    house.put("text", prose(9000)).await.ok();
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.method == "GET" && !route.path.contains('{')) {
        let got = get(&house, route.path, "gzip, zstd").await;
        let may = (route.says)().is_compressed;
        assert_eq!(got.headers.contains_key(header::VARY), may, "{}", route.path);
        assert!(may || coding(&got).is_none(), "{}", route.path);
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    for path in ["/api/v1/files/text", "/api/v1/archive?prefix=a-rather-long-name-of-a-folder/"] {
        let got = get(&house, path, "gzip, zstd").await.ok();
        assert!(coding(&got).is_none() && got.body.len() > 1024, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_long_is_sent_in_the_way_that_the_client_takes() {
    let house = House::new(6).await;
    let list = "/api/v1/files";
    house.put("short", "x").await.ok();
    let short = get(&house, list, "gzip").await.ok();
    assert_eq!((coding(&short), short.header("vary")), (None, "accept-encoding"), "it is too short");
    for n in 0..40 {
        house.put(&format!("a-rather-long-name-of-a-folder/object-number-{n}"), "x").await.ok();
    }
    let plain = get(&house, list, "identity").await.ok();
    assert!(coding(&plain).is_none());
    for (taken, chosen) in
        [("gzip", "gzip"), ("zstd", "zstd"), ("gzip;q=0.1, zstd", "zstd"), ("gzip, zstd;q=0", "gzip")]
    {
        let got = get(&house, list, taken).await.ok();
        assert_eq!((coding(&got), got.header("vary")), (Some(chosen), "accept-encoding"), "{taken}");
        assert_eq!(unpacked(&got), plain.body, "{taken}");
        assert!(got.body.len() * 2 < plain.body.len() && !got.headers.contains_key(header::CONTENT_LENGTH));
    }
    assert!(coding(&get(&house, list, "br, deflate").await.ok()).is_none(), "nothing that is offered");
    let wrong = format!("{list}?cursor={}", "x".repeat(3000));
    let wrong = get(&house, &wrong, "gzip").await;
    assert!(wrong.status.is_client_error() && coding(&wrong).is_none(), "a problem may repeat what was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_is_compressed_and_the_description_comes_as_it_is() {
    let house = House::new(6).await;
    let described = get(&house, "/api/v1/openapi.json", "zstd").await.ok();
    assert!(coding(&described).is_none() && described.body.len() > 10_000);
    let tag = described.header("etag").to_owned();
    for held in [&tag, tag.trim_start_matches("W/")] {
        let headers = [("if-none-match", held), ("accept-encoding", "zstd")];
        let got = house.ask(Method::GET, "/api/v1/openapi.json", &headers, Body::empty()).await;
        assert_eq!((got.status.as_u16(), got.header("etag")), (304, &*tag));
    }
    // An object's own coding is its own: nothing touches its tag.
    let kept = [("content-encoding", "gzip")];
    let put = house.ask(Method::PUT, "/api/v1/files/packed", &kept, noise(1, 5000)).await.ok();
    assert_eq!(house.get("packed").await.ok().header("etag"), put.header("etag"));
    for n in 0..20 {
        house.put(&format!("object-{n}"), "x").await.ok();
    }
    let export = get(&house, "/api/v1/admin/audit/export", "gzip").await.ok();
    let lines = String::from_utf8(unpacked(&export)).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 20, "{}", lines.len());
}
