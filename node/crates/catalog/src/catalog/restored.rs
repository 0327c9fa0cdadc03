use super::faults::find;
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::Keyspace;
use crate::record::RestoredRecord;

impl<K: Keyspace> Catalog<K> {
    /// The backup that this catalog came out of, if it did.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub async fn restored(&self) -> Result<Option<RestoredRecord>, CatalogError> {
        Ok(find::<RestoredRecord>(&self.view().await?, &keys::only(Table::Restored)).await?.record)
    }
}
