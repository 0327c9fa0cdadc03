//! Each way of saying no, by raw requests.

use datamesh_shard::limits::OBJECT_BYTES_MAX;
use serde_json::json;

use super::*;

/// Status, slug and the header that is named.
fn wrong(got: &Got) -> (u16, String, String) {
    assert_eq!(got.header("tus-resumable"), "1.0.0");
    let json = got.json();
    (got.status.as_u16(), got.problem(), json["errors"][0]["header"].as_str().unwrap_or_default().to_owned())
}

fn is(status: u16, slug: &str, header: &str) -> (u16, String, String) {
    (status, slug.to_owned(), header.to_owned())
}

#[tokio::test]
async fn anyone_may_ask_what_is_spoken() {
    let house = House::without_pool(6, 64 << 20).await;
    let got = house.ask_as(None, Method::OPTIONS, "/api/v1/tus", (&[], Body::empty())).await;
    assert_eq!(
        (got.status.as_u16(), got.header("tus-version"), got.header("tus-resumable")),
        (204, "1.0.0", "1.0.0")
    );
    assert_eq!(got.header("tus-max-size"), OBJECT_BYTES_MAX.to_string());
    assert_eq!(got.header("tus-extension"), "creation,creation-with-upload,checksum,termination,expiration");
    assert_eq!(got.header("tus-checksum-algorithm"), "sha1,sha256");
}

#[tokio::test]
async fn what_is_wrong_with_a_creation_is_named() {
    let house = House::new(6).await;
    let metadata = pair("filename", "x");
    let ask = async |headers: &[(&str, &str)], body: &'static str| {
        wrong(&house.ask(Method::POST, "/api/v1/tus", headers, body).await)
    };
    let named = ("upload-metadata", metadata.as_str());
    for version in [&[][..], &[("tus-resumable", "0.2.2")]] {
        let headers = [version, &[("upload-length", "5"), named]].concat();
        assert_eq!(ask(&headers, "").await, is(412, "unsupported-version", "Tus-Resumable"));
    }
    let got = house.ask(Method::POST, "/api/v1/tus", &[], Body::empty()).await;
    assert_eq!(got.header("tus-version"), "1.0.0");
    for length in ["", "x", "-1", "+1", "1.5", "99999999999999999999999"] {
        let headers = [VERSION, named, ("upload-length", length)];
        assert_eq!(ask(&headers, "").await, is(400, "invalid-parameter", "Upload-Length"), "{length}");
    }
    assert_eq!(ask(&[VERSION, named], "").await, is(400, "invalid-parameter", "Upload-Length"));
    let large = (OBJECT_BYTES_MAX + 1).to_string();
    assert_eq!(
        ask(&[VERSION, named, ("upload-length", &large)], "").await,
        is(413, "too-large", "Upload-Length")
    );
    for name in ["Upload-Defer-Length", "Upload-Concat"] {
        let headers = [VERSION, named, ("upload-length", "5"), (name, "1")];
        assert_eq!(ask(&headers, "").await, is(400, "invalid-parameter", name));
    }
    let long = pair("key", &"k".repeat(1025));
    let (bucket, twice) = (format!("{metadata},{}", pair("bucket", "No!")), format!("{metadata},{metadata}"));
    for metadata in ["", "filename", "filename ?", "filename YQ==,,a(b YQ==", &long, &bucket, &twice] {
        let headers = [VERSION, ("upload-length", "5"), ("upload-metadata", metadata)];
        assert_eq!(ask(&headers, "").await, is(400, "invalid-parameter", "Upload-Metadata"), "{metadata}");
    }
    let headers = [VERSION, ("upload-length", "5"), named];
    assert_eq!(ask(&headers, "hello").await, is(415, "wrong-media-type", "Content-Type"));
    let both = [&headers[..], &[("if-match", "\"a\""), ("if-none-match", "*")]].concat();
    assert_eq!(ask(&both, "").await, is(400, "invalid-parameter", "If-Match"));
    assert_eq!(house.catalog.counters().await.unwrap().uploads, 0);
}

