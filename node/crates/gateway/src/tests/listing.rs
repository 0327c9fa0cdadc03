use std::collections::BTreeSet;

use axum::body::Body;
use http::Method;
use serde_json::Value;

use super::house::House;

async fn list(house: &House, query: &str) -> Value {
    house.ask(Method::GET, &format!("/api/v1/files?{query}"), &[], Body::empty()).await.ok().json()
}

fn keys(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_prefixes_and_delimiters() {
    let house = House::new(6).await;
    assert_eq!(keys(&list(&house, "").await), Vec::<String>::new());
    let mut all = BTreeSet::new();
    for folder in ["a", "b", "c"] {
        for n in 0..7 {
            let key = format!("{folder}/{n}");
            house.put(&key, "x").await.ok();
            all.insert(key);
        }
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&house, &format!("limit=4{cursor}")).await;
        assert!(keys(&page).len() <= 4);
        seen.extend(keys(&page));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all.into_iter().collect::<Vec<_>>());
    assert_eq!(keys(&list(&house, "prefix=b/").await).len(), 7);
    let first = house.ask(Method::GET, "/api/v1/files?limit=4", &[], Body::empty()).await.ok();
    let next = first.header("link").strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = house.ask(Method::GET, next, &[], Body::empty()).await.ok();
    assert_eq!(keys(&second.json()), seen[4..8]);
    let rolled = list(&house, "delimiter=/").await;
    assert_eq!(rolled["commonPrefixes"], serde_json::json!(["a/", "b/", "c/"]));
    let item = &list(&house, "limit=1").await["items"][0];
    assert_eq!(
        (item["size"].as_u64(), item["contentType"].as_str()),
        (Some(1), Some("application/octet-stream"))
    );
    assert!(item["lastModified"].as_str().unwrap().ends_with('Z'), "{item}");
}

#[tokio::test]
async fn wrong_queries_are_named() {
    let house = House::new(6).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "query"),
        ("what=1", "query"),
        ("cursor=%21", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("delimiter=ab", "delimiter"),
    ] {
        let got = house.ask(Method::GET, &format!("/api/v1/files?{query}"), &[], Body::empty()).await;
        assert_eq!(got.problem(), "invalid-parameter", "{query}");
        assert_eq!(got.json()["field"], field, "{query}");
    }
    let got = house.ask(Method::GET, "/api/v1/buckets/other/files", &[], Body::empty()).await;
    assert_eq!(got.problem(), "no-such-bucket");
    let got = house.ask(Method::PUT, "/api/v1/buckets/other/files/x", &[], "x").await;
    assert_eq!(got.problem(), "no-such-bucket");
}
