//! What was replaced or deleted is listed, read and put back by REST too.

use axum::body::Body;
use datamesh_catalog::Versioning;
use http::Method;
use serde_json::{Value, json};

use super::house::{Got, House, noise};

const VERSIONS: &str = "/api/v1/versions";

/// A house whose default bucket keeps versions, for no trash.
async fn keeping() -> House {
    let house = House::new(6).await;
    house.put("a", "before").await.ok();
    let bucket = house.catalog.buckets().await.unwrap()[0].id;
    let was = house.catalog.keeping(bucket).await.unwrap();
    house.catalog.set_keeping(bucket, &was, (Versioning::Enabled, None)).await.unwrap();
    house
}

async fn ask(house: &House, method: Method, path: &str) -> Got {
    house.ask(method, path, &[], Body::empty()).await
}

async fn listed(house: &House, query: &str) -> Vec<Value> {
    let got = ask(house, Method::GET, &format!("{VERSIONS}{query}")).await.ok();
    got.json()["items"].as_array().unwrap().clone()
}

/// Of every version: its key, whether it is the newest or a delete, and its size.
fn told(items: &[Value]) -> Vec<(&str, bool, bool, Option<u64>)> {
    let is = |item: &Value, what: &str| item[what] == true;
    let all = items.iter();
    all.map(|item| {
        let key = item["key"].as_str().unwrap();
        (key, is(item, "isLatest"), is(item, "deleted"), item["size"].as_u64())
    })
    .collect()
}

fn of_version(key: &str, item: &Value) -> String {
    format!("/api/v1/files/{key}?version={}", item["version"].as_str().unwrap())
}

async fn restore(house: &House, item: &Value, headers: &[(&str, &str)]) -> Got {
    let body = json!({ "key": item["key"], "version": item["version"] }).to_string();
    house.ask(Method::POST, &format!("{VERSIONS}/restore"), headers, body).await
}

