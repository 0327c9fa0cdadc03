//! Users, from the first administrator's token to the last session.

use std::net::IpAddr;

use axum::body::Body;
use datamesh_catalog::Role;
use futures::channel::oneshot;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{ADMIN, Got, House, USER};
use crate::auth::Address;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A request with a JSON body.
pub(crate) async fn tell(house: &House, token: Option<&str>, method: &str, path: &str, body: Value) -> Got {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    house.ask_as(token, method, &format!("/api/v1{path}"), (&[], body)).await
}

fn text(got: &Got, field: &str) -> String {
    got.json()[field].as_str().unwrap().to_owned()
}

pub(super) async fn login(house: &House, name: &str, password: &str) -> Got {
    tell(house, None, "POST", "/auth/login", json!({ "name": name, "password": password })).await
}

/// Makes a user as an administrator does, and signs them in; gives the session.
pub(crate) async fn signed_in(house: &House, name: &str, role: Role) -> String {
    let new = json!({ "name": name, "role": role });
    let code = text(&tell(house, Some(ADMIN), "POST", "/admin/users", new).await.ok(), "code");
    let chosen = json!({ "code": code, "password": PASSWORD });
    tell(house, None, "POST", "/auth/reset", chosen).await.ok();
    text(&login(house, name, PASSWORD).await.ok(), "token")
}

/// A user of every role, signed in.
pub(super) struct People(Vec<String>);

impl People {
    pub(super) async fn of_every_role(house: &House) -> Self {
        let mut sessions = Vec::new();
        for role in Role::ALL {
            sessions.push(signed_in(house, &format!("the-{}", role.as_str()), role).await);
        }
        Self(sessions)
    }

    pub(super) fn session(&self, role: Role) -> &str {
        &self.0[Role::ALL.iter().position(|other| *other == role).unwrap()]
    }

    pub(super) async fn another_session(&self, house: &House, role: Role) -> String {
        text(&login(house, &format!("the-{}", role.as_str()), PASSWORD).await.ok(), "token")
    }

    pub(super) async fn token(&self, house: &House, role: Role, scopes: &[&str]) -> String {
        let new = json!({ "name": "test", "scopes": scopes, "days": 1, "password": PASSWORD });
        text(&tell(house, Some(self.session(role)), "POST", "/auth/tokens", new).await.ok(), "token")
    }
}

#[tokio::test]
async fn a_session_is_one_s_own_until_it_ends() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "Alice", Role::Member).await;
    assert!(session.starts_with("dms_") && session.len() == 84);
    let profile = tell(&house, Some(&session), "GET", "/auth/profile", Value::Null).await.ok().json();
    assert_eq!((&profile["via"], &profile["user"]["name"]), (&json!("session"), &json!("Alice")));
    let other = text(&login(&house, "alice", PASSWORD).await.ok(), "token");
    let listed = tell(&house, Some(&other), "GET", "/auth/sessions", Value::Null).await.ok().json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.iter().filter(|item| item["current"] == json!(true)).count(), 1);
    assert!(items.len() == 2 && !listed.to_string().contains(&session[4..]));
    let first = items.iter().find(|item| item["current"] == json!(false)).unwrap()["id"].as_str().unwrap();
    let path = format!("/auth/sessions/{first}");
    tell(&house, Some(&other), "DELETE", &path, Value::Null).await.ok();
    assert_eq!(
        tell(&house, Some(&other), "DELETE", &path, Value::Null).await.problem(),
        "no-such-credential"
    );
    assert_eq!(
        tell(&house, Some(&session), "GET", "/auth/profile", Value::Null).await.problem(),
        "unauthorized"
    );
    tell(&house, Some(&other), "POST", "/auth/logout", Value::Null).await.ok();
    assert_eq!(
        tell(&house, Some(&other), "GET", "/auth/profile", Value::Null).await.problem(),
        "unauthorized"
    );
    let as_file = tell(&house, Some(USER), "GET", "/auth/profile", Value::Null).await.ok().json();
    assert_eq!((&as_file["via"], &as_file["role"]), (&json!("file"), &json!("member")));
    assert_eq!(tell(&house, Some(USER), "POST", "/auth/logout", Value::Null).await.problem(), "conflict");
}

