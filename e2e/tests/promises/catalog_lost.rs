//! The only gateway loses its volume for good. With `gateway.restore` the catalog comes back out of the mesh: every file acknowledged before
//! the last point that was backed up reads back, and the status says what was lost.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::admin::BackupStatus;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

const SPACE: &str = "datamesh-e2e-catalog-lost";
const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
/// A part of the backup follows each half minute.
const BACKED_UP_TIMEOUT: Duration = Duration::from_secs(120);
const TOLD_TIMEOUT: Duration = Duration::from_secs(60);
/// The pod starts, waits half a minute for nodes, and reads a small catalog.
const RESTORED_TIMEOUT: Duration = Duration::from_secs(240);
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
    wait::until("a backup of all of it", BACKED_UP_TIMEOUT, async || {
        let last = backup(&door.gateway).await?.last_unix_ms;
        ensure!(last.is_some_and(|last| last > acknowledged_ms), "the last one is of {last:?}");
        Ok(())
    })
    .await?;
    // Later than that: it may be lost.
    let mut traffic = Traffic::start(&door.gateway, "perhaps", seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    drop(traffic.finish().await?);

    let lost_ms = now_unix_ms()?;
    let gateway = format!("{SECOND}-gateway");
    cluster.lose_volume(SPACE, &gateway).await?;
    // Nothing is restored in the place of a catalog: the new one that the empty volume has got by now goes, too.
    ask_for_newest(cluster, &gateway).await?;
    // The operator may be restarting it for its new settings.
    wait::until("the volume is emptied", TOLD_TIMEOUT, || cluster.lose_volume(SPACE, &gateway)).await?;

    let restored = wait::until("the catalog is restored", RESTORED_TIMEOUT, async || {
        backup(&cluster.gateway_of(SPACE, SECOND).await?.gateway).await?.restored.context("it is another one")
    })
    .await?;
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

/// The operator writes it into the gateway's settings, which the next pod reads.
async fn ask_for_newest(cluster: &Cluster, gateway: &str) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": {"gateway": {"restore": "newest"}}}));
    cluster.clusters(SPACE).patch(SECOND, &PatchParams::default(), &patch).await?;
    let what = "the gateway's settings ask for it";
    wait::set_until(
        &cluster.api::<ConfigMap>(SPACE),
        watcher::Config::default(),
        what,
        TOLD_TIMEOUT,
        |now| {
            let texts = now.iter().filter_map(|map| map.data.as_ref()).flat_map(|data| data.values());
            texts.into_iter().any(|text| text.contains(gateway) && text.contains("restore: newest"))
        },
    )
    .await?;
    Ok(())
}

async fn backup(gateway: &Gateway) -> anyhow::Result<BackupStatus> {
    gateway.status().await?.catalog.backup.context("the gateway says nothing of backups")
}

fn now_unix_ms() -> anyhow::Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
