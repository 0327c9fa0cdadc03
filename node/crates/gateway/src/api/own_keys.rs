//! `/api/v1/auth/keys`: the S3 key pairs of who asks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use datamesh_catalog::Permission;
use datamesh_shard::BucketName;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{Origin, Secret, from};
use super::keys::{id_of, listed, made, said};
use super::{App, incoming};
use crate::access_keys::NewKey;
use crate::audit::Note;
use crate::auth::Principal;
use crate::problem::Problem;

/// What one gives a key of one's own: no more than every user may do by REST. More is an administrator's to give.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OwnPermission")]
pub(super) enum OwnPermission {
    /// Read and list.
    ReadOnly,
    /// And write and delete objects.
    ReadWrite,
}

impl From<OwnPermission> for Permission {
    fn from(own: OwnPermission) -> Self {
        match own {
            OwnPermission::ReadOnly => Self::ReadOnly,
            OwnPermission::ReadWrite => Self::ReadWrite,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CreateOwnKey")]
pub(super) struct Create {
    name: String,
    permission: OwnPermission,
    /// The only buckets it may touch; none named: all.
    #[serde(default)]
    buckets: Vec<BucketName>,
    /// A key outlives the session: an open one alone must not make it.
    password: Secret,
    /// Of the second factor, where the user has one.
    code: Option<Secret>,
}

/// `POST`: makes a key pair of who asks, and shows its secret this once.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Create { name, permission, buckets, password: Secret(password), code } =
        incoming::json(&headers, body).await?;
    let code = code.as_ref().map(Secret::text);
    let proof = app.accounts.proof(&principal, (password, code), from(origin)).await?;
    let owner = proof.user.name.to_string();
    let new = NewKey { name, owner, permission: permission.into(), buckets };
    note.detail(said(&new));
    let key = app.keys.create(new, proof.for_key()).await?;
    note.target(format!("/api/v1/auth/keys/{}", key.key.id));
    Ok(made(&key))
}

/// `GET`: all of them, without their secrets.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let user = app.accounts.myself(&principal).await?;
    Ok(listed(&app.keys.list_of(&user.name).await?))
}

/// `DELETE` of one: it is refused from the answer on.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let user = app.accounts.myself(&principal).await?;
    let id = id_of(&id)?;
    app.keys.delete_of(&user.name, &id).await?;
    tracing::info!(%id, "an access key was revoked by its owner");
    Ok(StatusCode::NO_CONTENT)
}
