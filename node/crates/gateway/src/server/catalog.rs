//! The catalog that a gateway opens: its own, one in a database, or the one it keeps with others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::{AnyKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_settings::{CatalogMove, GatewaySettings, Settings};
use datamesh_shard::NodeName;

use super::files::Prepared;
use super::mesh::Mesh;
use super::{CATALOG_DIR, GatewayError, Waiting};
use crate::group::{Group, GroupError, volume};
use crate::moving::{Opening, UnderWay, in_database, served_here};

/// Between two tries to open a catalog that nobody leads.
const PAUSE: Duration = Duration::from_millis(500);

/// A catalog that is open.
pub(super) struct Opened {
    pub(super) catalog: EmbeddedCatalog,
    /// Those that keep it together, where several do.
    pub(super) group: Option<Arc<Group>>,
    /// Where it moves.
    pub(super) moving: Option<UnderWay>,
}

impl From<EmbeddedCatalog> for Opened {
    fn from(catalog: EmbeddedCatalog) -> Self {
        Self { catalog, group: None, moving: None }
    }
}

/// What it is opened with.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) settings: &'a Settings,
    pub(super) gateway: &'a GatewaySettings,
    pub(super) options: CatalogOptions,
    pub(super) waiting: &'a Waiting,
}

impl<'a> With<'a> {
    /// How the catalog moves, if that is asked for.
    fn moving(self, prepared: &Prepared) -> Option<Opening<'a>> {
        Some(Opening {
            node: &self.settings.node,
            gateway: self.gateway,
            direction: self.gateway.catalog_move?,
            database: prepared.database.clone()?,
            fingerprint: prepared.secret.fingerprint(),
            options: self.options,
            waiting: self.waiting,
        })
    }
}

/// That of a gateway that keeps it alone, or in a database, or from where it has moved; `None` where several gateways keep it.
pub(super) async fn open_alone(with: With<'_>, prepared: &Prepared) -> Result<Option<Opened>, GatewayError> {
    let With { settings, gateway, options, .. } = with;
    let (node, dir, fingerprint) = (&settings.node, &gateway.data_dir, prepared.secret.fingerprint());
    if let Some(opening) = with.moving(prepared) {
        let source = match opening.direction {
            CatalogMove::FromDatabase => opening.database().await?,
            CatalogMove::ToDatabase if is_replica(gateway) => return Ok(None),
            CatalogMove::ToDatabase => {
                if let Some(moved) = opening.beside_nothing().await? {
                    return Ok(Some(moved.into()));
                }
                volume::check_alone(dir)?;
                on_volume(dir).await?
            }
        };
        let (catalog, moving) = opening.from(source).await?;
        return Ok(Some(Opened { moving, ..catalog.into() }));
    }
    if prepared.database.is_none() && is_replica(gateway) {
        return Ok(None);
    }
    let catalog = match prepared.database.clone() {
        Some(database) => in_database(database, (node, dir), (&fingerprint, options)).await?,
        None => {
            volume::check_alone(dir)?;
            served_here(on_volume(dir).await?, node, (&fingerprint, options)).await?
        }
    };
    Ok(Some(catalog.into()))
}

async fn on_volume(dir: &Path) -> Result<AnyKeyspace, GatewayError> {
    let dir = dir.join(CATALOG_DIR);
    let opening = tokio::task::spawn_blocking(move || RocksKeyspace::open(&dir, RocksOptions::default()));
    let opened = opening.await.map_err(|_| OpenError::Cut)?;
    Ok(opened.map_err(OpenError::from)?.into())
}

/// Whether this gateway's catalog is that of several, or was and is that of the one which stayed.
fn is_replica(gateway: &GatewaySettings) -> bool {
    !gateway.catalog_members.is_empty() || volume::is_marked(&gateway.data_dir)
}

/// That of several gateways, once enough of them are there. Its certificate is kept fresh meanwhile: the others are asked by it.
pub(super) async fn open_together(
    mesh: &Mesh,
    with: With<'_>,
    prepared: &Prepared,
) -> Result<Opened, GatewayError> {
    let With { settings, gateway, options, waiting } = with;
    let opening = async {
        let group = mesh.group((settings, gateway), prepared, waiting).await?;
        let fingerprint = prepared.secret.fingerprint();
        let opening = async {
            match with.moving(prepared) {
                Some(moving) => moving.from(group.keyspace()).await,
                None => {
                    let own = (&settings.node, &fingerprint[..]);
                    Ok((until_led(&group, own, (options, waiting)).await?, None))
                }
            }
        };
        let (catalog, moving) = tokio::select! {
            opened = Box::pin(opening) => opened?,
            () = group.stopped() => return Err(GroupError::Stopped.into()),
        };
        Ok(Opened { catalog, group: Some(Arc::new(group)), moving })
    };
    tokio::select! {
        opened = Box::pin(opening) => opened,
        refused = mesh.keep_certified(settings, prepared) => Err(refused.into()),
    }
}

async fn until_led(
    group: &Group,
    (own, fingerprint): (&NodeName, &str),
    (options, waiting): (CatalogOptions, &Waiting),
) -> Result<EmbeddedCatalog, GatewayError> {
    loop {
        match served_here(group.keyspace(), own, (fingerprint, options)).await {
            // It was tried for some seconds. To end the process would help nobody.
            Err(GatewayError::Catalog(OpenError::Catalog(error))) if error.is_leaderless() => {
                waiting.tell(format!("for a leader: {error}"));
            }
            opened => return opened,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
