use super::faults::{ATTEMPTS_MAX, find, put};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::record::{COPY_ERROR_BYTES_MAX, CopiedBackup, CopiesRecord};

impl<K: Keyspace> Catalog<K> {
    /// How far copies of backups are, as far as any gateway has noted it.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn copies(&self) -> Result<CopiesRecord, CatalogError> {
        let found = find::<CopiesRecord>(&self.view().await?, &keys::only(Table::Copies)).await?;
        Ok(found.record.unwrap_or_default())
    }

    /// Notes what a try came to: the backup that is whole there now, or why there is no newer one. A long reason is cut off.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn note_copy(
        &self,
        outcome: Result<CopiedBackup, &str>,
        now_unix_ms: u64,
    ) -> Result<(), CatalogError> {
        let key = keys::only(Table::Copies);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<CopiesRecord>(&self.view().await?, &key).await?;
            let before = found.record.unwrap_or_default();
            let now = match outcome {
                Ok(newest) => {
                    CopiesRecord { newest: Some(newest), tried_unix_ms: now_unix_ms, error: String::new() }
                }
                Err(why) => {
                    let error = why[..why.floor_char_boundary(COPY_ERROR_BYTES_MAX)].to_owned();
                    CopiesRecord { tried_unix_ms: now_unix_ms, error, ..before }
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
