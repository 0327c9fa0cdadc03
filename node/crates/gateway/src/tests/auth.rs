use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use datamesh_catalog::Role;
use datamesh_settings::request_limits::RequestLimits;
use http::{Method, StatusCode, header};

use super::accounts::People;
use super::house::{ADMIN, House, USER};
use crate::api::routes::{ROUTES, Route};
use crate::auth::{Address, Need};
use crate::surroundings::Surroundings;

/// What a role is held against: what the documentation says, not what the code does.
const DOCUMENTED: &str = include_str!("../../../../../docs/accounts.md");

/// A path of this pattern.
pub(super) fn path_of(route: &Route) -> String {
    let mut path = String::new();
    for part in route.path.trim_start_matches('/').split('/') {
        path.push('/');
        path.push_str(if part.starts_with('{') { "x" } else { part });
    }
    path
}

async fn status(house: &House, token: Option<&str>, route: &Route) -> StatusCode {
    let method = Method::from_bytes(route.method.as_bytes()).unwrap();
    house.ask_as(token, method, &path_of(route), (&[], Body::empty())).await.status
}

/// `| PUT | /api/v1/… | operator |`
pub(super) fn documented(route: &Route) -> Option<&'static str> {
    let line = format!("| {} | `{}` | ", route.method, route.path);
    DOCUMENTED.lines().find_map(|row| row.strip_prefix(&line)).and_then(|rest| rest.split(" |").next())
}

#[test]
fn the_documentation_has_every_route_and_no_other() {
    for route in ROUTES {
        let least = match route.need {
            Need::Anyone => "anyone".to_owned(),
            Need::Themselves => "member, signed in".to_owned(),
            Need::Read => "member (read)".to_owned(),
            Need::Write => "member (write)".to_owned(),
            Need::Role(role) => role.as_str().to_owned(),
            Need::InPerson(role) => format!("{}, signed in", role.as_str()),
        };
        assert_eq!(documented(route), Some(least.as_str()), "{} {}", route.method, route.path);
    }
    let rows = DOCUMENTED.lines().filter(|row| row.contains("| `/api/v1/")).count();
    assert_eq!(rows, ROUTES.len(), "routes that are none");
}

#[tokio::test]
async fn no_route_opens_for_less_than_its_role() {
    let house = House::new(6).await;
    let people = People::of_every_role(&house).await;
    for route in ROUTES {
        let named = format!("{} {}", route.method, route.path);
        let Some(least) =
            documented(route).unwrap().split([',', ' ']).next().filter(|least| *least != "anyone")
        else {
            // Nobody is needed, but to change something a body is, what a path names must be there, and for what is behind
            // a link the link.
            let expected = match route.method {
                _ if route.path.contains("/{token}") => StatusCode::NOT_FOUND,
                "OPTIONS" => StatusCode::NO_CONTENT,
                "GET" if !route.path.contains('{') => StatusCode::OK,
                _ => StatusCode::BAD_REQUEST,
            };
            assert_eq!(status(&house, None, route).await, expected, "{named}");
            continue;
        };
        for token in [None, Some("wrong-token-wrong-token"), Some(""), Some("dms_wrong")] {
            let got = status(&house, token, route).await;
            assert_eq!(got, StatusCode::UNAUTHORIZED, "{named} with {token:?}");
        }
        let least = Role::ALL.into_iter().find(|role| role.as_str() == least).unwrap();
        for role in Role::ALL {
            // Ending its own session it would need another for the next route.
            let session = if route.path.ends_with("/logout") {
                people.another_session(&house, role).await
            } else {
                people.session(role).to_owned()
            };
            let got = status(&house, Some(&session), route).await;
            assert_ne!(got, StatusCode::UNAUTHORIZED, "{named} as {role:?}");
            assert_eq!(got == StatusCode::FORBIDDEN, role < least, "{named} as {role:?}: {got}");
        }
        let (as_user, as_admin) =
            (status(&house, Some(USER), route).await, status(&house, Some(ADMIN), route).await);
        assert_eq!(as_user == StatusCode::FORBIDDEN, least > Role::Member, "{named} as user: {as_user}");
        assert!(![401, 403].contains(&as_admin.as_u16()), "{named} as admin: {as_admin}");
    }
}

