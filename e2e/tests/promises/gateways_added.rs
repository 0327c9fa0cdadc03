//! A gateway that kept the catalog alone is given two others while files are written and read: nothing that was there is lost, puts
//! go on once it has restarted.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;

const SPACE: &str = "datamesh-e2e-added";
const GATEWAYS: usize = 3;
/// The gateway restarts within it, and more than one request hangs until it has.
const PUTS_TIMEOUT: Duration = Duration::from_secs(150);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = add_two(cluster).await;
    cluster.leave_second(SPACE, "gateways_added", outcome).await
}

async fn add_two(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    cluster.make_second(SPACE, json!({})).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    until_single(cluster).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start_that_tries_again(&door.gateway, "kept", seed);
    traffic.go_on(12, PUTS_TIMEOUT).await?;

    set_gateways(cluster, SPACE, GATEWAYS).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    let catalog = door.gateway.status().await?.catalog;
    ensure!(catalog.members.len() == GATEWAYS, "{} gateways keep the catalog", catalog.members.len());
    cluster.destroy_second(SPACE).await
}

/// Alone, it says that the catalog has one copy, and a backup.
async fn until_single(cluster: &Cluster) -> anyhow::Result<()> {
    let single = |object: Option<&DynamicObject>| {
        let safe = object.and_then(|object| wait::condition(object, "DataSafe"));
        safe.is_some_and(|c| {
            c.status == "True" && c.message.contains("have one copy, on the gateway's volume, and a backup")
        })
    };
    let what = "the single copy and its backup are told";
    wait::object_until(&cluster.clusters(SPACE), SECOND, what, SAID_TIMEOUT, single).await?;
    Ok(())
}

pub(crate) async fn set_gateways(cluster: &Cluster, space: &str, replicas: usize) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": {"gateway": {"replicas": replicas}}}));
    cluster.clusters(space).patch(SECOND, &PatchParams::default(), &patch).await?;
    Ok(())
}
