//! Objects that were deleted and whose bytes shall leave the disks now. The row is written with the delete, so it is never
//! forgotten; the segments are written down as the object is taken apart.

use datamesh_shard::{NodeName, PoolName, SegmentId};

use super::faults::{ATTEMPTS_MAX, find, put, whole};
use super::{Catalog, CatalogError, DeleteObjectError};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, View};
use crate::limits::{SHRED_STAYS_MAX, SHREDS_MAX};
use crate::model::{BucketId, Condition, Object, ObjectKey, UploadId};
use crate::record::{self, ShredRecord, ShredState};

/// Rows taken away in one batch.
const STEP_ROWS: usize = 512;

/// A shredding: named by the upload that its object was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shred {
    /// Its name.
    pub id: UploadId,
    /// What is written of it.
    pub record: ShredRecord,
}

/// Why an object was not deleted to be shredded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShredError {
    /// As many are remembered as may be.
    #[error("{SHREDS_MAX} objects are being shredded, or were: forget some")]
    TooMany,
    /// It was not deleted.
    #[error(transparent)]
    Delete(#[from] DeleteObjectError),
}

impl<K: Keyspace> Catalog<K> {
    /// Deletes an object, as a version for good, without the retention: its segments are let go at once, and written down as that is done.
    ///
    /// # Errors
    /// See [`ShredError`].
    pub async fn shred_object(
        &self,
        (bucket, pool): (BucketId, &PoolName),
        key: &ObjectKey,
        condition: &Condition,
        now_unix_ms: u64,
    ) -> Result<Option<Object>, ShredError> {
        if self.shreds().await.map_err(DeleteObjectError::from)?.len() >= SHREDS_MAX {
            return Err(ShredError::TooMany);
        }
        let state = ShredState::Going { bucket, key: key.clone() };
        let row = ShredRecord { begun_unix_ms: now_unix_ms, pool: pool.clone(), state };
        let also = |batch: &mut Batch, object: &Object| put(batch, keys::shred(object.upload), &row);
        Ok(self.delete_current((bucket, key), condition, now_unix_ms, also).await?)
    }

    /// All shreddings, those that are over included.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn shreds(&self) -> Result<Vec<Shred>, CatalogError> {
        let rows = whole(&self.view().await?, keys::all(Table::Shred)).await?.rows;
        let shred = |row: &crate::keyspace::Row| {
            Ok(Shred { id: keys::read_shred(&row.key)?, record: record::decode(&row.value)? })
        };
        rows.iter().map(shred).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn shred(&self, id: UploadId) -> Result<Option<Shred>, CatalogError> {
        let record = find::<ShredRecord>(&self.view().await?, &keys::shred(id)).await?.record;
        Ok(record.map(|record| Shred { id, record }))
    }

    /// Segments to be shredded, at most `limit`, those behind `after` where given; `None` while the object is not taken apart to its
    /// end, or a segment is not deleted from all nodes.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn shred_segments(
        &self,
        id: UploadId,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Option<Vec<SegmentId>>, CatalogError> {
        let view = self.view().await?;
        if view.get(&keys::upload(id)).await?.is_some() {
            return Ok(None);
        }
        let all = keys::of_upload(Table::ShredSegment, id);
        let range = match after {
            None => all,
            Some(segment) => all.after(&keys::shred_segment(id, segment)),
        };
        let rows = view.range(&range, RangeLimits::rows(limit)).await?.rows;
        let mut segments = Vec::with_capacity(rows.len());
        for row in rows {
            let segment = keys::read_shred_segment(&row.key)?;
            if view.get(&keys::condemned_segment(segment)).await?.is_some() {
                return Ok(None);
            }
            segments.push(segment);
        }
        Ok(Some(segments))
    }

    /// Where in the keyspace the rows of a shredded object were, its sealed keys among them.
    #[must_use]
    pub fn shred_ranges(id: UploadId, bucket: BucketId, key: &ObjectKey) -> Vec<KeyRange> {
        let one = |key: Vec<u8>| KeyRange { end: Some([&key[..], &[0]].concat()), start: key };
        let tables = [Table::Page, Table::Part, Table::PartTag, Table::UsedSegment]
            .map(|table| keys::of_upload(table, id));
        // It may have been behind another version once.
        let behind = [keys::version_of(id), keys::null_version(bucket, key)];
        let listed = keys::bucket_upload(bucket, key, id);
        let rows = [keys::object(bucket, key.as_bytes()), keys::upload(id), keys::shred(id), listed];
        let versions = keys::versions_of(bucket, key.as_bytes());
        tables.into_iter().chain(rows.map(one)).chain(behind.map(one)).chain([versions]).collect()
    }

    /// It is over: what its row says of the object is forgotten, and what stays is remembered.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn end_shred(
        &self,
        id: UploadId,
        now_unix_ms: u64,
        mut partly: Vec<NodeName>,
    ) -> Result<(), CatalogError> {
        partly.truncate(SHRED_STAYS_MAX);
        let state = ShredState::Over { at_unix_ms: now_unix_ms, partly };
        for _ in 0..ATTEMPTS_MAX {
            let key = keys::shred(id);
            let found = find::<ShredRecord>(&self.view().await?, &key).await?;
            let Some(record) = found.record else { return Ok(()) };
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            put(&mut batch, key, &ShredRecord { state: state.clone(), ..record })?;
            if self.try_commit(batch).await?.is_some() {
                // Not before: what is left would look done to whoever goes on. What is cut off here goes with the row.
                return self.forget_segments(id).await;
            }
        }
        Err(CatalogError::Contended)
    }

    /// Calls a shredding off, or forgets one that is over. The object stays deleted. Gives whether there was one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn forget_shred(&self, id: UploadId) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let key = keys::shred(id);
            let found = find::<ShredRecord>(&self.view().await?, &key).await?;
            if found.record.is_none() {
                return Ok(false);
            }
            let mut batch = Batch::new();
            batch.expect(key.clone(), found.version);
            batch.delete(key);
            if self.try_commit(batch).await?.is_some() {
                self.forget_segments(id).await?;
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    async fn forget_segments(&self, id: UploadId) -> Result<(), CatalogError> {
        let range = keys::of_upload(Table::ShredSegment, id);
        loop {
            let page = self.view().await?.range(&range, RangeLimits::rows(STEP_ROWS)).await?;
            let mut batch = Batch::new();
            page.rows.into_iter().for_each(|row| batch.delete(row.key));
            if batch.writes.is_empty() {
                return Ok(());
            }
            self.try_commit(batch).await?;
        }
    }
}
