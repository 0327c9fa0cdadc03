//! `/api/v1/auth/second-factor`: what a user shows at sign-in besides the password.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, Secret, from};
use super::listing::rfc3339;
use super::{App, incoming};
use crate::accounts::Offered;
use crate::auth::Principal;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Offer {
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Confirm {
    code: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Remove {
    password: Secret,
    code: Secret,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    recovery_codes_left: usize,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownOffer<'a> {
    /// Base32.
    secret: &'a str,
    /// The same as programs that make codes read it.
    uri: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recovery<'a> {
    recovery_codes: Vec<&'a str>,
}

/// `GET`: whether it is asked for.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Shown>, Problem> {
    let state = app.accounts.second_factor(&principal).await?;
    let since = state.since_unix_ms.map(rfc3339);
    Ok(Json(Shown { enabled: since.is_some(), since, recovery_codes_left: state.recovery_codes_left }))
}

/// `POST`: offers one, by the password.
pub(super) async fn offer(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Offer { password: Secret(password) } = incoming::json(&headers, body).await?;
    let Offered { secret, uri } =
        app.accounts.offer_second_factor(&principal, password, from(origin)).await?;
    Ok((NO_STORE, Json(ShownOffer { secret: &secret, uri: &uri })).into_response())
}

/// `POST confirm`: makes it count, by a code; shows the recovery codes, this once.
pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Confirm { code: Secret(code) } = incoming::json(&headers, body).await?;
    let codes = app.accounts.confirm_second_factor(&principal, &code).await?;
    let recovery_codes = codes.iter().map(|code| code.as_str()).collect();
    Ok((NO_STORE, Json(Recovery { recovery_codes })).into_response())
}

/// `POST remove`: by password and code.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Remove { password: Secret(password), code: Secret(code) } = incoming::json(&headers, body).await?;
    app.accounts.remove_second_factor(&principal, (password, &code), from(origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /admin/users/{name}/second-factor`: another's, who lost it.
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.clear_second_factor(&principal, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