#[tokio::test]
async fn versions_are_listed_page_by_page_and_read_by_their_ids() {
    let house = keeping().await;
    let large = noise(1, 5 << 20);
    house.put("a", large.clone()).await.ok();
    house.put("a/b", "other").await.ok();
    house.delete("a").await.ok();
    let items = listed(&house, "?prefix=a").await;
    let expected = [
        ("a", true, true, None),
        ("a", false, false, Some(5 << 20)),
        ("a", false, false, Some(6)),
        ("a/b", true, false, Some(5)),
    ];
    assert_eq!(told(&items), expected);
    assert_eq!(items[2]["version"], "null", "it was put while the bucket kept none");
    let (mut paged, mut next) = (Vec::new(), format!("{VERSIONS}?limit=1"));
    while !next.is_empty() {
        let got = ask(&house, Method::GET, &next).await.ok();
        paged.extend(got.json()["items"].as_array().unwrap().clone());
        let link = got.headers.get("link").map_or("", |link| link.to_str().unwrap());
        next = link.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    assert_eq!(paged, items);
    assert!(ask(&house, Method::GET, &of_version("a", &items[1])).await.ok().body == large);
    assert_eq!(ask(&house, Method::GET, &of_version("a", &items[2])).await.ok().body, "before");
    let head = ask(&house, Method::HEAD, &of_version("a", &items[1])).await.ok();
    assert_eq!(head.header("etag"), format!("{:?}", items[1]["etag"].as_str().unwrap()));
    let range = [("range", "bytes=1-2")];
    let part = house.ask(Method::GET, &of_version("a", &items[2]), &range, Body::empty()).await.ok();
    assert_eq!(part.body, "ef");
    for (of, problem) in [
        (of_version("a", &items[0]), "no-such-object"),
        (of_version("a/b", &items[1]), "no-such-object"),
        ("/api/v1/files/a?version=0f".to_owned(), "invalid-parameter"),
        (format!("{VERSIONS}?cursor=x"), "invalid-parameter"),
        ("/api/v1/buckets/none/versions".to_owned(), "no-such-bucket"),
    ] {
        assert_eq!(ask(&house, Method::GET, &of).await.problem(), problem, "{of}");
    }
}

#[tokio::test]
async fn a_version_is_put_back_in_front_of_the_others() {
    let house = keeping().await;
    let large = noise(1, 5 << 20);
    let headers = [("content-type", "image/x"), ("x-datamesh-meta-name", "first")];
    house.ask(Method::PUT, "/api/v1/files/a", &headers, large.clone()).await.ok();
    house.put("a", "newer").await.ok();
    let older = listed(&house, "").await[1].clone();
    let refused = restore(&house, &older, &[("if-none-match", "*")]).await;
    assert_eq!(refused.problem(), "precondition-failed", "there is a newer one");
    let restored = restore(&house, &older, &[]).await.ok();
    assert_eq!((restored.status.as_u16(), &restored.json()["size"]), (200, &json!(5 << 20)));
    let got = house.get("a").await.ok();
    assert!(got.body == large);
    assert_eq!((got.header("content-type"), got.header("x-datamesh-meta-name")), ("image/x", "first"));
    let items = listed(&house, "").await;
    assert_eq!(items.len(), 4, "nothing is lost by it: {items:?}");
    assert_ne!(items[0]["version"], older["version"], "it is a version of its own");
    house.delete("a").await.ok();
    assert_eq!(restore(&house, &items[3], &[]).await.ok().status, 201, "what is deleted comes back too");
    assert_eq!(house.get("a").await.ok().body, "before");
    let marker = &listed(&house, "").await[1];
    assert_eq!(
        (marker["deleted"].clone(), restore(&house, marker, &[]).await.problem()),
        (json!(true), "no-such-object".into())
    );
    let wrong = json!({ "key": "a", "version": "x" }).to_string();
    let wrong = house.ask(Method::POST, &format!("{VERSIONS}/restore"), &[], wrong).await;
    assert_eq!((wrong.problem().as_str(), wrong.json()["field"].as_str()), ("invalid-body", Some("version")));
}

#[tokio::test]
async fn versions_are_deleted_where_they_are_a_trash_s_and_nowhere_else() {
    let house = keeping().await;
    house.put("a", "newer").await.ok();
    let older = listed(&house, "").await[1].clone();
    let refused = ask(&house, Method::DELETE, &of_version("a", &older)).await;
    assert_eq!((refused.problem().as_str(), listed(&house, "").await.len()), ("conflict", 2));
    let of = |path: &str| format!("/api/v1/buckets/thrown/{path}");
    ask(&house, Method::PUT, "/api/v1/buckets/thrown").await.ok();
    house.ask(Method::PUT, &of("trash"), &[], json!({ "days": 1 }).to_string()).await.ok();
    for n in 0..2 {
        house.ask(Method::PUT, &of("files/b"), &[], noise(n, 100_000)).await.ok();
    }
    let all = async || ask(&house, Method::GET, &of("versions")).await.ok().json()["items"].clone();
    let older = format!("{}?version={}", of("files/b"), all().await[1]["version"].as_str().unwrap());
    for wrong in [format!("{older}&shred=true"), of("files/b?version=x")] {
        assert_eq!(ask(&house, Method::DELETE, &wrong).await.problem(), "invalid-parameter");
    }
    let deleted = ask(&house, Method::DELETE, &older).await.ok().json();
    assert!(deleted["keptUntil"].is_string() && deleted.get("marker").is_none(), "{deleted}");
    assert_eq!(all().await.as_array().unwrap().len(), 1);
    assert_eq!(ask(&house, Method::DELETE, &older).await.status, 204, "again, and also well");
    assert_eq!(ask(&house, Method::GET, &older).await.problem(), "no-such-object");
    assert!(ask(&house, Method::GET, &of("files/b")).await.ok().body == noise(1, 100_000));
}
