//! `/api/v1/admin/users` and `/registration`: who has an account, and who may come by one.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Registration, Role, UserName};
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, ShownUser, from};
use super::listing::rfc3339;
use super::pages::{self, Page};
use super::{App, incoming};
use crate::accounts::{Change, Made, NewUser};
use crate::audit::Note;
use crate::limits;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Create {
    name: UserName,
    email: Option<String>,
    role: Role,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Changed {
    role: Option<Role>,
    disabled: Option<bool>,
    /// Where mail reaches them; empty: nowhere. Codes that were mailed end.
    email: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RegistrationSetting")]
pub(super) struct Registering {
    registration: Registration,
}

/// What a client may ask.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// `nextCursor` of the page before, unchanged.
    #[schemars(with = "Option<UserName>")]
    cursor: Option<String>,
    /// Entries of the page at most.
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    limit: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UserPage")]
pub(super) struct Listed {
    items: Vec<ShownUser>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A code that counts once, shown this once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OneUseCode")]
pub(super) struct Code<'a> {
    code: &'a str,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<ShownUser>,
}

fn code(status: StatusCode, made: &Made, user: Option<ShownUser>) -> Response {
    let expires_at = rfc3339(made.credential.until_unix_ms);
    (status, NO_STORE, Json(Code { code: &made.text, expires_at, user })).into_response()
}

/// `POST users`: makes one, and shows the code by which they choose their password.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Create { name, email, role } = incoming::json(&headers, body).await?;
    note.target(format!("/api/v1/admin/users/{name}"));
    note.detail(format!("role={}", role.as_str()));
    let (user, made) = app.accounts.create(NewUser { name, email, role }, from(origin)).await?;
    Ok(code(StatusCode::CREATED, &made, Some(user.into())))
}

/// `GET users`: in the order of their names. A cursor is the name before.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    params: Result<Query<Params>, axum::extract::rejection::QueryRejection>,
) -> Result<Page<Listed>, Problem> {
    let Query(Params { cursor, limit }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let limit = pages::limit(limit)?;
    let wrong = |_| Problem::parameter("cursor", "take the cursor from the page before, unchanged");
    let after = cursor.map(UserName::try_from).transpose().map_err(wrong)?;
    let (users, more) = app.accounts.list(after.as_ref(), limit).await?;
    let next_cursor = users.last().filter(|_| more).map(|user| user.name.to_string());
    let items = users.into_iter().map(ShownUser::from).collect();
    let next = next_cursor.clone();
    Ok(Page::new(Listed { items, next_cursor }, &uri, next.as_deref()))
}

/// `GET users/{name}`: also who they are at providers, and in which groups.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<ShownUser>, Problem> {
    let user = app.accounts.user(&name).await?;
    let all = app.accounts.identities_of(&user).await?;
    let groups = app.accounts.groups_of(&user).await?;
    Ok(Json(ShownUser::from(user).with_identities(all).with_groups(groups)))
}

/// What is changed of a user, for the audit.
fn described(role: Option<Role>, disabled: Option<bool>, email: Option<&str>) -> String {
    let role = role.map(|role| format!("role={}", role.as_str()));
    let disabled = disabled.map(|disabled| format!("disabled={disabled}"));
    // Addresses of people are not for everybody who reads the audit.
    let email = email.map(|email| if email.is_empty() { "email=none" } else { "email=set" }.to_owned());
    role.into_iter().chain(disabled).chain(email).collect::<Vec<_>>().join(" ")
}

/// `PUT users/{name}`: role, address, and whether they are refused; from their next request on. Who is refused signs nothing for S3 either.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ShownUser>, Problem> {
    let Changed { role, disabled, email } = incoming::json(&headers, body).await?;
    note.detail(described(role, disabled, email.as_deref()));
    Ok(Json(app.accounts.change(&name, Change { role, email, disabled }).await?.into()))
}

/// `DELETE users/{name}`: what they stored stays, their S3 keys go with them.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST users/{name}/reset`: their password and all that stands for them end, their S3 keys are disabled; shows the code by which they
/// choose another.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    origin: Origin,
) -> Result<Response, Problem> {
    let made = app.accounts.reset(&name, from(origin)).await?;
    Ok(code(StatusCode::OK, &made, None))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EndedSessions")]
pub(super) struct Ended {
    ended: usize,
}

/// `DELETE users/{name}/sessions`: all of them.
pub(super) async fn end_sessions(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Ended>, Problem> {
    Ok(Json(Ended { ended: app.accounts.end_sessions(&name).await? }))
}

/// `GET registration`: who may become a user by themselves.
pub(super) async fn registration(State(app): State<Arc<App>>) -> Result<Json<Registering>, Problem> {
    Ok(Json(Registering { registration: app.accounts.registration().await? }))
}

/// `PUT registration`: says who may.
pub(super) async fn set_registration(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Registering>, Problem> {
    let Registering { registration } = incoming::json(&headers, body).await?;
    note.detail(format!("registration={registration:?}"));
    app.accounts.set_registration(registration).await?;
    Ok(Json(Registering { registration }))
}
