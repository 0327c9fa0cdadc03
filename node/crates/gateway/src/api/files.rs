//! `PUT`, `GET`, `HEAD`, `DELETE` of one object.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Cause, Condition, Marking, Object, VersionId};
use datamesh_shard::NodeName;
use datamesh_shard::limits::OBJECT_BYTES_MAX;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditional::{self, Read};
use super::listing::rfc3339;
use super::range::{self, Wanted};
use super::target::ObjectPath;
use super::{App, Incoming, shreds};
use crate::objects::{Durability, Erasure, Fields, Meta, Removed, Stored};
use crate::problem::Problem;

/// How safe a put is at the moment of its answer.
pub(super) const DURABILITY: HeaderName = HeaderName::from_static("datamesh-durability");
/// Headers of this prefix are kept with the object.
pub(super) const META_PREFIX: &str = "x-datamesh-meta-";
/// Headers that are kept with an object as they came, and given with it.
pub(crate) const KEPT_HEADERS: [HeaderName; 5] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::EXPIRES,
];
const TYPE_DEFAULT: &str = "application/octet-stream";

/// What a put answers, besides its headers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WrittenObject")]
pub(super) struct Written<'a> {
    key: String,
    size: u64,
    etag: &'a str,
    last_modified: String,
}

/// `PUT`: stores the body under the key; replaces what was there in one step.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let condition = conditional::of_write(&headers)?;
    let meta = meta_of(&headers)?;
    let body = Incoming::new(body, OBJECT_BYTES_MAX)?;
    let stored = app.objects.put((&path.bucket, path.key), meta, body, condition, &cause).await?;
    answer(&stored)
}

/// The answer to a put or a completed upload.
pub(super) fn answer(stored: &Stored) -> Result<Response, Problem> {
    let object = &stored.object;
    let status = if stored.replaced { StatusCode::OK } else { StatusCode::CREATED };
    let written = Written {
        key: object.key.to_string(),
        size: object.size_bytes,
        etag: &object.etag,
        last_modified: rfc3339(object.created_unix_ms),
    };
    let etag = [(header::ETAG, conditional::quoted(&object.etag)?)];
    let mut answer = (status, etag, Json(written)).into_response();
    if let Some(durability) = stored.durability {
        answer.headers_mut().insert(DURABILITY, describe(durability)?);
    }
    Ok(answer)
}

/// The value of `DataMesh-Durability`.
pub(super) fn describe(durability: Durability) -> Result<HeaderValue, Problem> {
    let text = match durability {
        Durability::Whole => "whole".to_owned(),
        Durability::Short { durable, of } => format!("short; durable={durable}; of={of}"),
    };
    HeaderValue::try_from(text).map_err(|error| Problem::internal("the durability is no header", &error))
}

/// What is read.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ReadParams {
    /// A version, as it is listed; absent: what the key shows.
    #[schemars(regex(pattern = "^(null|[0-9a-f]{48})$"))]
    version: Option<String>,
}

fn version(text: Option<&str>) -> Result<Option<VersionId>, Problem> {
    let parsed = text.map(str::parse::<VersionId>).transpose();
    parsed.map_err(|error| Problem::parameter("version", error.to_string()))
}

/// `GET` and `HEAD`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    method: Method,
    path: ObjectPath,
    params: Result<Query<ReadParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(params) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let found = match version(params.version.as_deref())? {
        None => app.objects.find(&path.bucket, path.key).await?,
        Some(version) => app.objects.find_version(&path.bucket, path.key, version).await?,
    };
    found.readable()?;
    let (status, part) = judged(&found.object, &headers)?;
    let mut answer = head(&found.object, &found.fields, &part, status)?;
    if method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        *answer.body_mut() = app.objects.open(found, part).await?;
    }
    Ok(answer)
}

/// What a read with these headers comes to: its status, and the bytes that are sent where it is no 304.
pub(super) fn judged(object: &Object, headers: &HeaderMap) -> Result<(StatusCode, Range<u64>), Problem> {
    let whole = 0..object.size_bytes;
    let wanted = match conditional::of_read(headers, &object.etag)? {
        Read::NotModified => return Ok((StatusCode::NOT_MODIFIED, whole)),
        Read::SendWhole => Wanted::Whole,
        Read::Send => range::wanted(headers, object.size_bytes)?,
    };
    Ok(match wanted {
        Wanted::Whole => (StatusCode::OK, whole),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
    })
}

