//! A storage node loses its volume for good: by `datamesh node replace` it joins again with an empty one. While its shards are
//! rebuilt there, another pod dies and files are written and read; then any two others may be lost.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, NAMESPACE, POOL};
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::nodes::Member;
use datamesh_e2e::traffic::{Traffic, Written, clear, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::admin::{ClusterStatus, PoolSafety};
use kube::api::DynamicObject;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// It is refused while the node answered within the last 15 seconds.
const REPLACED_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let mut traffic = Traffic::start(&door.gateway, "lost", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let mut written = traffic.finish().await?;

    let lost = cluster.storage().await?.swap_remove(0);
    let refused = cluster.datamesh(&["node", "replace", &lost.node, "--volume-is-lost"]).await;
    ensure!(refused.is_err(), "a node that answers was given up");
    cluster.lose_volume(NAMESPACE, &lost.node).await?;
    until_down(cluster, &lost).await?;
    wait::until("the node is given up", REPLACED_TIMEOUT, async || {
        cluster.datamesh(&["node", "replace", &lost.node, "--volume-is-lost"]).await
    })
    .await?;
    let others = cluster.one_of_each_zone().await?;
    let others: Vec<Member> = others.into_iter().filter(|m| m.zone != lost.zone).take(2).collect();
    ensure!(others.len() == 2, "the test needs two further zones");
    written.extend(die_meanwhile(cluster, &door.gateway, &others[0], seed).await?);
    cluster.settle().await?;
    cluster.until_whole().await?;
    ensure!(shards(&door.gateway.status().await?, &lost.node)? > 0, "nothing was rebuilt on {}", lost.node);

    cluster.lose(&others).await?;
    verify(&door.gateway, &written).await?;
    cluster.settle().await?;
    clear(&door.gateway, &written).await
}

/// A pod dies before the lost shards are there again, and puts and gets go on.
async fn die_meanwhile(
    cluster: &Cluster,
    gateway: &Gateway,
    other: &Member,
    seed: u64,
) -> anyhow::Result<Vec<Written>> {
    let mut traffic = Traffic::start_with_reads(gateway, "lost-meanwhile", seed);
    traffic.go_on(1, PUTS_TIMEOUT).await?;
    cluster.force_delete(&other.pod).await?;
    let status = gateway.status().await?;
    let whole = status.pools.iter().all(|pool| pool.safety.as_ref().is_some_and(PoolSafety::is_settled));
    ensure!(!whole, "all was rebuilt before {} died: nothing is proven", other.node);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    traffic.finish().await
}

async fn until_down(cluster: &Cluster, member: &Member) -> anyhow::Result<()> {
    let down = |pool: Option<&DynamicObject>| {
        let degraded = pool.and_then(|pool| wait::condition(pool, "Degraded"));
        degraded.is_some_and(|c| c.status == "True" && c.message.contains(&member.node))
    };
    wait::object_until(&cluster.pools(NAMESPACE), POOL, "the node is missed", SAID_TIMEOUT, down).await?;
    Ok(())
}

fn shards(status: &ClusterStatus, node: &str) -> anyhow::Result<u64> {
    let mut members = status.pools.iter().flat_map(|pool| &pool.members);
    let member = members.find(|member| member.node.as_str() == node).context("it is no member")?;
    Ok(member.report.as_ref().context("it has not reported")?.shards)
}
