//! Two zones are drained at once with `kubectl drain` while files are written and read: the disruption budget lets one node of
//! the pool go and keeps the others, and says so; uncordoned, all come back.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, NAMESPACE, POOL};
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};
use futures::future::try_join_all;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DynamicObject;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// kubectl asks again every five seconds; it is to be refused more than once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);
const BUDGET: &str = "demo-main";

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let hosts = hosts_of_two_zones(cluster).await?;
    let mut traffic = Traffic::start_with_reads(&door.gateway, "drained", seed);
    traffic.go_on(4, PUTS_TIMEOUT).await?;

    let drains = try_join_all(hosts.iter().map(|host| cluster.drain(host, DRAIN_TIMEOUT)));
    let (drains, going_on) = tokio::join!(drains, traffic.go_on(4, PUTS_TIMEOUT));
    going_on?;
    one_went_and_the_others_wait(cluster, &drains?).await?;
    traffic.go_on(4, PUTS_TIMEOUT).await?;

    // Lets pods be scheduled there again, and waits until all are back.
    cluster.settle().await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    clear(&door.gateway, &written).await
}

/// The Kubernetes nodes below the storage nodes of two zones, without those that carry the gateway: it has one copy.
async fn hosts_of_two_zones(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let all = cluster.members().await?;
    let (gateways, storage): (Vec<_>, Vec<_>) = all.into_iter().partition(|m| m.component == "gateway");
    let is_gateways = |host: &str| gateways.iter().any(|gateway| gateway.host == host);
    let bare: Vec<_> = storage.iter().filter(|m| !is_gateways(&m.host)).collect();
    let zones: BTreeSet<&str> = bare.iter().map(|m| m.zone.as_str()).collect();
    let two: Vec<&str> = zones.into_iter().rev().take(2).collect();
    ensure!(two.len() == 2, "the test needs two zones without the gateway, there are {two:?}");
    let hosts: BTreeSet<String> =
        bare.iter().filter(|m| two.contains(&m.zone.as_str())).map(|m| m.host.clone()).collect();
    Ok(hosts.into_iter().collect())
}

async fn one_went_and_the_others_wait(cluster: &Cluster, drains: &[Output]) -> anyhow::Result<()> {
    let refused = "violate the pod's disruption budget";
    let said: Vec<_> = drains.iter().map(|drain| String::from_utf8_lossy(&drain.stderr)).collect();
    ensure!(said.iter().any(|said| said.contains(refused)), "no eviction was refused: {said:?}");
    ensure!(drains.iter().filter(|drain| drain.status.success()).count() <= 1, "two zones were drained");
    let storage = cluster.storage().await?;
    let up = storage.iter().filter(|member| member.ready).count();
    ensure!(up + 1 == storage.len(), "{up} of {} nodes are up, one was to be evicted", storage.len());
    let budget = cluster.api::<PodDisruptionBudget>(NAMESPACE).get(BUDGET).await?.status;
    let budget = budget.context("the budget has no status")?;
    ensure!(budget.disruptions_allowed == 0 && budget.current_healthy == 5, "{budget:?}");
    let described = cluster.kubectl.run(&["-n", NAMESPACE, "describe", "pdb", BUDGET]).await?;
    ensure!(described.contains("Allowed disruptions:  0"), "kubectl describe does not say why: {described}");
    let gone = storage.iter().find(|member| !member.ready).context("no pod went")?.node.clone();
    let told = |pool: Option<&DynamicObject>| {
        let degraded = pool.and_then(|pool| wait::condition(pool, "Degraded"));
        degraded.is_some_and(|c| c.status == "True" && c.message.contains(&gone))
    };
    wait::object_until(&cluster.pools(NAMESPACE), POOL, "the pool names the node", SAID_TIMEOUT, told)
        .await?;
    Ok(())
}
