use datamesh_shard::BucketName;

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace};
use crate::limits::WRAPPED_SECRET_BYTES_MAX;
use crate::model::{Bucket, BucketId, NewBucket, WrappedSecret};
use crate::record::{self, BucketNextRecord, BucketRecord};

/// Why a bucket was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn bucket_of(name: BucketName, record: BucketRecord) -> Bucket {
    let BucketRecord { id, kind, pool, secrets, created_unix_ms } = record;
    Bucket { id, name, kind, pool, secrets, created_unix_ms }
}

impl<K: Keyspace> Catalog<K> {
    /// The bucket of that name; made if there is none. `make` wraps a first secret for the number the bucket will have;
    /// what it gives is used only if this call makes the bucket, and it may be asked again with another number.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub async fn ensure_bucket(
        &self,
        new: NewBucket,
        make: impl Fn(BucketId) -> WrappedSecret,
    ) -> Result<Bucket, BucketError> {
        let (key, next_key) = (keys::bucket(&new.name), keys::only(Table::BucketNext));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            if let Some(record) = find::<BucketRecord>(&view, &key).await?.record {
                return Ok(bucket_of(new.name, record));
            }
            let next = find::<BucketNextRecord>(&view, &next_key).await?;
            drop(view);
            let id = next.record.map_or(BucketId(1), |next| next.next);
            let secret = make(id);
            at_most("bytes of a wrapped secret", secret.bytes.len(), WRAPPED_SECRET_BYTES_MAX)?;
            let NewBucket { kind, pool, created_unix_ms, .. } = new.clone();
            let record = BucketRecord { id, kind, pool, secrets: vec![secret], created_unix_ms };
            let mut batch = Batch::new();
            batch.expect(key.clone(), None);
            batch.expect(next_key.clone(), next.version);
            put(&mut batch, key.clone(), &record)?;
            put(&mut batch, next_key.clone(), &BucketNextRecord { next: BucketId(id.0 + 1) })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(bucket_of(new.name, record));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// The bucket of that name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bucket(&self, name: &BucketName) -> Result<Option<Bucket>, CatalogError> {
        let record = self.read::<BucketRecord>(&keys::bucket(name)).await?;
        Ok(record.map(|record| bucket_of(name.clone(), record)))
    }

    /// All buckets, by name.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn buckets(&self) -> Result<Vec<Bucket>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::Bucket)).await?.rows;
        let bucket = |row: &crate::keyspace::Row| {
            let mut key = KeyReader::new(&row.key, Table::Bucket)?;
            let name = key.name()?;
            key.end()?;
            Ok(bucket_of(name, record::decode(&row.value)?))
        };
        rows.iter().map(bucket).collect()
    }
}
