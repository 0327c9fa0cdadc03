//! Three gateways lose all their volumes for good. The catalog comes back out of the mesh as it was at a time that somebody names: what was
//! acknowledged before reads back, what came after is gone though it was backed up, and all three keep the catalog again.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::restoring::now_unix_ms;
use datamesh_e2e::samples;
use datamesh_e2e::second::SECOND;
use datamesh_e2e::traffic::{Traffic, Written, verify, verify_gone};
use datamesh_settings::admin::CatalogMemberState;
use serde_json::json;

const SPACE: &str = "datamesh-e2e-catalogs-lost";
const GATEWAYS: usize = 3;
const PUTS_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = lose_all_catalogs(cluster).await;
    cluster.leave_second(SPACE, "catalogs_all_lost", outcome).await
}

async fn lose_all_catalogs(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    cluster.make_second_with(SPACE, json!({"gateway": {"replicas": GATEWAYS}}), json!({})).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let (kept, backed_up_ms) = backed_up(&door.gateway, "kept", seed).await?;
    let (later, later_ms) = backed_up(&door.gateway, "later", seed).await?;
    ensure!(later_ms > backed_up_ms, "the second batch is in no backup of its own");

    let gateways: Vec<_> = (1..=GATEWAYS)
        .map(|n| if n == 1 { format!("{SECOND}-gateway") } else { format!("{SECOND}-gateway-{n}") })
        .collect();
    let time = jiff::Timestamp::from_millisecond(i64::try_from(backed_up_ms)?)?.to_string();
    let restored = cluster.lose_all_and_restore(SPACE, &gateways, (&time, "Mesh")).await?;
    ensure!(restored.until_unix_ms <= backed_up_ms, "it is later than was asked for: {restored:?}");
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    verify(&door.gateway, &kept).await?;
    verify_gone(&door.gateway, &later).await?;
    let members = door.gateway.status().await?.catalog.members;
    let current = members.iter().filter(|member| member.state == CatalogMemberState::Current).count();
    ensure!((members.len(), current) == (GATEWAYS, GATEWAYS), "a replica is missing: {members:?}");
    let (after, _) = backed_up(&door.gateway, "after", seed).await?;
    verify(&door.gateway, &after).await?;
    cluster.destroy_second(SPACE).await
}

/// Writes, and waits until a backup has it; gives when that one was made.
async fn backed_up(gateway: &Gateway, prefix: &str, seed: u64) -> anyhow::Result<(Vec<Written>, u64)> {
    let mut traffic = Traffic::start(gateway, prefix, seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    Ok((written, gateway.until_backed_up(now_unix_ms()?).await?))
}
