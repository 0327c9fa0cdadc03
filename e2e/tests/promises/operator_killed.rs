//! The operator is killed when it has made some of a new cluster's objects: its successor finishes the work, and
//! `deletionPolicy: Destroy` then leaves nothing of that cluster.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::{Cluster, NAMESPACE};
use datamesh_e2e::samples::random_bytes;
use datamesh_e2e::wait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::runtime::watcher;
use serde_json::json;

use crate::operator_restarted::replace_operator;

const SPACE: &str = "datamesh-e2e-killed";
const STARTED_TIMEOUT: Duration = Duration::from_secs(60);
const GONE_TIMEOUT: Duration = Duration::from_secs(90);
const NODES: usize = 3;

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.make_namespace(SPACE).await?;
    let outcome = kill_and_finish(cluster).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    if outcome.is_err() {
        // Before its namespace goes with all that explains it.
        cluster.collect("operator_killed").await;
    }
    namespaces.delete(SPACE, &DeleteParams::background()).await?;
    outcome
}

async fn kill_and_finish(cluster: &Cluster) -> anyhow::Result<()> {
    make_second_cluster(cluster).await?;
    let sets = cluster.api::<StatefulSet>(SPACE);
    let what = "the operator begins";
    wait::set_until(&sets, watcher::Config::default(), what, STARTED_TIMEOUT, |now| !now.is_empty()).await?;
    replace_operator(cluster, DeleteParams::default().grace_period(0)).await?;
    cluster.until_ready(SPACE, "second", "extra").await?;
    let made = sets.list(&ListParams::default()).await?.items.len();
    ensure!(made == NODES + 1, "{made} StatefulSets for {NODES} nodes and a gateway");
    let door = cluster.gateway_of(SPACE, "second").await?;
    let body = random_bytes(1, 1, 100_000);
    door.gateway.put("proof", body.clone()).await?;
    ensure!(door.gateway.get("proof").await? == body, "the new cluster gives back something else");
    destroy(cluster).await
}

/// A small cluster beside the example, with its image.
async fn make_second_cluster(cluster: &Cluster) -> anyhow::Result<()> {
    let demo = cluster.clusters(NAMESPACE).get("demo").await?;
    let image = demo.data.pointer("/spec/image").cloned().unwrap_or_default();
    let resources = json!({"requests": {"cpu": "10m", "memory": "64Mi"}});
    let spec = json!({
        "image": image,
        "deletionPolicy": "Destroy",
        "gateway": {"volumeSize": "1Gi", "bufferBytes": "64Mi", "resources": resources},
    });
    create(&cluster.clusters(SPACE), "DataMeshCluster", "second", spec).await?;
    let spec = json!({
        "clusterRef": "second", "replicas": NODES, "erasure": {"dataShards": 1, "parityShards": 2},
        "volumeSize": "1Gi", "resources": resources,
    });
    create(&cluster.pools(SPACE), "StoragePool", "extra", spec).await
}

async fn create(
    api: &Api<DynamicObject>,
    kind: &str,
    name: &str,
    spec: serde_json::Value,
) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "datamesh.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": SPACE}, "spec": spec,
    });
    api.create(&Default::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

async fn destroy(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.pools(SPACE).delete("extra", &DeleteParams::background()).await?;
    cluster.clusters(SPACE).delete("second", &DeleteParams::background()).await?;
    let gone = |object: Option<&DynamicObject>| object.is_none();
    wait::object_until(&cluster.pools(SPACE), "extra", "the pool is gone", GONE_TIMEOUT, gone).await?;
    wait::object_until(&cluster.clusters(SPACE), "second", "the cluster is gone", GONE_TIMEOUT, gone).await?;
    let claims = cluster.api::<PersistentVolumeClaim>(SPACE);
    let none = |now: &[PersistentVolumeClaim]| now.is_empty();
    wait::set_until(&claims, watcher::Config::default(), "no volume is left", GONE_TIMEOUT, none).await?;
    let secrets = cluster.api::<Secret>(SPACE);
    let none = |now: &[Secret]| now.is_empty();
    wait::set_until(&secrets, watcher::Config::default(), "no key is left", GONE_TIMEOUT, none).await?;
    Ok(())
}