#[tokio::test]
async fn a_cookie_stands_for_a_session_and_for_no_other_site() {
    let house = House::without_pool(6, 64 << 20).await;
    signed_in(&house, "alice", Role::Member).await;
    let got = login(&house, "alice", PASSWORD).await.ok();
    let set = got.header("set-cookie").to_owned();
    for wanted in ["__Host-datamesh=dms_", "; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(wanted), "{set}");
    }
    assert_eq!(got.header("cache-control"), "no-store");
    let cookie = set.split(';').next().unwrap();
    let ask = async |method: Method, path: &str, more: &[(&str, &str)]| {
        let headers = [&[("cookie", cookie)], more].concat();
        house.ask_as(None, method, path, (&headers, Body::empty())).await.status
    };
    assert_eq!(ask(Method::GET, "/api/v1/auth/profile", &[]).await, StatusCode::OK);
    assert_eq!(ask(Method::POST, "/api/v1/auth/logout", &[]).await, StatusCode::FORBIDDEN);
    let forged = [("datamesh-request", "1"), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask(Method::POST, "/api/v1/auth/logout", &forged).await, StatusCode::FORBIDDEN);
    let ours = [("datamesh-request", "1")];
    assert_eq!(ask(Method::POST, "/api/v1/auth/logout", &ours).await, StatusCode::NO_CONTENT);
    assert_eq!(ask(Method::GET, "/api/v1/auth/profile", &[]).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_an_administrator_changes_counts_at_the_next_request() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let change = async |body| tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", body).await.ok();
    let users = async || tell(&house, Some(&session), "GET", "/admin/users", Value::Null).await.status;
    assert_eq!(users().await, StatusCode::FORBIDDEN);
    change(json!({ "role": "admin" })).await;
    assert_eq!(users().await, StatusCode::OK);
    let key = json!({ "name": "k", "owner": "alice", "permission": "readOnly" });
    tell(&house, Some(ADMIN), "POST", "/admin/keys", key).await.ok();
    change(json!({ "disabled": true })).await;
    assert_eq!(users().await, StatusCode::UNAUTHORIZED);
    assert_eq!(login(&house, "alice", PASSWORD).await.problem(), "unauthorized");
    let keys = tell(&house, Some(ADMIN), "GET", "/admin/keys", Value::Null).await.ok().json();
    assert_eq!(keys["items"][0]["disabled"], json!(true), "who is refused signs nothing either");
    change(json!({ "disabled": false })).await;
    assert_eq!(users().await, StatusCode::OK);
    let path = "/admin/users/alice/sessions";
    let ended = tell(&house, Some(ADMIN), "DELETE", path, Value::Null).await.ok().json();
    assert_eq!((ended, users().await), (json!({ "ended": 1 }), StatusCode::UNAUTHORIZED));
    tell(&house, Some(ADMIN), "DELETE", "/admin/users/alice", Value::Null).await.ok();
    assert_eq!(login(&house, "alice", PASSWORD).await.problem(), "unauthorized");
    assert_eq!(
        tell(&house, Some(ADMIN), "GET", "/admin/users/alice", Value::Null).await.problem(),
        "no-such-user"
    );
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_reset_by_a_code_once() {
    let house = House::without_pool(6, 64 << 20).await;
    let (session, _other) =
        (signed_in(&house, "alice", Role::Member).await, login(&house, "alice", PASSWORD).await);
    let change = async |old: &str, new: &str| {
        tell(&house, Some(&session), "POST", "/auth/password", json!({ "old": old, "new": new })).await
    };
    assert_eq!(change("wrong", "another password").await.problem(), "forbidden");
    assert_eq!(change(PASSWORD, "short").await.json()["field"], json!("password"));
    change(PASSWORD, "another password").await.ok();
    let listed = tell(&house, Some(&session), "GET", "/auth/sessions", Value::Null).await.ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "the other session ended");
    assert_eq!(login(&house, "alice", PASSWORD).await.problem(), "unauthorized");
    let got = tell(&house, Some(ADMIN), "POST", "/admin/users/alice/reset", Value::Null).await.ok();
    assert_eq!(login(&house, "alice", "another password").await.problem(), "unauthorized");
    let chosen = json!({ "code": text(&got, "code"), "password": PASSWORD });
    tell(&house, None, "POST", "/auth/reset", chosen.clone()).await.ok();
    assert_eq!(tell(&house, None, "POST", "/auth/reset", chosen).await.problem(), "forbidden");
    login(&house, "alice", PASSWORD).await.ok();
}

#[tokio::test]
async fn accounts_are_for_who_may_have_one() {
    let house = House::without_pool(6, 64 << 20).await;
    let register = async |name: &str, invite: Option<&str>| {
        let body = json!({ "name": name, "password": PASSWORD, "invite": invite });
        tell(&house, None, "POST", "/auth/register", body).await
    };
    let open = async |to: &str| {
        tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": to })).await.ok()
    };
    assert_eq!(register("alice", None).await.problem(), "forbidden");
    open("invite").await;
    assert_eq!(register("alice", None).await.problem(), "forbidden");
    let got = tell(&house, Some(ADMIN), "POST", "/admin/invites", json!({ "role": "auditor" })).await.ok();
    let code = text(&got, "code");
    assert!(code.starts_with("dmi_"));
    assert_eq!(register("alice", Some(&code)).await.ok().json()["role"], json!("auditor"));
    assert_eq!(register("bob", Some(&code)).await.problem(), "forbidden", "once");
    let admin = async |method, path: &str, body| tell(&house, Some(ADMIN), method, path, body).await;
    let got = admin("POST", "/admin/invites", json!({ "role": "member" })).await.ok();
    let listed = admin("GET", "/admin/invites", Value::Null).await.ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "the one that was used is gone");
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["role"]),
        (&got.json()["id"], &json!("member"))
    );
    let path = format!("/admin/invites/{}", text(&got, "id"));
    admin("DELETE", &path, Value::Null).await.ok();
    assert_eq!(admin("DELETE", &path, Value::Null).await.problem(), "no-such-credential");
    assert_eq!(register("bob", Some(&text(&got, "code"))).await.problem(), "forbidden", "taken back");
    open("open").await;
    assert_eq!(register("bob", None).await.ok().json()["role"], json!("member"));
    assert_eq!(register("ALICE", None).await.problem(), "user-exists");
    assert_eq!(register("operator", None).await.problem(), "user-exists");
    assert_eq!(register("eve", None).await.problem(), "too-many-requests", "an address gets few at once");
    login(&house, "bob", PASSWORD).await.ok();
    let page = async |query: &str| {
        tell(&house, Some(ADMIN), "GET", &format!("/admin/users{query}"), Value::Null).await.ok().json()
    };
    let first = page("?limit=1").await;
    assert_eq!((&first["items"][0]["name"], &first["nextCursor"]), (&json!("alice"), &json!("alice")));
    let rest = page("?limit=1&cursor=alice").await;
    assert_eq!((&rest["items"][0]["name"], &rest["nextCursor"]), (&json!("bob"), &Value::Null));
    assert!(!page("").await.to_string().contains("argon2"));
}

