//! `/api/v1/buckets/{bucket}/trash`: what was deleted and can be put back
//! ([ADR 47](../../../../../docs/adr/0047-the-trash-is-versions.md)).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::{Cause, ObjectKey, TrashEntry, VersionCursor, VersionId};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
use super::pages::{self, Page};
use super::target::{bucket_name, object_key};
use super::{App, incoming};
use crate::limits;
use crate::objects::{BucketContext, TrashState};
use crate::problem::{Kind, Problem};

/// Days at most: ten years.
const DAYS_MAX: u32 = 3660;
/// Bytes of a version's id in a cursor.
const ID_BYTES: usize = 24;

/// Where what is deleted of a bucket goes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Trash")]
pub(super) struct Shown {
    /// For how many days it is kept; absent: the bucket has no trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
    /// Whether what is deleted now is kept.
    keeps: bool,
}

/// For how long what is deleted is to be kept.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Keep {
    #[schemars(range(min = 1, max = DAYS_MAX))]
    days: u32,
}

/// What of a trash, or of all versions, is listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// What the keys begin with.
    #[schemars(length(max = OBJECT_KEY_BYTES_MAX))]
    pub(super) prefix: Option<String>,
    /// `nextCursor` of the page before, unchanged.
    pub(super) cursor: Option<String>,
    /// Entries of the page at most. It may have fewer and yet not be the last.
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    pub(super) limit: Option<usize>,
}

/// What of a trash is deleted for good.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Emptied {
    /// What the keys begin with; absent: all.
    #[schemars(length(max = OBJECT_KEY_BYTES_MAX))]
    prefix: Option<String>,
}

/// One page of what was deleted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedList")]
pub(super) struct Listed {
    items: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An object that was deleted and can be put back.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeletedEntry")]
pub(super) struct Item {
    /// Of the delete: a key may have been deleted several times.
    id: String,
    key: String,
    size: u64,
    etag: String,
    deleted_at: String,
}

/// What is to be put back, or deleted for good.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    #[schemars(length(min = 1, max = OBJECT_KEY_BYTES_MAX))]
    key: String,
    /// Of the delete, as it is listed.
    #[schemars(regex(pattern = "^[0-9a-f]{48}$"))]
    id: String,
}

/// What is to be put back.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Restore {
    #[schemars(length(min = 1, max = OBJECT_KEY_BYTES_MAX))]
    key: String,
    /// Of the delete, as it is listed.
    #[schemars(regex(pattern = "^[0-9a-f]{48}$"))]
    id: String,
    /// Also where there is another object of this key by now, which is kept as a version then.
    #[serde(default)]
    overwrite: bool,
}

/// An object that is there again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RestoredObject")]
pub(super) struct Restored {
    key: String,
    size: u64,
    etag: String,
    last_modified: String,
}

/// What was deleted for good.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Purged")]
pub(super) struct Purged {
    /// Objects, with the versions behind them.
    purged: usize,
}

async fn bucket_of(app: &App, name: &str) -> Result<Arc<BucketContext>, Problem> {
    app.objects.bucket(&bucket_name(name)?).await
}

async fn shown(app: &App, bucket: &BucketContext) -> Result<Json<Shown>, Problem> {
    let TrashState { days, keeps } = app.objects.trash(bucket).await?;
    Ok(Json(Shown { days, keeps }))
}

/// `GET`: for how long what is deleted is kept.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let bucket = bucket_of(&app, &bucket).await?;
    shown(&app, &bucket).await
}

/// `PUT`: what is deleted from now on is kept.
pub(super) async fn keep(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let Keep { days } = incoming::json(&headers, body).await?;
    if !(1..=DAYS_MAX).contains(&days) {
        let detail = format!("a trash keeps 1 to {DAYS_MAX} days, not {days}");
        return Err(Problem::new(Kind::InvalidBody, detail).in_body("days"));
    }
    let bucket = bucket_of(&app, &bucket).await?;
    app.objects.keep_deleted(&bucket, days).await?;
    app.new_rules.set();
    shown(&app, &bucket).await
}

