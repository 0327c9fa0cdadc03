//! `/api/v1/admin/invites`: codes by which people become users by themselves.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Role, UserName};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Origin, from};
use super::listing::rfc3339;
use super::{App, incoming};
use crate::accounts::{Invitation, Made};
use crate::audit::Note;
use crate::auth::Principal;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Invite {
    role: Role,
}

/// An invitation that was just made: the one time its code is shown.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InvitationCode")]
pub(super) struct Shown<'a> {
    id: String,
    code: &'a str,
    expires_at: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Invitation")]
pub(super) struct Item {
    id: String,
    role: Role,
    /// Absent: who has the administrator's token file.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<UserName>,
    created_at: String,
    expires_at: String,
}

impl From<Invitation> for Item {
    fn from(Invitation { id, role, by, created_unix_ms, until_unix_ms, .. }: Invitation) -> Self {
        let (created_at, expires_at) = (rfc3339(created_unix_ms), rfc3339(until_unix_ms));
        Self { id: id.to_string(), role, by, created_at, expires_at }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvitationList")]
pub(super) struct Listed {
    items: Vec<Item>,
}

/// `POST`: shows the code by which somebody becomes a user of a role.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Invite { role } = incoming::json(&headers, body).await?;
    note.detail(format!("role={}", role.as_str()));
    let Made { id, text, credential } = app.accounts.invite(&principal, role, from(origin)).await?;
    note.target(format!("/api/v1/admin/invites/{id}"));
    let shown = Shown { id: id.to_string(), code: &text, expires_at: rfc3339(credential.until_unix_ms) };
    Ok((StatusCode::CREATED, NO_STORE, Json(shown)).into_response())
}

/// `GET`: those that count, without their codes.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Listed>, Problem> {
    let items = app.accounts.invitations().await?.into_iter().map(Item::from).collect();
    Ok(Json(Listed { items }))
}

/// `DELETE` of one: its code is refused from the answer on.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.withdraw(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
