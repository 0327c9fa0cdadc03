//! The storage role: opens the volume's store, joins the cluster, serves shards.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use datamesh_mesh::{Readiness, StorageNode};
use datamesh_settings::{Role, Settings};
use datamesh_store::{Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::stop::Tasks;

/// Between two looks at whether the volume still takes writes.
const VOLUME_CHECK: Duration = Duration::from_secs(2);

pub(crate) async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Role::Storage(storage) = &settings.role else { bail!("the settings are not of a storage node") };
    let options = StoreOptions::new(storage.capacity_bytes, storage.reserve_bytes);
    let (folder, health) = (storage.data_dir.clone(), storage.listen.health);
    // Waits for another process to let go of the volume, so it may take a while.
    let opening = tokio::task::spawn_blocking(move || Store::open(&folder, options));
    let store = opening.await?.with_context(|| format!("volume of {}", settings.node))?;
    tracing::info!(node = %settings.node, incarnation = %store.incarnation(), "volume open");
    let (registry, watched) = (Arc::new(metrics::registry(store.clone())), store.clone());
    let node = StorageNode::bind(&settings, store).await?;
    let ready = node.ready();
    let health = Health::bind(health, registry, move || {
        let state = ready.borrow().clone();
        async move {
            match state {
                Readiness::Ready => Ok(()),
                Readiness::Joining { reason } => Err(format!("waiting to be let into the cluster: {reason}")),
            }
        }
    })
    .await?;
    let mut tasks = Tasks::new(&stop);
    tasks.spawn("health", |stop| health.run(stop));
    tasks.spawn("volume", |stop| watch_volume(watched, stop));
    tasks.spawn("storage", |stop| async move { Ok(node.run(stop).await?) });
    tasks.run().await
}

/// After a sync that failed a store writes nothing more; opening it again finds what is really on the disk.
async fn watch_volume(store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(VOLUME_CHECK) => {}
        }
        if let Some(failure) = store.failure() {
            bail!("the volume failed, starting anew to see what it holds: {failure}");
        }
    }
}
