use datamesh_shard::BucketName;

use super::faults::{ATTEMPTS_MAX, at_most, find, put, whole};
use super::tally::forget_usage;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::limits::WRAPPED_SECRET_BYTES_MAX;
use crate::model::{Bucket, BucketId, BucketKind, BucketSetting, NewBucket, Versioning, WrappedSecret};
use crate::record::{self, BucketNextRecord, BucketRecord, KeepingRecord, KeyOnlyRecord};

/// Why a bucket was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteBucketError {
    /// It has objects, or versions of them.
    #[error("the bucket has objects or versions of them")]
    NotEmpty,
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A bucket that was to be made.
enum Made {
    New(Bucket),
    There(Bucket),
}

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
    /// what it gives is used only if this call makes the bucket, and it may be asked again with another number. A private bucket gets
    /// none.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub async fn ensure_bucket(
        &self,
        new: NewBucket,
        make: impl Fn(BucketId) -> WrappedSecret,
    ) -> Result<Bucket, BucketError> {
        match self.make_bucket(new, make).await? {
            Made::New(bucket) | Made::There(bucket) => Ok(bucket),
        }
    }

    /// Makes a bucket as [`Catalog::ensure_bucket`] does; `None` when the name is taken.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub async fn create_bucket(
        &self,
        new: NewBucket,
        make: impl Fn(BucketId) -> WrappedSecret,
    ) -> Result<Option<Bucket>, BucketError> {
        match self.make_bucket(new, make).await? {
            Made::New(bucket) => Ok(Some(bucket)),
            Made::There(_) => Ok(None),
        }
    }

    async fn make_bucket(
        &self,
        new: NewBucket,
        make: impl Fn(BucketId) -> WrappedSecret,
    ) -> Result<Made, BucketError> {
        let (key, next_key) = (keys::bucket(&new.name), keys::only(Table::BucketNext));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            if let Some(record) = find::<BucketRecord>(&view, &key).await?.record {
                return Ok(Made::There(bucket_of(new.name, record)));
            }
            let next = find::<BucketNextRecord>(&view, &next_key).await?;
            drop(view);
            let id = next.record.map_or(BucketId(1), |next| next.next);
            let NewBucket { kind, pool, locking, created_unix_ms, .. } = new.clone();
            let secrets = match kind {
                BucketKind::Managed => vec![make(id)],
                // Its clients have the keys, nobody here.
                BucketKind::Private => Vec::new(),
            };
            let secret_bytes = secrets.iter().map(|secret| secret.bytes.len()).max().unwrap_or_default();
            at_most("bytes of a wrapped secret", secret_bytes, WRAPPED_SECRET_BYTES_MAX)?;
            let record = BucketRecord { id, kind, pool, secrets, created_unix_ms };
            let mut batch = Batch::new();
            batch.expect(key.clone(), None);
            batch.expect(next_key.clone(), next.version);
            put(&mut batch, key.clone(), &record)?;
            put(&mut batch, next_key.clone(), &BucketNextRecord { next: BucketId(id.0 + 1) })?;
            if locking.is_some() {
                put(
                    &mut batch,
                    keys::versioning(id),
                    &KeepingRecord { state: Versioning::Enabled, locking },
                )?;
            }
            if self.try_commit(batch).await?.is_some() {
                return Ok(Made::New(bucket_of(new.name, record)));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Deletes a bucket without objects and versions; gives it, or `None` when there was none. Its uploads are left to their leases: none of
    /// them can be committed any more, nor can a put that is under way.
    ///
    /// # Errors
    /// See [`DeleteBucketError`].
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<Option<Bucket>, DeleteBucketError> {
        let key = keys::bucket(name);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<BucketRecord>(&view, &key).await?;
            let Some(record) = found.record else { return Ok(None) };
            let what_it_has = [keys::objects(record.id, b""), keys::versions(record.id, b"")];
            for range in &what_it_has {
                let page = view.range(range, RangeLimits::rows(1)).await.map_err(CatalogError::from)?;
                if !page.rows.is_empty() {
                    return Err(DeleteBucketError::NotEmpty);
                }
            }
            let since = view.revision().await.map_err(CatalogError::from)?;
            drop(view);
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            // A commit that came in between makes this start anew; one that comes later finds the row below.
            what_it_has.into_iter().for_each(|range| batch.expect_unchanged(range, since));
            batch.delete(key.clone());
            put(&mut batch, keys::bucket_gone(record.id), &KeyOnlyRecord)?;
            batch.delete(keys::versioning(record.id));
            BucketSetting::ALL.iter().for_each(|which| batch.delete(keys::bucket_setting(*which, record.id)));
            forget_usage(&mut batch, record.id);
            if self.try_commit(batch).await?.is_some() {
                self.shared.watched.write().remove(record.id);
                return Ok(Some(bucket_of(name.clone(), record)));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Whether a bucket of this number was deleted.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn is_bucket_gone(&self, bucket: BucketId) -> Result<bool, CatalogError> {
        Ok(self.keyspace.get(&keys::bucket_gone(bucket)).await?.is_some())
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