/// `DELETE`: what is deleted from now on is gone.
pub(super) async fn keep_no_more(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
) -> Result<StatusCode, Problem> {
    let bucket = bucket_of(&app, &bucket).await?;
    app.objects.keep_deleted_no_more(&bucket).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn prefix_of(prefix: Option<String>) -> Result<Vec<u8>, Problem> {
    let prefix = prefix.unwrap_or_default().into_bytes();
    if prefix.len() > OBJECT_KEY_BYTES_MAX {
        let detail = format!("a prefix has at most {OBJECT_KEY_BYTES_MAX} bytes");
        return Err(Problem::parameter("prefix", detail));
    }
    Ok(prefix)
}

/// The id of a version of a key, and the key.
pub(super) fn cursor_text(at: &VersionCursor) -> Option<String> {
    let VersionCursor::Version(key, VersionId::Numbered { order, upload }) = at else { return None };
    let bytes = [&order.to_be_bytes()[..], &upload.0, key.as_bytes()].concat();
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn cursor(text: &str) -> Result<VersionCursor, Problem> {
    let wrong = || Problem::parameter("cursor", "take the cursor from the page before, unchanged");
    if text.len() > 2 * (OBJECT_KEY_BYTES_MAX + ID_BYTES) {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (id, key) = bytes.split_at_checked(ID_BYTES).ok_or_else(wrong)?;
    let id = hex::encode(id).parse().map_err(|_| wrong())?;
    Ok(VersionCursor::Version(ObjectKey::new(key).map_err(|_| wrong())?, id))
}

/// `GET …/files`: what was deleted and can be put back.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
    uri: Uri,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Page<Listed>, Problem> {
    let Query(params) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let (prefix, limit) = (prefix_of(params.prefix)?, pages::limit(params.limit)?);
    let after = params.cursor.as_deref().map(cursor).transpose()?;
    let bucket = bucket_of(&app, &bucket).await?;
    let page = app.objects.deleted(&bucket, &prefix, (after, limit)).await?;
    let item = |TrashEntry { key, id, deleted_unix_ms, object }: TrashEntry| Item {
        id: id.to_string(),
        key: key.to_string(),
        size: object.size_bytes,
        etag: object.etag,
        deleted_at: rfc3339(deleted_unix_ms),
    };
    let next_cursor = page.next.as_ref().and_then(cursor_text);
    let answer =
        Listed { items: page.entries.into_iter().map(item).collect(), next_cursor: next_cursor.clone() };
    Ok(Page::new(answer, &uri, next_cursor.as_deref()))
}

/// `DELETE …/files`: deletes all of it for good.
pub(super) async fn empty(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    params: Result<Query<Emptied>, QueryRejection>,
) -> Result<Json<Purged>, Problem> {
    let Query(Emptied { prefix }) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let prefix = prefix_of(prefix)?;
    let bucket = bucket_of(&app, &bucket).await?;
    Ok(Json(Purged { purged: app.objects.empty_trash(&bucket, &prefix, &cause).await? }))
}

fn entry(key: &str, id: &str) -> Result<(ObjectKey, VersionId), Problem> {
    let wrong = |field, detail: String| Problem::new(Kind::InvalidBody, detail).in_body(field);
    let key = object_key(key.as_bytes()).map_err(|problem| wrong("key", problem.detail().to_owned()))?;
    let id = id.parse().ok().filter(|id| *id != VersionId::Null);
    Ok((key, id.ok_or_else(|| wrong("id", "take the id from the list, unchanged".to_owned()))?))
}

/// `POST …/restore`: puts an object back.
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Restored>, Problem> {
    let Restore { key, id, overwrite } = incoming::json(&headers, body).await?;
    let (key, id) = entry(&key, &id)?;
    let bucket = bucket_of(&app, &bucket).await?;
    let object = app.objects.restore(&bucket, &key, (id, overwrite), &cause).await?;
    Ok(Json(Restored {
        key: object.key.to_string(),
        size: object.size_bytes,
        etag: object.etag,
        last_modified: rfc3339(object.created_unix_ms),
    }))
}

/// `POST …/purge`: deletes for good what was deleted.
pub(super) async fn purge(
    State(app): State<Arc<App>>,
    Path(bucket): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Purged>, Problem> {
    let Entry { key, id } = incoming::json(&headers, body).await?;
    let (key, id) = entry(&key, &id)?;
    let bucket = bucket_of(&app, &bucket).await?;
    Ok(Json(Purged { purged: app.objects.purge(&bucket, &key, id, &cause).await? }))
}
