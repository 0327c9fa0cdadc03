//! The gateway role: opens the catalog, answers joins, serves clients.

use anyhow::bail;
use datamesh_gateway::Gateway;
use datamesh_settings::{Role, Settings};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::stop::Tasks;

pub(crate) async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Role::Gateway(role) = &settings.role else { bail!("the settings are not of a gateway") };
    // Several gateways wait for one another, and must end all the same when they are told to.
    let bound = stop.run_until_cancelled(Box::pin(Gateway::bind(&settings))).await;
    let Some(gateway) = bound else { return Ok(()) };
    let gateway = gateway?;
    tracing::info!(node = %settings.node, https = %gateway.addresses().https, "catalog open");
    let catalog = gateway.health();
    let health = Health::bind(role.listen.health, gateway.registry(), move || {
        let catalog = catalog.clone();
        async move { catalog.check().await.map_err(|error| error.to_string()) }
    })
    .await?;
    let mut tasks = Tasks::new(&stop);
    tasks.spawn("health", |stop| health.run(stop));
    tasks.spawn("gateway", |stop| async move { Ok(gateway.run(stop).await?) });
    tasks.run().await
}
