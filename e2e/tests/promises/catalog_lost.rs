//! The only gateway loses its volume for good. With `gateway.restore` the catalog comes back out of the mesh: every file acknowledged before
//! the last point that was backed up reads back, and the status says what was lost.

use std::time::Duration;

use anyhow::ensure;
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::restoring::now_unix_ms;
use datamesh_e2e::samples;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::traffic::{Traffic, verify};
use serde_json::json;

const SPACE: &str = "datamesh-e2e-catalog-lost";
const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
/// What may be lost at most: a part's half minute, its writing, and a machine that is busy.
const WINDOW_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = lose_the_catalog(cluster).await;
    cluster.leave_second(SPACE, "catalog_lost", outcome).await
}

async fn lose_the_catalog(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    cluster.make_second(SPACE, json!({})).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let kept = traffic.finish().await?;
    let acknowledged_ms = now_unix_ms()?;
    door.gateway.until_backed_up(acknowledged_ms).await?;
    // Later than that: it may be lost.
    let mut traffic = Traffic::start(&door.gateway, "perhaps", seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    drop(traffic.finish().await?);

    let lost_ms = now_unix_ms()?;
    let restored = cluster.lose_and_restore(SPACE, ("newest", "Mesh")).await?;
    let window = Duration::from_millis(lost_ms.saturating_sub(restored.until_unix_ms));
    eprintln!("loss window: {window:?} before the volume was lost");
    ensure!(restored.until_unix_ms > acknowledged_ms, "an older backup was restored: {restored:?}");
    ensure!(window < WINDOW_MAX, "{window:?} were lost");
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    verify(&door.gateway, &kept).await?;
    let mut traffic = Traffic::start(&door.gateway, "after", seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    verify(&door.gateway, &traffic.finish().await?).await?;
    cluster.destroy_second(SPACE).await
}
