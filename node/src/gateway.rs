//! The gateway role: opens the catalog, answers joins, serves clients.

use anyhow::bail;
use datamesh_gateway::Gateway;
use datamesh_settings::{Role, Settings};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::stop::Tasks;

pub(crate) async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Role::Gateway(role) = &settings.role else { bail!("the settings are not of a gateway") };
    let health = role.listen.health;
    let gateway = Gateway::bind(settings).await?;
    let mut tasks = Tasks::new(&stop);
    let health = Health::bind(health, gateway.registry(), gateway.waiting_for()).await?;
    tasks.spawn("health", |stop| health.run(stop));
    tasks.spawn("gateway", |stop| async move { Ok(gateway.run(stop).await?) });
    tasks.run().await
}
