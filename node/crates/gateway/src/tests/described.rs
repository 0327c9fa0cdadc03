//! Every answer that a test gets is held against the API's description.

mod schema;

use std::sync::LazyLock;

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};

use super::house::{Got, House};
use crate::api::openapi::document;
use crate::api::routes::ROUTES;
use crate::auth::Need;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
const JSON: [&str; 2] = ["application/json", "application/problem+json"];

/// What the description has of an answer.
fn described(method: &Method, route: &str, status: u16) -> Option<&'static Value> {
    let method = method.as_str().to_ascii_lowercase();
    let answers = &DOCUMENT["paths"][route.replace("{*", "{")][method]["responses"];
    let exact = answers.get(status.to_string());
    let answer = exact.or_else(|| answers.get(format!("{}XX", status / 100)))?;
    match answer["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(&place[1..]),
        None => Some(answer),
    }
}

/// Whether a route says that it gives this status.
pub(super) fn is_promised(method: &Method, route: &str, status: u16) -> bool {
    let method = method.as_str().to_ascii_lowercase();
    let answers = &DOCUMENT["paths"][route.replace("{*", "{")][method]["responses"];
    answers.get(status.to_string()).is_some()
}

/// The route's path of a request's.
fn route_of(method: &Method, path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |pattern: &str| {
        let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(rest)) if part.starts_with("{*") => {
                    return !rest.is_empty() || given.next().is_some();
                }
                (Some(part), Some(given))
                    if part == given || (part.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
    };
    let of_method = ROUTES.iter().filter(|route| route.method == method.as_str());
    of_method.map(|route| route.path).find(|pattern| fits(pattern))
}

/// Panics at an answer that the description does not have.
pub(super) fn hold(method: &Method, path: &str, got: &Got) {
    let Some(route) = route_of(method, path) else { return };
    let status = got.status.as_u16();
    let named = format!("{method} {route}: {status}");
    let answer = described(method, route, status).unwrap_or_else(|| panic!("{named} is not described"));
    assert!(got.headers.contains_key("x-request-id"), "{named} has no id");
    let Some(schema) = JSON.iter().find_map(|kind| answer["content"].get(kind)).map(|media| &media["schema"])
    else {
        return;
    };
    let kind = got.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(JSON.contains(&kind), "{named}: {kind}");
    let json: Value = got.json();
    if let Some(wrong) = schema::wrong(&json, schema, &DOCUMENT) {
        panic!("{named}: {wrong} in {json}");
    }
}

#[tokio::test]
async fn anyone_may_read_the_description_and_its_page_loads_nothing() {
    let house = House::without_pool(6, 64 << 20).await;
    let get = async |path| house.ask_as(None, Method::GET, path, (&[], Body::empty())).await.ok();
    assert_eq!(get("/api/v1/openapi.json").await.json(), *DOCUMENT);
    let page = get("/api/v1/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; "));
    let held = [("if-none-match", page.header("etag"))];
    let same = house.ask_as(None, Method::GET, "/api/v1/docs", (&held, Body::empty())).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0), "whoever has it is not sent it again");
}

#[test]
fn requests_find_the_description_of_their_route() {
    let of = |path| route_of(&Method::GET, path);
    assert_eq!(of("/api/v1/files/a/b?x=y"), Some("/api/v1/files/{*key}"));
    assert_eq!(of("/api/v1/files//"), Some("/api/v1/files/{*key}"));
    assert_eq!(of("/api/v1/files?limit=1"), Some("/api/v1/files"));
    assert_eq!(of("/api/v1/admin/users/alice"), Some("/api/v1/admin/users/{name}"));
    assert_eq!(of("/api/v1/admin/users/alice/x"), None);
}

#[test]
#[should_panic(expected = "nextCursor")]
fn an_answer_of_another_shape_is_noticed() {
    let headers = [(header::CONTENT_TYPE, "application/json"), ("x-request-id".parse().unwrap(), "0")];
    let headers = headers.map(|(name, value)| (name, value.parse().unwrap())).into_iter().collect();
    let body = json!({ "items": [], "commonPrefixes": [], "nextCursor": 7 }).to_string().into();
    hold(&Method::GET, "/api/v1/files", &Got { status: http::StatusCode::OK, headers, body });
}

/// Whoever loses the answer to what makes something must be able to ask for it again. Completing or committing an upload twice makes one
/// object, and an upload of tus that is begun twice is one that nobody goes on with: its time is over after a day.
#[test]
fn what_makes_something_takes_a_key() {
    for route in ROUTES.iter().filter(|route| route.method == "POST" && route.need != Need::Anyone) {
        let makes = DOCUMENT["paths"][route.path]["post"]["responses"].get("201").is_some();
        let same_twice = ["/api/v1/uploads/{id}/complete", "/api/v1/uploads/{id}/commit", "/api/v1/tus"];
        let is_same_twice = same_twice.contains(&route.path);
        assert!(!makes || is_same_twice || (route.says)().is_done_once, "{}", route.path);
    }
}
