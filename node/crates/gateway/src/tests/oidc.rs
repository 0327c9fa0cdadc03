//! Signing in at a real provider of OpenID Connect.

mod binding;
mod browser;
mod device;
mod groups;
pub(super) mod identities;
mod untrusted;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::accounts::tell;
use super::house::{ADMIN, Got, House};
use crate::oidc::Providers;
use identities::Identities;

/// Where browsers come back to.
pub(super) const PUBLIC_URL: &str = "https://datamesh.test";

/// A cluster that trusts one provider, as `work`, which makes users.
async fn house_of(identities: &Identities) -> House {
    trusting(&[identities.settings("work", "datamesh")]).await
}

async fn trusting(all: &[datamesh_settings::oidc::OidcSettings]) -> House {
    House::trusting(Providers::open(Some(PUBLIC_URL), all).unwrap()).await
}

async fn get(house: &House, path: &str, cookie: &str) -> Got {
    house.ask_as(None, Method::GET, path, (&[("cookie", cookie)], Body::empty())).await
}

fn start(provider: &str) -> String {
    format!("/api/v1/auth/oidc/{provider}/start")
}

/// The pair of the cookie that keeps a sign-in.
pub(super) fn kept(got: &Got) -> String {
    let cookie = got.header("set-cookie");
    for wanted in ["__Host-datamesh-oidc=", "; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(wanted), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

/// Sends a browser away; gives where to and its cookie.
async fn sent_away(house: &House, provider: &str) -> (String, String) {
    let got = get(house, &start(provider), "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{:?}", got.body);
    (got.header("location").to_owned(), kept(&got))
}

/// The path and query of a URL.
pub(super) fn path_of(url: &str) -> &str {
    url.strip_prefix(PUBLIC_URL).unwrap()
}

/// The session of an answer that signs in.
fn session(got: &Got) -> String {
    let mut cookies = got.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies.find(|cookie| cookie.starts_with("__Host-datamesh=")).expect("a session");
    cookie.split(['=', ';']).nth(1).unwrap().to_owned()
}

/// What a browser gets that goes there and comes back.
async fn come_back(house: &House, identities: &Identities, provider: &str, account: &str) -> Got {
    let (url, cookie) = sent_away(house, provider).await;
    let (back, _) = identities.person(account).follow(url).await;
    get(house, path_of(&back), &cookie).await
}

/// The profile of somebody who signs in by a browser.
async fn signed_in(house: &House, identities: &Identities, provider: &str, account: &str) -> Value {
    profile(house, &session(&come_back(house, identities, provider, account).await.ok())).await
}

async fn profile(house: &House, session: &str) -> Value {
    tell(house, Some(session), "GET", "/auth/profile", Value::Null).await.ok().json()
}

async fn audit(house: &House) -> String {
    tell(house, Some(ADMIN), "GET", "/admin/audit", Value::Null).await.ok().json().to_string()
}

async fn register(house: &House, who: &str) {
    let asked = json!({ "registration": who });
    tell(house, Some(ADMIN), "PUT", "/admin/registration", asked).await.ok();
}
