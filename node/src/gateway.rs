//! The gateway role: opens the catalog, answers joins, serves clients.

use anyhow::bail;
use datamesh_gateway::{Gateway, Waiting};
use datamesh_settings::{Role, Settings};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::stop::Tasks;

pub(crate) async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Role::Gateway(role) = &settings.role else { bail!("the settings are not of a gateway") };
    // First: several gateways wait for one another, for longer than a probe would, and none is dead for that.
    let waiting = Waiting::default();
    let waits_for = waiting.clone();
    let (health, starting) = Health::bind_first(role.listen.health, move || waits_for.reason()).await?;
    let mut tasks = Tasks::new(&stop);
    tasks.spawn("health", |stop| health.run(stop));
    // They must end all the same when they are told to.
    let bound = stop.run_until_cancelled(Box::pin(Gateway::bind_telling(&settings, &waiting))).await;
    let Some(gateway) = bound else { return tasks.run().await };
    let gateway = gateway?;
    tracing::info!(node = %settings.node, https = %gateway.addresses().https, "catalog open");
    let catalog = gateway.health();
    starting.done(gateway.registry(), move || {
        let catalog = catalog.clone();
        async move { catalog.check().await.map_err(|error| error.to_string()) }
    });
    tasks.spawn("gateway", |stop| async move { Ok(Box::pin(gateway.run(stop)).await?) });
    tasks.run().await
}
