//! S3 key pairs.

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyError, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, Revision, Row, View};
use crate::limits::{
    ACCESS_KEY_BUCKETS_MAX, ACCESS_KEY_NAME_BYTES_MAX, ACCESS_KEYS_MAX, WRAPPED_SECRET_BYTES_MAX,
};
use crate::model::{AccessKey, AccessKeyId};
use crate::record::{self, AccessKeyRecord};

/// Why a key pair was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeyError {
    /// The id is in use.
    #[error("there is an access key {0} already")]
    Taken(AccessKeyId),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn key_of(id: AccessKeyId, record: AccessKeyRecord) -> AccessKey {
    let AccessKeyRecord { grant, sealed_secret } = record;
    AccessKey { id, grant, sealed_secret }
}

fn validate(key: &AccessKey) -> Result<(), Invalid> {
    at_most("bytes of a key's name", key.grant.name.len(), ACCESS_KEY_NAME_BYTES_MAX)?;
    at_most("bytes of a key's owner", key.grant.owner.len(), ACCESS_KEY_NAME_BYTES_MAX)?;
    at_most("buckets of a key", key.grant.buckets.len(), ACCESS_KEY_BUCKETS_MAX)?;
    at_most("bytes of a sealed secret", key.sealed_secret.len(), WRAPPED_SECRET_BYTES_MAX)
}

impl<K: Keyspace> Catalog<K> {
    /// Keeps a new key pair.
    ///
    /// # Errors
    /// See [`AccessKeyError`].
    pub async fn create_access_key(&self, key: &AccessKey) -> Result<(), AccessKeyError> {
        validate(key)?;
        let record = AccessKeyRecord { grant: key.grant.clone(), sealed_secret: key.sealed_secret.clone() };
        let row = keys::access_key(&key.id);
        let all = keys::all(Table::AccessKey);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let known = whole(&view, all.clone()).await?.rows;
            let since = view.revision().await.map_err(CatalogError::from)?;
            drop(view);
            if known.iter().any(|known| known.key == row) {
                return Err(AccessKeyError::Taken(key.id.clone()));
            }
            at_most("access keys", known.len() + 1, ACCESS_KEYS_MAX)?;
            let mut batch = Batch::new();
            batch.expect_unchanged(all.clone(), since);
            put(&mut batch, row.clone(), &record)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// A key pair, and the commit that wrote it: one read.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn access_key(&self, id: &AccessKeyId) -> Result<Option<(AccessKey, Revision)>, CatalogError> {
        let Some(row) = self.keyspace.get(&keys::access_key(id)).await? else { return Ok(None) };
        Ok(Some((key_of(id.clone(), record::decode(&row.value)?), row.version)))
    }

    /// All key pairs, by id.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::AccessKey)).await?.rows;
        let key = |row: &Row| {
            let mut key = KeyReader::new(&row.key, Table::AccessKey)?;
            let id = String::from_utf8(key.bytes()?).map_err(|_| KeyError::Name)?;
            key.end()?;
            Ok(key_of(id.parse().map_err(|_| KeyError::Name)?, record::decode(&row.value)?))
        };
        rows.iter().map(key).collect()
    }

    /// Refuses a key pair from now on, or takes it again. Gives whether there is one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn disable_access_key(&self, id: &AccessKeyId, disabled: bool) -> Result<bool, CatalogError> {
        let row = keys::access_key(id);
        for _ in 0..ATTEMPTS_MAX {
            let found = find::<AccessKeyRecord>(&self.view().await?, &row).await?;
            let Some(mut record) = found.record else { return Ok(false) };
            record.grant.disabled = disabled;
            let mut batch = Batch::new();
            batch.expect(row.clone(), found.version);
            put(&mut batch, row.clone(), &record)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Revokes a key pair for good. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn delete_access_key(&self, id: &AccessKeyId) -> Result<bool, CatalogError> {
        self.delete_row::<AccessKeyRecord>(keys::access_key(id)).await
    }
}
