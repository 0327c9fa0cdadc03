//! What is wrong with a request is named, and nothing is kept of it.

use axum::body::Body;
use datamesh_seal::BucketMark;
use datamesh_shard::limits::SEALED_BYTES_MAX;
use http::Method;
use serde_json::{Value, json};

use super::client::{BUCKET, Client, Sealed};
use crate::tests::accounts::signed_in;
use crate::tests::house::{ADMIN, Got, House, noise, pieces};
use crate::tests::sealed::files_with;

/// Kind and field of a problem.
fn told(got: &Got) -> (String, Value) {
    (got.problem(), got.json()["field"].clone())
}

fn is(kind: &str, field: &str) -> (String, Value) {
    (kind.to_owned(), json!(field))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_not_what_it_says_is_not_kept() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let upload = client.begin(&house, &client.name("x")).await;
    let [one, two] = [1, 2].map(|n| client.seal(&noise(n, 70_000)).remove(0));
    let put = async |segment: &Sealed| client.put_segment(&house, &upload, segment).await;
    let differs = put(&Sealed { id: two.id, ..one.clone() }).await;
    assert_eq!((differs.status.as_u16(), told(&differs)), (422, is("segment-differs", "segment")));
    let detail = differs.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&one.id.to_string()) && detail.contains(&two.id.to_string()), "{detail}");
    assert!(detail.contains("4+2"), "{detail}");
    // A byte changed on the way makes it another segment.
    let mut changed = one.clone();
    changed.sealed[50_000] ^= 1;
    assert_eq!(told(&put(&changed).await), is("segment-differs", "segment"));
    let mut elsewhere = one.clone();
    BucketMark::of(99).put(&mut elsewhere.sealed).unwrap();
    elsewhere.id = datamesh_erasure::segment_id(client.profile, &elsewhere.sealed).unwrap();
    let refused = put(&elsewhere).await;
    assert_eq!(refused.problem(), "invalid-body");
    assert!(refused.json()["detail"].as_str().unwrap().contains(&client.mark.to_string()), "the remedy");
    for short in [vec![], elsewhere.sealed[..16].to_vec()] {
        assert_eq!(put(&Sealed { sealed: short, ..one.clone() }).await.problem(), "invalid-body");
    }
    assert_eq!(
        put(&Sealed { sealed: vec![0; SEALED_BYTES_MAX + 1], ..one.clone() }).await.problem(),
        "too-large"
    );
    let path = format!("/api/v1/uploads/{upload}/segments/{}", one.id);
    let endless = pieces(&vec![0; SEALED_BYTES_MAX + 1], 65_536);
    assert_eq!(house.ask(Method::PUT, &path, &[], endless).await.problem(), "too-large");
    let path = format!("/api/v1/uploads/{upload}/segments/0f");
    assert_eq!(told(&house.ask(Method::PUT, &path, &[], "x").await), is("invalid-parameter", "segment"));
    assert_eq!((house.nodes.all_shards(), client.durable(&house, &upload, 10).await), (0, vec![]));
    house.has_its_buffers_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_too_few_nodes_took_is_not_durable() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let upload = client.begin(&house, &client.name("x")).await;
    let object = client.seal(&noise(1, 70_000));
    (0..6).for_each(|n| house.nodes.fill(n));
    assert_eq!(client.put_segment(&house, &upload, &object[0]).await.problem(), "pool-full");
    assert_eq!(client.durable(&house, &upload, 10).await, Vec::<String>::new());
    let refused = client.commit(&house, &upload, &object, &[]).await;
    assert_eq!(told(&refused), is("conflict", "segments/0"));
    (0..6).for_each(|n| house.nodes.make_room(n));
    assert_eq!(client.put_segment(&house, &upload, &object[0]).await.ok().status, 201);
    client.commit(&house, &upload, &object, &[]).await.ok();
}