#[tokio::test]
async fn a_token_opens_what_it_was_made_for_alone() {
    let house = House::new(6).await;
    let people = People::of_every_role(&house).await;
    for (scope, opens) in [("read", "(read)"), ("write", "(write)"), ("administer", "auditor operator")] {
        let token = people.token(&house, Role::Admin, &[scope]).await;
        for route in ROUTES.iter().filter(|route| route.need != Need::Anyone) {
            let least = documented(route).unwrap();
            let may = least.contains(opens) || opens.contains(least);
            let got = status(&house, Some(&token), route).await;
            assert_ne!(got, StatusCode::UNAUTHORIZED);
            let named = format!("{} {} with a token for {scope}: {got}", route.method, route.path);
            assert_eq!(got != StatusCode::FORBIDDEN, may, "{named}");
        }
    }
}

#[tokio::test]
async fn what_is_no_route_is_no_stranger_s_business() {
    let house = House::new(6).await;
    for token in [None, Some("wrong-token-wrong-token")] {
        let got = house.ask_as(token, Method::GET, "/what/ever", (&[], Body::empty())).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    }
    // A HEAD that has no line of its own is done by the GET's function, and asks for what that asks for.
    let got = house.ask_as(Some(USER), Method::HEAD, "/api/v1/admin/users", (&[], Body::empty())).await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
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

/// All behind one address: what strangers send is counted apart from what those send who are known.
#[tokio::test]
async fn strangers_hold_up_nobody_who_is_known() {
    let house = House::without_pool(6, 64 << 20).await;
    let people = People::of_every_role(&house).await;
    let from = Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = http::Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(from);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        house.send(request).await
    };
    let told = async |token| {
        let got = ask("/api/v1/auth/profile", token).await;
        let of = |name: &str| got.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(got.headers().get_all("ratelimit").iter().count(), 1);
        (got.status().as_u16(), of("ratelimit"))
    };
    // As seen from there, and no more come back before.
    let soon_unix_ms = house.clock.now_unix_ms() + 3000;
    for _ in 0..RequestLimits::default().rest.strangers.burst() {
        house.core.app.quotas.of_stranger(from, soon_unix_ms).judge().unwrap();
    }
    let refused = ask("/api/v1/docs", None).await;
    let named = |name: &str| refused.headers()[name].to_str().unwrap();
    assert_eq!((refused.status().as_u16(), named("retry-after")), (429, "1"));
    assert_eq!(named("ratelimit"), "\"stranger\";r=0;t=4");
    let (known, wrong) = (people.session(Role::Admin), "wrong-token-wrong-token");
    for token in [known, ADMIN, USER] {
        let (status, left) = told(Some(token)).await;
        assert!(status == 200 && left.starts_with("\"user\";r="), "{status} {left}");
    }
    assert_eq!(
        told(Some(wrong)).await,
        (401, "\"address\";r=19999;t=1".to_owned()),
        "nothing was taken for those"
    );
}

/// Whoever needs to be nobody has memory of nobody's.
#[tokio::test]
async fn strangers_send_little() {
    let house = House::new(6).await;
    let long =
        serde_json::json!({ "name": "x".repeat(crate::limits::STRANGERS_JSON_BYTES_MAX), "password": "x" });
    for path in ["login", "register", "reset", "reset/mail", "profile/email", "oidc/work/device/token"] {
        let path = format!("/api/v1/auth/{path}");
        let got = house.ask_as(None, Method::POST, &path, (&[], Body::from(long.to_string()))).await;
        assert_eq!(got.problem(), "too-large", "{path}");
    }
}
