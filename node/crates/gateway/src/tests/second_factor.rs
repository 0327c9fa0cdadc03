//! A second factor, from its first code to who lost it.

use std::time::Duration;

use datamesh_catalog::Role;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use super::accounts::{PASSWORD, login, signed_in, tell};
use super::house::{ADMIN, Got, House};
use super::idempotency::post;
use crate::surroundings::Surroundings as _;

/// Long enough for another code to be the one of the time, and for every pause to be over.
pub(super) const LATER: Duration = Duration::from_secs(1000);

/// What makes codes in somebody's pocket.
pub(super) struct Phone(Totp);

impl Phone {
    /// Has one offered, which does not count yet.
    async fn offered(house: &House, session: &str) -> Self {
        let body = json!({ "password": PASSWORD });
        let offered = tell(house, Some(session), "POST", "/auth/second-factor", body).await.ok().json();
        let (secret, uri) = (offered["secret"].as_str().unwrap(), offered["uri"].as_str().unwrap());
        assert!(uri.starts_with("otpauth://totp/DataMesh:") && uri.contains(&format!("secret={secret}&")));
        Self::of(secret)
    }

    /// That makes codes of this secret.
    pub(super) fn of(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// Adds a second factor; gives it and the recovery codes.
    async fn added(house: &House, session: &str) -> (Self, Vec<String>) {
        let phone = Self::offered(house, session).await;
        let body = json!({ "code": phone.code(house) });
        let confirmed = tell(house, Some(session), "POST", "/auth/second-factor/confirm", body).await.ok();
        assert_eq!(confirmed.header("cache-control"), "no-store");
        let codes = confirmed.json()["recoveryCodes"].as_array().unwrap().clone();
        (phone, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
    }

    pub(super) fn code(&self, house: &House) -> String {
        self.0.generate(house.clock.now_unix_ms() / 1000).to_string()
    }

    /// A code that no clock half a minute off would show.
    fn wrong_code(&self, house: &House) -> String {
        let seconds = house.clock.now_unix_ms() / 1000;
        let near: Vec<_> = (seconds - 90..=seconds + 90).map(|at| self.0.generate(at).to_string()).collect();
        (0..1_000_000).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

async fn login_with(house: &House, code: &str) -> Got {
    let body = json!({ "name": "alice", "password": PASSWORD, "code": code });
    tell(house, None, "POST", "/auth/login", body).await
}

async fn state(house: &House, session: &str) -> Value {
    tell(house, Some(session), "GET", "/auth/second-factor", Value::Null).await.ok().json()
}

/// Who loses the answer that shows them would have a second factor and no way back in.
#[tokio::test]
async fn recovery_codes_are_shown_again_to_who_sends_the_same_key() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let phone = Phone::offered(&house, &session).await;
    let body = json!({ "code": phone.code(&house) });
    let key = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let confirm = async || post(&house, &session, "/auth/second-factor/confirm", key, &body).await.ok();
    let (first, again) = (confirm().await, confirm().await);
    assert_eq!(first.json(), again.json());
    assert_eq!((again.header("idempotent-replayed"), again.header("cache-control")), ("true", "no-store"));
    let left = first.json()["recoveryCodes"].as_array().unwrap().len();
    let state = state(&house, &session).await;
    assert_eq!((&state["enabled"], &state["recoveryCodesLeft"]), (&json!(true), &json!(left)));
}

#[tokio::test]
async fn sign_in_asks_for_a_code_and_takes_it_once() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let other = login(&house, "alice", PASSWORD).await.ok().json()["token"].as_str().unwrap().to_owned();
    let make = async |password: &str, code: Option<&str>| {
        let body = json!({ "name": "p", "scopes": ["read"], "days": 1, "password": password, "code": code });
        tell(&house, Some(&session), "POST", "/auth/tokens", body).await
    };
    let via = async |token: &Value| {
        tell(&house, token["token"].as_str(), "GET", "/auth/profile", Value::Null).await
    };
    assert_eq!(make("not the password", None).await.problem(), "forbidden", "an open session makes no token");
    let token = make(PASSWORD, None).await.ok().json();
    assert_eq!(state(&house, &session).await, json!({ "enabled": false, "recoveryCodesLeft": 0 }));
    let body = json!({ "password": "not the password" });
    let refused = tell(&house, Some(&session), "POST", "/auth/second-factor", body).await;
    assert_eq!(refused.problem(), "forbidden", "an open session is not enough");
    let (phone, codes) = Phone::added(&house, &session).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(
        tell(&house, Some(&other), "GET", "/auth/profile", Value::Null).await.problem(),
        "unauthorized",
        "it began without"
    );
    assert_eq!(via(&token).await.problem(), "unauthorized", "it was made without");
    assert_eq!(make(PASSWORD, None).await.problem(), "second-factor-required");
    let token = make(PASSWORD, Some(&codes[9])).await.ok().json();
    assert_eq!(via(&token).await.ok().json()["via"], json!("token"), "programs have no phone");
    assert_eq!(make(PASSWORD, Some(&codes[9])).await.problem(), "second-factor-required", "once");

    let asked = login(&house, "alice", PASSWORD).await;
    assert_eq!((asked.status.as_u16(), asked.problem().as_str()), (401, "second-factor-required"));
    assert_eq!(login(&house, "alice", "a wrong password").await.problem(), "unauthorized");
    let replayed = login_with(&house, &phone.code(&house)).await;
    assert_eq!(replayed.problem(), "second-factor-required", "it made the factor count already");
    house.clock.move_on(LATER);
    let code = phone.code(&house);
    login_with(&house, &code).await.ok();
    assert_eq!(login_with(&house, &code).await.problem(), "second-factor-required", "once");
    house.clock.move_on(LATER);
    let code = phone.code(&house);
    let both = futures::join!(login_with(&house, &code), login_with(&house, &code));
    assert!(both.0.status.is_success() != both.1.status.is_success(), "{both:?}");
    house.clock.move_on(LATER);
    login_with(&house, &codes[3].to_lowercase()).await.ok();
    assert_eq!(login_with(&house, &codes[3]).await.problem(), "second-factor-required", "once");
    let make_key = async |code: Option<&str>| {
        let body = json!({ "name": "k", "permission": "readOnly", "password": PASSWORD, "code": code });
        tell(&house, Some(&session), "POST", "/auth/keys", body).await
    };
    assert_eq!(make_key(None).await.problem(), "second-factor-required");
    make_key(Some(&codes[8])).await.ok();
    assert_eq!(make_key(Some(&codes[8])).await.problem(), "second-factor-required", "once");
    assert_eq!(
        state(&house, &session).await["recoveryCodesLeft"],
        json!(7),
        "token, key and sign-in took one each"
    );
}

#[tokio::test]
async fn wrong_codes_wait_for_all_addresses_together_and_recovery_codes_do_not() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let (phone, codes) = Phone::added(&house, &session).await;
    house.clock.move_on(LATER);
    let mut wrong = 0;
    // Each from another network: who has the password has others' addresses too.
    let attempt = async |n: u32, code: String| {
        let body = json!({ "name": "alice", "password": PASSWORD, "code": code }).to_string();
        let mut request =
            http::Request::post("/api/v1/auth/login").body(axum::body::Body::from(body)).unwrap();
        request
            .extensions_mut()
            .insert(crate::auth::Address(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()));
        house.send(request).await.status().as_u16()
    };
    let last = loop {
        let status = attempt(wrong, phone.wrong_code(&house)).await;
        if status != 401 {
            break status;
        }
        wrong += 1;
    };
    assert_eq!((wrong, last), (5, 429));
    assert_eq!(attempt(100, phone.code(&house)).await, 429, "nor a right one before its time");
    assert_eq!(attempt(101, codes[0].clone()).await, 200, "the owner is not kept out");
    let all = (0..20).map(|n| attempt(200 + n, phone.wrong_code(&house)));
    let all = futures::future::join_all(all).await;
    assert_eq!(all.iter().filter(|status| **status == 401).count(), 5, "many at once are no way around");
    house.clock.move_on(LATER);
    assert_eq!(attempt(300, phone.code(&house)).await, 200);
    // Somebody patient: at last none of the time is taken, until a recovery code was.
    for n in 0..50 {
        house.clock.move_on(LATER);
        attempt(400 + n, phone.wrong_code(&house)).await;
    }
    house.clock.move_on(LATER);
    assert_eq!(attempt(500, phone.code(&house)).await, 401);
    assert_eq!(attempt(501, codes[1].clone()).await, 200);
    assert_eq!(attempt(502, phone.code(&house)).await, 200);
}

#[tokio::test]
async fn who_has_the_password_alone_gets_few_tries_from_an_address() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let (phone, _) = Phone::added(&house, &session).await;
    let mut tries = 0;
    while login_with(&house, &phone.wrong_code(&house)).await.status == 401 {
        tries += 1;
        // The right password between two wrong codes must not make them forgotten.
        login(&house, "alice", PASSWORD).await;
    }
    assert!(tries <= 2, "{tries}");
}

