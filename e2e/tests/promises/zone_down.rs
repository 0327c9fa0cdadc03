//! A whole zone's storage nodes are gone: every file comes back, puts go on, the conditions name the zone.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE};
use datamesh_e2e::nodes::Member;
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let gateway = &door.gateway;
    let all = cluster.storage().await?;
    let zone = all.last().context("no storage pods")?.zone.clone();
    let lost: Vec<Member> = all.into_iter().filter(|m| m.zone == zone).collect();
    ensure!(lost.len() == 2, "{zone} has {} of the pool's nodes: 4+2 over 3 zones has 2 in each", lost.len());

    let mut traffic = Traffic::start(gateway, "zone/before", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let before = traffic.finish().await?;

    cluster.lose(&lost).await?;
    verify(gateway, &before).await?;
    let mut traffic = Traffic::start(gateway, "zone/during", seed.wrapping_add(1));
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let during = traffic.finish().await?;
    verify(gateway, &during).await?;
    let clusters = cluster.clusters(NAMESPACE);
    wait::object_until(&clusters, CLUSTER, "Degraded names the zone", SAID_TIMEOUT, |object| {
        let degraded = object.and_then(|o| wait::condition(o, "Degraded"));
        degraded.is_some_and(|c| c.status == "True" && c.message.contains(&zone))
    })
    .await?;

    cluster.settle().await?;
    verify(gateway, &before).await?;
    verify(gateway, &during).await?;
    clear(gateway, &before).await?;
    clear(gateway, &during).await
}
