//! `/api/v1/auth/reset/mail`: a code to choose a password, by mail.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use datamesh_catalog::UserName;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{Origin, from};
use super::{App, incoming};
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Ask {
    name: UserName,
}

/// `POST`: taken, whether there is such a user or not.
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Ask { name } = incoming::json_of_stranger(&headers, body).await?;
    let asked = app.accounts.ask_reset(name, from(origin))?;
    let behind = Arc::clone(&app);
    app.accounts.behind_the_answer(async move { behind.accounts.mail_reset(asked, &behind.audit).await });
    Ok(StatusCode::ACCEPTED)
}