#[tokio::test]
async fn wrong_passwords_have_to_wait_and_unknown_names_look_the_same() {
    let house = House::without_pool(6, 64 << 20).await;
    signed_in(&house, "alice", Role::Member).await;
    let mut wrong = 0;
    for name in ["nobody", "alice"] {
        let first = login(&house, name, "wrong password").await;
        assert_eq!((first.status.as_u16(), first.problem().as_str()), (401, "unauthorized"));
        wrong = 1;
        let last = loop {
            let got = login(&house, name, "wrong password").await;
            if got.status != StatusCode::UNAUTHORIZED {
                break got;
            }
            wrong += 1;
            assert_eq!(got.json()["detail"], first.json()["detail"]);
        };
        assert_eq!(login(&house, name, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!((last.status.as_u16(), last.problem().as_str()), (429, "too-many-requests"));
        assert!(last.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    // They are counted behind the answers.
    house.core.context.tails.close();
    house.core.context.tails.wait().await;
    let user = tell(&house, Some(ADMIN), "GET", "/admin/users/alice", Value::Null).await.ok().json();
    assert_eq!(user["failedSignIns"], json!(wrong));
}

#[tokio::test]
async fn a_flood_from_one_address_is_sent_away_before_it_costs() {
    let house = House::without_pool(6, 64 << 20).await;
    let names: Vec<String> = (0..200).map(|n| format!("user{n}")).collect();
    let all = futures::future::join_all(names.iter().map(|name| login(&house, name, "wrong password"))).await;
    let hashed = all.iter().filter(|got| got.status == StatusCode::UNAUTHORIZED).count();
    assert!(hashed <= 30, "{hashed} hashes for one address");
    assert!(all.iter().all(|got| [401, 429].contains(&got.status.as_u16())));
}

#[tokio::test]
async fn a_flood_from_many_addresses_waits_for_one_hash_at_a_time_or_is_sent_away() {
    let house = House::without_pool(6, 64 << 20).await;
    let attempt = async |n: u32| {
        let body = json!({ "name": format!("user{n}"), "password": "wrong password" }).to_string();
        let mut request = http::Request::post("/api/v1/auth/login").body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Address(IpAddr::V4((0x0a00_0000 + n).into())));
        house.send(request).await.status().as_u16()
    };
    let all = futures::future::join_all((0..1000).map(attempt)).await;
    let hashed = all.iter().filter(|status| **status == 401).count();
    // Those that are let wait, and as many as are done while the others come.
    assert!((1..=200).contains(&hashed), "{hashed} hashes");
    assert!(all.iter().all(|status| [401, 429].contains(status)));
}

#[tokio::test]
async fn who_is_taken_the_role_while_they_send_does_nothing_with_it() {
    let house = House::without_pool(6, 64 << 20).await;
    for (lost, problem) in
        [(json!({ "role": "member" }), "forbidden"), (json!({ "disabled": true }), "unauthorized")]
    {
        let eve = format!("eve-{problem}");
        let session = signed_in(&house, &eve, Role::Admin).await;
        let (reading, is_read) = oneshot::channel();
        let (go_on, wait) = oneshot::channel::<()>();
        let body = futures::stream::once(async move {
            // Here she has been let in already.
            reading.send(()).unwrap();
            wait.await.unwrap();
            Ok::<_, std::io::Error>(r#"{"role":"admin","disabled":false}"#)
        });
        let path = format!("/admin/users/{eve}");
        let whole = format!("/api/v1{path}");
        let held = house.ask_as(Some(&session), Method::PUT, &whole, (&[], Body::from_stream(body)));
        let taken = async {
            is_read.await.unwrap();
            tell(&house, Some(ADMIN), "PUT", &path, lost).await.ok();
            go_on.send(()).unwrap();
        };
        let (held, ()) = futures::join!(held, taken);
        assert_eq!(held.problem(), problem);
        let user = tell(&house, Some(ADMIN), "GET", &path, Value::Null).await.ok().json();
        assert!(user["role"] == json!("member") || user["disabled"] == json!(true), "{user}");
    }
}
