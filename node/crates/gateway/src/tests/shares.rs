//! Links: what whoever has one gets, what they never get, and when it is over.

mod drop_boxes;

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::accounts::{PASSWORD, login, signed_in, tell};
use super::house::{ADMIN, Got, House, USER, noise};

/// A house with some files, and Alice, signed in.
async fn stocked() -> (House, String) {
    let house = House::new(6).await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    for (key, body) in [("doc.txt", "0123456789"), ("in/one", "1"), ("in/deep/two", "22"), ("inside", "no")] {
        house.put(key, body).await.ok();
    }
    (house, alice)
}

/// Makes a link; gives its id and its path without what stands behind the secret.
async fn share(house: &House, session: &str, wanted: Value) -> (String, String) {
    let got = tell(house, Some(session), "POST", "/shares", wanted).await.ok();
    assert_eq!(got.header("cache-control"), "no-store");
    let made = got.json();
    let link = made["link"].as_str().unwrap();
    let secret = link.split('/').nth(4).unwrap();
    assert!(secret.starts_with("dml_") && secret.len() == 84, "{link}");
    (made["id"].as_str().unwrap().to_owned(), format!("/api/v1/shared/{secret}"))
}

async fn ask(house: &House, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
    let got = house.ask_as(None, method, path, (headers, Body::empty())).await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(got.header(name), value, "{path}");
    }
    assert!(
        got.header("content-security-policy").contains("sandbox") && !got.headers.contains_key("set-cookie")
    );
    got
}

async fn get(house: &House, path: &str) -> Got {
    ask(house, Method::GET, path, &[]).await
}

async fn drop_file(house: &House, path: &str, body: impl Into<Body>) -> Got {
    house.ask_as(None, Method::POST, path, (&[], body.into())).await
}

#[tokio::test]
async fn a_file_is_downloaded_by_who_has_its_link_until_it_ends() {
    let (house, alice) = stocked().await;
    let meta =
        [("x-datamesh-meta-secret", "yes"), ("content-type", "text/html"), ("content-disposition", "inline")];
    house.ask(Method::PUT, "/api/v1/files/gr%C3%BC%C3%9Fe.html", &meta, "<script>").await.ok();
    let (id, path) = share(&house, &alice, json!({ "key": "grüße.html" })).await;
    let about = get(&house, &path).await.ok().json();
    assert_eq!(
        (&about["kind"], &about["name"], &about["size"]),
        (&json!("file"), &json!("grüße.html"), &json!(8))
    );
    let got = get(&house, &format!("{path}/download")).await.ok();
    assert_eq!(got.body, "<script>");
    let disposition = got.header("content-disposition");
    assert_eq!(disposition, "attachment; filename=\"gr__e.html\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.html");
    assert!(!got.headers.contains_key("x-datamesh-meta-secret"), "what its owner noted is not shared");
    let part = ask(&house, Method::GET, &format!("{path}/download"), &[("range", "bytes=1-6")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"script"[..]));
    let head = ask(&house, Method::HEAD, &format!("{path}/download"), &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "8", 0));
    let held = [("if-none-match", got.header("etag"))];
    assert_eq!(ask(&house, Method::GET, &format!("{path}/download"), &held).await.status.as_u16(), 304);
    for beside in ["/files", "/files/doc.txt"] {
        assert_eq!(get(&house, &format!("{path}{beside}")).await.problem(), "conflict", "{beside}");
    }
    assert_eq!(drop_file(&house, &format!("{path}/drop/x"), "x").await.problem(), "conflict");
    let listed = tell(&house, Some(&alice), "GET", "/shares", Value::Null).await.ok().json();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["key"]), (&json!(id), &json!("grüße.html")));
    assert!(!listed.to_string().contains("dml_"), "its secret is shown once");
    let end = async || tell(&house, Some(&alice), "DELETE", &format!("/shares/{id}"), Value::Null).await;
    end().await.ok();
    assert_eq!(end().await.problem(), "no-such-share");
    for path in [path.clone(), format!("{path}/download")] {
        assert_eq!(get(&house, &path).await.problem(), "no-such-share");
    }
}

