//! `/api/v1/buckets`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::Bucket;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::listing::rfc3339;
use super::target::bucket_name;
use crate::problem::Problem;

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Bucket")]
pub(super) struct Shown {
    name: String,
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
) -> Result<Response, Problem> {
    let bucket = app.objects.create_bucket(&bucket_name(&name)?, None).await?;
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
