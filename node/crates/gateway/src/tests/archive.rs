//! A folder as a zip: what is in it, what is not, and when it breaks off.

use std::io::{Cursor, Read as _};

use axum::body::Body;
use axum::response::Response;
use datamesh_catalog::Role;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::accounts::{signed_in, tell};
use super::house::{Got, House, USER, noise};
use crate::limits::ARCHIVE_ENTRIES_MAX;

/// Names and bytes, in the order of the zip.
fn files(got: &Got) -> Vec<(String, Vec<u8>)> {
    assert_eq!(got.header("content-type"), "application/zip");
    let mut zip = zip::ZipArchive::new(Cursor::new(got.body.clone())).unwrap();
    let mut read = |n| {
        let (mut bytes, mut file) = (Vec::new(), zip.by_index(n).unwrap());
        file.read_to_end(&mut bytes).unwrap();
        (file.name().unwrap().into_owned(), bytes)
    };
    (0..zip_len(got)).map(&mut read).collect()
}

fn zip_len(got: &Got) -> usize {
    zip::ZipArchive::new(Cursor::new(got.body.clone())).unwrap().len()
}

async fn get(house: &House, path: &str) -> Got {
    house.ask(Method::GET, path, &[], Body::empty()).await
}

async fn stocked() -> House {
    let house = House::new(6).await;
    let large = noise(1, 9 << 20);
    for (key, body) in [
        ("in/a", b"1".to_vec()),
        ("in/deep/b", large),
        ("in/../c", b"3".to_vec()),
        ("inside", b"no".to_vec()),
    ] {
        let path = format!("/api/v1/files/{key}");
        house.ask(Method::PUT, &path, &[], body).await.ok();
    }
    house
}

#[tokio::test]
async fn a_folder_is_one_download_with_names_that_lead_nowhere() {
    let house = stocked().await;
    let got = get(&house, "/api/v1/archive?prefix=in/").await.ok();
    assert_eq!(got.header("content-disposition"), "attachment; filename=\"in.zip\"");
    let expected = [
        ("_/c".to_owned(), b"3".to_vec()),
        ("a".into(), b"1".to_vec()),
        ("deep/b".into(), noise(1, 9 << 20)),
    ];
    assert_eq!(files(&got), expected);
    let whole = get(&house, "/api/v1/buckets/default/archive").await.ok();
    assert_eq!(
        (zip_len(&whole), whole.header("content-disposition")),
        (4, "attachment; filename=\"default.zip\"")
    );
    assert_eq!(zip_len(&get(&house, "/api/v1/archive?prefix=none/").await.ok()), 0, "an empty zip");
    for wrong in ["/api/v1/archive?prefix=in", "/api/v1/archive?what=ever"] {
        assert_eq!(get(&house, wrong).await.problem(), "invalid-parameter");
    }
    assert_eq!(get(&house, "/api/v1/buckets/none/archive").await.problem(), "no-such-bucket");
    house.has_its_buffers_back().await;
}

#[tokio::test]
async fn whoever_goes_away_frees_everything() {
    let house = stocked().await;
    let ask = async || {
        let request = http::Request::get("/api/v1/archive?prefix=in/")
            .header("authorization", format!("Bearer {USER}"));
        house.send(request.body(Body::empty()).unwrap()).await
    };
    for _ in 0..40 {
        let mut answer = ask().await;
        assert_eq!(answer.status().as_u16(), 200, "turns come back");
        assert!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"PK"));
    }
    house.has_its_buffers_back().await;
    let mut held = Vec::new();
    while held.len() < 100 {
        let answer = ask().await;
        if answer.status().as_u16() == 429 {
            assert_eq!(answer.headers()["retry-after"], "10");
            break;
        }
        held.push(answer);
    }
    assert_eq!(held.len(), 5, "so many at a time");
    drop(held);
}

#[tokio::test]
async fn what_cannot_be_read_breaks_the_zip_off() {
    let house = stocked().await;
    (0..6).for_each(|n| house.nodes.kill(n));
    let request =
        http::Request::get("/api/v1/archive?prefix=in/").header("authorization", format!("Bearer {USER}"));
    let answer = house.send(request.body(Body::empty()).unwrap()).await;
    assert!(breaks_off(answer).await);
    house.has_its_buffers_back().await;
}

