//! A pool grows by one node and shrinks again, while files are written and read: no put and no get fails, the status shows
//! the drain, pod and volume go when the gateway has proven the node to be empty and not before, and afterwards any two
//! others may be lost. While it has seven, one is drained with `kubectl datamesh drain`, and taken in again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, Door, NAMESPACE, POOL};
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::watcher;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const GROWN_TIMEOUT: Duration = Duration::from_secs(90);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// All shards of one node move while files are written: some passes of ten seconds.
const DRAINED_TIMEOUT: Duration = Duration::from_secs(150);
const FIRST: &str = "demo-main-0";
const SEVENTH: &str = "demo-main-6";

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let mut traffic = Traffic::start_with_reads(&door.gateway, "scaled", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    grow(cluster, &door).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    drained_by_hand(cluster).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    scale(cluster, 6).await?;
    let drained = async {
        until_draining_is_told(cluster).await?;
        pod_goes_after_the_proof(cluster, &door).await?;
        volume_goes_after_the_pod(cluster).await?;
        until_done(cluster).await
    };
    let (drained, going_on) = tokio::join!(drained, traffic.go_on(12, DRAINED_TIMEOUT));
    going_on?;
    drained?;
    let written = traffic.finish().await?;
    nothing_is_left(cluster).await?;

    cluster.until_whole().await?;
    let one_each = cluster.one_of_each_zone().await?;
    cluster.lose(one_each.get(..2).context("the test needs two zones")?).await?;
    verify(&door.gateway, &written).await?;
    cluster.settle().await?;
    clear(&door.gateway, &written).await
}

/// As an administrator does it; the scale subresource is for that.
async fn scale(cluster: &Cluster, replicas: u32) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl.run(&["-n", NAMESPACE, "scale", "storagepool", POOL, &replicas]).await?;
    Ok(())
}

async fn grow(cluster: &Cluster, door: &Door) -> anyhow::Result<()> {
    scale(cluster, 7).await?;
    let grown = |pool: Option<&DynamicObject>| {
        pool.is_some_and(|p| {
            wait::up_to_date(p)
                && wait::is(p, "Progressing", "False")
                && p.data.pointer("/status/nodesUp").is_some_and(|up| up == 7)
        })
    };
    wait::object_until(&cluster.pools(NAMESPACE), POOL, "the seventh node is up", GROWN_TIMEOUT, grown)
        .await?;
    // Without a shard there would be nothing to drain.
    wait::until("the seventh node has shards", GROWN_TIMEOUT, async || {
        let status = door.gateway.status().await?;
        let mut members = status.pools.iter().flat_map(|pool| &pool.members);
        let seventh = members.find(|m| m.node.as_str() == SEVENTH).context("it is no member")?;
        ensure!(seventh.report.as_ref().is_some_and(|report| report.shards > 0), "it has none");
        Ok(())
    })
    .await
}

/// `kubectl datamesh drain` ends when the node has no shard that counts any more; the pod stays.
async fn drained_by_hand(cluster: &Cluster) -> anyhow::Result<()> {
    let drain = cluster.kubectl_datamesh(&["drain", POOL, FIRST]);
    let drained = tokio::time::timeout(DRAINED_TIMEOUT, drain).await.context("the drain does not end")??;
    let said = String::from_utf8_lossy(&drained.stderr);
    ensure!(drained.status.success(), "kubectl datamesh drain: {}: {said}", drained.status);
    cluster.datamesh(&["node", "undrain", FIRST, "--pool", POOL]).await?;
    let back = |pool: Option<&DynamicObject>| pool.is_some_and(|pool| wait::is(pool, "Draining", "False"));
    let what = "nothing is drained any more";
    wait::object_until(&cluster.pools(NAMESPACE), POOL, what, SAID_TIMEOUT, back).await?;
    Ok(())
}

/// The status names the node, how much it still has, and the condition says that it drains.
async fn until_draining_is_told(cluster: &Cluster) -> anyhow::Result<()> {
    let told = |pool: Option<&DynamicObject>| {
        pool.is_some_and(|p| {
            let listed = p.data.pointer("/status/draining/0");
            wait::is(p, "Draining", "True")
                && listed.is_some_and(|node| {
                    node["node"] == SEVENTH && node["leaves"] == true && node["bytesLeft"].is_number()
                })
        })
    };
    wait::object_until(&cluster.pools(NAMESPACE), POOL, "the drain is told", SAID_TIMEOUT, told).await?;
    Ok(())
}

/// When its StatefulSet is deleted, the gateway has it in no layout any more. (It comes back into none by itself.)
async fn pod_goes_after_the_proof(cluster: &Cluster, door: &Door) -> anyhow::Result<()> {
    let sets = cluster.api::<StatefulSet>(NAMESPACE);
    let only = watcher::Config::default().fields(&format!("metadata.name={SEVENTH}"));
    wait::set_until(&sets, only, "its pod is removed", DRAINED_TIMEOUT, |now| {
        now.iter().all(|set| set.metadata.deletion_timestamp.is_some())
    })
    .await?;
    let status = door.gateway.status().await?;
    let mut members = status.pools.iter().flat_map(|pool| &pool.members);
    ensure!(members.all(|member| member.node.as_str() != SEVENTH), "its pod went before the gateway's proof");
    Ok(())
}

async fn volume_goes_after_the_pod(cluster: &Cluster) -> anyhow::Result<()> {
    let claims = cluster.api::<PersistentVolumeClaim>(NAMESPACE);
    let only = watcher::Config::default().fields(&format!("metadata.name=data-{SEVENTH}-0"));
    wait::set_until(&claims, only, "its volume is removed", DRAINED_TIMEOUT, |now| {
        now.iter().all(|claim| claim.metadata.deletion_timestamp.is_some())
    })
    .await?;
    let pod = cluster.api::<Pod>(NAMESPACE).get_opt(&format!("{SEVENTH}-0")).await?;
    ensure!(pod.is_none(), "its volume was deleted below its pod");
    Ok(())
}

/// As an administrator waits for it.
async fn until_done(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = format!("storagepool/{POOL}");
    let wait = ["-n", NAMESPACE, "wait", &pool, "--for=condition=Draining=False", "--timeout=60s"];
    cluster.kubectl.run(&wait).await?;
    Ok(())
}

async fn nothing_is_left(cluster: &Cluster) -> anyhow::Result<()> {
    let left = [
        names(&cluster.api::<StatefulSet>(NAMESPACE)).await?,
        names(&cluster.api::<PersistentVolumeClaim>(NAMESPACE)).await?,
        names(&cluster.api::<ConfigMap>(NAMESPACE)).await?,
        names(&cluster.api::<Secret>(NAMESPACE)).await?,
    ];
    let left: Vec<String> = left.concat().into_iter().filter(|name| name.contains(SEVENTH)).collect();
    ensure!(left.is_empty(), "{left:?} are left of {SEVENTH}");
    Ok(())
}

async fn names<K>(api: &Api<K>) -> anyhow::Result<Vec<String>>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    Ok(api.list(&ListParams::default()).await?.items.iter().map(kube::ResourceExt::name_any).collect())
}