#[tokio::test]
async fn a_link_ends_with_its_time_its_owner_and_what_it_is_of() {
    let (house, alice) = stocked().await;
    let over =
        async |path: &str| get(&house, &format!("{path}/download")).await.status == StatusCode::NOT_FOUND;
    let admin = async |method, path: &str, body| tell(&house, Some(ADMIN), method, path, body).await.ok();
    let (_, path) = share(&house, &alice, json!({ "key": "doc.txt", "days": 1 })).await;
    let other = if path.as_bytes()[60] == b'A' { 'B' } else { 'A' };
    let wrong = format!("{}{other}{}", &path[..60], &path[61..]);
    assert!(!over(&path).await && over(&wrong).await);
    admin("PUT", "/admin/users/alice", json!({ "disabled": true })).await;
    assert!(over(&path).await);
    admin("PUT", "/admin/users/alice", json!({ "disabled": false })).await;
    assert!(!over(&path).await);
    house.delete("doc.txt").await.ok();
    assert!(over(&path).await);
    house.put("doc.txt", "another").await.ok();
    assert_eq!(
        get(&house, &format!("{path}/download")).await.body,
        "another",
        "the key is shared, not a version"
    );
    house.clock.move_on(Duration::from_secs(24 * 3600));
    assert!(over(&path).await);
    let bucket = async |method, path| house.ask(method, path, &[], Body::empty()).await.ok();
    bucket(Method::PUT, "/api/v1/buckets/mine").await;
    let put = async || house.ask(Method::PUT, "/api/v1/buckets/mine/files/a", &[], "x").await.ok();
    put().await;
    let (_, file) = share(&house, &alice, json!({ "bucket": "mine", "key": "a" })).await;
    let (_, folder) = share(&house, &alice, json!({ "bucket": "mine", "prefix": "" })).await;
    assert!(!over(&file).await && get(&house, &format!("{folder}/files")).await.status.is_success());
    bucket(Method::DELETE, "/api/v1/buckets/mine/files/a").await;
    bucket(Method::DELETE, "/api/v1/buckets/mine").await;
    assert!(over(&file).await);
    bucket(Method::PUT, "/api/v1/buckets/mine").await;
    put().await;
    assert!(over(&file).await, "another bucket of that name is not shared");
    assert_eq!(get(&house, &format!("{folder}/files")).await.problem(), "no-such-share");
    let (id, path) = share(&house, &alice, json!({ "key": "doc.txt" })).await;
    let listed = admin("GET", "/admin/users/alice/shares", Value::Null).await.json();
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["id"] == json!(id)), "{listed}");
    admin("DELETE", &format!("/admin/users/alice/shares/{id}"), Value::Null).await;
    assert!(over(&path).await);
    let (_, path) = share(&house, &alice, json!({ "key": "doc.txt" })).await;
    admin("POST", "/admin/users/alice/reset", Value::Null).await;
    assert!(over(&path).await, "who resets a user trusts nothing of theirs");
}

#[tokio::test]
async fn links_are_made_of_one_thing_by_who_is_signed_in() {
    let (house, alice) = stocked().await;
    let make = async |token: &str, wanted: Value| tell(&house, Some(token), "POST", "/shares", wanted).await;
    assert_eq!(
        make(USER, json!({ "key": "doc.txt" })).await.problem(),
        "conflict",
        "a token file is no account"
    );
    assert_eq!(make(&alice, json!({ "key": "none" })).await.problem(), "no-such-object");
    assert_eq!(make(&alice, json!({ "bucket": "none", "prefix": "" })).await.problem(), "no-such-bucket");
    let drop_box =
        |files: u64, bytes: u64| json!({ "prefix": "in/", "upload": { "files": files, "bytes": bytes } });
    for (wanted, field) in [
        (json!({}), "key"),
        (json!({ "key": "doc.txt", "prefix": "" }), "key"),
        (json!({ "key": "doc.txt", "upload": { "files": 1, "bytes": 1 } }), "key"),
        (json!({ "prefix": "in" }), "prefix"),
        (json!({ "key": "" }), "key"),
        (json!({ "key": "doc.txt", "days": 0 }), "days"),
        (json!({ "key": "doc.txt", "days": 367 }), "days"),
        (json!({ "key": "doc.txt", "downloads": 0 }), "downloads"),
        (json!({ "key": "doc.txt", "password": "short" }), "password"),
        (drop_box(0, 1), "upload/files"),
        (drop_box(1, 0), "upload/bytes"),
        (
            json!({ "prefix": format!("{}/", "a".repeat(900)), "upload": { "files": 1, "bytes": 1 } }),
            "prefix",
        ),
    ] {
        let got = make(&alice, wanted.clone()).await;
        assert_eq!(
            (got.problem(), got.json()["field"].as_str()),
            ("invalid-body".into(), Some(field)),
            "{wanted}"
        );
    }
}

