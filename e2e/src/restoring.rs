//! A catalog that is lost and comes back: what is asked for, and what the gateway says of its backups.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use datamesh_settings::admin::{BackupStatus, RestoredStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::second::SECOND;
use crate::wait;

/// A part of the backup follows each half minute.
const BACKED_UP_TIMEOUT: Duration = Duration::from_secs(120);
const TOLD_TIMEOUT: Duration = Duration::from_secs(60);
/// The pod starts, waits for nodes for up to a minute, and reads a small catalog.
const RESTORED_TIMEOUT: Duration = Duration::from_secs(240);

impl Cluster {
    /// Loses the only gateway's volume for good and has `restore` asked for, out of `from`, in its place. Gives what it says that it has
    /// restored.
    ///
    /// # Errors
    /// It restores nothing in time.
    pub async fn lose_and_restore(
        &self,
        space: &str,
        (restore, from): (&str, &str),
    ) -> anyhow::Result<RestoredStatus> {
        let gateway = format!("{SECOND}-gateway");
        self.lose_volume(space, &gateway).await?;
        self.ask_to_restore(space, 1, (restore, from)).await?;
        // Nothing is restored in the place of a catalog: the new one that the empty volume has got by now goes, too. The operator may be
        // restarting the gateway for its new settings.
        wait::until("the volume is emptied", TOLD_TIMEOUT, || self.lose_volume(space, &gateway)).await?;
        self.until_restored(space).await
    }

    /// Loses the volumes of all these gateways at once, none of which comes back before each is told to restore `restore`, out of `from`.
    /// Gives what they say that they have restored.
    ///
    /// # Errors
    /// They restore nothing in time.
    pub async fn lose_all_and_restore(
        &self,
        space: &str,
        gateways: &[String],
        (restore, from): (&str, &str),
    ) -> anyhow::Result<RestoredStatus> {
        self.cordon().await?;
        for gateway in gateways {
            self.lose_volume(space, gateway).await?;
        }
        self.ask_to_restore(space, gateways.len(), (restore, from)).await?;
        self.uncordon().await?;
        self.until_restored(space).await
    }

    async fn until_restored(&self, space: &str) -> anyhow::Result<RestoredStatus> {
        wait::until("the catalog is restored", RESTORED_TIMEOUT, async || {
            let gateway = self.gateway_of(space, SECOND).await?.gateway;
            gateway.backup().await?.restored.context("it is another one")
        })
        .await
    }

    /// The operator writes it into the settings of so many gateways, which their next pods read.
    async fn ask_to_restore(
        &self,
        space: &str,
        gateways: usize,
        (restore, from): (&str, &str),
    ) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": {"gateway": {"restore": restore, "restoreFrom": from}}}));
        self.clusters(space).patch(SECOND, &PatchParams::default(), &patch).await?;
        let what = "the gateways' settings ask for it";
        let maps = self.api::<ConfigMap>(space);
        wait::set_until(&maps, watcher::Config::default(), what, TOLD_TIMEOUT, |now| {
            let texts = now.iter().filter_map(|map| map.data.as_ref()).flat_map(|data| data.values());
            texts.filter(|text| text.contains("  restore: ")).count() == gateways
        })
        .await?;
        Ok(())
    }
}

impl Gateway {
    /// Waits until a backup has what was acknowledged before this time (ms since 1970); gives when that backup was made.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn until_backed_up(&self, acknowledged_ms: u64) -> anyhow::Result<u64> {
        wait::until("a backup of all of it", BACKED_UP_TIMEOUT, async || {
            let last = self.backup().await?.last_unix_ms.unwrap_or(0);
            ensure!(last > acknowledged_ms, "the last one is of {last}");
            Ok(last)
        })
        .await
    }

    /// What it says of backups of the catalog, whichever gateway makes them.
    ///
    /// # Errors
    /// Anything but success, with the gateway's words.
    pub async fn backup(&self) -> anyhow::Result<BackupStatus> {
        Ok(self.backups().await?.newest)
    }
}

/// Milliseconds since 1970.
///
/// # Errors
/// The clock is wrong.
pub fn now_unix_ms() -> anyhow::Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
