use axum::body::Body;
use http::{Method, StatusCode};

use super::house::{ADMIN, House, USER};

/// Every route there is, and whether it is the administrator's.
const ROUTES: [(&str, &str, bool); 35] = [
    ("GET", "/api/v1/files", false),
    ("GET", "/api/v1/files/x", false),
    ("HEAD", "/api/v1/files/x", false),
    ("PUT", "/api/v1/files/x", false),
    ("DELETE", "/api/v1/files/x", false),
    ("GET", "/api/v1/buckets", false),
    ("PUT", "/api/v1/buckets/a", false),
    ("DELETE", "/api/v1/buckets/a", false),
    ("GET", "/api/v1/buckets/default/files", false),
    ("GET", "/api/v1/buckets/default/files/x", false),
    ("HEAD", "/api/v1/buckets/default/files/x", false),
    ("PUT", "/api/v1/buckets/default/files/x", false),
    ("DELETE", "/api/v1/buckets/default/files/x", false),
    ("POST", "/api/v1/uploads", false),
    ("GET", "/api/v1/uploads/00", false),
    ("DELETE", "/api/v1/uploads/00", false),
    ("PUT", "/api/v1/uploads/00/parts/1", false),
    ("POST", "/api/v1/uploads/00/complete", false),
    ("GET", "/api/v1/shreds", false),
    ("GET", "/api/v1/shreds/00", false),
    ("DELETE", "/api/v1/shreds/00", false),
    ("GET", "/api/v1/status", false),
    ("GET", "/api/v1/admin/status", true),
    ("GET", "/api/v1/admin/mesh", true),
    ("POST", "/api/v1/admin/fsck", true),
    ("PUT", "/api/v1/admin/pools/p", true),
    ("PUT", "/api/v1/admin/pools/p/drains/n", true),
    ("DELETE", "/api/v1/admin/pools/p/drains/n", true),
    ("POST", "/api/v1/admin/pools/p/nodes/n/replace", true),
    ("GET", "/api/v1/admin/keys", true),
    ("POST", "/api/v1/admin/keys", true),
    ("PUT", "/api/v1/admin/keys/x", true),
    ("DELETE", "/api/v1/admin/keys/x", true),
    ("POST", "/api/v1/admin/key/export", true),
    ("GET", "/what/ever", false),
];

async fn status(house: &House, token: Option<&str>, method: &str, path: &str) -> StatusCode {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    house.ask_as(token, method, path, (&[], Body::empty())).await.status
}

#[tokio::test]
async fn no_route_opens_without_its_token() {
    let house = House::new(6).await;
    for (method, path, admin) in ROUTES {
        for token in [None, Some("wrong-token-wrong-token"), Some("")] {
            let got = status(&house, token, method, path).await;
            assert_eq!(got, StatusCode::UNAUTHORIZED, "{method} {path} with {token:?}");
        }
        let as_user = status(&house, Some(USER), method, path).await;
        assert_eq!(as_user == StatusCode::FORBIDDEN, admin, "{method} {path} as user: {as_user}");
        let as_admin = status(&house, Some(ADMIN), method, path).await;
        assert!(![401, 403].contains(&as_admin.as_u16()), "{method} {path} as admin: {as_admin}");
    }
    // The router's routes are all in the table: 35 cases over 23 patterns, one of which is none.
    let source = include_str!("../api.rs");
    assert_eq!(source.matches(".route(").count(), 22, "a new route needs its cases here");
}

#[tokio::test]
async fn problems_carry_type_and_request_id() {
    let house = House::new(6).await;
    let got = house.ask_as(None, Method::GET, "/api/v1/status", (&[], Body::empty())).await;
    assert_eq!(got.problem(), "unauthorized");
    assert!(got.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(got.header("x-request-id").len(), 16);
    let got = house.ask(Method::GET, "/api/v2", &[("x-request-id", "forged")], Body::empty()).await;
    assert_eq!(got.problem(), "no-such-route");
    assert_ne!(got.header("x-request-id"), "forged");
    let got = house.ask(Method::POST, "/api/v1/files", &[], Body::empty()).await;
    assert_eq!((got.status.as_u16(), got.problem().as_str()), (405, "method-not-allowed"));
    let got = house.ask(Method::GET, "/api/v1/files/%ff", &[], Body::empty()).await;
    assert_eq!((got.problem().as_str(), got.json()["field"].as_str()), ("invalid-parameter", Some("key")));
}

#[tokio::test]
async fn the_key_is_exported_to_the_administrator_alone() {
    let house = House::new(6).await;
    let got =
        house.ask_as(Some(ADMIN), Method::POST, "/api/v1/admin/key/export", (&[], Body::empty())).await.ok();
    assert_eq!(got.json()["secret"].as_str().unwrap().len(), 64);
    assert_eq!(got.json()["fingerprint"], house.status().await["keyFingerprint"]);
    assert_eq!(got.header("cache-control"), "no-store");
    assert!(!house.status().await.to_string().contains(got.json()["secret"].as_str().unwrap()));
}
