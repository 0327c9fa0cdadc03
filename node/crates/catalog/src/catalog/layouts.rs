use datamesh_settings::admin::PoolSpec;
use datamesh_shard::limits::POOL_MEMBERS_MAX;
use datamesh_shard::{Epoch, ErasureProfile, PoolName};

use super::faults::{at_most, find, put, whole};
use super::tally::expect_empty;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::limits::LAYOUT_BYTES_MAX;
use crate::record::{
    self, KeyOnlyRecord, LayoutHeadRecord, LayoutRecord, PoolRecord, RecodeRecord, ScrubRecord,
};

/// Why a layout or pool was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitLayoutError {
    /// Another epoch is the newest than the caller thought.
    #[error("the pool's newest epoch is {}", current.map_or_else(|| "none".into(), |epoch| epoch.to_string()))]
    Conflict {
        /// The newest epoch, if any.
        current: Option<Epoch>,
    },
    /// Epochs only rise.
    #[error("epoch {epoch} does not come after the pool's newest")]
    NotNewer {
        /// The epoch given.
        epoch: Epoch,
    },
    /// A segment of a profile that the layout has no rows for is written down.
    #[error("the pool still has segments of {0}")]
    InUse(ErasureProfile),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Which profiles a layout has rows for, and which the one before had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Segments of these may be written.
    pub open: Vec<ErasureProfile>,
    /// Of these there are none any more, and none may come.
    pub closed: Vec<ErasureProfile>,
}

impl<K: Keyspace> Catalog<K> {
    /// Writes down what the administrator wants of a pool. The last one wins.
    ///
    /// # Errors
    /// Refuses more members than the limit.
    pub async fn put_pool(&self, name: &PoolName, spec: &PoolSpec) -> Result<(), CommitLayoutError> {
        at_most("members of a pool", spec.members.len(), POOL_MEMBERS_MAX)?;
        let mut batch = Batch::new();
        put(&mut batch, keys::pool(name), &PoolRecord::from(spec))?;
        match spec.scrub.is_default() {
            true => batch.delete(keys::scrub(name)),
            false => put(&mut batch, keys::scrub(name), &ScrubRecord::from(spec.scrub))?,
        }
        match spec.recode.is_default() {
            true => batch.delete(keys::recode(name)),
            false => put(&mut batch, keys::recode(name), &RecodeRecord::from(spec.recode))?,
        }
        self.commit_blindly(batch).await?;
        Ok(())
    }

    /// All pools, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn pools(&self) -> Result<Vec<(PoolName, PoolSpec)>, CatalogError> {
        let view = self.view().await?;
        let mut pools = Vec::new();
        for row in whole(&view, keys::all(Table::Pool)).await?.rows {
            let name = pool_of(&row.key)?;
            let mut spec: PoolSpec = record::decode::<PoolRecord>(&row.value)?.into();
            if let Some(scrub) = find::<ScrubRecord>(&view, &keys::scrub(&name)).await?.record {
                spec.scrub = scrub.into();
            }
            if let Some(recode) = find::<RecodeRecord>(&view, &keys::recode(&name)).await?.record {
                spec.recode = recode.into();
            }
            pools.push((name, spec));
        }
        Ok(pools)
    }

    /// Commits a signed layout as the pool's newest, if `expected_previous` still is. Committing the same again is fine. From then
    /// on nothing may refer to new segments of the profiles it closes, of which there must be none.
    ///
    /// # Errors
    /// `Conflict` names the newest, `InUse` a profile that cannot be closed (yet).
    pub async fn commit_layout(
        &self,
        pool: &PoolName,
        epoch: Epoch,
        expected_previous: Option<Epoch>,
        signed: Vec<u8>,
        profiles: &ProfileChange,
    ) -> Result<(), CommitLayoutError> {
        at_most("bytes of a layout", signed.len(), LAYOUT_BYTES_MAX)?;
        let layout = LayoutRecord { signed };
        let (head_key, layout_key) = (keys::layout_head(pool), keys::layout(pool, epoch));
        let view = self.view().await?;
        let head = find::<LayoutHeadRecord>(&view, &head_key).await?;
        let current = head.record.map(|head| head.epoch);
        if current == Some(epoch) && find(&view, &layout_key).await?.record.as_ref() == Some(&layout) {
            return Ok(());
        }
        if current != expected_previous {
            return Err(CommitLayoutError::Conflict { current });
        }
        if current.is_some_and(|current| epoch <= current) {
            return Err(CommitLayoutError::NotNewer { epoch });
        }
        let mut batch = Batch::new();
        batch.expect(head_key.clone(), head.version);
        for profile in &profiles.closed {
            if !expect_empty(&view, &mut batch, (pool, *profile)).await? {
                return Err(CommitLayoutError::InUse(*profile));
            }
            put(&mut batch, keys::closed_profile(pool, *profile), &KeyOnlyRecord)?;
        }
        for profile in &profiles.open {
            batch.delete(keys::closed_profile(pool, *profile));
        }
        drop(view);
        put(&mut batch, head_key.clone(), &LayoutHeadRecord { epoch })?;
        put(&mut batch, layout_key, &layout)?;
        match self.try_commit(batch).await? {
            Some(_) => Ok(()),
            None => {
                let head = self.read::<LayoutHeadRecord>(&head_key).await?;
                let current = head.map(|head| head.epoch);
                match profiles.closed.first() {
                    Some(profile) if current == expected_previous => Err(CommitLayoutError::InUse(*profile)),
                    _ => Err(CommitLayoutError::Conflict { current }),
                }
            }
        }
    }

    /// All layouts of a pool, by epoch.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn layouts(&self, pool: &PoolName) -> Result<Vec<(Epoch, Vec<u8>)>, CatalogError> {
        let rows = whole(&self.view().await?, keys::layouts(pool)).await?.rows;
        let layout = |row: &crate::keyspace::Row| {
            let mut key = KeyReader::new(&row.key, Table::Layout)?;
            let (_, epoch) = (key.name::<PoolName>()?, key.u64()?);
            key.end()?;
            Ok((Epoch(epoch), record::decode::<LayoutRecord>(&row.value)?.signed))
        };
        rows.iter().map(layout).collect()
    }

    /// The epoch of the newest layout of a pool.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn newest_epoch(&self, pool: &PoolName) -> Result<Option<Epoch>, CatalogError> {
        let head = self.read::<LayoutHeadRecord>(&keys::layout_head(pool)).await?;
        Ok(head.map(|head| head.epoch))
    }

    /// The newest layout of a pool.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn newest_layout(&self, pool: &PoolName) -> Result<Option<(Epoch, Vec<u8>)>, CatalogError> {
        let view = self.view().await?;
        let Some(LayoutHeadRecord { epoch }) = find(&view, &keys::layout_head(pool)).await?.record else {
            return Ok(None);
        };
        let layout = find::<LayoutRecord>(&view, &keys::layout(pool, epoch)).await?.record;
        Ok(layout.map(|layout| (epoch, layout.signed)))
    }
}

fn pool_of(key: &[u8]) -> Result<PoolName, CatalogError> {
    let mut key = KeyReader::new(key, Table::Pool)?;
    let name = key.name()?;
    key.end()?;
    Ok(name)
}
