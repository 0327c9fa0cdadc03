//! A folder as one download: a zip that is written while it is sent ([ADR 48](../../../../../docs/adr/0048-folders-as-zips.md)).

mod names;
mod right;
mod size;
mod writer;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use datamesh_catalog::{BucketId, Cursor, ListQuery, Listing, ObjectKey};
use datamesh_shard::BucketName;
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::App;
use super::account::{Origin, from};
use super::shared::{attachment, file_name};
use super::target::BucketPath;
use crate::limits;
use crate::objects::Found;
use crate::owned;
use crate::problem::{Kind, Problem};
use names::Names;
use size::Size;
use writer::{Entry, Writer};

pub(super) use right::Right;

/// Zips written at a time of those who are known, and of those who have links: these lock nobody out who is known.
const OF_KNOWN: usize = 5;
const OF_STRANGERS: usize = 3;
/// When to come again where so many are.
const AGAIN_SECONDS: u64 = 10;
/// Pieces between the writer and the connection, some 64 KiB each.
const PIECES_MAX: usize = 2;

/// Who may write a zip at the moment.
pub(crate) struct Archives {
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Default for Archives {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { known: of(OF_KNOWN), strangers: of(OF_STRANGERS) }
    }
}

impl Archives {
    fn turn(&self, right: &Right) -> Result<OwnedSemaphorePermit, Problem> {
        let turns = if right.is_stranger_s() { &self.strangers } else { &self.known };
        Arc::clone(turns).try_acquire_owned().map_err(|_| {
            let detail = format!("as many zips are being written as may be: try again in {AGAIN_SECONDS} s");
            Problem::new(Kind::TooManyRequests, detail)
                .header(header::RETRY_AFTER, HeaderValue::from(AGAIN_SECONDS))
        })
    }
}

/// A turn to write a zip, and how large that is.
pub(super) struct Begun {
    turn: OwnedSemaphorePermit,
    size: Size,
}

/// What goes into a zip: all objects of a bucket whose keys begin so, named without that.
pub(super) struct Folder {
    pub(super) bucket: BucketId,
    pub(super) bucket_name: BucketName,
    pub(super) prefix: String,
    pub(super) right: Right,
}

/// Why a zip ends before its end. Its client has a part of a zip, which no program takes for a whole one.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error("the client takes no more")]
    Gone,
    #[error("the client took too long")]
    Slow,
    #[error("{0}")]
    Problem(String),
    #[error(transparent)]
    Body(#[from] axum::Error),
    #[error(transparent)]
    Zip(#[from] writer::WriteError),
}

impl From<Problem> for ArchiveError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem.detail().to_owned())
    }
}

/// What of a bucket is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// What the keys begin with; they are named without it. It ends with `/`, or is absent for the whole bucket.
    #[schemars(length(max = OBJECT_KEY_BYTES_MAX))]
    prefix: Option<String>,
}

/// `GET`: all objects under a prefix.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    BucketPath(bucket_name): BucketPath,
    origin: Origin,
    (method, headers): (Method, HeaderMap),
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Params { prefix }) = params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let prefix = prefix.unwrap_or_default();
    if prefix.len() > OBJECT_KEY_BYTES_MAX || !(prefix.is_empty() || prefix.ends_with('/')) {
        let detail = format!("a prefix ends with `/` and has at most {OBJECT_KEY_BYTES_MAX} bytes");
        return Err(Problem::parameter("prefix", detail));
    }
    let bucket = app.objects.bucket(&bucket_name).await?;
    bucket.secrets()?;
    let bucket = bucket.id;
    let right = Right::Asker { method, headers, from: from(origin) };
    let folder = Folder { bucket, bucket_name, prefix, right };
    let begun = begin(&app, &folder).await?;
    answer(app, folder, begun)
}

