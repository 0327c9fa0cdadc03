//! `/api/v1/buckets`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Bucket, BucketKind, DefaultRetention, RetentionPeriod, Versioning};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
use super::metadata::ShownMode;
use super::target::bucket_name;
use super::{App, incoming};
use crate::problem::Problem;

/// Who seals what is in a bucket.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "BucketKind")]
enum Kind {
    /// The gateway.
    #[default]
    Managed,
    /// Its clients, who alone have the keys.
    Private,
}

/// How a bucket is made.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewBucket")]
pub(super) struct Create {
    /// For ever.
    #[serde(default)]
    kind: Kind,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Bucket")]
pub(super) struct Shown {
    name: String,
    kind: Kind,
    pool: String,
    created_at: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BucketList")]
pub(super) struct Listed {
    items: Vec<Shown>,
}

/// A bucket, what is set of it and what it has.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BucketShown")]
pub(super) struct Whole {
    #[serde(flatten)]
    bucket: Shown,
    /// Whether it keeps versions.
    versioning: Versions,
    /// For how many days what is deleted now is kept; absent: it has no trash, or one that is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_days: Option<u32>,
    /// Whether its versions may be locked.
    locks: bool,
    /// What versions get that are put without a word of their retention.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_retention: Option<ShownRetention>,
    /// Objects that it shows.
    objects: u64,
    /// Their bytes.
    bytes: u64,
    /// What is kept beside them: earlier versions, and deletes that hide some.
    versions: u64,
    version_bytes: u64,
}

/// Whether a bucket keeps versions.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "BucketVersioning")]
enum Versions {
    /// It never did.
    Never,
    Enabled,
    /// It did: those stay.
    Suspended,
}

/// For days or for years.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DefaultRetention")]
pub(super) struct ShownRetention {
    mode: ShownMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    years: Option<u32>,
}

fn retention(default: DefaultRetention) -> ShownRetention {
    let (days, years) = match default.period {
        RetentionPeriod::Days(days) => (Some(days), None),
        RetentionPeriod::Years(years) => (None, Some(years)),
    };
    ShownRetention { mode: default.mode.into(), days, years }
}

fn shown(bucket: &Bucket) -> Shown {
    Shown {
        name: bucket.name.to_string(),
        kind: match bucket.kind {
            BucketKind::Managed => Kind::Managed,
            BucketKind::Private => Kind::Private,
        },
        pool: bucket.pool.to_string(),
        created_at: rfc3339(bucket.created_unix_ms),
    }
}

/// `GET`: all buckets, by name.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let buckets = app.objects.buckets().await?;
    Ok(Json(Listed { items: buckets.iter().map(shown).collect() }).into_response())
}

/// `GET` of one.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Whole>, Problem> {
    let name = bucket_name(&name)?;
    let (bucket, usage) = app.objects.bucket_and_usage(&name).await?;
    let context = app.objects.bucket(&name).await?;
    let (locking, trash) = (app.objects.locking(&context).await?, app.objects.trash(&context).await?);
    Ok(Json(Whole {
        bucket: shown(&bucket),
        versioning: match app.objects.versioning(&context).await? {
            None => Versions::Never,
            Some(Versioning::Enabled) => Versions::Enabled,
            Some(Versioning::Suspended) => Versions::Suspended,
        },
        trash_days: trash.days.filter(|_| trash.keeps),
        locks: locking.is_some(),
        default_retention: locking.and_then(|locking| locking.default).map(retention),
        objects: usage.objects,
        bytes: usage.plain_bytes,
        versions: usage.versions,
        version_bytes: usage.version_bytes,
    }))
}

/// `PUT` of one: makes it; 409 when there is one.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let name = bucket_name(&name)?;
    let Create { kind } = incoming::json_or_default(&headers, body).await?;
    let kind = match kind {
        Kind::Managed => BucketKind::Managed,
        Kind::Private => BucketKind::Private,
    };
    let bucket = app.objects.create_bucket(&name, (kind, None)).await?;
    Ok((StatusCode::CREATED, Json(shown(&bucket))).into_response())
}

/// `DELETE` of one: 409 while it has objects.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.objects.delete_bucket(&bucket_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
