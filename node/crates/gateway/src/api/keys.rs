//! `/api/v1/admin/keys`: S3 key pairs.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{AccessKey, AccessKeyId, Permission};
use datamesh_shard::BucketName;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::NO_STORE;
use super::listing::rfc3339;
use super::{App, incoming};
use crate::access_keys::{MadeKey, NewKey, no_such_key};
use crate::accounts::Owner;
use crate::audit::Note;
use crate::auth::Principal;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    /// The user it acts for; absent: who asks.
    owner: Option<String>,
    permission: Permission,
    /// The only buckets it may touch; none named: all.
    #[serde(default)]
    buckets: Vec<BucketName>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Change {
    disabled: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessKey")]
pub(super) struct Shown<'a> {
    id: &'a str,
    /// Shown once, when the key is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    name: &'a str,
    owner: &'a str,
    permission: Permission,
    buckets: &'a [BucketName],
    created_at: String,
    disabled: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccessKeyList")]
pub(super) struct Listed<'a> {
    items: Vec<Shown<'a>>,
}

fn shown<'a>(key: &'a AccessKey, secret: Option<&'a str>) -> Shown<'a> {
    let grant = &key.grant;
    Shown {
        id: key.id.as_str(),
        secret,
        name: &grant.name,
        owner: &grant.owner,
        permission: grant.permission,
        buckets: &grant.buckets,
        created_at: rfc3339(grant.created_unix_ms),
        disabled: grant.disabled,
    }
}

/// What is wanted of a new key, for the audit.
pub(super) fn said(new: &NewKey) -> String {
    let only = new.buckets.iter().map(BucketName::as_str).collect::<Vec<_>>().join(",");
    format!("owner={} permission={:?} buckets={only}", new.owner, new.permission)
}

/// The answer that shows a new key, with its secret this once.
pub(super) fn made(made: &MadeKey) -> Response {
    let MadeKey { key, secret } = made;
    let (owner, permission) = (&key.grant.owner, key.grant.permission);
    tracing::info!(id = %key.id, %owner, ?permission, "an access key was made");
    (StatusCode::CREATED, NO_STORE, Json(shown(key, Some(secret)))).into_response()
}

/// The answer that lists keys, without their secrets.
pub(super) fn listed(keys: &[AccessKey]) -> Response {
    Json(Listed { items: keys.iter().map(|key| shown(key, None)).collect() }).into_response()
}

/// `POST`: makes a key pair and shows its secret this once.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Create { name, owner, permission, buckets } = incoming::json(&headers, body).await?;
    let Owner { name: owner, given } = app.accounts.owner_of_key(&principal, owner.as_deref()).await?;
    let new = NewKey { name, owner, permission, buckets };
    note.detail(said(&new));
    let key = app.keys.create(new, given).await?;
    note.target(format!("/api/v1/admin/keys/{}", key.key.id));
    Ok(made(&key))
}

/// `GET`: all key pairs, without their secrets.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(listed(&app.keys.list().await?))
}

/// The id that a path names.
pub(super) fn id_of(text: &str) -> Result<AccessKeyId, Problem> {
    text.parse().map_err(|_| no_such_key())
}

/// `PUT` of one: refuses it for the time being, or takes it again.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let id = id_of(&id)?;
    let Change { disabled } = incoming::json(&headers, body).await?;
    note.detail(format!("disabled={disabled}"));
    app.keys.disable(&id, disabled).await?;
    tracing::info!(%id, disabled, "an access key was changed");
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE` of one: it is refused from the answer on.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id_of(&id)?;
    app.keys.delete(&id).await?;
    tracing::info!(%id, "an access key was revoked");
    Ok(StatusCode::NO_CONTENT)
}