#[tokio::test]
async fn it_is_removed_by_password_and_code_or_by_another_administrator() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Admin).await;
    let (phone, codes) = Phone::added(&house, &session).await;
    let remove = async |password: &str, code: &str| {
        let body = json!({ "password": password, "code": code });
        tell(&house, Some(&session), "POST", "/auth/second-factor/remove", body).await
    };
    house.clock.move_on(LATER);
    assert_eq!(remove("not the password", &codes[0]).await.problem(), "forbidden");
    assert_eq!(remove(PASSWORD, &phone.wrong_code(&house)).await.problem(), "second-factor-required");
    let body = json!({ "password": PASSWORD });
    let again = tell(&house, Some(&session), "POST", "/auth/second-factor", body).await;
    assert_eq!(again.problem(), "conflict", "one at a time");
    remove(PASSWORD, &phone.code(&house)).await.ok();
    assert_eq!(remove(PASSWORD, &codes[0]).await.problem(), "conflict");
    login(&house, "alice", PASSWORD).await.ok();

    Phone::added(&house, &session).await;
    let clear = async |token: &str| {
        tell(&house, Some(token), "DELETE", "/admin/users/alice/second-factor", Value::Null).await
    };
    assert_eq!(clear(&session).await.problem(), "forbidden", "not one's own");
    clear(ADMIN).await.ok();
    assert_eq!(clear(ADMIN).await.problem(), "no-such-credential");
    login(&house, "alice", PASSWORD).await.ok();
    let audit = tell(&house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json().to_string();
    assert!(audit.contains("DELETE /api/v1/admin/users/{name}/second-factor"), "{audit}");
    assert!(codes.iter().all(|code| !audit.contains(code.as_str())));
}

