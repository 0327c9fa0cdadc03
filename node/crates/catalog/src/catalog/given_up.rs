use datamesh_shard::{NodeName, PeerKey, PoolName};

use super::faults::{ATTEMPTS_MAX, put, whole};
use super::{Catalog, CatalogError};
use crate::keys::{self, Table};
use crate::keyspace::{Keyspace, Row};
use crate::limits::GIVEN_UP_MAX;
use crate::record::{self, GivenUpRecord};

impl<K: Keyspace> Catalog<K> {
    /// Frees the name and the join tokens of a node whose volume is lost for good, and remembers the key: deletes are not
    /// kept for it any more, so with what it had it must not come back. Gives the key, unless the name was free.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn give_up(
        &self,
        pool: &PoolName,
        node: &NodeName,
        now_unix_ms: u64,
    ) -> Result<Option<PeerKey>, CatalogError> {
        let given_up = GivenUpRecord { pool: pool.clone(), node: node.clone(), since_unix_ms: now_unix_ms };
        for _ in 0..ATTEMPTS_MAX {
            let Some((peer, mut batch)) = self.plan_unbind(pool, node).await? else { return Ok(None) };
            for row in beyond(self.given_up_rows().await?)? {
                batch.delete(row.key);
            }
            put(&mut batch, keys::given_up(&peer), &given_up)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(peer));
            }
        }
        Err(CatalogError::Contended)
    }

    /// The keys of all volumes that were given up.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn given_up(&self) -> Result<Vec<PeerKey>, CatalogError> {
        let rows = self.given_up_rows().await?;
        rows.iter().map(|row| Ok(keys::read_given_up(&row.key)?)).collect()
    }

    async fn given_up_rows(&self) -> Result<Vec<Row>, CatalogError> {
        Ok(whole(&self.view().await?, keys::all(Table::GivenUp)).await?.rows)
    }
}

/// The first given up of so many that there is no room for one more.
fn beyond(rows: Vec<Row>) -> Result<Vec<Row>, CatalogError> {
    let over = (rows.len() + 1).saturating_sub(GIVEN_UP_MAX);
    let mut by_age = Vec::with_capacity(rows.len());
    for row in rows {
        by_age.push((record::decode::<GivenUpRecord>(&row.value)?.since_unix_ms, row));
    }
    by_age.sort_by_key(|(since, _)| *since);
    Ok(by_age.into_iter().take(over).map(|(_, row)| row).collect())
}
