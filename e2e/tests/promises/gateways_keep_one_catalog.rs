//! Three gateways keep one catalog. While files are written and read, the leader's pod is killed, another gateway loses its volume
//! for good, and all three are restarted one after the other: whatever was acknowledged is there, each failure is mended by
//! trying again, no gateway answers with what was written over before, and the conditions say what is missing while it is.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::history::{History, S3Door};
use datamesh_e2e::second::SECOND;
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::S3_PORT;
use datamesh_settings::admin::{CatalogMember, CatalogMemberState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

const SPACE: &str = "datamesh-e2e-gateways";
const GATEWAYS: usize = 3;
const GATEWAY_PODS: &str = "app.kubernetes.io/component=gateway";
/// More than one request that hangs in a connection to a pod that is gone.
const PUTS_TIMEOUT: Duration = Duration::from_secs(120);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// A pod starts, takes what it lacks of the catalog, and the operator looks at it.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Three times that one goes, comes, and is seen to have come.
const ROLLED_TIMEOUT: Duration = Duration::from_secs(240);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = lose_one_after_the_other(cluster).await;
    cluster.leave_second(SPACE, "gateways_keep_one_catalog", outcome).await
}

async fn lose_one_after_the_other(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let spec = json!({"gateway": {"replicas": GATEWAYS, "cacheBytes": "0", "s3": {}}});
    cluster.make_second_with(SPACE, spec, json!({})).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start_that_tries_again(&door.gateway, "kept", seed);
    let (address, _forward) = cluster.reach(SPACE, &format!("{SECOND}-gateway"), S3_PORT).await?;
    let key = door.gateway.make_s3_key("history").await?;
    let history = History::start(&S3Door::beside(door.gateway.access(), address, key), seed)?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    kill_the_leader(cluster, &door.gateway, &mut traffic).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;

    lose_a_volume(cluster, &door.gateway).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    let all = members(&door.gateway).await?;
    let whole = all.iter().filter(|member| member.state == CatalogMemberState::Current).count();
    ensure!((all.len(), whole) == (GATEWAYS, GATEWAYS), "a replica is missing: {all:?}");

    restart_all(cluster).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    history.finish().await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    cluster.destroy_second(SPACE).await
}

/// Puts go on without it, and it comes back.
async fn kill_the_leader(cluster: &Cluster, gateway: &Gateway, traffic: &mut Traffic) -> anyhow::Result<()> {
    let all = members(gateway).await?;
    let leader = all.iter().find(|member| member.leads).context("nobody leads")?;
    let (pods, name) = (cluster.api::<Pod>(SPACE), format!("{}-0", leader.node));
    let old = pods.get(&name).await?.uid();
    cluster.kill(SPACE, &name).await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    wait::set_until(&pods, only, "the leader's pod is replaced", WHOLE_TIMEOUT, |now| {
        now.iter().any(|pod| pod.uid() != old && is_ready(pod))
    })
    .await?;
    Ok(())
}

/// A gateway that does not lead loses its volume: the conditions name it, and say that names and keys are not safe.
async fn lose_a_volume(cluster: &Cluster, gateway: &Gateway) -> anyhow::Result<()> {
    let all = wait::until("a gateway says who leads", SAID_TIMEOUT, || members(gateway)).await?;
    let lost = all.iter().find(|member| !member.leads).context("no gateway follows")?.node.to_string();
    let missed = |object: Option<&DynamicObject>| {
        let said = |type_| object.and_then(|object| wait::condition(object, type_));
        let unsafe_for =
            said("DataSafe").is_some_and(|c| c.status == "False" && c.reason == "CatalogReplicaMissing");
        unsafe_for && said("Degraded").is_some_and(|c| c.status == "True" && c.message.contains(&lost))
    };
    // With an empty volume it is whole again within seconds, before anybody has to be told: it is kept away until they were.
    cluster.cordon().await?;
    cluster.lose_volume(SPACE, &lost).await?;
    let clusters = cluster.clusters(SPACE);
    wait::object_until(&clusters, SECOND, "the lost volume is missed", SAID_TIMEOUT, missed).await?;
    cluster.uncordon().await
}

/// A changed spec restarts the gateways: all of them, and never two at a time.
async fn restart_all(cluster: &Cluster) -> anyhow::Result<()> {
    let pods = cluster.api::<Pod>(SPACE);
    let before = pods.list(&ListParams::default().labels(GATEWAY_PODS)).await?.items;
    ensure!(before.len() == GATEWAYS, "{} gateways", before.len());
    let patch = Patch::Merge(json!({"spec": {"gateway": {"deletedRetention": "2h"}}}));
    cluster.clusters(SPACE).patch(SECOND, &PatchParams::default(), &patch).await?;
    let most_away = Cell::new(0);
    let what = "every gateway is another";
    let config = watcher::Config::default().labels(GATEWAY_PODS);
    wait::set_until(&pods, config, what, ROLLED_TIMEOUT, |now| {
        let ready = now.iter().filter(|pod| is_ready(pod)).count();
        most_away.set(most_away.get().max(GATEWAYS.saturating_sub(ready)));
        ready == GATEWAYS && now.iter().all(|pod| before.iter().all(|old| old.uid() != pod.uid()))
    })
    .await?;
    ensure!(most_away.get() == 1, "{} gateways were away at a time", most_away.get());
    Ok(())
}

fn is_ready(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.is_some_and(|all| all.iter().all(|container| container.ready))
}

async fn members(gateway: &Gateway) -> anyhow::Result<Vec<CatalogMember>> {
    let members = gateway.status().await?.catalog.members;
    ensure!(members.iter().any(|member| member.leads), "nobody leads: {members:?}");
    Ok(members)
}