#[tokio::test]
async fn another_password_leaves_it_and_nothing_counts_before_its_code() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let confirm = async |code: &str| {
        tell(&house, Some(&session), "POST", "/auth/second-factor/confirm", json!({ "code": code })).await
    };
    assert_eq!(confirm("123456").await.problem(), "conflict");
    let body = json!({ "password": PASSWORD });
    tell(&house, Some(&session), "POST", "/auth/second-factor", body).await.ok();
    login(&house, "alice", PASSWORD).await.ok();
    let stale = Phone::offered(&house, &session).await;
    house.clock.move_on(LATER);
    assert_eq!(confirm(&stale.code(&house)).await.problem(), "conflict", "an offer waits ten minutes");
    Phone::offered(&house, &session).await;
    assert_eq!(confirm("no code").await.problem(), "second-factor-required");
    let (phone, _) = Phone::added(&house, &session).await;
    let got = tell(&house, Some(ADMIN), "POST", "/admin/users/alice/reset", Value::Null).await.ok();
    let chosen = json!({ "code": got.json()["code"], "password": PASSWORD });
    tell(&house, None, "POST", "/auth/reset", chosen).await.ok();
    assert_eq!(login(&house, "alice", PASSWORD).await.problem(), "second-factor-required");
    house.clock.move_on(LATER);
    login_with(&house, &phone.code(&house)).await.ok();
}
