//! Objects of private buckets: `PUT` of a small one, and `GET` of manifests and segments, all as their clients sealed them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::{Cause, UploadId, VersionId, VersionIdError};
use datamesh_shard::limits::INLINE_BYTES_MAX;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditional::{self, Read};
use super::range::{self, Wanted};
use super::segments::{Segment, sealed_of};
use super::target::{ObjectPath, SegmentPath};
use super::{App, files, incoming};
use crate::objects::ManifestPage;
use crate::problem::{Kind, Problem};

/// A small object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SmallSealedObject")]
pub(super) struct Small {
    /// All that the client sealed, in Base64.
    sealed: String,
}

/// `PUT`: replaces what was there in one step.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let condition = conditional::of_write(&headers)?;
    let Small { sealed } = incoming::json(&headers, body).await?;
    let sealed = sealed_of(&sealed, INLINE_BYTES_MAX)?;
    files::answer(&app.objects.put_sealed((&path.bucket, path.key), sealed, condition, &cause).await?)
}

/// What of a manifest is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ManifestParams")]
pub(super) struct Which {
    /// The page's number, from 0.
    #[serde(default)]
    page: u32,
    /// `object` of the page before: 404 once the key has another one. Absent: whichever it has.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    object: Option<String>,
    /// Which version of the object, in a bucket that keeps them. Absent: the newest.
    #[schemars(regex(pattern = "^([0-9a-f]{48}|null)$"))]
    version: Option<String>,
}

/// A page of a manifest.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ManifestPage")]
pub(super) struct Manifest {
    /// Which object it is of: changes with each put of the key.
    object: String,
    /// Its segments in order; none of a small object.
    segments: Vec<Segment>,
    /// What the client sealed of them, or of all of a small object, in Base64.
    sealed: String,
    /// Whether it is the last page.
    last: bool,
}

/// `GET`: a page of the manifest.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    path: ObjectPath,
    params: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Which { page, object, version }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let object = object.as_deref().map(object_of).transpose()?;
    let found = match version_of(version.as_deref())? {
        None => app.objects.find(&path.bucket, path.key).await?,
        Some(version) => app.objects.find_version(&path.bucket, path.key, version).await?,
    };
    if object.is_some_and(|object| object != found.object.upload) {
        let detail = "the key has another object by now: read its manifest from the beginning";
        return Err(Problem::new(Kind::NoSuchObject, detail).in_parameter("object"));
    }
    conditional::of_read(&headers, &found.object.etag)?;
    let manifest = app.objects.manifest(&found, page).await?;
    Ok((not_kept(), tagged(&found.object.etag)?, Json(shown(manifest))).into_response())
}

/// Ids of segments change when they are coded anew, and the object's tag does not: no cache keeps a manifest, and none is too old to be sent.
fn not_kept() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

fn shown(ManifestPage { object, segments, sealed, last }: ManifestPage) -> Manifest {
    let segments = segments.iter().map(Segment::from).collect();
    Manifest { object: object.to_string(), segments, sealed: STANDARD.encode(sealed), last }
}

fn tagged(etag: &str) -> Result<[(header::HeaderName, HeaderValue); 1], Problem> {
    Ok([(header::ETAG, conditional::quoted(etag)?)])
}

fn object_of(text: &str) -> Result<UploadId, Problem> {
    text.parse().map_err(|_| {
        Problem::parameter("object", "`object` is 32 hexadecimal digits, as the manifest has it")
    })
}

fn version_of(text: Option<&str>) -> Result<Option<VersionId>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: VersionIdError| Problem::parameter("version", error.to_string()))
}

/// Which object's segment it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SegmentOf")]
pub(super) struct Of {
    /// `object` of the manifest that names it.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    object: String,
    /// Of which version that is, where the manifest was asked for with one.
    #[schemars(regex(pattern = "^([0-9a-f]{48}|null)$"))]
    version: Option<String>,
}

/// `GET`: a segment, or a part of it. Its bytes never change: its id is their tag.
pub(super) async fn segment(
    State(app): State<Arc<App>>,
    SegmentPath { object: path, segment }: SegmentPath,
    params: Result<Query<Of>, QueryRejection>,
    (method, headers): (Method, HeaderMap),
) -> Result<Response, Problem> {
    let Query(Of { object, version }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let which = (object_of(&object)?, version_of(version.as_deref())?);
    let segment = app.objects.segment((&path.bucket, path.key), which, segment).await?;
    let (size, id) = (u64::from(segment.sealed_bytes), segment.id.to_string());
    let wanted = match conditional::of_read(&headers, &id)? {
        Read::NotModified => return Ok((StatusCode::NOT_MODIFIED, tagged(&id)?).into_response()),
        Read::SendWhole => Wanted::Whole,
        Read::Send => range::wanted(&headers, size)?,
    };
    let (status, part) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
    };
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let body = match method {
        Method::HEAD => Body::empty(),
        _ => app.objects.read_segment(segment, place(part.start)..place(part.end)).await?,
    };
    let mut answer = (status, tagged(&id)?, body).into_response();
    let all = answer.headers_mut();
    all.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    all.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        let value =
            HeaderValue::try_from(text).map_err(|e| Problem::internal("the range is no header", &e))?;
        all.insert(header::CONTENT_RANGE, value);
    }
    Ok(answer)
}
