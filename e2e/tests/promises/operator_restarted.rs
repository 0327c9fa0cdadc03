//! The operator is replaced: it takes up its work, and no pod of the cluster is restarted for it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE, OPERATOR_NAMESPACE, OPERATOR_PODS};
use datamesh_e2e::nodes::ensure_untouched;
use datamesh_e2e::wait;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

const REPLACED_TIMEOUT: Duration = Duration::from_secs(60);
/// A lease must run out before another operator works.
const WORKS_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let before = cluster.members().await?;
    replace_operator(cluster, DeleteParams::default()).await?;
    // A changed spec that touches no pod: once its status speaks of it, the new operator has done its work.
    for paused in [true, false] {
        let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
        cluster.clusters(NAMESPACE).patch(CLUSTER, &PatchParams::default(), &patch).await?;
        let what = "the new operator works";
        wait::object_until(&cluster.clusters(NAMESPACE), CLUSTER, what, WORKS_TIMEOUT, |object| {
            object.is_some_and(wait::up_to_date)
        })
        .await?;
    }
    cluster.settle().await?;
    ensure_untouched(&before, &cluster.members().await?)
}

/// Deletes the operator's pods and waits for others to be ready.
pub(crate) async fn replace_operator(cluster: &Cluster, how: DeleteParams) -> anyhow::Result<()> {
    let pods = cluster.api::<Pod>(OPERATOR_NAMESPACE);
    let old: Vec<String> = pods
        .list(&ListParams::default().labels(OPERATOR_PODS))
        .await?
        .items
        .iter()
        .map(|pod| pod.uid().context("no uid"))
        .collect::<anyhow::Result<_>>()?;
    ensure!(!old.is_empty(), "no operator runs");
    pods.delete_collection(&how, &ListParams::default().labels(OPERATOR_PODS)).await?;
    let config = watcher::Config::default().labels(OPERATOR_PODS);
    wait::set_until(&pods, config, "another operator is ready", REPLACED_TIMEOUT, |now| {
        now.iter().any(|pod| pod.uid().is_some_and(|uid| !old.contains(&uid)) && is_ready(pod))
    })
    .await?;
    Ok(())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}
