//! `/api/v1/shares`: links by which everybody has what a user lets them have; an administrator sees and ends those of others.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::Shared;
use datamesh_catalog::catalog::KnownShare;
use datamesh_shard::BucketName;
use datamesh_shard::limits::{OBJECT_BYTES_MAX, OBJECT_KEY_BYTES_MAX};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{NO_STORE, Secret};
use super::listing::rfc3339;
use super::shared::DROPPED_NAME_BYTES_MAX;
use super::target::{DEFAULT_BUCKET, bucket_name, object_key};
use super::{App, incoming};
use crate::accounts::{MadeShare, NewShare, SHARE_DAYS_MAX};
use crate::audit::Note;
use crate::auth::Principal;
use crate::problem::{Kind, Problem};

/// Files that a drop box takes at most.
const FILES_MAX: u32 = 100_000;
/// Downloads of a link that has a maximum, at most.
const DOWNLOADS_MAX: u32 = 1_000_000;

/// A link that is wanted: of an object (`key`), of all objects under a prefix, or a drop box under one (`prefix` and `upload`).
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Make {
    /// Absent: the default bucket.
    bucket: Option<BucketName>,
    /// The object's key.
    #[schemars(length(min = 1, max = OBJECT_KEY_BYTES_MAX))]
    key: Option<String>,
    /// How the keys begin. It ends with `/`, or is empty for the whole bucket.
    #[schemars(length(max = OBJECT_KEY_BYTES_MAX))]
    prefix: Option<String>,
    /// Others may put files there, and see nothing of what there is.
    upload: Option<Bounds>,
    /// For how many days it counts.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = SHARE_DAYS_MAX))]
    days: u64,
    /// What others must show besides the link.
    password: Option<Secret>,
    /// Downloads at most; absent: as many as anybody likes.
    #[schemars(range(min = 1, max = DOWNLOADS_MAX))]
    downloads: Option<u32>,
}

const fn week() -> u64 {
    7
}

/// What a drop box takes.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DropBounds")]
pub(super) struct Bounds {
    /// Files at most.
    #[schemars(range(min = 1, max = FILES_MAX))]
    pub(super) files: u32,
    /// Bytes of all of them at most.
    #[schemars(range(min = 1, max = OBJECT_BYTES_MAX))]
    pub(super) bytes: u64,
}

/// A link as its owner sees it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Share")]
pub(super) struct Shown {
    id: String,
    bucket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<Bounds>,
    /// Whether a password is asked for.
    password: bool,
    /// Downloads at most; absent: they are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    downloads: Option<u32>,
    used: Used,
    created_at: String,
    expires_at: String,
    /// The path of the link with its secret, only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// How much of a link was used.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ShareUse")]
pub(super) struct Used {
    /// Downloads that began, where there is a maximum.
    downloads: u32,
    /// Files that came, and those that are coming.
    files: u32,
    /// Bytes of them.
    bytes: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShareList")]
pub(super) struct Listed {
    items: Vec<Shown>,
}

impl From<Vec<KnownShare>> for Listed {
    fn from(all: Vec<KnownShare>) -> Self {
        Self { items: all.into_iter().map(Shown::from).collect() }
    }
}

impl From<KnownShare> for Shown {
    fn from(KnownShare { id, share, used }: KnownShare) -> Self {
        let (key, prefix, upload, downloads) = match share.what {
            Shared::Object { key, downloads_max } => (Some(key.to_string()), None, None, downloads_max),
            Shared::Prefix { prefix, downloads_max } => (None, Some(prefix), None, downloads_max),
            Shared::Drop { prefix, files_max: files, bytes_max: bytes } => {
                (None, Some(prefix), Some(Bounds { files, bytes }), None)
            }
        };
        Self {
            id: id.to_string(),
            bucket: share.bucket_name.to_string(),
            key,
            prefix,
            upload,
            password: share.password.is_some(),
            downloads,
            used: Used { downloads: used.downloads, files: used.files, bytes: used.bytes },
            created_at: rfc3339(share.created_unix_ms),
            expires_at: rfc3339(share.until_unix_ms),
            link: None,
        }
    }
}

fn wrong(field: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidBody, detail).in_body(field)
}

fn prefix_of(prefix: String, room: usize) -> Result<String, Problem> {
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(wrong("prefix", "a prefix ends with `/`: without, its neighbours would be shared too"));
    }
    if prefix.len() + room > OBJECT_KEY_BYTES_MAX {
        return Err(wrong(
            "prefix",
            format!("a prefix has at most {} bytes here", OBJECT_KEY_BYTES_MAX - room),
        ));
    }
    Ok(prefix)
}

