//! Deleting the cluster and its pool keeps volumes and key; applying the same objects again goes on with the data.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE, POOL};
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::runtime::watcher;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const GONE_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let mut traffic = Traffic::start(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    let key = cluster.secret(NAMESPACE, "demo-cluster-key", "secret").await?;
    let volumes = volumes(cluster).await?;

    let specs =
        [take(&cluster.pools(NAMESPACE), POOL).await?, take(&cluster.clusters(NAMESPACE), CLUSTER).await?];
    let config = watcher::Config::default().labels(&format!("datamesh.io/cluster={CLUSTER}"));
    let pods = cluster.api::<Pod>(NAMESPACE);
    wait::set_until(&pods, config, "all pods are gone", GONE_TIMEOUT, |now| now.is_empty()).await?;
    ensure!(volumes_equal(&volumes, &self::volumes(cluster).await?), "volumes went with the cluster");
    let kept = cluster.secret(NAMESPACE, "demo-cluster-key", "secret").await;
    ensure!(kept.context("the key went with the cluster")? == key, "the key changed");

    for spec in &specs {
        let api = if spec.types.as_ref().is_some_and(|t| t.kind == "StoragePool") {
            cluster.pools(NAMESPACE)
        } else {
            cluster.clusters(NAMESPACE)
        };
        api.create(&Default::default(), spec).await?;
    }
    cluster.settle().await?;
    // The tokens went with the cluster; clients get new ones.
    let door = cluster.gateway().await?;
    verify(&door.gateway, &written).await?;
    ensure!(volumes_equal(&volumes, &self::volumes(cluster).await?), "volumes were replaced");
    clear(&door.gateway, &written).await
}

/// Deletes an object, waits until it is gone, and gives what would be applied to have it again.
async fn take(api: &Api<DynamicObject>, name: &str) -> anyhow::Result<DynamicObject> {
    let mut object = api.get(name).await?;
    api.delete(name, &DeleteParams::background()).await?;
    let what = format!("{name} is gone");
    wait::object_until(api, name, &what, GONE_TIMEOUT, |object| object.is_none()).await?;
    object.metadata = kube::core::ObjectMeta {
        name: Some(name.into()),
        namespace: Some(NAMESPACE.into()),
        ..Default::default()
    };
    object.data.as_object_mut().context("no object")?.remove("status");
    Ok(object)
}

/// Names and uids of all claims.
async fn volumes(cluster: &Cluster) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let claims = cluster.api::<PersistentVolumeClaim>(NAMESPACE).list(&ListParams::default()).await?;
    Ok(claims.iter().map(|claim| (claim.name_any(), claim.uid())).collect())
}

fn volumes_equal(before: &[(String, Option<String>)], after: &[(String, Option<String>)]) -> bool {
    !before.is_empty() && before == after
}