/// A turn to write a zip of this folder, if it is not too large.
///
/// # Errors
/// `conflict` for more files and names than a zip has, `too-many-requests` while others are written, `customer-key` where the first file
/// cannot be read: behind that the zip breaks off.
pub(super) async fn begin(app: &App, folder: &Folder) -> Result<Begun, Problem> {
    let turn = app.archives.turn(&folder.right)?;
    let (mut size, mut after) = (Size::default(), None);
    loop {
        let is_first = after.is_none();
        let listing = page(app, folder, after).await?;
        listing.entries.iter().try_for_each(|entry| size.add(entry, &folder.prefix))?;
        if is_first && let Some(entry) = listing.entries.into_iter().next() {
            found(app, folder, entry.key).await?.map_or(Ok(()), |found| found.readable())?;
        }
        after = listing.next;
        if after.is_none() {
            return Ok(Begun { turn, size });
        }
    }
}

/// A file that was listed; `None` where it was deleted since.
async fn found(app: &App, folder: &Folder, key: ObjectKey) -> Result<Option<Found>, Problem> {
    match app.objects.find(&folder.bucket_name, key).await {
        Ok(found) if found.object.bucket == folder.bucket => Ok(Some(found)),
        Err(problem) if problem.kind() == Kind::NoSuchObject => Ok(None),
        Ok(_) => Err(Problem::new(Kind::NoSuchBucket, "the bucket was deleted meanwhile")),
        Err(problem) => Err(problem),
    }
}

async fn page(app: &App, folder: &Folder, after: Option<Cursor>) -> Result<Listing, Problem> {
    let prefix = folder.prefix.clone().into_bytes();
    let query = ListQuery { prefix, after, limit: limits::LIST_MAX, delimiter: None };
    app.objects.list_in(folder.bucket, &query).await
}

/// The zip. Whoever drops the answer ends its writer, and all that is read for it.
pub(super) fn answer(app: Arc<App>, folder: Folder, begun: Begun) -> Result<Response, Problem> {
    let name =
        if folder.prefix.is_empty() { folder.bucket_name.to_string() } else { file_name(&folder.prefix) };
    let (to, pieces) = mpsc::channel(PIECES_MAX);
    let writing = owned::spawn(async move {
        let Begun { turn, size } = begun;
        let written = timeout(size.patience(), write(&app, &folder, &to)).await;
        // Others need not wait for a client that takes nothing.
        drop(turn);
        if let Err(error) = written.unwrap_or(Err(ArchiveError::Slow)) {
            if !matches!(error, ArchiveError::Gone) {
                tracing::warn!(%error, "a zip breaks off");
            }
            // Whoever is gone hears nothing.
            let _ = to.send(Err(error)).await;
        }
    });
    let pieces = stream::unfold((pieces, writing), |(mut pieces, writing)| async move {
        let piece: Result<Bytes, ArchiveError> = pieces.recv().await?;
        Some((piece, (pieces, writing)))
    });
    let mut answer = Body::from_stream(pieces).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&format!("{name}.zip")));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(answer)
}

type To = mpsc::Sender<Result<Bytes, ArchiveError>>;

async fn send(writer: &mut Writer, to: &To) -> Result<(), ArchiveError> {
    match writer.take() {
        written if written.is_empty() => Ok(()),
        written => to.send(Ok(written)).await.map_err(|_| ArchiveError::Gone),
    }
}

async fn write(app: &App, folder: &Folder, to: &To) -> Result<(), ArchiveError> {
    let (mut writer, mut names, mut after) = (Writer::new(), Names::default(), None);
    // The folder may have grown since it was looked at.
    let mut size = Size::default();
    loop {
        let listing = page(app, folder, after).await?;
        for entry in listing.entries {
            folder.right.stands(app).await?;
            size.add(&entry, &folder.prefix)?;
            let rest = entry.key.as_bytes().strip_prefix(folder.prefix.as_bytes()).unwrap_or_default();
            let Some(name) = names.name(&String::from_utf8_lossy(rest)) else { continue };
            let Some(found) = found(app, folder, entry.key).await? else { continue };
            found.readable()?;
            let size_bytes = found.object.size_bytes;
            writer.begin(&Entry { name, size_bytes, put_unix_ms: found.object.created_unix_ms })?;
            let mut body = app.objects.open(found, 0..size_bytes).await?.into_data_stream();
            while let Some(piece) = body.next().await {
                writer.write(&piece?)?;
                send(&mut writer, to).await?;
            }
        }
        after = listing.next;
        if after.is_none() {
            break;
        }
    }
    writer.finish()?;
    send(&mut writer, to).await
}
