//! Every invalid spec gets a message that says what to change: from the API server where one object can decide, else
//! as a condition. Nothing crashes and no running pod is touched, not even by an invalid spec of the cluster it is part of.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE, OPERATOR_NAMESPACE, OPERATOR_PODS, POOL};
use datamesh_e2e::nodes::{Member, ensure_untouched};
use datamesh_e2e::wait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt as _;
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
    taken_but_invalid(cluster, &before).await?;
    ensure!(operator_restarts(cluster).await? == operator, "the operator restarted");
    Ok(())
}

/// Changes of the running example that the API server refuses, each with the words that help.
async fn refused_changes(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = cluster.pools(NAMESPACE);
    let pool_changes = [
        (json!({"erasure": {"dataShards": 5}}), "replicas: every shard"),
        (json!({"recode": {"maxBytesPerSecond": "1Ki"}}), "recode.maxBytesPerSecond: at least 1Mi"),
        (json!({"replicas": 5}), "replicas:"),
        (json!({"replicas": 1001}), "replicas: 2 to 1000"),
        (json!({"erasure": {"parityShards": 9}}), "erasure.parityShards: choose 1 to 8"),
        (json!({"volumeSize": "2Gi"}), "volumeSize: a volume cannot shrink"),
        (json!({"reserve": "99Gi"}), "reserve: must be less than volumeSize"),
        (json!({"scrub": {"period": "1m"}}), "scrub.period: choose 1h to 8760h"),
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
        (json!({"gateway": {"replicas": 2}}), "gateway.replicas: 1, 3 or 5"),
        (json!({"gateway": {"volumeSize": "1Gi"}}), "gateway.volumeSize: a volume cannot shrink"),
        (json!({"gateway": {"bufferBytes": "1Mi"}}), "gateway.bufferBytes: at least 32Mi"),
        (json!({"gateway": {"cacheBytes": "1Mi"}}), "gateway.cacheBytes: 0 for no cache"),
        (json!({"gateway": {"deletedRetention": "1m"}}), "gateway.deletedRetention: at least 10m"),
        (json!({"gateway": {"auditRetention": "1h"}}), "gateway.auditRetention: at least 24h"),
        (
            json!({"gateway": {"exposure": {"nodePort": 30000}}}),
            "gateway.exposure.nodePort: only with type NodePort",
        ),
        (json!({"zoneLabel": "other"}), "zoneLabel: cannot change"),
        (json!({"image": {"repository": "datamesh:dev"}}), "image.repository:"),
        (json!({"image": {"tag": "a/b"}}), "image.tag:"),
        (json!({"logLevel": "loud"}), "logLevel:"),
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

/// A change of the running cluster that the API server takes and the operator refuses: both the cluster and its pool say
/// so, and no pod of either is touched, though the same change names another image.
async fn taken_but_invalid(cluster: &Cluster, before: &[Member]) -> anyhow::Result<()> {
    let clusters = cluster.clusters(NAMESPACE);
    let spec = clusters.get(CLUSTER).await?.data["spec"].take();
    let (tag, buffers) = (&spec["image"]["tag"], &spec["gateway"]["bufferBytes"]);
    let good = json!({"image": {"tag": tag}, "gateway": {"bufferBytes": buffers}});
    let sets = set_generations(cluster).await?;
    let outcome = refuse_whole(cluster, before, &sets).await;
    // First of all, since no promise holds with such a spec.
    change(&clusters, good).await?;
    outcome?;
    cluster.settle().await?;
    ensure!(set_generations(cluster).await? == sets, "a StatefulSet was changed when the spec was put right");
    ensure_untouched(before, &cluster.members().await?).context("when the spec was put right")
}

async fn refuse_whole(
    cluster: &Cluster,
    before: &[Member],
    sets: &BTreeMap<String, Option<i64>>,
) -> anyhow::Result<()> {
    let (clusters, pools) = (cluster.clusters(NAMESPACE), cluster.pools(NAMESPACE));
    change(&clusters, json!({"image": {"tag": "none-such"}, "gateway": {"bufferBytes": "200Mi"}})).await?;
    let words = "leaves less than 128Mi of the memory limit 256Mi";
    wait::object_until(&clusters, CLUSTER, "the invalid change is told", SAID_TIMEOUT, |object| {
        object.is_some_and(|o| ["Ready", "Progressing"].iter().all(|type_| tells(o, type_, words)))
    })
    .await?;
    // Its own spec did not change: only by these words it is known that the pool's controller has seen the cluster's.
    let words = format!("The spec of DataMeshCluster {CLUSTER} is invalid");
    wait::object_until(&pools, POOL, "the pool tells of it too", SAID_TIMEOUT, |object| {
        object.is_some_and(|o| wait::condition(o, "Progressing").is_some_and(|c| c.message.contains(&words)))
    })
    .await?;
    // A changed template is there at once, the pods it restarts a moment later.
    let now = set_generations(cluster).await?;
    ensure!(now == *sets, "an invalid spec changed a StatefulSet: {sets:?} became {now:?}");
    ensure_untouched(before, &cluster.members().await?).context("by an invalid spec")
}

async fn change(api: &Api<DynamicObject>, spec: Value) -> anyhow::Result<()> {
    api.patch(CLUSTER, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
    Ok(())
}

/// Whether a condition is False with these words, and speaks of the present spec.
fn tells(object: &DynamicObject, type_: &str, words: &str) -> bool {
    wait::condition(object, type_).is_some_and(|c| {
        c.status == "False"
            && c.message.contains(words)
            && c.observed_generation == object.metadata.generation
    })
}

/// Generations of the example's StatefulSets: they rise with every change of a pod's template.
async fn set_generations(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, Option<i64>>> {
    let selector = ListParams::default().labels(&format!("datamesh.io/cluster={CLUSTER}"));
    let sets = cluster.api::<StatefulSet>(NAMESPACE).list(&selector).await?.items;
    ensure!(!sets.is_empty(), "no StatefulSets run the example");
    Ok(sets.iter().map(|set| (set.name_any(), set.metadata.generation)).collect())
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
