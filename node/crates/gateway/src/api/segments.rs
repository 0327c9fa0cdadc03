//! Uploads to private buckets: segments that clients sealed, each put by itself as often as needed, and the manifest that makes an object
//! of them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datamesh_catalog::limits::{PAGE_SEALED_BYTES_MAX, PAGE_SEGMENTS_MAX, PART_PAGES_MAX};
use datamesh_catalog::{Cause, SegmentRef, Way};
use datamesh_seal::PRIVATE_SEGMENT_BYTES_MAX;
use datamesh_shard::limits::SEALED_BYTES_MAX;
use datamesh_shard::{Cipher, SegmentId};
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::{self, DURABILITY};
use super::target::segment_id;
use super::uploads::id_of;
use super::{App, Incoming, conditional, incoming, pages};
use crate::limits;
use crate::objects::{self, Arrival, NewPage};
use crate::problem::{Kind, Problem};

/// How the segments of an upload are made.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sealing {
    /// What each segment begins with: hexadecimal digits.
    mark: String,
    pool: String,
    /// k of the profile in which ids are made now.
    data_shards: u8,
    /// m of it.
    parity_shards: u8,
    /// The cipher that the pool's own segments have.
    #[schemars(with = "String")]
    cipher: Cipher,
    /// Plaintext bytes of a segment at most, where it is sealed as the gateway's own are.
    segment_bytes_max: usize,
    /// Bytes of a segment at most, its mark among them.
    sealed_bytes_max: usize,
    page_segments_max: usize,
    page_sealed_bytes_max: usize,
}

impl From<objects::Sealing> for Sealing {
    fn from(objects::Sealing { mark, pool, profile, cipher }: objects::Sealing) -> Self {
        Self {
            mark: mark.to_string(),
            pool: pool.to_string(),
            data_shards: profile.data(),
            parity_shards: profile.parity(),
            cipher,
            segment_bytes_max: PRIVATE_SEGMENT_BYTES_MAX,
            sealed_bytes_max: SEALED_BYTES_MAX,
            page_segments_max: PAGE_SEGMENTS_MAX,
            page_sealed_bytes_max: PAGE_SEALED_BYTES_MAX,
        }
    }
}

/// A segment that is durable.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PutSegment")]
pub(super) struct Put {
    id: String,
    sealed_bytes: u32,
}

/// A segment of an upload or object.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SealedSegment")]
pub(super) struct Segment {
    id: String,
    sealed_bytes: u32,
    pool: String,
    data_shards: u8,
    parity_shards: u8,
}

impl From<&SegmentRef> for Segment {
    fn from(segment: &SegmentRef) -> Self {
        Self {
            id: segment.id.to_string(),
            sealed_bytes: segment.sealed_bytes,
            pool: segment.pool.to_string(),
            data_shards: segment.profile.data(),
            parity_shards: segment.profile.parity(),
        }
    }
}

/// `PUT` of one: 201 once it is durable, 200 if it was before.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path((id, segment)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let (id, segment) = (id_of(&id)?, segment_id(&segment)?);
    let body = Incoming::new(body, u64::try_from(SEALED_BYTES_MAX).unwrap_or(u64::MAX))?;
    let arrival = app.objects.put_segment(id, segment, body, limits::UPLOAD_LEASE).await?;
    let Arrival { sealed_bytes, durability } = arrival;
    let put = Json(Put { id: segment.to_string(), sealed_bytes });
    let Some(durability) = durability else { return Ok((StatusCode::OK, put).into_response()) };
    Ok((StatusCode::CREATED, [(DURABILITY, files::describe(durability)?)], put).into_response())
}

/// Which of them are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SegmentParams")]
pub(super) struct Params {
    /// `nextCursor` of the page before, unchanged.
    cursor: Option<String>,
    /// Entries of the page at most.
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    limit: Option<usize>,
}