/// Whether the rest of a zip does not come. Then its end has no directory: no program takes it for whole.
async fn breaks_off(mut answer: Response) -> bool {
    let (mut broke, mut sent) = (false, Vec::new());
    while let Some(frame) = answer.body_mut().frame().await {
        match frame {
            Ok(frame) => sent.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => broke = true,
        }
    }
    assert_eq!(broke, !sent.windows(4).any(|bytes| bytes == b"PK\x05\x06"));
    broke
}

#[tokio::test]
async fn a_zip_ends_with_the_right_to_it() {
    let house = stocked().await;
    house.put("in/last", "x").await.ok();
    let alice = signed_in(&house, "alice", Role::Member).await;
    let made = tell(&house, Some(&alice), "POST", "/shares", json!({ "prefix": "in/" })).await.ok().json();
    let link = format!("{}/archive", made["link"].as_str().unwrap());
    let begun = async |path: &str, session: Option<&str>| {
        let request = http::Request::get(path);
        let request = session
            .into_iter()
            .fold(request, |request, session| request.header("authorization", format!("Bearer {session}")));
        let mut answer = house.send(request.body(Body::empty()).unwrap()).await;
        assert!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"PK"));
        answer
    };
    let asked = "/api/v1/archive?prefix=in/";
    let (first, by_link, by_alice) =
        (begun(&link, None).await, begun(&link, None).await, begun(asked, Some(&alice)).await);
    assert!(!breaks_off(first).await, "while nothing is ended it comes whole");
    let end = format!("/shares/{}", made["id"].as_str().unwrap());
    tell(&house, Some(&alice), "DELETE", &end, serde_json::Value::Null).await.ok();
    assert!(breaks_off(by_link).await, "nothing is read by a link that was ended");
    let disabled = json!({ "disabled": true });
    tell(&house, Some(super::house::ADMIN), "PUT", "/admin/users/alice", disabled).await.ok();
    assert!(breaks_off(by_alice).await, "nor for a user who was disabled");
    house.has_its_buffers_back().await;
}

#[tokio::test]
async fn a_folder_that_is_too_large_is_refused_before_a_byte() {
    let house = House::new(6).await;
    house.put("in/a", "1").await.ok();
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let object = house
        .catalog
        .object(bucket, &datamesh_catalog::ObjectKey::new("in/a").unwrap())
        .await
        .unwrap()
        .unwrap();
    for n in 0..ARCHIVE_ENTRIES_MAX {
        let key = datamesh_catalog::ObjectKey::new(format!("in/{n:06}")).unwrap();
        let upload = datamesh_catalog::UploadId(u128::try_from(n + 1).unwrap().to_be_bytes());
        let target = datamesh_catalog::Target { bucket, key, upload };
        let draft = datamesh_catalog::ObjectDraft {
            size_bytes: object.size_bytes,
            content_type: object.content_type.clone(),
            etag: object.etag.clone(),
            meta: Vec::new(),
            created_unix_ms: object.created_unix_ms,
            lock: Default::default(),
            body: datamesh_catalog::DraftBody::Inline { sealed: vec![1] },
        };
        house.catalog.put_inline(&target, &draft, &datamesh_catalog::Condition::None).await.unwrap();
    }
    let got = get(&house, "/api/v1/archive?prefix=in/").await;
    assert_eq!((got.problem().as_str(), got.json()["field"].as_str()), ("conflict", Some("prefix")));
}

#[tokio::test]
async fn the_folder_of_a_link_is_one_download() {
    let house = stocked().await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    let wanted = json!({ "prefix": "in/", "downloads": 1 });
    let made = tell(&house, Some(&alice), "POST", "/shares", wanted).await.ok().json();
    let path = format!("{}/archive", made["link"].as_str().unwrap());
    let ask = async || house.ask_as(None, Method::GET, &path, (&[], Body::empty())).await;
    let head = house.ask_as(None, Method::HEAD, &path, (&[], Body::empty())).await.ok();
    assert_eq!(head.header("content-type"), "application/zip");
    let got = ask().await.ok();
    assert_eq!((files(&got).len(), got.header("cache-control")), (3, "no-store"));
    assert_eq!(ask().await.problem(), "share-used-up");
    let of_file = tell(&house, Some(&alice), "POST", "/shares", json!({ "key": "in/a" })).await.ok().json();
    let path = of_file["link"].as_str().unwrap().replace("/download", "/archive");
    let got = house.ask_as(None, Method::GET, &path, (&[], Body::empty())).await;
    assert_eq!(got.problem(), "conflict");
}
