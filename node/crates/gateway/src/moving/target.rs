//! Opens what a catalog moves to.

use std::io;
use std::path::{Path, PathBuf};

use datamesh_catalog::engine::{AnyKeyspace, PostgresKeyspace, PostgresOptions, RocksKeyspace, RocksOptions};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::moving::{Standing, begins_above, came_from, look};
use datamesh_shard::NodeName;

use super::{MoveFault, left_here};
use crate::group::{Leading, volume};
use crate::server::CATALOG_DIR;

/// What is left of a catalog, while it is removed.
const LEFT_DIR: &str = "catalog.left";

/// Where it is.
#[derive(Clone)]
pub(super) enum Target {
    /// A database.
    Database(PostgresOptions),
    /// This gateway's data folder.
    Volume(PathBuf),
    /// The volume of this other gateway, which the others share it with later. What is in the way of that is in this one's data folder.
    Elsewhere(NodeName, PathBuf),
}

impl Target {
    /// Where the move is carried out: by the gateway with the volume that it comes to; else where the source leads.
    pub(super) fn leading(&self, source: &AnyKeyspace) -> Leading {
        match self {
            Self::Volume(_) => Leading::Always,
            Self::Database(_) | Self::Elsewhere(..) => Leading::of(source),
        }
    }

    /// Opens it, or makes it. What is in it is for others to judge, but for one thing: what is left on the volume of the very catalog that
    /// moves goes first, for a volume cannot count on from above.
    pub(super) async fn open(&self, source: &Standing) -> Result<AnyKeyspace, MoveFault> {
        match self {
            Self::Database(options) => Ok(PostgresKeyspace::open(options.clone()).await?.into()),
            Self::Elsewhere(gateway, _) => Err(MoveFault::Elsewhere(gateway.clone())),
            Self::Volume(dir) => {
                left_here::make_room(dir, source.clone()).await?;
                volume::check_alone(dir)?;
                let (dir, above) = (dir.join(CATALOG_DIR), begins_above(source.newest()));
                let found = on_volume(&dir, above).await?;
                if !came_from(source, &look(&found).await?) {
                    return Ok(found);
                }
                drop(found);
                tracing::info!(?dir, "what is left of the catalog on this volume makes room for it");
                remove(&dir).await?;
                on_volume(&dir, above).await
            }
        }
    }
}

async fn on_volume(dir: &Path, begins_after: Revision) -> Result<AnyKeyspace, MoveFault> {
    let (dir, options) = (dir.to_path_buf(), RocksOptions { begins_after, ..RocksOptions::default() });
    let opening = tokio::task::spawn_blocking(move || RocksKeyspace::open(&dir, options));
    Ok(opening.await.map_err(|_| MoveFault::Cut)??.into())
}

async fn remove(dir: &Path) -> Result<(), MoveFault> {
    let (from, left) = (dir.to_path_buf(), dir.with_file_name(LEFT_DIR));
    let removing = tokio::task::spawn_blocking(move || {
        let failed = |source| MoveFault::File { path: left.clone(), source };
        remove_all(&left).map_err(failed)?;
        std::fs::rename(&from, &left).map_err(failed)?;
        // Half a folder is never taken for a catalog.
        let parent = left.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all());
        parent.and_then(|()| remove_all(&left)).map_err(failed)
    });
    removing.await.map_err(|_| MoveFault::Cut)?
}

fn remove_all(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
