use std::path::Path;
use std::sync::Arc;

use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError, CatalogOptions, EmbeddedCatalog, Shared};
use crate::engine::{
    EngineError, MemoryKeyspace, PostgresError, PostgresKeyspace, PostgresOptions, RocksKeyspace,
    RocksOptions,
};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, View};
use crate::record::{Closure, ClusterRecord, Fence, Keeper, MoveId};

/// Bytes of a fingerprint at most.
const FINGERPRINT_BYTES_MAX: usize = 128;

/// Why a catalog did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine's own reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database's.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// It belongs to another cluster secret.
    #[error("this catalog belongs to the cluster secret with fingerprint {stored}, not {given}")]
    OtherCluster {
        /// The one it was first opened with.
        stored: String,
        /// The one given now.
        given: String,
    },
    /// It has moved.
    #[error(
        "this catalog has gone to {to} (move {id}), where it may be open and have acknowledged what is not here, so it is not served here any \
         more: name that in the settings again (in the spec: catalog). To come back, it has to be moved back"
    )]
    Gone {
        /// Where.
        to: Keeper,
        /// By which move.
        id: MoveId,
    },
    /// It is half a copy.
    #[error(
        "this is half a copy of a catalog that is kept by {from} (move {id}): let the move go on (catalogMove in the settings), or name an \
         empty database or folder"
    )]
    Coming {
        /// Where it is whole.
        from: Keeper,
        /// By which move.
        id: MoveId,
    },
    /// A fingerprint above the limit.
    #[error("a fingerprint of {0} bytes is too long")]
    Fingerprint(usize),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The thread that opened it ended early.
    #[error("opening the catalog was cut short")]
    Cut,
}

impl EmbeddedCatalog {
    /// Opens or creates the catalog in a directory, which stays locked while any clone lives, and raises its
    /// incarnation. The first open fixes the fingerprint of the cluster secret.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(dir: &Path, fingerprint: &str, options: CatalogOptions) -> Result<Self, OpenError> {
        let dir = dir.to_path_buf();
        let opening = tokio::task::spawn_blocking(move || RocksKeyspace::open(&dir, RocksOptions::default()));
        let keyspace = opening.await.map_err(|_| OpenError::Cut)??;
        Self::with_keyspace(keyspace.into(), fingerprint, options).await
    }

    /// Opens or creates the catalog in a PostgreSQL database, which other gateways may have open too, and raises its
    /// incarnation. The first open fixes the fingerprint of the cluster secret.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_postgres(
        database: PostgresOptions,
        fingerprint: &str,
        options: CatalogOptions,
    ) -> Result<Self, OpenError> {
        let keyspace = PostgresKeyspace::open(database).await?;
        Self::with_keyspace(keyspace.into(), fingerprint, options).await
    }

    /// Opens the catalog on a keyspace in memory, as new or as it was left, and raises its incarnation. Nothing in it is
    /// durable: for tests and simulations.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn in_memory(
        keyspace: MemoryKeyspace,
        fingerprint: &str,
        options: CatalogOptions,
    ) -> Result<Self, OpenError> {
        Self::with_keyspace(keyspace.into(), fingerprint, options).await
    }

    /// Waits until a write to the volume has failed. Nothing is committed from then on: open it again to find what is
    /// really on the disk.
    pub async fn write_failed(&self) {
        self.keyspace.write_failed().await;
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Opens the catalog on any keyspace and raises its incarnation.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn with_keyspace(
        keyspace: K,
        fingerprint: &str,
        options: CatalogOptions,
    ) -> Result<Self, OpenError> {
        if fingerprint.len() > FINGERPRINT_BYTES_MAX {
            return Err(OpenError::Fingerprint(fingerprint.len()));
        }
        let shared = Shared::new(options, datamesh_shard::Incarnation::default());
        let mut catalog = Self { keyspace, shared: Arc::new(shared), cause: Arc::default() };
        let incarnation = catalog.raise_incarnation(fingerprint).await?;
        catalog.shared = Arc::new(Shared::new(options, incarnation));
        Ok(catalog)
    }

    async fn raise_incarnation(&self, fingerprint: &str) -> Result<datamesh_shard::Incarnation, OpenError> {
        let key = keys::only(Table::Cluster);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            refuse_closed(&view).await?;
            let found = find::<ClusterRecord>(&view, &key).await?;
            drop(view);
            let before = found.record.unwrap_or(ClusterRecord {
                fingerprint: fingerprint.into(),
                incarnation: datamesh_shard::Incarnation::default(),
            });
            if before.fingerprint != fingerprint {
                return Err(OpenError::OtherCluster {
                    stored: before.fingerprint,
                    given: fingerprint.into(),
                });
            }
            let incarnation = before.incarnation.next();
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), &ClusterRecord { incarnation, ..before })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(incarnation);
            }
        }
        Err(CatalogError::Contended.into())
    }
}

/// A catalog that has gone, or has not come yet, is none.
async fn refuse_closed(view: &impl View) -> Result<(), OpenError> {
    let fence = find::<Fence>(view, &keys::only(Table::Fence)).await?.record;
    match fence.map(|fence| (fence.closure(), fence.id())) {
        None => Ok(()),
        Some((Closure::Gone { to }, id)) => Err(OpenError::Gone { to, id }),
        Some((Closure::Coming { from }, id)) => Err(OpenError::Coming { from, id }),
    }
}
