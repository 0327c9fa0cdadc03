//! `/api/v1/auth`: signing in and out, and what is one's own.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{GroupName, Role, Scope, User, UserName};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::identities::Item;
use super::listing::rfc3339;
use super::{App, incoming};
use crate::accounts::{Bound, Claimed, Made, Registering, SignIn, SignedIn};
use crate::audit::Note;
use crate::auth::{Address, COOKIE, Principal, Via, Who};
use crate::problem::Problem;

/// Where a request came from, where its connection is known.
pub(super) type Origin = Option<Extension<Address>>;

pub(super) fn from(origin: Origin) -> Option<Address> {
    origin.map(|Extension(from)| from)
}

/// What carries secrets is kept nowhere.
pub(super) const NO_STORE: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// A text that is gone when it is dropped.
#[derive(Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(extend("format" = "password"))]
pub(super) struct Secret(#[schemars(with = "String")] pub(super) Zeroizing<String>);

impl Secret {
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Login {
    name: String,
    password: Secret,
    /// Of the second factor, where the user has one.
    code: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Register {
    name: UserName,
    password: Secret,
    /// Where mail reaches them, once they have read what is mailed there.
    email: Option<String>,
    invite: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Reset {
    code: Secret,
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangePassword {
    old: Secret,
    new: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeProfile {
    email: Option<String>,
    /// Codes to choose a password are mailed to the address: an open session alone must not move it.
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConfirmEmail {
    /// What was mailed to the address.
    code: Secret,
}

/// A user as they and administrators see them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "User")]
pub(super) struct ShownUser {
    id: String,
    name: UserName,
    email: Option<String>,
    role: Role,
    disabled: bool,
    created_at: String,
    has_password: bool,
    failed_sign_ins: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failed_at: Option<String>,
    /// Who they are at providers, where an administrator asks for one user.
    #[serde(skip_serializing_if = "Option::is_none")]
    identities: Option<Vec<Item>>,
    /// The groups they are in, where an administrator asks for one user.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupName>>,
}

impl ShownUser {
    pub(super) fn with_identities(self, all: Vec<Bound>) -> Self {
        Self { identities: Some(all.into_iter().map(Item::from).collect()), ..self }
    }

    pub(super) fn with_groups(self, all: Vec<GroupName>) -> Self {
        Self { groups: Some(all), ..self }
    }
}

impl From<User> for ShownUser {
    fn from(user: User) -> Self {
        let last_failed = (user.last_failed_unix_ms > 0).then(|| rfc3339(user.last_failed_unix_ms));
        Self {
            id: user.id.to_string(),
            name: user.name,
            email: user.email,
            role: user.role,
            disabled: user.disabled,
            created_at: rfc3339(user.created_unix_ms),
            has_password: user.password.is_some(),
            failed_sign_ins: user.failed_sign_ins,
            last_failed_at: last_failed,
            identities: None,
            groups: None,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignedIn")]
pub(super) struct ShownLogin<'a> {
    token: &'a str,
    expires_at: String,
    user: ShownUser,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    /// `file`, `session` or `token`.
    via: &'static str,
    /// The greatest of the user's own and of those of their groups.
    role: Role,
    /// What a token may use of the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Scope>>,
    /// The groups that the user is in.
    groups: Vec<GroupName>,
    /// Absent for who has a token file.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<ShownUser>,
}

/// `POST login`: a session for a name and its password.
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Login { name, password: Secret(password), code } = incoming::json_of_stranger(&headers, body).await?;
    let device = device_of(&headers);
    let code = code.as_ref().map(Secret::text);
    let asked = SignIn { name: &name, password, code, device, from: from(origin) };
    answer_login(app.accounts.sign_in(asked, &note).await?)
}

/// What a program calls itself.
pub(super) fn device_of(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}

/// The cookie that carries a session which was just begun.
pub(super) fn session_cookie(Made { text, credential, .. }: &Made) -> Result<HeaderValue, Problem> {
    let seconds = credential.until_unix_ms.saturating_sub(credential.created_unix_ms) / 1000;
    set_cookie(text, seconds)
}

pub(super) fn answer_login(SignedIn { user, session }: SignedIn) -> Result<Response, Problem> {
    let cookie = session_cookie(&session)?;
    let Made { text, credential, .. } = session;
    let login = ShownLogin { token: &text, expires_at: rfc3339(credential.until_unix_ms), user: user.into() };
    Ok((NO_STORE, [(header::SET_COOKIE, cookie)], Json(login)).into_response())
}

fn set_cookie(text: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let cookie = Zeroizing::new(format!(
        "{COOKIE}={text}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict"
    ));
    let mut value =
        HeaderValue::from_str(&cookie).map_err(|error| Problem::internal("a cookie is none", &error))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `POST register`: an account, where the cluster lets whoever asks have one.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Register { name, password: Secret(password), email, invite } =
        incoming::json_of_stranger(&headers, body).await?;
    let invite = invite.as_ref().map(|Secret(invite)| invite.as_str());
    let from = from(origin);
    let asked = Registering { name, email, password, invite, from };
    let (user, claimed) = app.accounts.register(asked, &note).await?;
    mail(&app, claimed);
    Ok((StatusCode::CREATED, Json(ShownUser::from(user))).into_response())
}

/// `POST reset`: a password by a code that an administrator gave.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Reset { code: Secret(code), password: Secret(password) } =
        incoming::json_of_stranger(&headers, body).await?;
    app.accounts.reset_password(&code, password, (from(origin), &note)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST logout`: ends the session that asks.
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    app.accounts.sign_out(&principal).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie("", 0)?)]).into_response())
}

/// `GET profile`: who asks.
pub(super) async fn profile(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let (via, scopes) = match &principal.via {
        Via::File => ("file", None),
        Via::Session(_) => ("session", None),
        Via::Token { scopes, .. } => ("token", Some(scopes.clone())),
    };
    let (user, groups) = match principal.who {
        Who::Holder(_) => (None, Vec::new()),
        Who::User { .. } => {
            let user = app.accounts.myself(&principal).await?;
            let groups = app.accounts.groups_of(&user).await?;
            (Some(user.into()), groups)
        }
    };
    Ok(Json(Profile { via, role: principal.role, scopes, groups, user }).into_response())
}

/// `PUT profile`: where mail reaches who asks; `202` until they have read what is mailed there.
pub(super) async fn change_profile(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ChangeProfile { email, password: Secret(password) } = incoming::json(&headers, body).await?;
    let (user, claimed) = app.accounts.change_email(&principal, (email, password), from(origin)).await?;
    let status = if claimed.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    mail(&app, claimed);
    Ok((status, Json(ShownUser::from(user))).into_response())
}

fn mail(app: &Arc<App>, claimed: Option<Claimed>) {
    let Some(claimed) = claimed else { return };
    let behind = Arc::clone(app);
    app.accounts.behind_the_answer(async move { behind.accounts.mail_claim(claimed).await });
}

/// `POST profile/email`: an address is the user's who read a code there.
pub(super) async fn confirm_email(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let ConfirmEmail { code: Secret(code) } = incoming::json_of_stranger(&headers, body).await?;
    app.accounts.confirm_email(&code, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST password`: another password; the other sessions end.
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let ChangePassword { old: Secret(old), new: Secret(new) } = incoming::json(&headers, body).await?;
    app.accounts.change_password(&principal, (old, new), from(origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}
