use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use datamesh_settings::oidc::{OidcRoles, OidcSettings};

use super::identities::Identities;
use super::{
    audit, come_back, get, house_of, path_of, register, sent_away, session, signed_in, start, tell, trusting,
};
use crate::tests::house::ADMIN;

#[tokio::test]
async fn a_browser_signs_in_and_is_the_same_user_again() {
    let identities = Identities::start();
    let house = house_of(&identities).await;
    let listed = get(&house, "/api/v1/auth/oidc", "").await.ok().json();
    assert_eq!(listed, json!({ "items": [{ "name": "work" }] }));
    let first = signed_in(&house, &identities, "work", "alice").await;
    assert_eq!((&first["user"]["name"], &first["role"]), (&json!("alice"), &json!("member")));
    assert_eq!(first["user"]["hasPassword"], json!(false));
    let again = signed_in(&house, &identities, "work", "alice").await;
    assert_eq!(again["user"]["id"], first["user"]["id"]);
    // A name that nobody may have, and one that another has.
    let reserved = signed_in(&house, &identities, "work", "operator").await;
    assert!(reserved["user"]["name"].as_str().unwrap().starts_with("work-"), "{reserved}");
    tell(&house, Some(ADMIN), "POST", "/admin/users", json!({ "name": "bob", "role": "admin" })).await.ok();
    let bob = signed_in(&house, &identities, "work", "bob").await;
    assert!(bob["user"]["name"].as_str().unwrap().starts_with("work-"), "a name binds nobody: {bob}");
    assert_eq!(bob["role"], json!("member"));
    tell(&house, Some(ADMIN), "PUT", "/admin/users/alice", json!({ "disabled": true })).await.ok();
    assert_eq!(come_back(&house, &identities, "work", "alice").await.problem(), "unauthorized");
    let audit = audit(&house).await;
    for wanted in ["GET /api/v1/auth/oidc/{provider}/callback", "user:alice", "provider=work"] {
        assert!(audit.contains(wanted), "{audit}");
    }
    assert!(!audit.contains("code=") && !audit.contains("state="), "{audit}");
}

/// What the other algorithm signs is the same person's.
#[tokio::test]
async fn tokens_that_are_signed_on_a_curve_are_taken() {
    let identities = Identities::start();
    let house = trusting(&[identities.settings("modern", "modern")]).await;
    assert_eq!(signed_in(&house, &identities, "modern", "alice").await["user"]["name"], json!("alice"));
}

#[tokio::test]
async fn a_way_back_counts_once_and_for_the_browser_that_went() {
    let identities = Identities::start();
    let house = house_of(&identities).await;
    let (url, cookie) = sent_away(&house, "work").await;
    for wanted in
        ["code_challenge_method=S256", "response_type=code", "nonce=", "state=", "scope=openid%20profile"]
    {
        assert!(url.contains(wanted), "{url}");
    }
    let (back, _) = identities.person("alice").follow(url.clone()).await;
    let (_, other) = sent_away(&house, "work").await;
    for wrong in ["", "__Host-datamesh-oidc=x", &other] {
        assert_eq!(get(&house, path_of(&back), wrong).await.problem(), "forbidden", "another browser");
    }
    let mut altered = cookie.clone();
    altered.replace_range(60..61, if &cookie[60..61] == "A" { "B" } else { "A" });
    assert_eq!(get(&house, path_of(&back), &altered).await.problem(), "forbidden");
    let elsewhere = back.replace("iss=https%3A%2F%2Flocalhost", "iss=https%3A%2F%2Fevil");
    assert_ne!(elsewhere, back, "the provider says who it is");
    assert_eq!(get(&house, path_of(&elsewhere), &cookie).await.problem(), "forbidden", "another's answer");
    session(&get(&house, path_of(&back), &cookie).await.ok());
    assert_eq!(get(&house, path_of(&back), &cookie).await.problem(), "forbidden", "the code was used");
    // The same state with a fresh code of the provider's.
    let (fresh, _) = identities.person("mallory").follow(url).await;
    assert_ne!(fresh, back);
    assert_eq!(get(&house, path_of(&fresh), &cookie).await.problem(), "forbidden", "the state was used");
    let (url, cookie) = sent_away(&house, "work").await;
    let (back, _) = identities.person("alice").follow(url).await;
    house.clock.move_on(Duration::from_secs(601));
    assert_eq!(get(&house, path_of(&back), &cookie).await.problem(), "forbidden", "too late");
    let none = get(&house, &start("none"), "").await;
    assert_eq!((none.status, none.problem()), (StatusCode::BAD_REQUEST, "invalid-parameter".into()));
}

#[tokio::test]
async fn who_is_no_user_becomes_one_where_the_cluster_says_so() {
    let identities = Identities::start();
    let settings = OidcSettings { register: false, ..identities.settings("work", "datamesh") };
    let house = trusting(&[settings]).await;
    assert_eq!(come_back(&house, &identities, "work", "alice").await.problem(), "forbidden");
    register(&house, "invite").await;
    assert_eq!(come_back(&house, &identities, "work", "alice").await.problem(), "forbidden");
    register(&house, "open").await;
    signed_in(&house, &identities, "work", "alice").await;
    register(&house, "closed").await;
    signed_in(&house, &identities, "work", "alice").await;
    assert_eq!(come_back(&house, &identities, "work", "bob").await.problem(), "forbidden");
}

#[tokio::test]
async fn roles_are_what_the_provider_says_at_each_sign_in() {
    let mut identities = Identities::start();
    let map = [("admins".into(), "admin".into()), ("people".into(), "auditor".into())].into();
    let roles = Some(OidcRoles { claim: "groups".into(), map });
    let house = trusting(&[OidcSettings { roles, ..identities.settings("roles", "datamesh") }]).await;
    let role = async |identities: &Identities, name: &str| -> Value {
        signed_in(&house, identities, "roles", name).await["role"].clone()
    };
    identities.order("group alice people admins");
    identities.order("group bob people");
    assert_eq!(role(&identities, "alice").await, json!("admin"), "the highest that fits");
    assert_eq!(role(&identities, "bob").await, json!("auditor"));
    identities.order("group alice others");
    assert_eq!(role(&identities, "alice").await, json!("admin"), "the last administrator stays one");
    assert!(audit(&house).await.contains("no other administrator is left"));
    identities.order("group bob admins");
    assert_eq!(role(&identities, "bob").await, json!("admin"));
    assert_eq!(role(&identities, "alice").await, json!("member"), "there is another by now");
    // What is not said takes nothing.
    identities.order("nogroups bob");
    assert_eq!(role(&identities, "bob").await, json!("admin"));
    assert!(audit(&house).await.contains("subject=bob role=admin (stays: the claim is not there)"));
    identities.order("group bob");
    identities.order("group carol admins");
    assert_eq!(role(&identities, "carol").await, json!("admin"));
    assert_eq!(role(&identities, "bob").await, json!("member"), "said, and empty");
    assert!(audit(&house).await.contains("subject=carol created=carol role=admin"));
}
