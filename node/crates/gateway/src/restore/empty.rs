//! Where the catalog comes to be: beside its place on the gateway's volume until all of it is there, or in memory.

use std::io;
use std::path::Path;

use datamesh_catalog::backup::begins_after;
use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::{AnyKeyspace, MemoryKeyspace, RocksKeyspace, RocksOptions};
use datamesh_catalog::record::RestoredRecord;

use super::errors::RestoreError;
use crate::server::CATALOG_DIR;

/// Folder of the catalog until all of it is there.
const DIR: &str = "catalog.restoring";

/// What has no catalog yet.
#[derive(Clone, Copy)]
pub(crate) enum Volume<'a> {
    /// The gateway's data folder.
    Folder(&'a Path),
    /// A simulated gateway's.
    Memory(&'a MemoryKeyspace),
}

impl Volume<'_> {
    /// A keyspace that counts its commits from above those of the lost one: with what a try that was cut off left there, or `anew`.
    pub(super) async fn open(
        &self,
        restored: &RestoredRecord,
        anew: bool,
    ) -> Result<AnyKeyspace, RestoreError> {
        let begins_after = begins_after(restored);
        let dir = match self {
            Self::Folder(dir) => dir.join(DIR),
            // There nothing outlives its gateway.
            Self::Memory(keyspace) => {
                keyspace.empty(begins_after);
                return Ok((*keyspace).clone().into());
            }
        };
        let options = RocksOptions { begins_after, ..RocksOptions::default() };
        let opening = tokio::task::spawn_blocking(move || {
            if anew {
                remove(&dir)?;
            }
            Ok::<_, RestoreError>(RocksKeyspace::open(&dir, options)?)
        });
        Ok(opening.await.map_err(|_| RestoreError::Open(OpenError::Cut))??.into())
    }

    /// From here on it is the gateway's catalog.
    pub(super) fn set_in_place(&self) -> Result<(), RestoreError> {
        let Self::Folder(volume) = self else { return Ok(()) };
        let (from, to) = (volume.join(DIR), volume.join(CATALOG_DIR));
        let failed = |source| RestoreError::File { path: to.clone(), source };
        std::fs::rename(from, &to).map_err(failed)?;
        std::fs::File::open(volume).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

/// A folder, if it is there.
fn remove(dir: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RestoreError::File { path: dir.into(), source })
        }
        _ => Ok(()),
    }
}
