//! `/api/v1/auth/oidc`: signing in at a provider of OpenID Connect, by a browser or for a device.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, Secret, answer_login, device_of, from, session_cookie};
use super::{App, incoming};
use crate::accounts::{Asked, CameBack, CameIn, Met, SentAway, Where, cut};
use crate::audit::Note;
use crate::oidc::PENDING_MS;
use crate::problem::Problem;

/// What keeps a sign-in until the browser comes back. `Lax`, not `Strict`: it comes back from the provider's site.
const COOKIE: &str = "__Host-datamesh-oidc";
/// The pages that say that it is done; they load nothing and run nothing.
const SIGNED_IN: &str = "<!doctype html><meta charset=utf-8><title>DataMesh</title><p>You are signed in. You may close this page.";
/// Bytes of a name that are shown at most.
const NAME_BYTES_MAX: usize = 64;
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProviderList")]
pub(super) struct Listed {
    items: Vec<Listing>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
struct Listing {
    name: String,
}

/// What a provider sends back.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Back {
    state: Option<Secret>,
    code: Option<Secret>,
    /// Whom it is of (RFC 9207).
    iss: Option<String>,
    /// Why it signed nobody in.
    error: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AskForDevice {
    handle: Secret,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceSignIn")]
pub(super) struct ShownDevice<'a> {
    /// What the program asks with.
    handle: &'a str,
    /// What people type on the page.
    user_code: &'a str,
    page: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_with_code: Option<&'a str>,
    expires_in_seconds: u64,
    interval_seconds: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NotYet")]
pub(super) struct Later {
    /// Whether to ask less often.
    slower: bool,
}

/// `GET`: what the settings have.
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Listed> {
    let items = app.accounts.providers().into_iter().map(|name| Listing { name });
    Json(Listed { items: items.collect() })
}

/// `GET start`: sends the browser there.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
) -> Result<Response, Problem> {
    let SentAway { url, sealed } = app.accounts.send_away(&provider).await?;
    let location = HeaderValue::from_str(&url)
        .map_err(|error| Problem::internal("a provider's address is none", &error))?;
    let cookie = away_cookie(&sealed, PENDING_MS / 1000)?;
    let headers = [(header::LOCATION, location), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::SEE_OTHER, NO_STORE, headers).into_response())
}

/// `GET callback`: takes the browser in that was sent away, and no other.
pub(super) async fn callback(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    (Extension(note), origin): (Extension<Note>, Origin),
    headers: HeaderMap,
    params: Result<Query<Back>, QueryRejection>,
) -> Result<Response, Problem> {
    let missing = |field| Problem::parameter(field, "a provider sends browsers here: begin at start");
    let Query(Back { state, code, iss, error }) = params.map_err(|_| missing("state"))?;
    let Secret(state) = state.ok_or_else(|| missing("state"))?;
    if error.is_some() {
        return Err(Problem::parameter("error", "the provider did not sign you in: begin again"));
    }
    let Secret(code) = code.ok_or_else(|| missing("code"))?;
    let sealed = cookie(&headers).unwrap_or_default();
    let back = CameBack { sealed, state: &state, code: &code, issuer: iss.as_deref() };
    let place = Where { device: device_of(&headers), from: from(origin) };
    let mut answer = HeaderMap::new();
    let page = match app.accounts.come_back(&provider, back, place, &note).await? {
        CameIn::SignedIn(signed_in) => {
            answer.append(header::SET_COOKIE, session_cookie(&signed_in.session)?);
            SIGNED_IN.to_owned()
        }
        CameIn::Bound(met) => bound(&met),
    };
    answer.append(header::SET_COOKIE, away_cookie("", 0)?);
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok((NO_STORE, answer, page).into_response())
}

/// Says to whom one was bound: it may be whoever was signed in there.
fn bound(Met { provider, name, subject }: &Met) -> String {
    let name = name.as_deref().map(|name| format!("{}, ", escaped(cut(name, NAME_BYTES_MAX))));
    format!(
        "<!doctype html><meta charset=utf-8><title>DataMesh</title><p>From now on whoever signs in at <b>{}</b> as <b>{}{}</b> is signed \
         in here as you. If that is not you, unbind it. You may close this page.",
        escaped(provider),
        name.unwrap_or_default(),
        escaped(subject),
    )
}

/// As a page shows it.
fn escaped(text: &str) -> String {
    let shown = |letter: char| match letter {
        '&' | '<' | '>' | '"' | '\'' => format!("&#{};", u32::from(letter)),
        // Others could have it look like another.
        ' '..='~' => letter.to_string(),
        _ => "?".to_owned(),
    };
    text.chars().map(shown).collect()
}

/// The cookie of a browser that is sent away.
pub(super) fn away_cookie(sealed: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let cookie = format!("{COOKIE}={sealed}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    let mut value =
        HeaderValue::from_str(&cookie).map_err(|error| Problem::internal("a cookie is none", &error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// `POST device`: begins the sign-in of a program without a browser.
pub(super) async fn begin_device(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    origin: Origin,
) -> Result<Response, Problem> {
    let begun = app.accounts.begin_device(&provider, from(origin)).await?;
    let shown = ShownDevice {
        handle: &begun.handle,
        user_code: &begun.user_code,
        page: &begun.page,
        page_with_code: begun.page_with_code.as_deref(),
        expires_in_seconds: begun.seconds,
        interval_seconds: begun.interval_seconds,
    };
    Ok((NO_STORE, Json(shown)).into_response())
}

/// `POST device/token`: `202` until somebody has said yes on the provider's page, then what a login gives.
pub(super) async fn ask_for_device(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    (Extension(note), origin): (Extension<Note>, Origin),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let AskForDevice { handle: Secret(handle) } = incoming::json_of_stranger(&headers, body).await?;
    let place = Where { device: device_of(&headers), from: from(origin) };
    match app.accounts.ask_for_device((&provider, &handle), place, &note).await? {
        Asked::Later { slower } => {
            Ok((StatusCode::ACCEPTED, NO_STORE, Json(Later { slower })).into_response())
        }
        Asked::In(signed_in) => answer_login(*signed_in),
    }
}
