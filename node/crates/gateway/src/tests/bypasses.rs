//! No other spelling of a path, no header and no method of its own opens what a route keeps closed.

use axum::body::Body;
use datamesh_catalog::Role;
use http::{Method, StatusCode};

use super::accounts::People;
use super::auth::{documented, path_of};
use super::house::{ADMIN, House, USER};
use crate::api::routes::{ROUTES, Route};
use crate::auth::Need;

/// Routes that somebody must be for.
fn kept() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.need != Need::Anyone)
}

/// The least role of a route.
fn least(route: &Route) -> Role {
    let name = documented(route).unwrap().split([',', ' ']).next().unwrap();
    Role::ALL.into_iter().find(|role| role.as_str() == name).unwrap()
}

async fn status(
    house: &House,
    token: Option<&str>,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> StatusCode {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    house.ask_as(token, method, path, (headers, Body::empty())).await.status
}

/// Other spellings of a path, which some servers and proxies take for the same.
fn spellings(path: &str) -> Vec<String> {
    let rest = path.strip_prefix("/api/v1/").unwrap();
    vec![
        path.replace('/', "//"),
        format!("//api/v1/{rest}"),
        format!("/api/v1/./{rest}"),
        format!("/api/v1/%2e/{rest}"),
        format!("/api/v1/docs/../{rest}"),
        format!("/api/v1/docs/%2e%2e/{rest}"),
        format!("/api/v1/openapi.json%2f..%2f{rest}"),
        format!("/api%2Fv1%2F{}", rest.replace('/', "%2F")),
        format!("/api/v1%2F{rest}"),
        path.to_uppercase(),
        format!("/API/V1/{rest}"),
        format!("/api/v1/docs;/{rest}"),
        format!("/api/v1/{rest}?token={ADMIN}&access_token={ADMIN}&authorization=Bearer%20{ADMIN}"),
    ]
}

#[tokio::test]
async fn no_spelling_of_a_path_opens_it() {
    let house = House::new(6).await;
    for route in kept() {
        for path in spellings(&path_of(route)) {
            let named = format!("{} {path}", route.method);
            let stranger = status(&house, None, (route.method, &path), &[]).await;
            assert_eq!(stranger, StatusCode::UNAUTHORIZED, "{named}");
            if least(route) > Role::Member {
                let user = status(&house, Some(USER), (route.method, &path), &[]).await;
                assert!(user.is_client_error(), "{named}: {user}");
            }
        }
    }
    let plain = status(&house, Some(ADMIN), ("GET", "/api/v1/admin/users"), &[]).await;
    assert_eq!(plain, StatusCode::OK, "the spelling that there is");
}

#[tokio::test]
async fn no_header_makes_another_method_or_path_of_a_request() {
    let house = House::new(6).await;
    for route in kept().filter(|route| !route.path.starts_with("/api/v1/tus")) {
        let path = path_of(route);
        let headers = [
            ("x-http-method-override", route.method),
            ("x-http-method", route.method),
            ("x-method-override", route.method),
            ("x-original-url", "/api/v1/docs"),
            ("x-rewrite-url", "/api/v1/docs"),
            ("x-forwarded-prefix", "/api/v1/docs"),
        ];
        for method in ["GET", "POST"] {
            for token in [None, Some(USER)] {
                let plain = status(&house, token, (method, &path), &[]).await;
                let with = status(&house, token, (method, &path), &headers).await;
                assert_eq!(with, plain, "{method} {path} for {}, {token:?}", route.method);
                assert_eq!(plain == StatusCode::UNAUTHORIZED, token.is_none(), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_asks_for_what_the_get_asks_for() {
    let house = House::new(6).await;
    let people = People::of_every_role(&house).await;
    for route in kept().filter(|route| route.method == "GET") {
        let path = path_of(route);
        let stranger = status(&house, None, ("HEAD", &path), &[]).await;
        assert_eq!(stranger, StatusCode::UNAUTHORIZED, "HEAD {path}");
        for role in Role::ALL {
            let got = status(&house, Some(people.session(role)), ("HEAD", &path), &[]).await;
            assert_ne!(got, StatusCode::UNAUTHORIZED, "HEAD {path} as {role:?}");
            assert_eq!(got == StatusCode::FORBIDDEN, role < least(route), "HEAD {path} as {role:?}: {got}");
        }
    }
}
