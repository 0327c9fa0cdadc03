use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, Revision};
use crate::record::{BackupAskedRecord, RestoredRecord, SNAPSHOTS_MAX, SnapshotsRecord};

impl<K: Keyspace> Catalog<K> {
    /// The backup that this catalog came out of, if it did.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn restored(&self) -> Result<Option<RestoredRecord>, CatalogError> {
        Ok(find::<RestoredRecord>(&self.view().await?, &keys::only(Table::Restored)).await?.record)
    }

    /// Notes that the catalog is one of a later generation, as one whose volume was set back to an earlier state. Nothing happens where
    /// its generation is that high already.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn begin_generation(&self, restored: &RestoredRecord) -> Result<(), CatalogError> {
        let key = keys::only(Table::Restored);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<RestoredRecord>(&self.view().await?, &key).await?;
            if found.record.is_some_and(|known| known.generation >= restored.generation) {
                return Ok(());
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), restored)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }

    /// Asks whoever backs the catalog up for a backup of all that is acknowledged by now. One that leads up to this revision has it.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn ask_for_backup(&self, now_unix_ms: u64) -> Result<Revision, CatalogError> {
        let mut batch = Batch::new();
        put(&mut batch, keys::only(Table::BackupAsked), &BackupAskedRecord { at_unix_ms: now_unix_ms })?;
        self.commit_blindly(batch).await
    }

    /// The revision that a backup must lead up to which was asked for last, and when that was: milliseconds since 1970.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn backup_asked(&self) -> Result<Option<(Revision, u64)>, CatalogError> {
        let found = find::<BackupAskedRecord>(&self.view().await?, &keys::only(Table::BackupAsked)).await?;
        Ok(found.version.zip(found.record).map(|(version, asked)| (version, asked.at_unix_ms)))
    }

    /// When the last snapshots for backups were begun: milliseconds since 1970.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn snapshots_begun(&self) -> Result<Vec<u64>, CatalogError> {
        let found = find::<SnapshotsRecord>(&self.view().await?, &keys::only(Table::Snapshots)).await?;
        Ok(found.record.unwrap_or_default().begun_unix_ms)
    }

    /// Notes that one is begun now.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn note_snapshot(&self, now_unix_ms: u64) -> Result<(), CatalogError> {
        let key = keys::only(Table::Snapshots);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<SnapshotsRecord>(&self.view().await?, &key).await?;
            let mut snapshots = found.record.unwrap_or_default();
            snapshots.begun_unix_ms.push(now_unix_ms);
            let beyond = snapshots.begun_unix_ms.len().saturating_sub(SNAPSHOTS_MAX);
            snapshots.begun_unix_ms.drain(..beyond);
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), &snapshots)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }
}
