//! `/api/v1/auth/sessions` and `tokens`: what stands for who asks.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::catalog::KnownCredential;
use datamesh_catalog::{CredentialKind, Scope};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, Secret, from};
use super::listing::rfc3339;
use super::{App, incoming};
use crate::accounts::{NewToken, TOKEN_DAYS_MAX};
use crate::audit::Note;
use crate::auth::{Principal, Via};
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MakeToken {
    name: String,
    #[schemars(length(min = 1))]
    scopes: Vec<Scope>,
    /// How long it counts.
    #[schemars(range(min = 1, max = TOKEN_DAYS_MAX))]
    days: u64,
    /// A token outlives the session: an open one alone must not make it.
    password: Secret,
    /// Of the second factor, where the user has one.
    code: Option<Secret>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Credential")]
pub(super) struct ShownCredential<'a> {
    id: String,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Scope>>,
    address: String,
    created_at: String,
    last_used_at: String,
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialList")]
pub(super) struct Credentials<'a> {
    items: Vec<ShownCredential<'a>>,
}

fn shown<'a>(known: KnownCredential, current: bool, token: Option<&'a str>) -> ShownCredential<'a> {
    let credential = known.credential;
    let (device, name, scopes) = match credential.kind {
        CredentialKind::Session { device } => (Some(device), None, None),
        CredentialKind::Token { name, scopes } => (None, Some(name), Some(scopes)),
        CredentialKind::Reset | CredentialKind::Invite { .. } => (None, None, None),
    };
    ShownCredential {
        id: known.id.to_string(),
        token,
        device,
        name,
        scopes,
        address: credential.address,
        created_at: rfc3339(credential.created_unix_ms),
        last_used_at: rfc3339(credential.used_unix_ms),
        expires_at: rfc3339(credential.until_unix_ms),
        current,
    }
}

async fn listed(
    app: &App,
    principal: &Principal,
    wanted: fn(&CredentialKind) -> bool,
) -> Result<Response, Problem> {
    let known = app.accounts.credentials(principal).await?;
    let wanted = known.into_iter().filter(|known| wanted(&known.credential.kind));
    let items = wanted.map(|known| {
        let current = principal.via == Via::Session(known.id);
        shown(known, current, None)
    });
    Ok(Json(Credentials { items: items.collect() }).into_response())
}

/// `GET sessions`: where one is signed in.
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    listed(&app, &principal, |kind| matches!(kind, CredentialKind::Session { .. })).await
}

/// `GET tokens`: what programs have of one.
pub(super) async fn tokens(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    listed(&app, &principal, |kind| matches!(kind, CredentialKind::Token { .. })).await
}

/// `POST tokens`: a token for a program, shown this once.
pub(super) async fn make_token(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let MakeToken { name, scopes, days, password: Secret(password), code } =
        incoming::json(&headers, body).await?;
    note.detail(format!("name={name} scopes={scopes:?} days={days}"));
    let code = code.as_ref().map(Secret::text);
    let new = NewToken { name, scopes, days };
    let made = app.accounts.make_token(&principal, new, (password, code), from(origin)).await?;
    note.target(format!("/api/v1/auth/tokens/{}", made.id));
    let known = KnownCredential { id: made.id, credential: made.credential };
    Ok((StatusCode::CREATED, NO_STORE, Json(shown(known, false, Some(&made.text)))).into_response())
}

/// `DELETE sessions/{id}` and `tokens/{id}`: refused from the answer on.
pub(super) async fn end(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.end(&principal, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
