use serde_json::{Value, json};

use datamesh_catalog::Role;
use datamesh_settings::oidc::OidcSettings;

use super::identities::Identities;
use super::{come_back, get, kept, path_of, session, signed_in, tell, trusting};
use crate::tests::accounts::{self, PASSWORD};
use crate::tests::house::{ADMIN, Got, House};

async fn ask(house: &House, session: &str, password: &str) -> Got {
    tell(house, Some(session), "POST", "/auth/identities/work", json!({ "password": password })).await
}

#[tokio::test]
async fn who_is_signed_in_is_bound_by_their_password_and_nobody_else() {
    let identities = Identities::start();
    let house =
        trusting(&[OidcSettings { register: false, ..identities.settings("work", "datamesh") }]).await;
    let alice = accounts::signed_in(&house, "alice", Role::Member).await;
    assert_eq!(
        come_back(&house, &identities, "work", "alice").await.problem(),
        "forbidden",
        "a name binds nobody"
    );
    assert_eq!(ask(&house, &alice, "another password").await.problem(), "forbidden");
    let asked = ask(&house, &alice, PASSWORD).await.ok();
    let (url, cookie) = (asked.json()["url"].as_str().unwrap().to_owned(), kept(&asked));
    assert!(url.contains("&prompt=login"), "who is signed in there already may be somebody else: {url}");
    let (back, _) = identities.person("a.l.ice").follow(url).await;
    assert_eq!(get(&house, path_of(&back), "").await.problem(), "forbidden", "another browser");
    let got = get(&house, path_of(&back), &cookie).await.ok();
    assert!(
        String::from_utf8_lossy(&got.body).contains("<b>work</b> as <b>a.l.ice, a.l.ice</b>"),
        "{:?}",
        got.body
    );
    let sessions = got
        .headers
        .get_all("set-cookie")
        .iter()
        .filter(|set| set.as_bytes().starts_with(b"__Host-datamesh="));
    assert_eq!(sessions.count(), 0, "being bound begins no session");
    let profile = signed_in(&house, &identities, "work", "a.l.ice").await;
    assert_eq!(profile["user"]["name"], json!("alice"));
    let mine = tell(&house, Some(&alice), "GET", "/auth/identities", Value::Null).await.ok().json();
    assert_eq!(
        (&mine["items"][0]["provider"], &mine["items"][0]["subject"]),
        (&json!("work"), &json!("a.l.ice"))
    );
    // The same person is nobody else besides.
    let bob = accounts::signed_in(&house, "bob", Role::Member).await;
    let asked = ask(&house, &bob, PASSWORD).await.ok();
    let (back, _) =
        identities.person("a.l.ice").follow(asked.json()["url"].as_str().unwrap().to_owned()).await;
    assert_eq!(get(&house, path_of(&back), &kept(&asked)).await.problem(), "conflict");
    tell(&house, Some(&alice), "DELETE", "/auth/identities/work", Value::Null).await.ok();
    assert_eq!(come_back(&house, &identities, "work", "a.l.ice").await.problem(), "forbidden");
    let again = tell(&house, Some(&alice), "DELETE", "/auth/identities/work", Value::Null).await;
    assert_eq!(again.problem(), "no-such-credential");
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_binds_nobody() {
    let identities = Identities::start();
    let house = trusting(&[identities.settings("work", "datamesh")]).await;
    let alice = accounts::signed_in(&house, "alice", Role::Member).await;
    let asked = ask(&house, &alice, PASSWORD).await.ok();
    let (back, _) =
        identities.person("mallory").follow(asked.json()["url"].as_str().unwrap().to_owned()).await;
    tell(&house, Some(ADMIN), "DELETE", "/admin/users/alice/sessions", Value::Null).await.ok();
    assert_eq!(get(&house, path_of(&back), &kept(&asked)).await.problem(), "conflict");
    let mallory = signed_in(&house, &identities, "work", "mallory").await;
    assert_eq!(mallory["user"]["name"], json!("mallory"));
    // Who has no other way in keeps this one.
    let last = come_back(&house, &identities, "work", "mallory").await.ok();
    let kept = tell(&house, Some(&session(&last)), "DELETE", "/auth/identities/work", Value::Null).await;
    assert_eq!(kept.problem(), "conflict");
}

/// Whoever asked by a password that is another by now, or before a second factor counted, is bound to nobody.
#[tokio::test]
async fn what_was_proven_holds_when_somebody_comes_back_or_binds_nobody() {
    let identities = Identities::start();
    let house = trusting(&[identities.settings("work", "datamesh")]).await;
    let alice = accounts::signed_in(&house, "alice", Role::Member).await;
    let asked = ask(&house, &alice, PASSWORD).await.ok();
    let (back, _) =
        identities.person("mallory").follow(asked.json()["url"].as_str().unwrap().to_owned()).await;
    let change = json!({ "old": PASSWORD, "new": "another password" });
    tell(&house, Some(&alice), "POST", "/auth/password", change).await.ok();
    assert_eq!(get(&house, path_of(&back), &kept(&asked)).await.problem(), "conflict");
    tell(&house, Some(&alice), "GET", "/auth/profile", Value::Null).await.ok();
}

/// A bond that ended makes nobody new, and an administrator sees it and takes it away.
#[tokio::test]
async fn what_ended_is_bound_anew_by_its_user_or_taken_away() {
    let identities = Identities::start();
    let house = trusting(&[identities.settings("work", "datamesh")]).await;
    let alice = accounts::signed_in(&house, "alice", Role::Member).await;
    let bind = async |password: &str| {
        let asked = ask(&house, &alice, password).await.ok();
        let url = asked.json()["url"].as_str().unwrap().to_owned();
        let (back, _) = identities.person("a.l.ice").follow(url).await;
        get(&house, path_of(&back), &kept(&asked)).await.ok();
    };
    bind(PASSWORD).await;
    let change = json!({ "old": PASSWORD, "new": "another password" });
    tell(&house, Some(&alice), "POST", "/auth/password", change).await.ok();
    let got = come_back(&house, &identities, "work", "a.l.ice").await;
    assert_eq!(got.problem(), "forbidden", "registration by the provider makes nobody of them");
    assert!(got.json()["detail"].as_str().unwrap().contains("bind yourself anew"), "{:?}", got.body);
    let shown = async || {
        let user = tell(&house, Some(ADMIN), "GET", "/admin/users/alice", Value::Null).await.ok().json();
        user["identities"].clone()
    };
    assert_eq!((&shown().await[0]["subject"], &shown().await[0]["ended"]), (&json!("a.l.ice"), &json!(true)));
    bind("another password").await;
    let profile = signed_in(&house, &identities, "work", "a.l.ice").await;
    assert_eq!(profile["user"]["name"], json!("alice"));
    tell(&house, Some(ADMIN), "DELETE", "/admin/users/alice/identities/work", Value::Null).await.ok();
    assert_eq!(shown().await, json!([]));
    let ended = tell(&house, Some(&alice), "GET", "/auth/profile", Value::Null).await;
    assert_eq!(ended.problem(), "unauthorized", "sessions end with it");
    let again = tell(&house, Some(ADMIN), "DELETE", "/admin/users/alice/identities/work", Value::Null).await;
    assert_eq!(again.problem(), "no-such-credential");
}
