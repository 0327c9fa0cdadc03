use serde_json::{Value, json};

use super::super::house::USER;
use super::{NOTHING, Sent, Tour, text};

const ME: Option<&str> = Some(USER);
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// Each of an object's routes, under a path such as `/api/v1/buckets/{bucket}`.
async fn object(tour: &mut Tour, under: &str, bucket: &[&str]) {
    let route = |method: &str, rest: &str| format!("{method} {under}{rest}");
    let of = [bucket, &["a/b.txt"]].concat();
    let query = Sent { query: "?prefix=a/", ..Sent::default() };
    tour.ask(ME, &route("PUT", "/files/{*key}"), &of, "hello").await;
    assert_eq!(tour.ask(ME, &route("GET", "/files/{*key}"), &of, NOTHING).await.body, "hello");
    assert_eq!(
        tour.ask(ME, &route("HEAD", "/files/{*key}"), &of, NOTHING).await.header("content-length"),
        "5"
    );
    let listed = tour.ask(ME, &route("GET", "/files"), bucket, NOTHING).await.json();
    assert_eq!(listed["items"][0]["key"], json!("a/b.txt"));
    assert!(tour.ask(ME, &route("GET", "/archive"), bucket, query).await.body.starts_with(b"PK"));
    let shown = tour.ask(ME, &route("GET", "/metadata/{*key}"), &of, NOTHING).await;
    let headers = [("if-match", shown.header("etag"))];
    let body = json!({ "contentType": "text/plain", "meta": { "a": "b" } }).to_string().into();
    let changed = tour
        .ask(ME, &route("PUT", "/metadata/{*key}"), &of, Sent { headers: &headers, body, query: "" })
        .await;
    assert_eq!(changed.json()["contentType"], json!("text/plain"));
    let version = tour.ask(ME, &route("GET", "/versions"), bucket, NOTHING).await.json()["items"][0].clone();
    let body = json!({ "key": version["key"], "version": version["version"] });
    let restored = tour.ask(ME, &route("POST", "/versions/restore"), bucket, body).await;
    assert_eq!(restored.json()["size"], json!(5));
    tour.ask(ME, &route("DELETE", "/files/{*key}"), &of, NOTHING).await;
}

pub(super) async fn of_the_default_bucket(tour: &mut Tour) {
    object(tour, "/api/v1", &[]).await;
    tour.ask(ME, "PUT /api/v1/files/{*key}", &["shredded"], "secret").await;
    let query = Sent { query: "?shred=true", ..Sent::default() };
    let begun = tour.ask(ME, "DELETE /api/v1/files/{*key}", &["shredded"], query).await;
    let id = text(&begun.json(), "id");
    tour.ask(ME, "GET /api/v1/shreds", &[], NOTHING).await;
    tour.ask(ME, "GET /api/v1/shreds/{id}", &[&id], NOTHING).await;
    tour.ask(ME, "DELETE /api/v1/shreds/{id}", &[&id], NOTHING).await;
}

pub(super) async fn of_a_bucket(tour: &mut Tour) {
    let photos = &["photos"];
    tour.ask(ME, "PUT /api/v1/buckets/{bucket}", photos, NOTHING).await;
    assert!(tour.ask(ME, "GET /api/v1/buckets", &[], NOTHING).await.json().to_string().contains("photos"));
    assert_eq!(
        tour.ask(ME, "GET /api/v1/buckets/{bucket}", photos, NOTHING).await.json()["objects"],
        json!(0)
    );
    object(tour, "/api/v1/buckets/{bucket}", photos).await;
    tour.ask(ME, "PUT /api/v1/buckets/{bucket}/trash", photos, json!({ "days": 7 })).await;
    assert_eq!(
        tour.ask(ME, "GET /api/v1/buckets/{bucket}/trash", photos, NOTHING).await.json()["days"],
        json!(7)
    );
    for after in ["restore", "purge", "files"] {
        let key = [photos[0], after];
        tour.ask(ME, "PUT /api/v1/buckets/{bucket}/files/{*key}", &key, "deleted").await;
        tour.ask(ME, "DELETE /api/v1/buckets/{bucket}/files/{*key}", &key, NOTHING).await;
        let query = format!("?prefix={after}");
        let query = Sent { query: &query, ..Sent::default() };
        let listed = tour.ask(ME, "GET /api/v1/buckets/{bucket}/trash/files", photos, query).await.json();
        let entry: Value = json!({ "key": after, "id": listed["items"][0]["id"] });
        match after {
            "restore" => tour.ask(ME, "POST /api/v1/buckets/{bucket}/trash/restore", photos, entry).await,
            "purge" => tour.ask(ME, "POST /api/v1/buckets/{bucket}/trash/purge", photos, entry).await,
            _ => tour.ask(ME, "DELETE /api/v1/buckets/{bucket}/trash/files", photos, NOTHING).await,
        };
    }
    tour.ask(ME, "DELETE /api/v1/buckets/{bucket}/trash", photos, NOTHING).await;
    tour.ask(ME, "PUT /api/v1/buckets/{bucket}", &["empty"], NOTHING).await;
    tour.ask(ME, "DELETE /api/v1/buckets/{bucket}", &["empty"], NOTHING).await;
}

pub(super) async fn uploads(tour: &mut Tour) {
    let mut begun = Vec::new();
    for key in ["whole", "given-up"] {
        let got = tour.ask(ME, "POST /api/v1/uploads", &[], json!({ "key": key })).await;
        begun.push(text(&got.json(), "id"));
    }
    tour.ask(ME, "PUT /api/v1/uploads/{id}/parts/{part}", &[&begun[0], "1"], "part").await;
    let shown = tour.ask(ME, "GET /api/v1/uploads/{id}", &[&begun[0]], NOTHING).await.json();
    assert_eq!(shown["parts"], json!([{ "number": 1, "size": 4 }]));
    tour.ask(ME, "POST /api/v1/uploads/{id}/complete", &[&begun[0]], NOTHING).await;
    tour.ask(ME, "DELETE /api/v1/uploads/{id}", &[&begun[1]], NOTHING).await;

    let mut begun = Vec::new();
    for _ in 0..2 {
        let headers = [TUS, ("upload-length", "5"), ("upload-metadata", "filename dHVz")];
        let sent = Sent { headers: &headers, ..Sent::default() };
        let got = tour.ask(ME, "POST /api/v1/tus", &[], sent).await;
        begun.push(got.header("location").rsplit('/').next().unwrap().to_owned());
    }
    let (first, second) = ([begun[0].as_str()], [begun[1].as_str()]);
    tour.ask(None, "OPTIONS /api/v1/tus", &[], NOTHING).await;
    let headers = [TUS, BYTES, ("upload-offset", "0")];
    tour.ask(ME, "PATCH /api/v1/tus/{id}", &first, Sent { headers: &headers, body: "he".into(), query: "" })
        .await;
    let headers = [TUS, BYTES, ("upload-offset", "2"), ("x-http-method-override", "PATCH")];
    tour.ask(ME, "POST /api/v1/tus/{id}", &first, Sent { headers: &headers, body: "llo".into(), query: "" })
        .await;
    let plain = || Sent { headers: &[TUS], ..Sent::default() };
    assert_eq!(tour.ask(ME, "HEAD /api/v1/tus/{id}", &first, plain()).await.header("upload-offset"), "5");
    tour.ask(ME, "DELETE /api/v1/tus/{id}", &second, plain()).await;
    assert_eq!(tour.ask(ME, "GET /api/v1/files/{*key}", &["tus"], NOTHING).await.body, "hello");
}
