//! `/api/v1/auth/identities`: who one is at providers of OpenID Connect.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, Secret, from};
use super::oidc::away_cookie;
use super::{App, incoming};
use crate::accounts::{Bound, SentAway};
use crate::audit::Note;
use crate::auth::Principal;
use crate::oidc::PENDING_MS;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Bind {
    /// It is a way around the password: an open session alone must not make it.
    password: Secret,
    /// Of the second factor, where the user has one.
    code: Option<Secret>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Away {
    /// Where the browser goes next.
    url: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IdentityList")]
pub(super) struct Listed {
    items: Vec<Item>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Identity")]
pub(super) struct Item {
    /// What it is called here; absent: it is in the settings no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    issuer: String,
    subject: String,
    /// They are not any more, until they bind themselves anew.
    ended: bool,
}

impl From<Bound> for Item {
    fn from(Bound { provider, identity, ended }: Bound) -> Self {
        Self { provider, issuer: identity.issuer, subject: identity.subject, ended }
    }
}

/// `GET`: all of them.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Listed>, Problem> {
    let all = app.accounts.identities(&principal).await?;
    Ok(Json(Listed { items: all.into_iter().map(Item::from).collect() }))
}

/// `POST` to one: says where one's browser goes, and has it keep that it is bound when it comes back.
pub(super) async fn bind(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    (Path(provider), origin): (Path<String>, Origin),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Bind { password: Secret(password), code } = incoming::json(&headers, body).await?;
    note.detail("asks to be bound".into());
    let code = code.as_ref().map(Secret::text);
    let asked = app.accounts.ask_to_bind(&principal, &provider, (password, code), from(origin)).await?;
    let SentAway { url, sealed } = asked;
    let cookie = away_cookie(&sealed, PENDING_MS / 1000)?;
    Ok((NO_STORE, [(header::SET_COOKIE, cookie)], Json(Away { url })).into_response())
}

/// `DELETE` of one.
pub(super) async fn unbind(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(provider): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.unbind(&principal, &provider).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE` of one of a user's, by an administrator.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    Path((name, provider)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.accounts.unbind_user(&name, &provider).await?;
    Ok(StatusCode::NO_CONTENT)
}
