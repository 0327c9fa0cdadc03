//! `/api/v1/buckets`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Bucket, BucketKind};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
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
