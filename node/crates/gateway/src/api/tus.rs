//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): uploads that plain clients go on with where they stopped. Core, creation,
//! creation with upload, checksum, termination and expiration ([ADR 50](../../../../../docs/adr/0050-tus-appends-and-the-catalog-judges.md)).

mod checksum;
mod headers;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Cause, Condition, UploadId};
use datamesh_shard::limits::OBJECT_BYTES_MAX;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::body::Body as _;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::target::{DEFAULT_BUCKET, bucket_name, object_key};
use super::uploads::id_of;
use super::{App, conditional, files};
use crate::audit::Note;
use crate::objects::{Arriving, Growth};
use crate::problem::{Kind, Problem};

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";
/// What a body is that goes behind what is there.
pub(super) const MEDIA_TYPE: &str = "application/offset+octet-stream";
const EXTENSIONS: &str = "creation,creation-with-upload,checksum,termination,expiration";
const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD: HeaderName = HeaderName::from_static("x-http-method-override");

/// `OPTIONS`: what is spoken here, for anyone.
pub(super) async fn offers() -> Response {
    let offered = [
        (VERSIONS, HeaderValue::from_static(VERSION)),
        (HeaderName::from_static("tus-extension"), HeaderValue::from_static(EXTENSIONS)),
        (HeaderName::from_static("tus-max-size"), HeaderValue::from(OBJECT_BYTES_MAX)),
        (HeaderName::from_static("tus-checksum-algorithm"), HeaderValue::from_static(checksum::ALGORITHMS)),
    ];
    spoken(Ok((StatusCode::NO_CONTENT, offered).into_response()))
}

/// `POST`: begins an upload, with its first bytes if they are sent along.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    spoken(created(&app, &note, &cause, (&headers, body)).await)
}

/// `HEAD`: how far an upload is.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    spoken(shown(&app, &id, &headers).await)
}

/// `PATCH`: writes behind what is there.
pub(super) async fn append(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    spoken(appended(&app, &id, &cause, (&headers, body)).await)
}

/// `DELETE`: gives an upload up.
pub(super) async fn end(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    spoken(ended(&app, &id, &headers).await)
}

/// `POST` to an upload: what `X-HTTP-Method-Override` says, for clients that can send nothing else.
pub(super) async fn stand_in(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    spoken(match headers.get(METHOD).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => appended(&app, &id, &cause, (&headers, body)).await,
        Some(b"DELETE") => ended(&app, &id, &headers).await,
        Some(b"HEAD") => shown(&app, &id, &headers).await,
        _ => Err(Problem::request_header("X-HTTP-Method-Override", "say PATCH, DELETE or HEAD")),
    })
}

/// The answer, as this version of the protocol gives it.
fn spoken(answer: Result<Response, Problem>) -> Response {
    let mut answer = answer.into_response();
    answer.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    answer
}

async fn created(
    app: &Arc<App>,
    note: &Note,
    cause: &Arc<Cause>,
    (asked, body): (&HeaderMap, Body),
) -> Result<Response, Problem> {
    headers::speaks(asked)?;
    let length = headers::length(asked)?;
    let metadata = headers::metadata(asked)?;
    let bucket = metadata.bucket.as_deref().unwrap_or(DEFAULT_BUCKET);
    if app.objects.may_tell(bucket, &[&metadata.key]).await {
        note.detail(format!("/{bucket}/{}", metadata.key));
    }
    let bucket = bucket_name(bucket).map_err(of_metadata)?;
    let key = object_key(metadata.key.as_bytes()).map_err(of_metadata)?;
    let condition = conditional::of_write(asked)?;
    let begins = if body.is_end_stream() { None } else { Some(arriving(asked, body, 0)?) };
    let begun = app.objects.begin_growing((&bucket, key), &metadata, length, (condition.clone(), cause));
    let (id, mut growth) = begun.await?;
    let location = format!("/api/v1/tus/{id}");
    note.target(location.clone());
    let mut answer = StatusCode::CREATED.into_response();
    if let Some(arriving) = begins {
        let stored = growth.stored.take();
        let grown = grown(app, id, arriving, (condition, cause)).await;
        if grown.is_err() {
            // Its client never hears of it. If it does not end now, its time does it.
            let _ = app.objects.abort(id).await;
        }
        growth = grown?;
        growth.stored = growth.stored.or(stored);
        answer.headers_mut().insert(OFFSET, HeaderValue::from(growth.offset));
    }
    let location = HeaderValue::try_from(location);
    let location =
        location.map_err(|error| Problem::internal("the place of an upload is no header", &error))?;
    answer.headers_mut().insert(header::LOCATION, location);
    tell(&mut answer, &growth)?;
    Ok(answer)
}

