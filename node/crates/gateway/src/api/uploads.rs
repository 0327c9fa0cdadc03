//! Resumable uploads: parts in any order, each as often as needed, then one step that makes the object.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Cause, PartSummary, UploadId, Way};
use datamesh_shard::BucketName;
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::{self, DURABILITY};
use super::target::{DEFAULT_BUCKET, bucket_name, object_key};
use super::{App, Incoming, conditional, incoming, segments};
use crate::audit::Note;
use crate::limits;
use crate::objects::{Fields, Meta};
use crate::problem::{Kind, Problem};

/// `POST /api/v1/uploads`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Begin {
    /// The default bucket if left out.
    #[schemars(with = "Option<BucketName>")]
    bucket: Option<String>,
    #[schemars(length(min = 1, max = OBJECT_KEY_BYTES_MAX))]
    key: String,
    /// Not in a private bucket: it belongs into what is sealed there.
    content_type: Option<String>,
    /// As that.
    #[serde(default)]
    meta: std::collections::BTreeMap<String, String>,
}

/// What begins, goes on or is asked for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Upload")]
pub(super) struct Shown {
    id: String,
    key: String,
    /// Bytes of each part but the last that work best.
    part_bytes: u64,
    part_bytes_max: u64,
    expires_unix_ms: u64,
    parts: Vec<Part>,
    /// How its segments are made, in a private bucket: there it has those instead of parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealing: Option<segments::Sealing>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UploadPart")]
pub(super) struct Part {
    number: u32,
    size: u64,
}

/// `POST /api/v1/uploads/{id}/complete`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Complete {
    /// The object's parts in order; absent: all, by number.
    parts: Option<Vec<u32>>,
}

/// Begins an upload.
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let begin: Begin = incoming::json(&headers, body).await?;
    let bucket = bucket_name(begin.bucket.as_deref().unwrap_or(DEFAULT_BUCKET))?;
    if app.objects.is_private(&bucket).await? {
        return begin_sealed(&app, &note, (&bucket, begin)).await;
    }
    note.detail(format!("/{bucket}/{}", begin.key));
    let key = object_key(begin.key.as_bytes())?;
    let content_type = begin.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let fields = Fields { user: begin.meta.into_iter().collect(), ..Fields::default() };
    let meta = Meta::new(content_type, fields).map_err(|error| error.in_body())?;
    let upload = app.objects.begin(&bucket, key, meta, limits::UPLOAD_LEASE).await?;
    note.target(format!("/api/v1/uploads/{}", upload.target.upload));
    Ok((StatusCode::CREATED, Json(shown(&upload, &[], None))).into_response())
}

async fn begin_sealed(
    app: &App,
    note: &Note,
    (bucket, begin): (&BucketName, Begin),
) -> Result<Response, Problem> {
    let key = object_key(begin.key.as_bytes()).map_err(Problem::untold)?;
    for (field, is_said) in [("contentType", begin.content_type.is_some()), ("meta", !begin.meta.is_empty())]
    {
        if is_said {
            let detail =
                format!("{field} of an object in a private bucket belongs into what its client seals");
            return Err(Problem::new(Kind::InvalidBody, detail).in_body(field));
        }
    }
    let upload = app.objects.begin_sealed(bucket, key, limits::UPLOAD_LEASE).await?;
    note.target(format!("/api/v1/uploads/{}", upload.target.upload));
    note.detail(format!("/{bucket}/{}", upload.target.key));
    let sealing = app.objects.sealing(&upload).await?;
    Ok((StatusCode::CREATED, Json(shown(&upload, &[], sealing))).into_response())
}

fn shown(
    upload: &datamesh_catalog::Upload,
    parts: &[PartSummary],
    sealing: Option<crate::objects::Sealing>,
) -> Shown {
    Shown {
        id: upload.target.upload.to_string(),
        key: upload.target.key.to_string(),
        part_bytes: limits::PART_BYTES,
        part_bytes_max: limits::PART_BYTES_MAX,
        expires_unix_ms: upload.lease_until_unix_ms,
        parts: parts
            .iter()
            .filter(|part| part.complete)
            .map(|p| Part { number: p.part, size: p.plain_bytes })
            .collect(),
        sealing: sealing.map(segments::Sealing::from),
    }
}

pub(super) fn id_of(text: &str) -> Result<UploadId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Kind::NoSuchUpload, "an upload's id is 32 hexadecimal digits").in_parameter("id")
    })
}

/// Shows what has arrived, so that a client knows where to go on.
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let (upload, parts) = app.objects.upload(id_of(&id)?).await?;
    let sealing = app.objects.sealing(&upload).await?;
    Ok(Json(shown(&upload, &parts, sealing)).into_response())
}

/// Stores one part; sending it again replaces it.
pub(super) async fn part(
    State(app): State<Arc<App>>,
    Path((id, part)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let number = part.parse().ok().filter(|part| (1..=limits::PARTS_MAX).contains(part));
    let number = number.ok_or_else(|| {
        Problem::parameter("part", format!("a part's number is 1 to {}", limits::PARTS_MAX))
    })?;
    let body = Incoming::new(body, limits::PART_BYTES_MAX)?;
    let part = app.objects.part(id_of(&id)?, number, body, limits::UPLOAD_LEASE, None).await?;
    let durability = [(DURABILITY, files::describe(part.durability)?)];
    Ok((StatusCode::OK, durability, Json(Part { number, size: part.bytes })).into_response())
}

/// Makes the object out of its parts.
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let condition = conditional::of_write(&headers)?;
    let complete: Complete = incoming::json_or_default(&headers, body).await?;
    let cause = Arc::new(Cause { way: Way::Parts, ..(*cause).clone() });
    let stored = app.objects.complete(id_of(&id)?, complete.parts, condition, &cause).await?;
    files::answer(&stored)
}

/// Gives an upload up; also well when it has ended.
pub(super) async fn abort(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.objects.abort(id_of(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
