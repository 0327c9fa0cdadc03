//! Three gateways become one while files are written and read, and the operator is killed on the way: it is called off once and begun
//! again, nothing that was acknowledged is lost, each failure is mended by trying again, and of those that left nothing remains.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::second::SECOND;
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use serde_json::json;

use crate::gateways_added::{set_gateways, until_single};
use crate::operator_restarted::replace_operator;

const SPACE: &str = "datamesh-e2e-removed";
const GATEWAYS: usize = 3;
const GATEWAY_LABEL: &str = "app.kubernetes.io/component=gateway";
/// The last gateway restarts alone within it, and more than one request hangs until it has.
const PUTS_TIMEOUT: Duration = Duration::from_secs(150);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// Three restarts one after the other, the votes, two pods in their grace, and a last restart.
const LEFT_TIMEOUT: Duration = Duration::from_secs(420);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = remove_two(cluster).await;
    cluster.leave_second(SPACE, "gateways_removed", outcome).await
}

async fn remove_two(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let spec = json!({"gateway": {"replicas": GATEWAYS, "cacheBytes": "0"}});
    cluster.make_second_with(SPACE, spec, json!({})).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start_that_tries_again(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    set_gateways(cluster, SPACE, 1).await?;
    until_leaving(cluster).await?;
    // Somebody changes their mind, and then again.
    set_gateways(cluster, SPACE, GATEWAYS).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    until_whole_again(cluster).await?;
    set_gateways(cluster, SPACE, 1).await?;
    until_leaving(cluster).await?;
    replace_operator(cluster, DeleteParams::default().grace_period(0)).await?;

    until_one(cluster).await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    ensure_nothing_remains(cluster).await?;
    until_single(cluster, SPACE).await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    let catalog = door.gateway.status().await?.catalog;
    ensure!(catalog.members.is_empty() && catalog.leaving.is_none(), "others have a part still: {catalog:?}");
    ensure!(catalog.replicas == 1, "{} copies", catalog.replicas);
    cluster.destroy_second(SPACE).await
}

async fn until_leaving(cluster: &Cluster) -> anyhow::Result<()> {
    let said = |object: Option<&DynamicObject>| {
        let progressing = object.and_then(|object| wait::condition(object, "Progressing"));
        progressing.is_some_and(|c| c.reason == "GatewaysLeaving" && c.message.contains("second-gateway-3"))
    };
    let clusters = cluster.clusters(SPACE);
    wait::object_until(&clusters, SECOND, "it is said who leaves", SAID_TIMEOUT, said).await?;
    Ok(())
}

/// As many restarts as it takes to be told of one another again.
async fn until_whole_again(cluster: &Cluster) -> anyhow::Result<()> {
    let settled = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            let wanted = [("Ready", "True"), ("DataSafe", "True"), ("Progressing", "False")];
            let ready = object.data.pointer("/status/gatewaysReady").and_then(serde_json::Value::as_u64);
            ready == u64::try_from(GATEWAYS).ok()
                && wanted.iter().all(|(type_, status)| wait::is(object, type_, status))
                && wait::up_to_date(object)
        })
    };
    let clusters = cluster.clusters(SPACE);
    wait::object_until(&clusters, SECOND, "all three keep it again", LEFT_TIMEOUT, settled).await?;
    Ok(())
}

async fn until_one(cluster: &Cluster) -> anyhow::Result<()> {
    let one = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            wait::is(object, "Progressing", "False")
                && wait::is(object, "Ready", "True")
                && wait::up_to_date(object)
        })
    };
    let clusters = cluster.clusters(SPACE);
    wait::object_until(&clusters, SECOND, "one gateway is left", LEFT_TIMEOUT, one).await?;
    Ok(())
}

async fn ensure_nothing_remains(cluster: &Cluster) -> anyhow::Result<()> {
    let gateways = ListParams::default().labels(GATEWAY_LABEL);
    let sets = cluster.api::<StatefulSet>(SPACE).list(&gateways).await?.items;
    let sets: Vec<String> = sets.iter().map(|set| set.name_any()).collect();
    ensure!(sets == ["second-gateway"], "StatefulSets are left: {sets:?}");
    let claims = cluster.api::<PersistentVolumeClaim>(SPACE).list(&ListParams::default()).await?.items;
    let left: Vec<String> =
        claims.iter().map(|claim| claim.name_any()).filter(|name| name.contains("-gateway-")).collect();
    ensure!(left == ["data-second-gateway-0"], "volumes are left: {left:?}");
    let maps = cluster.api::<ConfigMap>(SPACE).list(&gateways).await?.items;
    ensure!(maps.len() == 1, "{} settings are left", maps.len());
    Ok(())
}