#[tokio::test]
async fn a_folder_shows_what_is_in_it_and_nothing_else() {
    let (house, alice) = stocked().await;
    let (_, path) = share(&house, &alice, json!({ "prefix": "in/" })).await;
    let about = get(&house, &path).await.ok().json();
    assert_eq!((&about["kind"], &about["name"]), (&json!("folder"), &json!("in")));
    let keys = |got: Got| {
        let json = got.ok().json();
        let keys =
            json["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned());
        (keys.collect::<Vec<_>>(), json["nextCursor"].as_str().map(str::to_owned))
    };
    assert_eq!(
        keys(get(&house, &format!("{path}/files")).await),
        (vec!["deep/two".into(), "one".into()], None)
    );
    let (first, next) = keys(get(&house, &format!("{path}/files?limit=1")).await);
    let cursor = next.unwrap();
    assert_eq!(
        (first, cursor.contains("aW4v")),
        (vec!["deep/two".to_owned()], false),
        "the prefix is not told"
    );
    let (rest, _) = keys(get(&house, &format!("{path}/files?limit=1&cursor={cursor}")).await);
    assert_eq!(rest, ["one"]);
    let rolled = get(&house, &format!("{path}/files?delimiter=/")).await.ok().json();
    assert_eq!(rolled["commonPrefixes"], json!(["deep/"]));
    let file = get(&house, &format!("{path}/files/deep/two")).await.ok();
    assert_eq!(
        (&file.body[..], file.header("content-disposition")),
        (&b"22"[..], "attachment; filename=\"two\"")
    );
    for outside in ["doc.txt", "../doc.txt", "/doc.txt", "side", "%2e%2e/doc.txt"] {
        let got = get(&house, &format!("{path}/files/{outside}")).await;
        assert_eq!(got.problem(), "no-such-share", "{outside}");
        assert!(!String::from_utf8_lossy(&got.body).contains("default"), "no bucket's name");
    }
    assert_eq!(get(&house, &format!("{path}/download")).await.problem(), "conflict");
}

#[tokio::test]
async fn downloads_are_counted_once_each() {
    let (house, alice) = stocked().await;
    let bytes = noise(1, 100_000);
    house.put("large", bytes.clone()).await.ok();
    let (id, path) = share(&house, &alice, json!({ "key": "large", "downloads": 2 })).await;
    let path = format!("{path}/download");
    let part = async |range: &str| ask(&house, Method::GET, &path, &[("range", range)]).await;
    let mut whole = Vec::new();
    for at in (0..100_000).step_by(10_000) {
        whole.extend(part(&format!("bytes={at}-{}", at + 9999)).await.ok().body);
    }
    let used = async || {
        let listed = tell(&house, Some(&alice), "GET", "/shares", Value::Null).await.ok().json();
        listed["items"].as_array().unwrap().iter().find(|item| item["id"] == json!(id)).unwrap()["used"]
            .clone()
    };
    assert_eq!((whole == bytes, used().await["downloads"].clone()), (true, json!(1)));
    ask(&house, Method::HEAD, &path, &[]).await.ok();
    assert_eq!(part("bytes=100000-").await.problem(), "range-not-satisfiable");
    assert_eq!(used().await["downloads"], json!(1), "what sends nothing is not counted");
    assert_eq!(get(&house, &path).await.ok().body, bytes);
    let refused = get(&house, &path).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (410, "share-used-up"));
    (0..6).for_each(|n| house.nodes.kill(n));
    let refused = get(&house, &path).await;
    assert_eq!(refused.problem(), "share-used-up", "no node is asked for what is not given");
    (0..6).for_each(|n| house.nodes.revive(n));
    assert_eq!(part("bytes=5-9").await.ok().body, bytes[5..10], "what is under way goes on");
}