/// Some of an upload's segments, by id.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SegmentList")]
pub(super) struct Listed {
    items: Vec<Segment>,
    /// Where to go on; absent at the end. There may be more though this page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// `GET`: those that need not be put again.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    params: Result<Query<Params>, QueryRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Query(Params { cursor, limit }) =
        params.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let wrong = |_| Problem::parameter("cursor", "a cursor is `nextCursor` of the page before, unchanged");
    let after = cursor.as_deref().map(segment_id).transpose().map_err(wrong)?;
    let found = app.objects.segments_put(id_of(&id)?, after, pages::limit(limit)?).await?;
    let next_cursor = found.after.map(|segment| segment.to_string());
    let items = found.segments.iter().map(Segment::from).collect();
    let listed = Listed { items, next_cursor: next_cursor.clone() };
    Ok(pages::Page::new(listed, &uri, next_cursor.as_deref()).into_response())
}

/// A page of a manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewManifestPage")]
pub(super) struct Page {
    /// Ids of segments that are durable in the upload, in the order of the object.
    #[schemars(with = "Vec<String>", length(min = 1, max = PAGE_SEGMENTS_MAX))]
    segments: Vec<SegmentId>,
    /// What the client sealed of them, in Base64; kept as it is.
    sealed: String,
}

impl Page {
    fn numbered(self, number: u32) -> Result<NewPage, Problem> {
        let sealed = sealed_of(&self.sealed, PAGE_SEALED_BYTES_MAX)?;
        Ok(NewPage { number, segments: self.segments, sealed })
    }
}

/// What a client sealed, out of the field `sealed`.
pub(super) fn sealed_of(text: &str, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let wrong = |detail: String| Problem::new(Kind::InvalidBody, detail).in_body("sealed");
    let sealed =
        STANDARD.decode(text).map_err(|error| wrong(format!("send Base64 with its padding: {error}")))?;
    if sealed.len() > bytes_max {
        return Err(wrong(format!("at most {bytes_max} sealed bytes are taken here, not {}", sealed.len())));
    }
    Ok(sealed)
}

/// What a manifest has so far.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WrittenManifestPage")]
pub(super) struct Written {
    /// Its pages.
    pages: u32,
    /// Their segments.
    segments: u64,
    /// Sealed bytes of these.
    size: u64,
}

/// `PUT` of a page, for objects of more than one.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path((id, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let number = number.parse().ok().filter(|number| *number < PART_PAGES_MAX);
    let number = number.ok_or_else(|| {
        Problem::parameter("page", format!("a page's number is 0 to {}", PART_PAGES_MAX - 1))
    })?;
    let id = id_of(&id)?;
    let page: Page = incoming::json(&headers, body).await?;
    let part = app.objects.put_manifest_page(id, page.numbered(number)?, limits::UPLOAD_LEASE).await?;
    Ok(Json(Written { pages: part.pages, segments: part.segments, size: part.plain_bytes }).into_response())
}

/// The end of an upload.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CommitManifest")]
pub(super) struct Commit {
    /// The last page's number: there are as many before it. 0 if left out.
    #[serde(default)]
    #[schemars(range(max = PART_PAGES_MAX - 1))]
    page: u32,
    /// Ids of its segments, in the order of the object.
    #[schemars(with = "Vec<String>", length(min = 1, max = PAGE_SEGMENTS_MAX))]
    segments: Vec<SegmentId>,
    /// What the client sealed of them, in Base64; kept as it is.
    sealed: String,
}

/// Makes the object. Again, it gives the same.
pub(super) async fn commit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(cause): Extension<Arc<Cause>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let condition = conditional::of_write(&headers)?;
    let id = id_of(&id)?;
    let Commit { page, segments, sealed } = incoming::json(&headers, body).await?;
    let last = Page { segments, sealed }.numbered(page)?;
    let cause = Arc::new(Cause { way: Way::Parts, ..(*cause).clone() });
    files::answer(&app.objects.commit_sealed(id, last, condition, &cause).await?)
}