#[tokio::test]
async fn a_manifest_names_what_was_put_and_no_more() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let (one, other) =
        (client.begin(&house, &client.name("x")).await, client.begin(&house, &client.name("y")).await);
    let object = client.seal(&noise(1, 70_000));
    client.put_segment(&house, &other, &object[0]).await.ok();
    let not_here = client.commit(&house, &one, &object, &[]).await;
    assert_eq!(told(&not_here), is("conflict", "segments/0"), "it was put under another upload");
    let commit = async |body: Value| {
        house.ask(Method::POST, &format!("/api/v1/uploads/{other}/commit"), &[], body.to_string()).await
    };
    let ids = |count: usize| vec![object[0].id.to_string(); count];
    let large = super::client::base64(&vec![0; (64 << 10) + 1]);
    for (body, field) in [
        (json!({"segments": [], "sealed": ""}), "segments"),
        (json!({"segments": ids(257), "sealed": ""}), "segments"),
        (json!({"segments": ["0f"], "sealed": ""}), "segments/0"),
        (json!({"segments": ids(1), "sealed": "%"}), "sealed"),
        (json!({"segments": ids(1), "sealed": large}), "sealed"),
        (json!({"segments": ids(1), "sealed": "", "page": -1}), "page"),
        (json!({"segments": ids(1), "sealed": "", "keys": 1}), "keys"),
    ] {
        assert_eq!(told(&commit(body).await), is("invalid-body", field));
    }
    let page = async |number: &str| {
        let path = format!("/api/v1/uploads/{other}/pages/{number}");
        house.ask(Method::PUT, &path, &[], client.page(0, &object).to_string()).await
    };
    for number in ["-1", "x", "10240"] {
        assert_eq!(told(&page(number).await), is("invalid-parameter", "page"), "{number}");
    }
    // The same segment may stand in it as often as wanted.
    commit(json!({"segments": ids(256), "sealed": ""})).await.ok();
    let path = format!("/api/v1/uploads/{one}");
    assert_eq!(house.ask(Method::DELETE, &path, &[], Body::empty()).await.status, 204);
    let ended = client.put_segment(&house, &one, &object[0]).await;
    assert_eq!(ended.problem(), "no-such-upload");
    let path = format!("/api/v1/uploads/{one}/segments");
    for (query, kind) in
        [("", "no-such-upload"), ("?limit=0", "invalid-parameter"), ("?cursor=x", "invalid-parameter")]
    {
        assert_eq!(
            house.ask(Method::GET, &format!("{path}{query}"), &[], Body::empty()).await.problem(),
            kind
        );
    }
}

/// A method, a path, headers and a body.
type Asked = (Method, String, Vec<(&'static str, &'static str)>, String);

/// A name in the clear by all other ways of REST, whatever else is wrong with the request.
fn in_the_clear() -> Vec<Asked> {
    let of = |kind: &str| format!("/api/v1/buckets/{BUCKET}/{kind}/secret%20plans.pdf");
    // vault, secret plans.pdf
    let metadata = "bucket dmF1bHQ=,filename c2VjcmV0IHBsYW5zLnBkZg==";
    let tus = vec![("tus-resumable", "1.0.0"), ("upload-length", "9"), ("upload-metadata", metadata)];
    let with_checksum = [&tus[..], &[("upload-checksum", "none")]].concat();
    let share = json!({"bucket": BUCKET, "key": "secret plans.pdf", "days": 1}).to_string();
    let long = format!("{}/secret%20plans{}", of("files"), "x".repeat(1100));
    vec![
        (Method::POST, "/api/v1/tus".into(), tus, String::new()),
        (Method::POST, "/api/v1/tus".into(), with_checksum, "x".into()),
        (Method::POST, "/api/v1/shares".into(), Vec::new(), share),
        (Method::DELETE, of("files") + "?shred=true", Vec::new(), String::new()),
        (Method::PUT, of("metadata"), Vec::new(), "{}".into()),
        (Method::PUT, of("metadata"), vec![("if-match", "\"x\"")], "{}".into()),
        (Method::PUT, of("files"), vec![("if-match", "x, y")], "x".into()),
        (Method::PUT, of("sealed"), Vec::new(), "x".into()),
        (Method::PUT, of("file"), Vec::new(), "x".into()),
        (Method::PUT, of("files").replace(BUCKET, "vaullt"), Vec::new(), "x".into()),
        (Method::PUT, long, Vec::new(), "x".into()),
    ]
}