#[tokio::test]
async fn many_at_once_get_no_more_than_the_maximum() {
    let (house, alice) = stocked().await;
    let (_, path) = share(&house, &alice, json!({ "key": "doc.txt", "downloads": 3 })).await;
    let path = format!("{path}/download");
    let all = futures::future::join_all((0..10).map(|_| get(&house, &path))).await;
    assert_eq!(all.iter().filter(|got| got.status == StatusCode::OK).count(), 3);
    assert!(all.iter().all(|got| [200, 410].contains(&got.status.as_u16())));
}

#[tokio::test]
async fn no_path_of_a_link_stands_in_the_audit() {
    let (house, alice) = stocked().await;
    let (_, path) = share(&house, &alice, json!({ "prefix": "in/" })).await;
    let secret = path.rsplit('/').next().unwrap().to_owned();
    for (who, method) in [(ADMIN, "DELETE"), (alice.as_str(), "PUT"), (ADMIN, "PATCH")] {
        for below in ["", "/files", "/files/one", "/download", "/drop/x"] {
            let short = format!("{}{below}", path.strip_prefix("/api/v1").unwrap());
            let got = tell(&house, Some(who), method, &short, Value::Null).await;
            assert_eq!(got.status.as_u16(), 405, "{method} {below}");
        }
    }
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json().to_string();
    assert!(audit.contains("DELETE /api/v1/shared/{token}/files"), "what was tried is told: {audit}");
    assert!(!audit.contains(&secret), "the audit knows no secret");
}

#[tokio::test]
async fn a_password_is_asked_for_and_guesses_have_to_wait() {
    let (house, alice) = stocked().await;
    let (_, path) = share(&house, &alice, json!({ "key": "doc.txt", "password": "correct horse" })).await;
    let (_, other) = share(&house, &alice, json!({ "key": "doc.txt", "password": "correct horse" })).await;
    let with = async |path: &str, password: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!(":{password}")));
        ask(&house, Method::GET, &format!("{path}/download"), &[("authorization", &basic)]).await
    };
    let asked = get(&house, &path).await;
    assert_eq!((asked.status.as_u16(), asked.problem().as_str()), (401, "share-password-required"));
    assert!(asked.header("www-authenticate").starts_with("Basic "), "a browser asks for it");
    for got in futures::future::join_all((0..20).map(|_| with(&path, "correct horse"))).await {
        assert_eq!(got.ok().body, "0123456789", "who is right never waits, however many ask at once");
    }
    let mut wrong = 0;
    let refused = loop {
        let got = with(&path, "wrong horse").await;
        if got.status != StatusCode::UNAUTHORIZED {
            break got;
        }
        wrong += 1;
    };
    assert_eq!((wrong >= 4, refused.problem().as_str()), (true, "too-many-requests"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    let meanwhile = with(&path, "correct horse").await;
    assert_eq!(meanwhile.problem(), "too-many-requests", "or the pause would tell which guess is right");
    with(&other, "correct horse").await.ok();
    login(&house, "alice", PASSWORD).await.ok();
    house.clock.move_on(Duration::from_secs(3600));
    with(&path, "correct horse").await.ok();
}

/// Whoever adds their credential to all they ask is known, wherever they send the secret of a link.
#[tokio::test]
async fn the_audit_has_no_secret_of_a_link_whatever_is_asked() {
    let (house, alice) = stocked().await;
    let (_, path) = share(&house, &alice, json!({ "key": "doc.txt" })).await;
    let secret = path.rsplit('/').next().unwrap();
    let encoded = path.replace("dml_", "%64ml%5F");
    for path in
        [path.clone(), format!("{path}/download"), format!("{path}/dorp/x"), format!("/{secret}"), encoded]
    {
        for method in [Method::DELETE, Method::PUT, Method::POST, Method::PATCH] {
            for token in [ADMIN, USER, &alice] {
                house.ask_as(Some(token), method.clone(), &path, (&[], Body::from("{}"))).await;
            }
        }
    }
    let got =
        house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit/export", (&[], Body::empty())).await;
    let audit = String::from_utf8(got.ok().body.to_vec()).unwrap();
    assert!(audit.contains("/api/v1/shared/dml_…/download") && !audit.contains(&secret[4..]), "{audit}");
}
