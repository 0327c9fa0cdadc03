//! Every invalid spec gets a message that says what to change: from the API server where one object can decide, else
//! as a condition. Nothing crashes and no running pod is touched.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE, OPERATOR_NAMESPACE, OPERATOR_PODS, POOL};
use datamesh_e2e::nodes::ensure_untouched;
use datamesh_e2e::wait;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

const SPACE: &str = "datamesh-e2e-invalid";
const SAID_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let before = cluster.members().await?;
    let operator = operator_restarts(cluster).await?;
    refused_changes(cluster).await?;
    cluster.make_namespace(SPACE).await?;
    let outcome = said_by_conditions(cluster).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    for api in [cluster.pools(SPACE), cluster.clusters(SPACE)] {
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    }
    namespaces.delete(SPACE, &DeleteParams::background()).await?;
    outcome?;
    ensure_untouched(&before, &cluster.members().await?)?;
    ensure!(operator_restarts(cluster).await? == operator, "the operator restarted");
    Ok(())
}

/// Changes of the running example that the API server refuses, each with the words that help.
async fn refused_changes(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = cluster.pools(NAMESPACE);
    let pool_changes = [
        (json!({"erasure": {"dataShards": 3}}), "erasure: cannot change"),
        (json!({"replicas": 5}), "replicas:"),
        (json!({"replicas": 1001}), "replicas: 2 to 1000"),
        (json!({"erasure": {"parityShards": 9}}), "erasure.parityShards: choose 1 to 8"),
        (json!({"volumeSize": "2Gi"}), "volumeSize: a volume cannot shrink"),
        (json!({"reserve": "99Gi"}), "reserve: must be less than volumeSize"),
        (json!({"ackShards": 3}), "ackShards: choose from dataShards + 1"),
        (json!({"cipher": "ChaCha20-Poly1305"}), "cipher: cannot change"),
        (json!({"clusterRef": "other"}), "clusterRef: cannot change"),
        (json!({"storageClassName": "other"}), "storageClassName: cannot change"),
    ];
    for (change, words) in pool_changes {
        refused(&pool, POOL, change, words).await?;
    }
    let clusters = cluster.clusters(NAMESPACE);
    let cluster_changes = [
        (json!({"gateway": {"replicas": 2}}), "gateway.replicas: only 1"),
        (json!({"gateway": {"volumeSize": "1Gi"}}), "gateway.volumeSize: a volume cannot shrink"),
        (json!({"gateway": {"bufferBytes": "1Mi"}}), "gateway.bufferBytes: at least 32Mi"),
        (
            json!({"gateway": {"exposure": {"nodePort": 30000}}}),
            "gateway.exposure.nodePort: only with type NodePort",
        ),
        (json!({"zoneLabel": "other"}), "zoneLabel: cannot change"),
    ];
    for (change, words) in cluster_changes {
        refused(&clusters, CLUSTER, change, words).await?;
    }
    Ok(())
}

async fn refused(api: &Api<DynamicObject>, name: &str, change: Value, words: &str) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": change}));
    match api.patch(name, &PatchParams::default().dry_run(), &patch).await {
        Ok(_) => anyhow::bail!("{change} of {name} was taken, not refused with {words:?}"),
        Err(kube::Error::Api(answer)) if answer.message.contains(words) => Ok(()),
        Err(error) => anyhow::bail!("{change} of {name} was refused without {words:?}: {error}"),
    }
}

/// Specs only the operator can judge.
async fn said_by_conditions(cluster: &Cluster) -> anyhow::Result<()> {
    let image = json!({"repository": "datamesh.invalid/none", "tag": "none", "pullPolicy": "Never"});
    let resources = json!({"limits": {"memory": "128Mi"}});
    let tight = json!({"image": image, "gateway": {"volumeSize": "1Gi", "bufferBytes": "96Mi", "resources": resources}});
    create(&cluster.clusters(SPACE), "DataMeshCluster", "tight", tight).await?;
    said(&cluster.clusters(SPACE), "tight", "leaves less than 96Mi of the memory limit").await?;

    let no_secret =
        json!({"image": image, "gateway": {"volumeSize": "1Gi"}, "tls": {"secretName": "nowhere"}});
    create(&cluster.clusters(SPACE), "DataMeshCluster", "secretless", no_secret).await?;
    said(&cluster.clusters(SPACE), "secretless", "Secret nowhere does not exist").await?;

    let alone = json!({"clusterRef": "nobody", "replicas": 6, "volumeSize": "1Gi"});
    create(&cluster.pools(SPACE), "StoragePool", "alone", alone).await?;
    said(&cluster.pools(SPACE), "alone", "nobody").await?;
    let pods = cluster.api::<Pod>(SPACE).list(&ListParams::default()).await?.items;
    ensure!(pods.is_empty(), "an invalid spec made {} pods", pods.len());
    Ok(())
}

async fn create(api: &Api<DynamicObject>, kind: &str, name: &str, spec: Value) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "datamesh.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": SPACE}, "spec": spec,
    });
    api.create(&Default::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

async fn said(api: &Api<DynamicObject>, name: &str, words: &str) -> anyhow::Result<()> {
    let what = format!("a condition says {words:?}");
    wait::object_until(api, name, &what, SAID_TIMEOUT, |object| {
        let all = ["Ready", "Progressing"].map(|type_| object.and_then(|o| wait::condition(o, type_)));
        all.iter().flatten().any(|c| c.status == "False" && c.message.contains(words))
    })
    .await?;
    Ok(())
}

async fn operator_restarts(cluster: &Cluster) -> anyhow::Result<i32> {
    let selector = ListParams::default().labels(OPERATOR_PODS);
    let pods = cluster.api::<Pod>(OPERATOR_NAMESPACE).list(&selector).await?.items;
    ensure!(!pods.is_empty(), "no operator runs");
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
    Ok(statuses.map(|status| status.restart_count).sum())
}
