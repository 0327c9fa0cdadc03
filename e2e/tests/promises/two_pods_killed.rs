//! Two storage pods die while files are written, and two others while they are read: no put and no get fails, and the
//! cluster says what is wrong while it is.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE};
use datamesh_e2e::nodes::{Member, names};
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};

/// A put may take longer while nodes are found to be down, never fail.
const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let one_each = cluster.one_of_each_zone().await?;
    ensure!(one_each.len() >= 3, "the test needs three zones, there are {}", one_each.len());

    let mut traffic = Traffic::start(&door.gateway, "two-pods", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let lost = &one_each[..2];
    cluster.lose(lost).await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    until_said(cluster, lost).await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    cluster.settle().await?;
    verify(&door.gateway, &written).await?;
    // Two losses at once are survived by what is whole: nodes that stood in hold two shards until these went home.
    cluster.until_whole().await?;

    let others = &one_each[1..3];
    let reading = async {
        for _ in 0..3 {
            verify(&door.gateway, &written).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(reading, cluster.lose(others))?;
    verify(&door.gateway, &written).await?;
    cluster.settle().await?;
    clear(&door.gateway, &written).await
}

/// The conditions name the lost nodes, and that puts and gets go on.
async fn until_said(cluster: &Cluster, lost: &[Member]) -> anyhow::Result<()> {
    let clusters = cluster.clusters(NAMESPACE);
    let said =
        wait::object_until(&clusters, CLUSTER, "Degraded names the lost nodes", SAID_TIMEOUT, |object| {
            let degraded = object.and_then(|o| wait::condition(o, "Degraded"));
            degraded.is_some_and(|c| {
                c.status == "True" && names(lost).iter().all(|node| c.message.contains(node))
            })
        })
        .await?;
    let ready = said.is_some_and(|o| wait::is(&o, "Ready", "True"));
    ensure!(ready, "two lost nodes of a 4+2 pool must not end Ready: puts and gets go on");
    Ok(())
}