/// The answer to a read without its body. A 304 has type and metadata too: they may be others than those the client has, though the bytes
/// are the same.
pub(super) fn head(
    object: &Object,
    fields: &Fields,
    part: &Range<u64>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, conditional::quoted(&object.etag)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    }
    let kind = HeaderValue::from_str(&object.content_type).unwrap_or(HeaderValue::from_static(TYPE_DEFAULT));
    headers.insert(header::CONTENT_TYPE, kind);
    if let Ok(date) = HeaderValue::try_from(http_date(object.created_unix_ms)) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{}", part.start, part.end - 1, object.size_bytes);
        let value =
            HeaderValue::try_from(text).map_err(|e| Problem::internal("the range is no header", &e))?;
        headers.insert(header::CONTENT_RANGE, value);
    }
    // A browser must not take an object for a page of ours.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let user = fields.user.iter().map(|(name, value)| (format!("{META_PREFIX}{name}"), value));
    let kept =
        KEPT_HEADERS.iter().filter_map(|name| Some((name.to_string(), fields.system.get(name.as_str())?)));
    for (name, value) in kept.chain(user) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    Ok(answer)
}

/// As in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Content type and user metadata of a put.
pub(super) fn meta_of(headers: &HeaderMap) -> Result<Meta, Problem> {
    let text = |value: &HeaderValue, field| match value.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Problem::request_header(field, "the header's value is plain ASCII")),
    };
    let content_type =
        headers.get(header::CONTENT_TYPE).map(|value| text(value, "Content-Type")).transpose()?;
    let mut user = Vec::new();
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(META_PREFIX) {
            user.push((name.to_owned(), text(value, "x-datamesh-meta-*")?));
        }
    }
    let content_type = content_type.unwrap_or_else(|| TYPE_DEFAULT.to_owned());
    Ok(Meta::new(content_type, Fields { user, ..Fields::default() })?)
}

/// What a delete answers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedObject")]
pub(super) struct Deleted {
    key: String,
    /// Id of the marker that hides the object, in a bucket that keeps versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    /// Of the object, or of the version whose place the marker took; absent: all of it is kept.
    #[serde(flatten)]
    erased: Option<Erased>,
}

/// What a delete may claim. The object is gone for every request that begins after the answer, and with its row the key
/// that opens its shards is out of reach of the API. Not covered, whatever the times say: disk blocks until a store compacts them,
/// the catalog's files until the same, backups, snapshots of volumes, nodes that were given up for lost, and in a private bucket
/// segments that another object has too.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Erased {
    /// Reads that were under way find the shards until then.
    kept_until: String,
    /// By then no node gives shards of it any more, if all of them and the gateway go on answering. Absent while `waitsFor` names
    /// a node, since none deletes before all can, and when the gateway cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<String>,
    /// Nodes of the pool that do not answer; empty when all do.
    waits_for: Vec<NodeName>,
}

impl From<Erasure> for Erased {
    fn from(Erasure { kept_until_unix_ms, erased_by_unix_ms, waits_for }: Erasure) -> Self {
        let erased_by = erased_by_unix_ms.map(rfc3339);
        Self { kept_until: rfc3339(kept_until_unix_ms), erased_by, waits_for }
    }
}

/// How a delete is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteParams {
    /// Without the retention, and out of the files of catalog and nodes: see `shreds`.
    #[serde(default)]
    shred: bool,
    /// A version, as it is listed, for good: in buckets that have a trash. Absent: what the key shows.
    #[schemars(regex(pattern = "^(null|[0-9a-f]{48})$"))]
    version: Option<String>,
}

/// `DELETE`: 200 and what becomes of the shards, 202 if it is shredded; 204, and also well, when there was nothing to see.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    params: Result<Query<DeleteParams>, QueryRejection>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(DeleteParams { shred, version: named }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let condition = conditional::of_write(&headers)?;
    let version = version(named.as_deref())?;
    if version.is_some() && (shred || condition != Condition::None) {
        let detail = "a version is deleted without a condition, for its id names it, and is not shredded: only what the key shows is";
        return Err(Problem::parameter("version", detail));
    }
    if shred {
        let begun = app.objects.shred((&path.bucket, path.key), condition, &cause).await?;
        return Ok(begun.map_or_else(|| StatusCode::NO_CONTENT.into_response(), shreds::begun));
    }
    let key = path.key.to_string();
    let removed = match version {
        Some(version) => app.objects.purge_version((&path.bucket, path.key), version, &cause).await?,
        None => app.objects.delete((&path.bucket, path.key), condition, Marking::ToHide, &cause).await?,
    };
    let (marker, erasure) = match removed {
        Removed::Nothing => return Ok(StatusCode::NO_CONTENT.into_response()),
        Removed::Marked { marker, erasure } => (Some(marker.version.to_string()), erasure),
        Removed::Gone(erasure) => (None, Some(erasure)),
    };
    Ok(Json(Deleted { key, marker, erased: erasure.map(Erased::from) }).into_response())
}
