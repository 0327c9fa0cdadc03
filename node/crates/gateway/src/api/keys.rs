//! `/api/v1/admin/keys`: S3 key pairs.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{AccessKey, AccessKeyId, Permission};
use datamesh_shard::BucketName;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
use super::{App, incoming};
use crate::access_keys::{NewKey, no_such_key};
use crate::audit::Note;
use crate::problem::Problem;

/// Whom a key acts for where nobody is named.
const OWNER_DEFAULT: &str = "admin";

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Create {
    name: String,
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

/// `POST`: makes a key pair and shows its secret this once.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Create { name, owner, permission, buckets } = incoming::json(&headers, body).await?;
    let owner = owner.unwrap_or_else(|| OWNER_DEFAULT.to_owned());
    let only = buckets.iter().map(BucketName::as_str).collect::<Vec<_>>().join(",");
    note.detail(format!("owner={owner} permission={permission:?} buckets={only}"));
    let made = app.keys.create(NewKey { name, owner, permission, buckets }).await?;
    note.target(format!("/api/v1/admin/keys/{}", made.key.id));
    tracing::info!(id = %made.key.id, owner = %made.key.grant.owner, ?permission, "an access key was made");
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(shown(&made.key, Some(&made.secret)))).into_response())
}

/// `GET`: all key pairs, without their secrets.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let keys = app.keys.list().await?;
    Ok(Json(Listed { items: keys.iter().map(|key| shown(key, None)).collect() }).into_response())
}

fn id_of(text: &str) -> Result<AccessKeyId, Problem> {
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
