//! Pools, status and the cluster's key: for the operator and administrators.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_seal::ClusterSecret;
use datamesh_settings::admin::{ClusterStatus, PoolSpec};
use datamesh_settings::mesh::MeshStatus;
use datamesh_shard::{NodeName, PoolName};
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{App, incoming};
use crate::audit::Note;
use crate::backup::Points;
use crate::fsck::Fsck;
use crate::layouts::{LayoutManager, NodeError, PutPoolError};
use crate::mesh_status::MeshSource;
use crate::objects::refusals;
use crate::problem::{Kind, Problem};

/// What the admin routes need besides the rest.
pub(crate) struct Admin {
    pub(crate) cluster: NodeName,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) layouts: Arc<LayoutManager>,
    pub(crate) mesh: MeshSource,
    pub(crate) fsck: Fsck,
    pub(crate) points: Points,
}

/// `GET /api/v1/status`, `GET /api/v1/admin/status`.
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<ClusterStatus>, Problem> {
    Ok(Json(app.status.now().await.map_err(refusals::catalog)?))
}

/// `GET /api/v1/admin/mesh`: asks all nodes what they see.
pub(super) async fn mesh(State(app): State<Arc<App>>) -> Result<Json<MeshStatus>, Problem> {
    let Json(status) = status(State(Arc::clone(&app))).await?;
    Ok(Json(app.admin.mesh.now(&status).await))
}

/// `PUT /api/v1/admin/pools/{pool}`: answers with the cluster's status.
pub(super) async fn put_pool(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Path(pool): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClusterStatus>, Problem> {
    let pool = PoolName::new(&pool).map_err(|error| Problem::parameter("pool", error.to_string()))?;
    let spec: PoolSpec = incoming::json(&headers, body).await?;
    note.detail(serde_json::to_string(&spec).unwrap_or_default());
    app.admin.layouts.put_pool(&pool, spec).await.map_err(refused)?;
    status(State(app)).await
}

fn refused(error: PutPoolError) -> Problem {
    match error {
        PutPoolError::Spec(spec) if spec.is_in_use() => {
            Problem::new(Kind::PoolInUse, spec.to_string()).in_body(spec.field())
        }
        PutPoolError::Spec(spec) => Problem::new(Kind::InvalidBody, spec.to_string()).in_body(spec.field()),
        error => match error.catalog() {
            Some(error) => refusals::catalog(error.clone()),
            None => Problem::internal("cannot keep the pool", &error),
        },
    }
}

/// `PUT /api/v1/admin/pools/{pool}/drains/{node}`: the node gives its shards to the others. Answers with the status.
pub(super) async fn drain(
    State(app): State<Arc<App>>,
    Path((pool, node)): Path<(String, String)>,
) -> Result<Json<ClusterStatus>, Problem> {
    let (pool, node) = names(&pool, &node)?;
    let now_unix_ms = app.surroundings.now_unix_ms();
    app.admin.layouts.drain(&pool, &node, now_unix_ms).await.map_err(not_done)?;
    status(State(app)).await
}

/// `DELETE /api/v1/admin/pools/{pool}/drains/{node}`: the node takes shards again, wherever its drain stands.
pub(super) async fn undrain(
    State(app): State<Arc<App>>,
    Path((pool, node)): Path<(String, String)>,
) -> Result<Json<ClusterStatus>, Problem> {
    let (pool, node) = names(&pool, &node)?;
    app.admin.layouts.undrain(&pool, &node).await.map_err(not_done)?;
    status(State(app)).await
}

/// `POST /api/v1/admin/pools/{pool}/nodes/{node}/replace`: the node's volume is lost for good; it may join with an empty one.
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    Path((pool, node)): Path<(String, String)>,
) -> Result<Json<ClusterStatus>, Problem> {
    let (pool, node) = names(&pool, &node)?;
    app.admin.layouts.replace(&pool, &node, app.surroundings.now_unix_ms()).await.map_err(not_done)?;
    status(State(app)).await
}

fn names(pool: &str, node: &str) -> Result<(PoolName, NodeName), Problem> {
    let pool = PoolName::new(pool).map_err(|error| Problem::parameter("pool", error.to_string()))?;
    let node = NodeName::new(node).map_err(|error| Problem::parameter("node", error.to_string()))?;
    Ok((pool, node))
}

fn not_done(error: NodeError) -> Problem {
    match error {
        NodeError::NoPool(_) => Problem::new(Kind::NoSuchNode, error.to_string()).in_parameter("pool"),
        NodeError::NoMember { .. } => Problem::new(Kind::NoSuchNode, error.to_string()).in_parameter("node"),
        NodeError::Spec(spec) => Problem::new(Kind::PoolInUse, spec.to_string()).in_parameter("node"),
        NodeError::Answers { .. } => Problem::new(Kind::Conflict, error.to_string()).in_parameter("node"),
        error => match error.catalog() {
            Some(error) => refusals::catalog(error.clone()),
            None => Problem::internal("cannot change the node", &error),
        },
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExportedKey<'a> {
    cluster: &'a NodeName,
    fingerprint: String,
    secret: &'a str,
}

/// `POST /api/v1/admin/key/export`: the cluster's secret, to be kept where the cluster is not.
pub(super) async fn export_key(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let secret = app.admin.secret.to_hex();
    let exported = ExportedKey {
        cluster: &app.admin.cluster,
        fingerprint: app.admin.secret.fingerprint(),
        secret: &secret,
    };
    let json = serde_json::to_vec(&exported).map(Zeroizing::new);
    let json = json.map_err(|error| Problem::internal("cannot write the key", &error))?;
    tracing::warn!("the cluster's key was exported");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, json.to_vec()).into_response())
}