impl Make {
    /// What is to be shared, if the request says one thing of it.
    fn what(&mut self) -> Result<Shared, Problem> {
        let downloads_max = self.downloads;
        if downloads_max.is_some_and(|max| !(1..=DOWNLOADS_MAX).contains(&max)) {
            return Err(wrong("downloads", format!("downloads are 1 to {DOWNLOADS_MAX}")));
        }
        match (self.key.take(), self.prefix.take(), self.upload.take()) {
            (Some(key), None, None) => {
                let key = object_key(key.as_bytes()).map_err(|problem| wrong("key", problem.detail()))?;
                Ok(Shared::Object { key, downloads_max })
            }
            (None, Some(prefix), None) => Ok(Shared::Prefix { prefix: prefix_of(prefix, 0)?, downloads_max }),
            (None, Some(prefix), Some(Bounds { files, bytes })) => {
                if downloads_max.is_some() {
                    return Err(wrong("downloads", "a drop box gives nothing: leave `downloads` out"));
                }
                if !(1..=FILES_MAX).contains(&files) {
                    return Err(wrong("upload/files", format!("files are 1 to {FILES_MAX}")));
                }
                if !(1..=OBJECT_BYTES_MAX).contains(&bytes) {
                    return Err(wrong("upload/bytes", format!("bytes are 1 to {OBJECT_BYTES_MAX}")));
                }
                let prefix = prefix_of(prefix, DROPPED_NAME_BYTES_MAX)?;
                Ok(Shared::Drop { prefix, files_max: files, bytes_max: bytes })
            }
            _ => Err(wrong("key", "name one thing: `key`, `prefix`, or `prefix` with `upload`")),
        }
    }
}

/// The path that is handed out: a browser that opens it downloads an object, and is shown of the rest what there is.
fn link_of(what: &Shared, secret: &str) -> String {
    let end = if matches!(what, Shared::Object { .. }) { "/download" } else { "" };
    format!("/api/v1/shared/{secret}{end}")
}

/// `POST`: a link, whose secret is shown this once.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    (Extension(principal), Extension(note)): (Extension<Principal>, Extension<Note>),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut make: Make = incoming::json(&headers, body).await?;
    let what = make.what()?;
    let bucket_name = make.bucket.map_or_else(|| bucket_name(DEFAULT_BUCKET), Ok)?;
    note.detail(format!("bucket={bucket_name}"));
    // Nobody who has the link alone could open what is in a private bucket.
    app.objects.bucket(&bucket_name).await?.secrets()?;
    note.detail(format!(
        "bucket={bucket_name} {what:?} days={} password={}",
        make.days,
        make.password.is_some()
    ));
    let bucket = match &what {
        Shared::Object { key, .. } => {
            let found = app.objects.find(&bucket_name, key.clone()).await?;
            // A link brings no key of the customer.
            found.readable()?;
            found.object.bucket
        }
        Shared::Prefix { .. } | Shared::Drop { .. } => app.objects.bucket(&bucket_name).await?.id,
    };
    let password = make.password.map(|Secret(password)| password);
    let new = NewShare { bucket, bucket_name, what, password, days: make.days };
    let MadeShare { known, text } = app.accounts.make_share(&principal, new).await?;
    note.target(format!("/api/v1/shares/{}", known.id));
    let link = link_of(&known.share.what, &text);
    let shown = Shown { link: Some(link), ..Shown::from(known) };
    Ok((StatusCode::CREATED, NO_STORE, Json(shown)).into_response())
}

/// `GET`: one's own that count, without their secrets.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Listed>, Problem> {
    Ok(Json(app.accounts.shares(&principal).await?.into()))
}

/// `DELETE` of one: refused from the answer on.
pub(super) async fn end(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.end_share(&principal, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET` of a user's, as an administrator.
pub(super) async fn list_of(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Listed>, Problem> {
    Ok(Json(app.accounts.shares_of(&name).await?.into()))
}

/// `DELETE` of one of a user's, as an administrator.
pub(super) async fn end_of(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.accounts.end_share_of(&name, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
