//! Groups: what their members may, from when on and until when; who may change them; and policies that name them.

use axum::body::Body;
use datamesh_catalog::Role;
use http::Method;
use serde_json::{Value, json};

use super::accounts::{PASSWORD, signed_in, tell};
use super::house::{ADMIN, Got, House, USER, read};

async fn admin(house: &House, method: &str, path: &str, body: Value) -> Got {
    tell(house, Some(ADMIN), method, &format!("/admin/groups{path}"), body).await
}

async fn create(house: &House, name: &str, role: Option<&str>) {
    admin(house, "POST", "", json!({ "name": name, "role": role })).await.ok();
}

/// Whether a session or token may read the audit.
async fn audits(house: &House, session: &str) -> bool {
    tell(house, Some(session), "GET", "/admin/audit", Value::Null).await.status.is_success()
}

#[tokio::test]
async fn a_member_has_the_role_with_the_next_request_and_not_after_it() {
    let house = House::new(6).await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    let other_gateway = house.another_gateway("gw-1").await;
    let audits_there = async || {
        let request =
            http::Request::get("/api/v1/admin/audit").header("authorization", format!("Bearer {alice}"));
        let answer = tower::ServiceExt::oneshot(other_gateway.clone(), request.body(Body::empty()).unwrap());
        read(answer.await.unwrap()).await.status.is_success()
    };
    create(&house, "watch", Some("auditor")).await;
    assert!(!audits(&house, &alice).await && !audits_there().await);
    for _ in 0..2 {
        admin(&house, "PUT", "/WATCH/members/Alice", Value::Null).await.ok();
        assert!(audits(&house, &alice).await && audits_there().await);
    }
    let profile = tell(&house, Some(&alice), "GET", "/auth/profile", Value::Null).await.ok().json();
    assert_eq!((&profile["role"], &profile["groups"]), (&json!("auditor"), &json!(["watch"])));
    assert_eq!(profile["user"]["role"], "member", "their own");
    let shown = admin(&house, "GET", "/watch", Value::Null).await.ok().json();
    assert_eq!((&shown["members"], &shown["users"]), (&json!(1), &json!(["alice"])));
    let user = tell(&house, Some(ADMIN), "GET", "/admin/users/alice", Value::Null).await.ok().json();
    assert_eq!((&user["role"], &user["groups"]), (&json!("member"), &json!(["watch"])));
    admin(&house, "PUT", "/watch", json!({})).await.ok();
    assert!(!audits(&house, &alice).await && !audits_there().await, "the group gives no role");
    admin(&house, "PUT", "/watch", json!({ "role": "admin" })).await.ok();
    assert!(audits(&house, &alice).await && audits_there().await);
    admin(&house, "DELETE", "/watch/members/alice", Value::Null).await.ok();
    assert!(!audits(&house, &alice).await && !audits_there().await, "she is in it no more");
    admin(&house, "PUT", "/watch/members/alice", Value::Null).await.ok();
    assert!(audits(&house, &alice).await);
    admin(&house, "DELETE", "/watch", Value::Null).await.ok();
    assert!(!audits(&house, &alice).await && !audits_there().await, "there is no such group");
    let entries =
        house.ask_as(Some(ADMIN), Method::GET, "/api/v1/admin/audit", (&[], Body::empty())).await.ok();
    let text = String::from_utf8_lossy(&entries.body).into_owned();
    for said in [
        "/api/v1/admin/groups/watch",
        "role=auditor",
        "role=none",
        "/api/v1/admin/groups/watch/members/alice",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_token_has_what_its_owner_has_at_that_moment() {
    let house = House::new(6).await;
    let bob = signed_in(&house, "bob", Role::Member).await;
    create(&house, "watch", Some("auditor")).await;
    let wanted = json!({ "name": "t", "scopes": ["read", "administer"], "days": 1, "password": PASSWORD });
    let early = tell(&house, Some(&bob), "POST", "/auth/tokens", wanted.clone()).await;
    assert_eq!(early.problem(), "forbidden", "a member has nothing to administer");
    admin(&house, "PUT", "/watch/members/bob", Value::Null).await.ok();
    let made = tell(&house, Some(&bob), "POST", "/auth/tokens", wanted).await.ok().json();
    let token = made["token"].as_str().unwrap();
    assert!(audits(&house, token).await);
    admin(&house, "DELETE", "/watch/members/bob", Value::Null).await.ok();
    assert!(!audits(&house, token).await);
}

#[tokio::test]
async fn only_administrators_change_groups() {
    let house = House::new(6).await;
    create(&house, "admins", Some("admin")).await;
    let operator = signed_in(&house, "oscar", Role::Operator).await;
    for (method, path, body) in [
        ("GET", "", Value::Null),
        ("POST", "", json!({ "name": "x", "role": "admin" })),
        ("GET", "/admins", Value::Null),
        ("PUT", "/admins", json!({ "role": "admin" })),
        ("DELETE", "/admins", Value::Null),
        ("PUT", "/admins/members/oscar", Value::Null),
        ("DELETE", "/admins/members/oscar", Value::Null),
    ] {
        for token in [operator.as_str(), USER] {
            let path = format!("/admin/groups{path}");
            assert_eq!(tell(&house, Some(token), method, &path, body.clone()).await.problem(), "forbidden");
        }
    }
    admin(&house, "PUT", "/admins/members/oscar", Value::Null).await.ok();
    let invited = json!({ "role": "member" });
    let code = tell(&house, Some(&operator), "POST", "/admin/invites", invited).await.ok().json();
    tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": "invite" })).await.ok();
    let listed = async || {
        let listed = tell(&house, Some(ADMIN), "GET", "/admin/invites", Value::Null).await.ok().json();
        listed["items"].as_array().map(Vec::len)
    };
    assert_eq!(listed().await, Some(1));
    tell(&house, Some(&operator), "DELETE", "/admin/groups/admins/members/oscar", Value::Null).await.ok();
    assert_eq!(listed().await, Some(0), "who administers no more invites nobody");
    let asked = json!({ "name": "eve", "password": PASSWORD, "invite": code["code"] });
    assert_eq!(tell(&house, None, "POST", "/auth/register", asked).await.problem(), "forbidden");
}

#[tokio::test]
async fn what_is_no_group_or_one_too_many_is_told_so() {
    let house = House::new(6).await;
    create(&house, "a", None).await;
    assert_eq!(admin(&house, "POST", "", json!({ "name": "A" })).await.problem(), "group-exists");
    for wrong in
        [json!({ "name": "" }), json!({ "name": "a b" }), json!({ "name": "b", "role": "king" }), json!({})]
    {
        assert_eq!(admin(&house, "POST", "", wrong.clone()).await.problem(), "invalid-body", "{wrong}");
    }
    for (method, path) in
        [("GET", "/none"), ("DELETE", "/none"), ("GET", "/a%20b"), ("DELETE", "/none/members/alice")]
    {
        let kind = admin(&house, method, path, Value::Null).await.problem();
        assert!(
            kind == "no-such-group" || path.contains("alice") && kind == "no-such-user",
            "{path}: {kind}"
        );
    }
    assert_eq!(admin(&house, "PUT", "/a/members/nobody", Value::Null).await.problem(), "no-such-user");
    assert_eq!(admin(&house, "PUT", "/none", json!({})).await.problem(), "no-such-group");
    let listed = admin(&house, "GET", "", Value::Null).await.ok().json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}
