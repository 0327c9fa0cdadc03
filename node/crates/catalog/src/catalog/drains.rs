use datamesh_shard::{NodeName, PoolName};

use super::faults::{ATTEMPTS_MAX, find, put, whole};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::record::{self, DrainRecord};

impl<K: Keyspace> Catalog<K> {
    /// Notes that a node shall give its shards away; asked again, it is since the first time.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn put_drain(
        &self,
        pool: &PoolName,
        node: &NodeName,
        now_unix_ms: u64,
    ) -> Result<(), CatalogError> {
        let key = keys::drain(pool, node);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<DrainRecord>(&self.view().await?, &key).await?;
            if found.record.is_some() {
                return Ok(());
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), None);
            put(&mut batch, key.clone(), &DrainRecord { since_unix_ms: now_unix_ms })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended)
    }

    /// Since when a node shall, if somebody asked for that: milliseconds since 1970.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn drain_since(&self, pool: &PoolName, node: &NodeName) -> Result<Option<u64>, CatalogError> {
        Ok(self.read::<DrainRecord>(&keys::drain(pool, node)).await?.map(|drain| drain.since_unix_ms))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn delete_drain(&self, pool: &PoolName, node: &NodeName) -> Result<(), CatalogError> {
        let mut batch = Batch::new();
        batch.delete(keys::drain(pool, node));
        self.commit_blindly(batch).await?;
        Ok(())
    }

    /// Nodes of a pool that shall give their shards away, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn drains(&self, pool: &PoolName) -> Result<Vec<NodeName>, CatalogError> {
        let rows = whole(&self.view().await?, keys::drains(pool)).await?.rows;
        let node = |row: &crate::keyspace::Row| {
            let (_, node) = keys::read_pool_and_node(&row.key, Table::Drain)?;
            record::decode::<DrainRecord>(&row.value)?;
            Ok(node)
        };
        rows.iter().map(node).collect()
    }
}