#[tokio::test]
async fn what_is_wrong_with_what_follows_is_named() {
    let house = House::new(6).await;
    let path = begin(&house, "x", 10).await;
    let ask = async |method: Method, path: &str, headers: &[(&str, &str)], body: &'static str| {
        house.ask(method, path, headers, body).await
    };
    let patched =
        async |headers: &[(&str, &str)], body| wrong(&ask(Method::PATCH, &path, headers, body).await);
    let zero = ("upload-offset", "0");
    assert_eq!(patched(&[TYPE, zero], "hello").await, is(412, "unsupported-version", "Tus-Resumable"));
    assert_eq!(patched(&[VERSION, TYPE], "hello").await, is(400, "invalid-parameter", "Upload-Offset"));
    assert_eq!(
        patched(&[VERSION, TYPE, ("upload-offset", "x")], "hello").await,
        is(400, "invalid-parameter", "Upload-Offset")
    );
    for headers in [&[VERSION, zero][..], &[VERSION, zero, ("content-type", "text/plain")]] {
        assert_eq!(patched(headers, "hello").await, is(415, "wrong-media-type", "Content-Type"));
    }
    assert_eq!(
        patched(&[VERSION, TYPE, ("upload-offset", "1")], "hello").await,
        is(409, "conflict", "Upload-Offset")
    );
    assert_eq!(patched(&[VERSION, TYPE, zero], "more than 10").await, is(413, "too-large", ""));
    for sum in ["md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha1", "sha1 Kq5s"] {
        let headers = [VERSION, TYPE, zero, ("upload-checksum", sum)];
        assert_eq!(
            patched(&headers, "hello").await,
            is(400, "invalid-parameter", "Upload-Checksum"),
            "{sum}"
        );
    }
    for unknown in ["/api/v1/tus/0123456789abcdef0123456789abcdef", "/api/v1/tus/x"] {
        for method in [Method::PATCH, Method::DELETE, Method::HEAD] {
            let got = ask(method.clone(), unknown, &[VERSION, TYPE, zero], "").await;
            assert_eq!((got.status.as_u16(), got.header("tus-resumable")), (404, "1.0.0"), "{method}");
        }
    }
    assert_eq!(ask(Method::HEAD, &path, &[], "").await.status, 412);
    assert_eq!(ask(Method::DELETE, &path, &[], "").await.status, 412);
    assert_eq!(ask(Method::GET, &path, &[VERSION], "").await.status, 405);
    assert_eq!(at(&house, &path).await, 0, "nothing came of all that");
}

#[tokio::test]
async fn a_method_may_be_said_in_a_header() {
    let house = House::new(6).await;
    let path = begin(&house, "x", 10).await;
    let ask = async |method: &'static str, body: &'static str| {
        let headers = [VERSION, TYPE, ("upload-offset", "0"), ("x-http-method-override", method)];
        house.ask(Method::POST, &path, &headers, body).await
    };
    assert_eq!(ask("PATCH", "hello").await.ok().header("upload-offset"), "5");
    assert_eq!(ask("HEAD", "").await.ok().header("upload-offset"), "5");
    assert_eq!(wrong(&ask("PUT", "").await), is(400, "invalid-parameter", "X-HTTP-Method-Override"));
    assert_eq!(ask("DELETE", "").await.status, 204);
    assert_eq!(ask("HEAD", "").await.status, 404);
}

#[tokio::test]
async fn conditions_count_when_the_object_is_made() {
    let house = House::new(6).await;
    let path = begin(&house, "x", 5).await;
    house.put("x", "there").await.ok();
    let headers = [VERSION, TYPE, ("upload-offset", "0"), ("if-none-match", "*")];
    let got = house.ask(Method::PATCH, &path, &headers, "hello").await;
    assert_eq!((got.status.as_u16(), got.problem().as_str()), (412, "precondition-failed"));
    assert_eq!((at(&house, &path).await, house.get("x").await.ok().body), (0, Bytes::from("there")));
    assert_eq!(house.catalog.counters().await.unwrap().condemned_segments, 1, "what came of it is let go");
    assert_eq!(patch(&house, &path, 0, "hello").await.status, 204, "it may be made up for");
    assert_eq!(house.get("x").await.ok().body, "hello");
}

/// Of uploads in parts and those that grow, neither is taken for the other.
#[tokio::test]
async fn other_uploads_are_others() {
    let house = House::new(6).await;
    let path = begin(&house, "x", 10).await;
    assert_eq!(patch(&house, &path, 0, "hello").await.status, 204);
    let uploads = path.replace("/tus/", "/uploads/");
    let put = house.ask(Method::PUT, &format!("{uploads}/parts/1"), &[], "part").await;
    assert_eq!((put.status, put.problem().as_str()), (StatusCode::CONFLICT, "conflict"));
    let complete = house.ask(Method::POST, &format!("{uploads}/complete"), &[], Body::empty()).await;
    assert_eq!(complete.problem(), "conflict");
    let begun = house.ask(Method::POST, "/api/v1/uploads", &[], json!({"key": "y"}).to_string()).await.ok();
    let parts = format!("/api/v1/tus/{}", begun.json()["id"].as_str().unwrap());
    for method in [Method::HEAD, Method::DELETE] {
        assert_eq!(house.ask(method, &parts, &[VERSION], Body::empty()).await.status, 404);
    }
    assert_eq!(patch(&house, &path, 5, "world").await.status, 204);
    assert_eq!(house.get("x").await.ok().body, "helloworld");
}
