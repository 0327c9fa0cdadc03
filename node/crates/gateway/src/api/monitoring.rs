//! `/api/v1/monitoring`: how the cluster is, in few words and numbers. Nothing here is counted for it alone: it is the status, read
//! for dashboards. Time series are at the health port's `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use datamesh_settings::admin::{ClusterStatus, MemberState, PoolStatus};
use datamesh_settings::mesh::Finding;
use datamesh_shard::{NodeName, PoolName};
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, admin};
use crate::problem::{Kind, Problem};

/// Whether all is well.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    state: HealthState,
    /// What is wrong and what will clear it, a sentence each, of all pools.
    problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum HealthState {
    /// Nothing is wrong.
    Healthy,
    /// Something is wrong; every pool can be written.
    Degraded,
    /// A pool cannot be written, or there is none.
    Failing,
}

impl Health {
    fn of(status: &ClusterStatus) -> Self {
        let problems: Vec<_> = status.pools.iter().flat_map(|pool| pool.problems.clone()).collect();
        let writable = !status.pools.is_empty() && status.pools.iter().all(|pool| pool.writable);
        let state = match (writable, problems.is_empty()) {
            (false, _) => HealthState::Failing,
            (true, false) => HealthState::Degraded,
            (true, true) => HealthState::Healthy,
        };
        Self { state, problems }
    }
}

/// What is to be looked at, worst first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Alerts {
    items: Vec<Finding>,
}

/// Numbers of the cluster.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbers {
    /// The gateway that answers.
    gateway: NodeName,
    /// Objects in all buckets.
    objects: u64,
    /// Segments waiting to be deleted from the nodes.
    condemned_segments: u64,
    pools: Vec<PoolNumbers>,
}

/// Numbers of one pool. Sums are over the nodes that have reported: see `heardNodes`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PoolNumbers {
    name: PoolName,
    nodes: usize,
    /// Those that answer.
    up_nodes: usize,
    /// Those whose numbers are in the sums.
    heard_nodes: usize,
    /// Bytes the nodes may use.
    capacity_bytes: u64,
    /// Bytes their disks have free.
    free_bytes: u64,
    shards: u64,
    /// Payload bytes of those.
    shard_bytes: u64,
    /// Segments of which too few shards are to be had; absent before they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_segments: Option<u64>,
}

impl PoolNumbers {
    fn of(pool: &PoolStatus) -> Self {
        let reports: Vec<_> = pool.members.iter().filter_map(|member| member.report.as_ref()).collect();
        let is_up = |state| matches!(state, MemberState::Up | MemberState::Full);
        Self {
            name: pool.name.clone(),
            nodes: pool.members.len(),
            up_nodes: pool.members.iter().filter(|member| is_up(member.state)).count(),
            heard_nodes: reports.len(),
            capacity_bytes: reports.iter().map(|report| report.capacity_bytes).sum(),
            free_bytes: reports.iter().map(|report| report.free_bytes).sum(),
            shards: reports.iter().map(|report| report.shards).sum(),
            shard_bytes: reports.iter().map(|report| report.shard_bytes).sum(),
            unreadable_segments: pool.safety.as_ref().map(|safety| safety.unreadable),
        }
    }
}

/// `GET health`.
pub(super) async fn health(state: State<Arc<App>>) -> Result<Json<Health>, Problem> {
    let Json(status) = admin::status(state).await?;
    Ok(Json(Health::of(&status)))
}

/// `GET alerts`: asks all nodes what they see.
pub(super) async fn alerts(state: State<Arc<App>>) -> Result<Json<Alerts>, Problem> {
    let Json(mesh) = admin::mesh(state).await?;
    Ok(Json(Alerts { items: mesh.findings }))
}

/// `GET metrics`.
pub(super) async fn metrics(state: State<Arc<App>>) -> Result<Json<Numbers>, Problem> {
    let Json(status) = admin::status(state).await?;
    Ok(Json(Numbers {
        gateway: status.gateway,
        objects: status.catalog.objects,
        condemned_segments: status.catalog.condemned_segments,
        pools: status.pools.iter().map(PoolNumbers::of).collect(),
    }))
}

/// `GET analytics`: nothing keeps what it would be made of, and nothing is made up.
pub(super) async fn analytics() -> Problem {
    Problem::new(
        Kind::NotImplemented,
        "no history is kept yet: have Prometheus read /metrics of the health port, and ask that",
    )
}
