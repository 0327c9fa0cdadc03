//! A node's disk garbles its shard logs: every object is read as it was put, the node names log and offset of what it
//! finds corrupt, the shards are rebuilt, the node starts again on them, and another node may be lost then.

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
const REBUILT_TIMEOUT: Duration = Duration::from_secs(120);
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
    cluster.kubectl.exec(NAMESPACE, &hurt.pod, &["sh", "-c", GARBLE]).await?;
    verify(gateway, &written).await.context("while the log is garbled")?;
    until_named(cluster, &hurt).await?;
    until_rebuilt(gateway, &hurt).await?;

    let pods = cluster.api::<Pod>(NAMESPACE);
    pods.delete(&hurt.pod, &DeleteParams::default()).await?;
    cluster.until_replaced(&hurt, RESTART_TIMEOUT).await?;
    cluster.settle().await?;
    // Parity shards that nobody has read are found by the scrub only, so there is one loss to spare now, not two.
    let other = cluster.storage().await?.swap_remove(1);
    cluster.lose(&[other]).await?;
    verify(gateway, &written).await.context("with another node lost")?;
    cluster.settle().await?;
    clear(gateway, &written).await
}

/// The node's own log says which shard is corrupt, and where it stands.
async fn until_named(cluster: &Cluster, hurt: &Member) -> anyhow::Result<()> {
    wait::until("the corruption is named", FOUND_TIMEOUT, async || {
        let said = cluster.kubectl.run(&["-n", NAMESPACE, "logs", &hurt.pod]).await?;
        let names = |line: &str| line.contains("corrupt in log") && line.contains("at offset");
        ensure!(said.lines().any(names), "nothing of it in: {said}");
        Ok(())
    })
    .await
}

/// What was found was rebuilt in its place.
async fn until_rebuilt(gateway: &Gateway, hurt: &Member) -> anyhow::Result<()> {
    wait::until("what was corrupt is rebuilt", REBUILT_TIMEOUT, async || {
        let status = gateway.status().await?;
        let pool = status.pools.first().context("no pool")?;
        let member = pool.members.iter().find(|member| member.node.as_str() == hurt.node);
        let report = member.and_then(|member| member.report.as_ref()).context("no report")?;
        ensure!(report.corrupt_shards == 0, "{} are corrupt", report.corrupt_shards);
        let safety = pool.safety.as_ref().context("nobody has counted")?;
        ensure!(safety.rebuilt_shards > 0, "nothing was rebuilt");
        Ok(())
    })
    .await
}
