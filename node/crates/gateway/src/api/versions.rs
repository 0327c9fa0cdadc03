//! `/api/v1/versions` and `/api/v1/buckets/{bucket}/versions`: what a bucket keeps of objects that were replaced or deleted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use datamesh_catalog::{Cause, VersionEntry, VersionId, VersionObject, VersionQuery};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use http::{HeaderMap, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
use super::pages::{self, Page};
use super::target::{BucketPath, object_key};
use super::trash::{Params, cursor, cursor_text, prefix_of};
use super::{App, conditional, files, incoming};
use crate::audit::Note;
use crate::problem::{Kind, Problem};

/// One page of versions: by key, of each key the newest first.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "VersionList")]
pub(super) struct Listed {
    items: Vec<Item>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A version of an object, or its delete.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ObjectVersion")]
struct Item {
    key: String,
    /// `null`: it was put while the bucket kept no versions.
    version: String,
    /// Whether it is what the key shows.
    is_latest: bool,
    /// Whether it is a delete: it has no bytes.
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// When it was put, or the delete made.
    last_modified: String,
}

/// Which version is to be put back.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RestoreVersion")]
pub(super) struct Restore {
    #[schemars(length(min = 1, max = OBJECT_KEY_BYTES_MAX))]
    key: String,
    /// As it is listed.
    #[schemars(regex(pattern = "^(null|[0-9a-f]{48})$"))]
    version: String,
}

fn item(entry: VersionEntry) -> Item {
    let VersionEntry { key, version, latest, created_unix_ms, object, .. } = entry;
    let deleted = object.is_none();
    let object = object.map(|VersionObject { size_bytes, etag, .. }| (size_bytes, etag));
    let (size, etag) = object.unzip();
    Item {
        key: key.to_string(),
        version: version.to_string(),
        is_latest: latest,
        deleted,
        size,
        etag,
        last_modified: rfc3339(created_unix_ms),
    }
}

/// `GET`: a page of them.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    BucketPath(bucket): BucketPath,
    uri: Uri,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Page<Listed>, Problem> {
    let Query(Params { prefix, cursor: after, limit }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let query = VersionQuery {
        prefix: prefix_of(prefix)?,
        after: after.as_deref().map(cursor).transpose()?,
        limit: pages::limit(limit)?,
        delimiter: None,
    };
    let bucket = app.objects.bucket(&bucket).await?;
    let page = app.objects.versions(&bucket, &query).await?;
    let next_cursor = page.next.as_ref().and_then(cursor_text);
    let answer =
        Listed { items: page.entries.into_iter().map(item).collect(), next_cursor: next_cursor.clone() };
    Ok(Page::new(answer, &uri, next_cursor.as_deref()))
}

/// `POST …/restore`: a copy of a version is what the key shows from now on.
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    BucketPath(bucket): BucketPath,
    (Extension(cause), Extension(note)): (Extension<Arc<Cause>>, Extension<Note>),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let condition = conditional::of_write(&headers)?;
    let Restore { key, version } = incoming::json(&headers, body).await?;
    let wrong = |field, detail: String| Problem::new(Kind::InvalidBody, detail).in_body(field);
    let key = object_key(key.as_bytes()).map_err(|problem| wrong("key", problem.detail().to_owned()))?;
    let version: VersionId = version.parse().map_err(|_| {
        wrong("version", "take the version from the list, unchanged: `null` or 48 digits".to_owned())
    })?;
    let said = format!("{key} as it was as {version}");
    let restored = app.objects.restore_version((&bucket, key), version, condition, &cause).await?;
    // Not before: what a private bucket refuses may be a name that its client forgot to seal.
    note.detail(said);
    files::answer(&restored)
}