async fn shown(app: &App, id: &str, asked: &HeaderMap) -> Result<Response, Problem> {
    headers::speaks(asked)?;
    let growth = app.objects.growth(id_of(id)?).await?;
    let mut answer = StatusCode::OK.into_response();
    let told = answer.headers_mut();
    told.insert(OFFSET, HeaderValue::from(growth.offset));
    told.insert(LENGTH, HeaderValue::from(growth.length));
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !growth.metadata.is_empty() {
        let metadata = HeaderValue::try_from(&growth.metadata);
        let metadata = metadata.map_err(|error| Problem::internal("kept metadata is no header", &error))?;
        told.insert(METADATA, metadata);
    }
    tell(&mut answer, &growth)?;
    Ok(answer)
}

async fn appended(
    app: &Arc<App>,
    id: &str,
    cause: &Arc<Cause>,
    (asked, body): (&HeaderMap, Body),
) -> Result<Response, Problem> {
    headers::speaks(asked)?;
    let id = id_of(id)?;
    let offset = headers::offset(asked)?;
    let arriving = arriving(asked, body, offset)?;
    let growth = grown(app, id, arriving, (conditional::of_write(asked)?, cause)).await?;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    answer.headers_mut().insert(OFFSET, HeaderValue::from(growth.offset));
    tell(&mut answer, &growth)?;
    Ok(answer)
}

async fn ended(app: &App, id: &str, asked: &HeaderMap) -> Result<Response, Problem> {
    headers::speaks(asked)?;
    app.objects.end_growing(id_of(id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What comes behind this offset.
fn arriving(asked: &HeaderMap, body: Body, offset: u64) -> Result<Arriving, Problem> {
    headers::is_appended(asked)?;
    Ok(Arriving { body, offset, witness: checksum::of(asked)? })
}

/// Writes what comes to its end, also when its client goes away: then what came is there when it comes again.
async fn grown(
    app: &Arc<App>,
    id: UploadId,
    arriving: Arriving,
    (condition, cause): (Condition, &Arc<Cause>),
) -> Result<Growth, Problem> {
    let (tell, told) = oneshot::channel();
    let (writer, cause) = (Arc::clone(app), Arc::clone(cause));
    let writing = async move {
        // Whoever asked may be gone.
        let _ = tell.send(writer.objects.grow(id, arriving, (condition, &cause)).await);
    };
    app.appends.run(writing.in_current_span());
    let stopped = |_| Problem::new(Kind::Internal, "it stopped half way; the gateway's log says why");
    told.await.map_err(stopped)?
}

/// Until when an upload is kept, or what it became.
fn tell(answer: &mut Response, growth: &Growth) -> Result<(), Problem> {
    let told = answer.headers_mut();
    if let Some(Ok(date)) = growth.expires_unix_ms.map(|at| HeaderValue::try_from(files::http_date(at))) {
        told.insert(EXPIRES, date);
    }
    if let Some(stored) = &growth.stored {
        told.insert(header::ETAG, conditional::quoted(&stored.object.etag)?);
    }
    if let Some(durability) = growth.durability {
        told.insert(files::DURABILITY, files::describe(durability)?);
    }
    Ok(())
}

/// Bucket and key stand in the metadata, and are told of there.
fn of_metadata(problem: Problem) -> Problem {
    problem.in_header("Upload-Metadata")
}
