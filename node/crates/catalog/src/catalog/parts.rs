//! What an upload has so far, and which uploads a bucket has.

use std::collections::BTreeMap;

use super::faults::whole;
use super::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, Revision, Row, View};
use crate::model::{BucketId, ListedUpload, ObjectKey, PartSummary, PartTag, TaggedPart, UploadId};
use crate::record::{self, ListedRecord, PartRecord, PartTagRecord};

/// Listed uploads that are given up at one look.
const ABORTED_AT_ONCE: usize = 256;

impl<K: Keyspace> Catalog<K> {
    /// Parts of an upload, by number; none when it has none or is gone.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn parts(&self, upload: UploadId) -> Result<Vec<PartSummary>, CatalogError> {
        parts_in(&self.view().await?, upload).await
    }

    /// Parts of an upload with what their clients were told, by number, all of one moment; and which moment that is, for
    /// [`super::Terms::seen`].
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn tagged_parts(&self, upload: UploadId) -> Result<(Vec<TaggedPart>, Revision), CatalogError> {
        let view = self.view().await?;
        let seen = view.revision().await?;
        let mut tags = BTreeMap::new();
        for row in whole(&view, keys::of_upload(Table::PartTag, upload)).await?.rows {
            let PartTagRecord { etag, put_unix_ms, sealed } = record::decode(&row.value)?;
            tags.insert(part_of(&row, Table::PartTag)?, PartTag { etag, put_unix_ms, sealed });
        }
        let parts = parts_in(&view, upload).await?;
        let tagged = parts.into_iter().map(|part| TaggedPart { tag: tags.remove(&part.part), part });
        Ok((tagged.collect(), seen))
    }

    /// Open uploads of a bucket that were begun to be listed, to keys with this prefix, by key and id, at most `limit`; those
    /// behind `after` where given. Without an upload there, all of that key are passed over.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bucket_uploads(
        &self,
        bucket: BucketId,
        prefix: &[u8],
        after: Option<(&ObjectKey, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<ListedUpload>, CatalogError> {
        let all = keys::bucket_uploads(bucket, prefix);
        let from = match after {
            None => all.start.clone(),
            Some((key, upload)) => crate::keyspace::successor(&keys::bucket_upload(
                bucket,
                key,
                upload.unwrap_or(UploadId([u8::MAX; 16])),
            )),
        };
        let range = KeyRange { start: all.start.max(from), end: all.end };
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.view().await?.range(&range, RangeLimits::rows(limit)).await?.rows;
        let listed = |row: &Row| {
            let (key, upload) = keys::read_bucket_upload(&row.key)?;
            let ListedRecord { created_unix_ms } = record::decode(&row.value)?;
            Ok(ListedUpload { key, upload, created_unix_ms })
        };
        rows.iter().map(listed).collect()
    }

    /// Gives up all listed uploads of a bucket, and takes rows of uploads that are over out of the list: each is looked at once.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn abort_bucket_uploads(&self, bucket: BucketId, now_unix_ms: u64) -> Result<(), CatalogError> {
        let mut last: Option<ListedUpload> = None;
        loop {
            let after = last.as_ref().map(|last| (&last.key, Some(last.upload)));
            let listed = self.bucket_uploads(bucket, b"", after, ABORTED_AT_ONCE).await?;
            for ListedUpload { key, upload, .. } in &listed {
                if !self.abort_upload(*upload, now_unix_ms).await? {
                    let mut batch = Batch::new();
                    batch.delete(keys::bucket_upload(bucket, key, *upload));
                    self.try_commit(batch).await?;
                }
            }
            last = listed.into_iter().last();
            if last.is_none() {
                return Ok(());
            }
        }
    }
}

fn part_of(row: &Row, table: Table) -> Result<u32, CatalogError> {
    let mut key = KeyReader::new(&row.key, table)?;
    let (_, part) = (key.fixed::<16>()?, key.u32()?);
    key.end()?;
    Ok(part)
}

/// Whether no part of an upload, and nothing that its client was told, is newer than this in a view. If so, the batch requires
/// that it stays like that.
pub(super) async fn expect_seen(
    view: &impl View,
    batch: &mut Batch,
    (upload, seen): (UploadId, Revision),
) -> Result<bool, CatalogError> {
    let now = view.revision().await?;
    for table in [Table::Part, Table::PartTag] {
        let range = keys::of_upload(table, upload);
        if whole(view, range.clone()).await?.rows.iter().any(|row| row.version > seen) {
            return Ok(false);
        }
        batch.expect_unchanged(range, now);
    }
    Ok(true)
}

/// Parts of an upload in a view.
pub(super) async fn parts_in(view: &impl View, upload: UploadId) -> Result<Vec<PartSummary>, CatalogError> {
    let rows = whole(view, keys::parts(upload)).await?.rows;
    let part = |row: &Row| Ok(record::decode::<PartRecord>(&row.value)?.summary(part_of(row, Table::Part)?));
    rows.iter().map(part).collect()
}
