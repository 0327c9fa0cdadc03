//! Whose key pairs are: users have their own, and what becomes of a user becomes of them.

use datamesh_catalog::limits::ACCESS_KEYS_OF_USER_MAX;
use datamesh_catalog::{Permission, Role};
use serde_json::{Value, json};

use super::signer::{Ask, Client};
use crate::tests::accounts::{PASSWORD, signed_in, tell};
use crate::tests::house::{ADMIN, Got, House, USER};

const REVOKED: Option<&str> = Some("InvalidAccessKeyId");

fn wanted() -> Value {
    json!({ "name": "laptop", "permission": "readWrite", "password": PASSWORD })
}

async fn make(house: &House, session: &str) -> Got {
    tell(house, Some(session), "POST", "/auth/keys", wanted()).await
}

/// A key of theirs, and its id.
async fn made(house: &House, session: &str) -> (Client, String) {
    shown(house, &make(house, session).await.ok().json())
}

fn shown(house: &House, key: &Value) -> (Client, String) {
    let text = |field: &str| key[field].as_str().unwrap();
    (Client::shown(house, text("id"), text("secret")), text("id").to_owned())
}

/// The ids of the keys that somebody has.
async fn of(house: &House, session: &str) -> Vec<String> {
    let listed = tell(house, Some(session), "GET", "/auth/keys", Value::Null).await.ok().json();
    let items = listed["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item.get("secret").is_none()), "a secret is shown once");
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn administer(house: &House, method: &str, path: &str, body: Value) -> Got {
    tell(house, Some(ADMIN), method, &format!("/admin{path}"), body).await
}

#[tokio::test]
async fn who_has_an_account_has_keys_of_their_own() {
    let house = House::new(6).await;
    let admin = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(admin.refusal("PUT", "/photos", Ask::default()).await, None);
    let session = signed_in(&house, "Alice", Role::Member).await;
    let got = make(&house, &session).await.ok();
    assert_eq!((got.status.as_u16(), got.header("cache-control")), (201, "no-store"));
    assert_eq!((&got.json()["owner"], &got.json()["permission"]), (&json!("Alice"), &json!("readWrite")));
    let (hers, id) = shown(&house, &got.json());
    assert_eq!(hers.refusal("PUT", "/photos/x", Ask { body: b"text", ..Ask::default() }).await, None);
    assert_eq!(hers.refusal("PUT", "/another", Ask::default()).await.as_deref(), Some("AccessDenied"));
    assert_eq!(of(&house, &session).await, std::slice::from_ref(&id));
    let query = "/audit?target=/api/v1/auth/keys/";
    let entries = administer(&house, "GET", query, Value::Null).await.ok().json();
    let entry = &entries["items"][0]["entry"];
    assert_eq!(entry["detail"], json!("owner=Alice permission=ReadWrite buckets="));
    assert!(!entries.to_string().contains(PASSWORD));
    let path = format!("/auth/keys/{id}");
    assert_eq!(tell(&house, Some(&session), "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(hers.refusal("GET", "/photos/x", Ask::default()).await.as_deref(), REVOKED);
    assert!(of(&house, &session).await.is_empty());
}

#[tokio::test]
async fn a_key_of_one_s_own_takes_the_password_and_is_no_administrator_s() {
    let house = House::new(6).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let root = signed_in(&house, "root", Role::Admin).await;
    let with = |field: &str, value: &str| {
        let mut body = wanted();
        body[field] = json!(value);
        body
    };
    for session in [&session, &root] {
        let ask = async |body: Value| tell(&house, Some(session), "POST", "/auth/keys", body).await;
        assert_eq!(ask(with("password", "not the password")).await.problem(), "forbidden");
        let refused = ask(with("permission", "admin")).await;
        assert_eq!(refused.problem(), "invalid-body");
        let text = refused.json().to_string();
        assert!(text.contains("permission") && text.contains("readWrite"), "{text}");
        assert_eq!(ask(with("owner", "root")).await.problem(), "invalid-body", "it is whose it is");
        assert!(of(&house, session).await.is_empty());
    }
    let token = json!({ "name": "t", "scopes": ["read", "write"], "days": 1, "password": PASSWORD });
    let token = tell(&house, Some(&session), "POST", "/auth/tokens", token).await.ok().json();
    let token = token["token"].as_str().unwrap();
    for (method, body) in [("GET", Value::Null), ("POST", wanted())] {
        let got = tell(&house, Some(token), method, "/auth/keys", body.clone()).await;
        assert_eq!(got.problem(), "forbidden", "{method} by a token");
        for file in [USER, ADMIN] {
            let got = tell(&house, Some(file), method, "/auth/keys", body.clone()).await;
            assert_eq!(got.problem(), "conflict", "{method} by a token file, which is no account");
        }
    }
}

#[tokio::test]
async fn the_keys_of_others_are_neither_seen_nor_deleted() {
    let house = House::new(6).await;
    let label = Client::new(&house, Permission::Admin, &[]).await;
    let alice = signed_in(&house, "alice", Role::Member).await;
    let (hers, id) = made(&house, &alice).await;
    for (name, role) in [("bob", Role::Member), ("root", Role::Admin)] {
        let other = signed_in(&house, name, role).await;
        assert!(of(&house, &other).await.is_empty());
        for id in [&id, &label.id] {
            let got = tell(&house, Some(&other), "DELETE", &format!("/auth/keys/{id}"), Value::Null).await;
            assert_eq!(got.problem(), "no-such-access-key", "{name}");
        }
    }
    for client in [&hers, &label] {
        assert_eq!(client.refusal("GET", "/", Ask::default()).await, None);
    }
}

#[tokio::test]
async fn there_are_so_many_of_one_s_own_and_no_more() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    for _ in 0..ACCESS_KEYS_OF_USER_MAX {
        make(&house, &session).await.ok();
    }
    let refused = make(&house, &session).await;
    assert_eq!(refused.problem(), "conflict");
    assert!(refused.json()["detail"].as_str().unwrap().contains("delete one first"));
    let first = of(&house, &session).await.remove(0);
    tell(&house, Some(&session), "DELETE", &format!("/auth/keys/{first}"), Value::Null).await.ok();
    make(&house, &session).await.ok();
    let bob = signed_in(&house, "bob", Role::Member).await;
    make(&house, &bob).await.ok();
    let more = json!({ "name": "k", "owner": "alice", "permission": "readOnly" });
    administer(&house, "POST", "/keys", more).await.ok();
    assert_eq!(of(&house, &session).await.len(), ACCESS_KEYS_OF_USER_MAX + 1, "an administrator gives more");
}

#[tokio::test]
async fn what_becomes_of_a_user_becomes_of_their_keys() {
    let house = House::new(6).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let (own, id) = made(&house, &session).await;
    let given = json!({ "name": "k", "owner": "ALICE", "permission": "admin" });
    let given = administer(&house, "POST", "/keys", given).await.ok().json();
    assert_eq!(given["owner"], json!("alice"), "as they are called");
    let (given, given_id) = shown(&house, &given);
    let label = Client::new(&house, Permission::Admin, &[]).await;
    let refused = async |expected: Option<&str>| {
        for client in [&own, &given] {
            assert_eq!(client.refusal("GET", "/", Ask::default()).await.as_deref(), expected);
        }
        assert_eq!(label.refusal("GET", "/", Ask::default()).await, None, "it is nobody's");
    };
    let disable = async |disabled: bool| {
        administer(&house, "PUT", "/users/alice", json!({ "disabled": disabled })).await.ok();
    };
    let enable = async |id: &str| {
        administer(&house, "PUT", &format!("/keys/{id}"), json!({ "disabled": false })).await
    };
    refused(None).await;
    disable(true).await;
    refused(REVOKED).await;
    assert_eq!(enable(&id).await.problem(), "conflict", "its owner is disabled");
    let another = json!({ "name": "k", "owner": "alice", "permission": "readOnly" });
    assert_eq!(administer(&house, "POST", "/keys", another).await.problem(), "conflict");
    disable(false).await;
    refused(REVOKED).await;
    enable(&id).await.ok();
    enable(&given_id).await.ok();
    refused(None).await;
    administer(&house, "POST", "/users/alice/reset", Value::Null).await.ok();
    refused(REVOKED).await;
    enable(&id).await.ok();
    administer(&house, "DELETE", "/users/alice", Value::Null).await.ok();
    refused(REVOKED).await;
    assert_eq!(enable(&id).await.problem(), "no-such-access-key", "it went with them");
    let anew = signed_in(&house, "alice", Role::Member).await;
    assert!(of(&house, &anew).await.is_empty(), "another of the name has none of hers");
}

#[tokio::test]
async fn an_owner_is_a_user_or_the_token_file_s_label() {
    let house = House::new(6).await;
    let root = signed_in(&house, "Root", Role::Admin).await;
    let new = |owner: Option<&str>| {
        let mut body = json!({ "name": "k", "permission": "readOnly" });
        if let Some(owner) = owner {
            body["owner"] = json!(owner);
        }
        body
    };
    let made = tell(&house, Some(&root), "POST", "/admin/keys", new(None)).await.ok().json();
    assert_eq!(made["owner"], json!("Root"), "who is signed in");
    assert_eq!(of(&house, &root).await, [made["id"].as_str().unwrap()]);
    let made = administer(&house, "POST", "/keys", new(None)).await.ok().json();
    assert_eq!(made["owner"], json!("admin"), "the token file is nobody");
    for none in ["alice", "admin", "operator", "", "no name", &"x".repeat(1000)] {
        let refused = administer(&house, "POST", "/keys", new(Some(none))).await;
        assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (400, "invalid-body"), "{none}");
        assert_eq!(refused.json()["field"], json!("owner"));
    }
    for reserved in ["admin", "ADMIN"] {
        let user = json!({ "name": reserved, "role": "admin" });
        let refused = administer(&house, "POST", "/users", user).await;
        assert_eq!(refused.problem(), "user-exists", "its keys would be {reserved}'s");
    }
}

/// Keys that an earlier version made for names that were no users'.
#[tokio::test]
async fn nobody_becomes_a_user_by_the_name_that_keys_act_for() {
    let house = House::new(6).await;
    let client = Client::of(&house, "Backup", (Permission::ReadOnly, &[])).await;
    let user = json!({ "name": "backup", "role": "member" });
    let refused = administer(&house, "POST", "/users", user.clone()).await;
    assert_eq!(refused.problem(), "user-exists");
    assert!(refused.json()["detail"].as_str().unwrap().contains("S3 keys"));
    administer(&house, "PUT", "/registration", json!({ "registration": "open" })).await.ok();
    let stranger = json!({ "name": "BACKUP", "password": PASSWORD });
    assert_eq!(tell(&house, None, "POST", "/auth/register", stranger).await.problem(), "user-exists");
    administer(&house, "DELETE", &format!("/keys/{}", client.id), Value::Null).await.ok();
    administer(&house, "POST", "/users", user).await.ok();
}
