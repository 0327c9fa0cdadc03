//! A node's disk garbles its shard logs: every object is read as it was put, the node names log and offset of what it
//! finds corrupt, rebuilding begins, the node starts again on them, and another node may be lost then.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, NAMESPACE};
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::nodes::Member;
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const FOUND_TIMEOUT: Duration = Duration::from_secs(30);
const REBUILT_TIMEOUT: Duration = Duration::from_secs(150);
const RESTART_TIMEOUT: Duration = Duration::from_secs(90);
/// Zeroes 4 KiB of every 512 KiB of all log files: no shard of some size stays as it was.
const GARBLE: &str = "set -e; for f in /data/logs/*.log; do size=$(stat -c %s $f); at=65536; \
    while [ $at -lt $size ]; do \
    dd if=/dev/zero of=$f bs=4096 count=1 seek=$((at / 4096)) conv=notrunc status=none; \
    at=$((at + 524288)); done; done";

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let gateway = &door.gateway;
    let mut traffic = Traffic::start(gateway, "garbled", seed);
    traffic.go_on(16, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    cluster.until_whole().await?;

    let hurt = cluster.storage().await?.swap_remove(0);
    let before = rebuilt(gateway).await?;
    cluster.kubectl.exec(NAMESPACE, &hurt.pod, &["sh", "-c", GARBLE]).await?;
    verify(gateway, &written).await.context("while the log is garbled")?;
    let found = until_named(cluster, &hurt).await?;
    // Not all of them: a steward comes by each partition once in some minutes.
    wait::until("what was found is being rebuilt", REBUILT_TIMEOUT, async || {
        let rebuilt = rebuilt(gateway).await?.saturating_sub(before);
        ensure!(rebuilt > 0, "none of {found} shards");
        Ok(())
    })
    .await?;

    let pods = cluster.api::<Pod>(NAMESPACE);
    pods.delete(&hurt.pod, &DeleteParams::default()).await?;
    cluster.until_replaced(&hurt, RESTART_TIMEOUT).await?;
    cluster.settle().await?;
    // Some are still to be rebuilt, and parity shards that nobody has read are found by the scrub only: there is one loss to
    // spare now, not two.
    let other = cluster.storage().await?.swap_remove(1);
    cluster.lose(&[other]).await?;
    verify(gateway, &written).await.context("with another node lost")?;
    cluster.settle().await?;
    clear(gateway, &written).await
}

/// The node's own log says which shards are corrupt, and where they stand; how many.
async fn until_named(cluster: &Cluster, hurt: &Member) -> anyhow::Result<u64> {
    wait::until("the corruption is named", FOUND_TIMEOUT, async || {
        let said = cluster.kubectl.run(&["-n", NAMESPACE, "logs", &hurt.pod]).await?;
        let named = |line: &str| -> Option<String> {
            let (shard, place) = line.split_once("segment ")?.1.split_once(": corrupt in log ")?;
            place.contains("at offset").then(|| shard.to_owned())
        };
        let shards: BTreeSet<String> = said.lines().filter_map(named).collect();
        ensure!(!shards.is_empty(), "nothing of it in: {said}");
        Ok(shards.len() as u64)
    })
    .await
}

/// Shards rebuilt so far, as the nodes count them.
async fn rebuilt(gateway: &Gateway) -> anyhow::Result<u64> {
    let status = gateway.status().await?;
    let pool = status.pools.first().context("no pool")?;
    Ok(pool.safety.as_ref().context("nobody has counted")?.rebuilt_shards)
}
