//! The gateway's zone and another one cannot reach each other for a while, while both reach the third: no put and no get
//! fails, the conditions name who is missed, and when it is over everything is there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, NAMESPACE, POOL};
use datamesh_e2e::nodes::{Member, names};
use datamesh_e2e::partition::is_here;
use datamesh_e2e::traffic::{Traffic, clear, verify};
use datamesh_e2e::{samples, wait};
use kube::api::DynamicObject;

const PUTS_TIMEOUT: Duration = Duration::from_secs(90);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let (here, there) = sides(cluster).await?;
    if !here.iter().chain(&there).all(|member| is_here(&member.host)) {
        eprintln!("left out: only nodes of e2e/local-cluster can be parted");
        return Ok(());
    }
    let door = cluster.gateway().await?;
    let mut traffic = Traffic::start_with_reads(&door.gateway, "parted", seed);
    traffic.go_on(4, PUTS_TIMEOUT).await?;

    let partition = cluster.part(&here, &there).await?;
    traffic.go_on(8, PUTS_TIMEOUT).await?;
    let missed = |pool: Option<&DynamicObject>| {
        let degraded = pool.and_then(|pool| wait::condition(pool, "Degraded"));
        degraded
            .is_some_and(|c| c.status == "True" && names(&there).iter().all(|node| c.message.contains(node)))
    };
    let what = "the pool names who is missed";
    wait::object_until(&cluster.pools(NAMESPACE), POOL, what, SAID_TIMEOUT, missed).await?;
    ensure!(partition.dropped()? > 0, "nothing was dropped: there was no partition");
    drop(partition);

    traffic.go_on(4, PUTS_TIMEOUT).await?;
    cluster.settle().await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    clear(&door.gateway, &written).await
}

/// All pods of the gateway's zone, and those of another.
async fn sides(cluster: &Cluster) -> anyhow::Result<(Vec<Member>, Vec<Member>)> {
    let all = cluster.members().await?;
    let gateway = all.iter().find(|m| m.component == "gateway").context("there is no gateway")?.clone();
    let storage = || all.iter().filter(|m| m.component == "storage");
    // A gateway's pod has no zone: that of the storage nodes beside it is its own.
    let beside = storage().find(|m| m.host == gateway.host).context("no storage node beside the gateway")?;
    let other = storage().find(|m| m.zone != beside.zone).context("the test needs two zones")?;
    let of_zone = |zone: &str| storage().filter(|m| m.zone == zone).cloned().collect::<Vec<_>>();
    let mut here = of_zone(&beside.zone);
    here.push(gateway);
    Ok((here, of_zone(&other.zone)))
}