#[tokio::test]
async fn names_types_and_metadata_are_not_told_in_the_clear() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let begin = async |body: Value| house.ask(Method::POST, "/api/v1/uploads", &[], body.to_string()).await;
    let refused = begin(json!({"bucket": BUCKET, "key": "secret plans.pdf"})).await;
    assert_eq!(told(&refused), is("invalid-parameter", "key"));
    let refused = begin(json!({"bucket": BUCKET, "key": "k", "contentType": "text/plain"})).await;
    assert_eq!(told(&refused), is("invalid-body", "contentType"));
    let refused = begin(json!({"bucket": BUCKET, "key": "k", "meta": {"a": "b"}})).await;
    assert_eq!(told(&refused), is("invalid-body", "meta"));
    let refused = client.put_small(&house, "secret.txt", b"x", &[]).await;
    assert_eq!(told(&refused), is("invalid-parameter", "key"));
    // By mistake in the ways of managed buckets.
    let path = format!("/api/v1/buckets/{BUCKET}/files/secret%20plans.pdf");
    assert_eq!(house.ask(Method::PUT, &path, &[], "plain").await.problem(), "bucket-state");
    let trash = format!("/api/v1/buckets/{BUCKET}/trash");
    house.ask(Method::PUT, &trash, &[], json!({"days": 3}).to_string()).await.ok();
    let refused = house.ask(Method::DELETE, &path, &[], Body::empty()).await;
    assert_eq!(told(&refused), is("invalid-parameter", "key"), "no mark of it is made either");
    let session = signed_in(&house, "alice", datamesh_catalog::Role::Member).await;
    for (method, path, headers, body) in in_the_clear() {
        // Links are made in person.
        let refused = house.ask_as(Some(&session), method.clone(), &path, (&headers, body.into())).await;
        assert!(refused.status.is_client_error(), "{method} {path}: {}", refused.status);
    }
    let get =
        async |path: &str| house.ask_as(Some(ADMIN), Method::GET, path, (&[], Body::empty())).await.ok();
    let told = get("/api/v1/admin/audit").await.json().to_string();
    assert!(told.contains("409") && told.contains("/api/v1/buckets/vault\""), "{told}");
    assert!(!told.contains("plans"), "{told}");
    assert_eq!(files_with(house.dir(), b"plans"), Vec::<std::path::PathBuf>::new());
    assert!(!files_with(house.dir(), BUCKET.as_bytes()).is_empty(), "the control");
}

#[tokio::test]
async fn what_is_not_there_is_not_read() {
    let house = House::new(6).await;
    let client = Client::new(&house).await;
    let key = client.name("x");
    assert_eq!(client.manifest(&house, &key, "").await.problem(), "no-such-object");
    let object = client.store(&house, &key, &noise(1, 70_000)).await;
    let id = client.manifest(&house, &key, "").await.ok().json()["object"].as_str().unwrap().to_owned();
    for (query, kind, field) in [
        ("?page=1", "no-such-object", "page"),
        ("?page=x", "invalid-parameter", "query"),
        ("?object=x", "invalid-parameter", "object"),
    ] {
        assert_eq!(told(&client.manifest(&house, &key, query).await), is(kind, field), "{query}");
    }
    let get = async |path: String| house.ask(Method::GET, &path, &[], Body::empty()).await;
    let (segment, unknown) = (object[0].id.to_string(), "0".repeat(64));
    let not_found = is("no-such-object", "segment");
    assert_eq!(told(&get(client.segment(&key, &id, &unknown)).await), not_found);
    assert_eq!(
        told(&get(client.segment(&client.name("y"), &id, &segment)).await),
        not_found,
        "of another key"
    );
    assert_eq!(
        told(&get(client.segment(&key, &"0".repeat(32), &segment)).await),
        not_found,
        "of another object"
    );
    let whole = client.segment(&key, &id, &segment);
    assert_eq!(get(whole.split('?').next().unwrap().to_owned()).await.problem(), "invalid-parameter");
    get(whole).await.ok();
}
