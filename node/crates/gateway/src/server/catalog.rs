//! The catalog that a gateway opens: its own, one in a database, or the one it keeps with others.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_settings::{GatewaySettings, Settings};

use super::files::Prepared;
use super::mesh::Mesh;
use super::{CATALOG_DIR, GatewayError, Waiting};
use crate::group::{Group, GroupError, volume};

/// Between two tries to open a catalog that nobody leads.
const PAUSE: Duration = Duration::from_millis(500);

/// That of a gateway that keeps it alone, or in a database; `None` where several gateways keep it.
pub(super) async fn open_alone(
    gateway: &GatewaySettings,
    prepared: &mut Prepared,
    options: CatalogOptions,
) -> Result<Option<EmbeddedCatalog>, GatewayError> {
    if !gateway.catalog_members.is_empty() {
        return Ok(None);
    }
    let (dir, fingerprint) = (&gateway.data_dir, prepared.secret.fingerprint());
    Ok(Some(match prepared.database.take() {
        Some(database) => EmbeddedCatalog::open_postgres(database, &fingerprint, options).await?,
        None => {
            volume::check_alone(dir)?;
            EmbeddedCatalog::open(&dir.join(CATALOG_DIR), &fingerprint, options).await?
        }
    }))
}

/// That of several gateways, once enough of them are there. Its certificate is kept fresh meanwhile: the others are asked by it.
pub(super) async fn open_together(
    mesh: &Mesh,
    (settings, gateway): (&Settings, &GatewaySettings),
    prepared: &Prepared,
    (options, waiting): (CatalogOptions, &Waiting),
) -> Result<(EmbeddedCatalog, Arc<Group>), GatewayError> {
    let opening = async {
        let group = mesh.group((settings, gateway), prepared, waiting).await?;
        let fingerprint = prepared.secret.fingerprint();
        let opening = until_led(&group, &fingerprint, (options, waiting));
        let catalog = tokio::select! {
            opened = opening => opened?,
            () = group.stopped() => return Err(GroupError::Stopped.into()),
        };
        Ok((catalog, Arc::new(group)))
    };
    tokio::select! {
        opened = Box::pin(opening) => opened,
        refused = mesh.keep_certified(settings, prepared) => Err(refused.into()),
    }
}

async fn until_led(
    group: &Group,
    fingerprint: &str,
    (options, waiting): (CatalogOptions, &Waiting),
) -> Result<EmbeddedCatalog, GatewayError> {
    loop {
        match EmbeddedCatalog::with_keyspace(group.keyspace(), fingerprint, options).await {
            // It was tried for some seconds. To end the process would help nobody.
            Err(OpenError::Catalog(error)) if error.is_leaderless() => {
                waiting.tell(format!("for a leader: {error}"));
            }
            opened => return Ok(opened?),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
