//! The operator is killed when it has made some of a new cluster's objects: its successor finishes the work, and
//! `deletionPolicy: Destroy` then leaves nothing of that cluster.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::samples::random_bytes;
use datamesh_e2e::second::{EXTRA, NODES, SECOND};
use datamesh_e2e::wait;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::watcher;
use serde_json::json;

use crate::operator_restarted::replace_operator;

const SPACE: &str = "datamesh-e2e-killed";
const STARTED_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = kill_and_finish(cluster).await;
    cluster.leave_second(SPACE, "operator_killed", outcome).await
}

async fn kill_and_finish(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.make_second(SPACE, json!({})).await?;
    let sets = cluster.api::<StatefulSet>(SPACE);
    let what = "the operator begins";
    wait::set_until(&sets, watcher::Config::default(), what, STARTED_TIMEOUT, |now| !now.is_empty()).await?;
    replace_operator(cluster, DeleteParams::default().grace_period(0)).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let made = sets.list(&ListParams::default()).await?.items.len();
    ensure!(made == NODES + 1, "{made} StatefulSets for {NODES} nodes and a gateway");
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let body = random_bytes(1, 1, 100_000);
    door.gateway.put("proof", body.clone()).await?;
    ensure!(door.gateway.get("proof").await? == body, "the new cluster gives back something else");
    cluster.destroy_second(SPACE).await
}
