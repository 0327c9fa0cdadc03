use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::record::{COPY_ERROR_BYTES_MAX, CopiedBackup, CopiesRecord, DeletionHeldRecord};

fn order(copied: &CopiedBackup) -> (u64, u64) {
    (copied.generation, copied.revision)
}

impl<K: Keyspace> Catalog<K> {
    /// How far copies of backups are, as far as any gateway has noted it.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn copies(&self) -> Result<CopiesRecord, CatalogError> {
        let found = find::<CopiesRecord>(&self.view().await?, &keys::only(Table::Copies)).await?;
        Ok(found.record.unwrap_or_default())
    }

    /// Whether nothing is deleted from nodes, since this catalog came out of copies and nobody has let it yet.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn holds_deletion(&self) -> Result<bool, CatalogError> {
        let key = keys::only(Table::DeletionHeld);
        Ok(find::<DeletionHeldRecord>(&self.view().await?, &key).await?.record.is_some())
    }

    /// Lets it delete again; once it may, nothing happens.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn let_delete(&self) -> Result<(), CatalogError> {
        let key = keys::only(Table::DeletionHeld);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<DeletionHeldRecord>(&self.view().await?, &key).await?;
            if found.record.is_none() {
                return Ok(());
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            batch.delete(key.clone());
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }

    /// Notes what a try came to: the backup that is whole at this place now, or why there is no newer one. A long reason is cut off.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn note_copy(
        &self,
        place: &str,
        outcome: Result<CopiedBackup, &str>,
        now_unix_ms: u64,
    ) -> Result<(), CatalogError> {
        let key = keys::only(Table::Copies);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<CopiesRecord>(&self.view().await?, &key).await?;
            let before = found.record.filter(|before| before.place == place).unwrap_or_default();
            let place = place.to_owned();
            let now = match outcome {
                Ok(newest) => CopiesRecord {
                    place,
                    // A gateway that has lost the lead may end a copy of what was the newest then.
                    newest: before.newest.filter(|known| order(known) > order(&newest)).or(Some(newest)),
                    tried_unix_ms: now_unix_ms,
                    error: String::new(),
                },
                Err(why) => {
                    let error = why[..why.floor_char_boundary(COPY_ERROR_BYTES_MAX)].to_owned();
                    CopiesRecord { place, tried_unix_ms: now_unix_ms, error, ..before }
                }
            };
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), &now)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }
}
