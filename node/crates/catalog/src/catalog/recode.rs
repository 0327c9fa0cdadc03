use std::collections::BTreeSet;

use datamesh_shard::SegmentId;

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::references::Uses;
use super::tally::Delta;
use super::uploads::{OpenUpload, open_upload, plan_end};
use super::versioning::object_of_upload;
use super::{Catalog, CatalogError, Invalid, ReferenceError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::limits::PAGE_SEGMENTS_MAX;
use crate::model::{BucketId, Object, Page, PageAt, SegmentRef, UploadId};
use crate::record::{self, CondemnedUploadRecord, UploadState, UsedSegmentRecord};

/// Segments of one page of a committed object that give way to others with the same sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The object's upload.
    pub object: UploadId,
    /// The page.
    pub at: PageAt,
    /// The open upload that put the new segments, and has nothing else to do.
    pub writer: UploadId,
    /// The old one, and what stands in its place from then on.
    pub segments: Vec<(SegmentId, SegmentRef)>,
}

/// Why segments were not swapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// The page does not name them any more, or its object was deleted or replaced.
    #[error("the page is not as it was any more")]
    PageGone,
    /// The writer's lease has ended, or it does not use the new segments.
    #[error("the upload of the new segments is gone")]
    WriterGone,
    /// A new segment was refused.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// Pages of all uploads behind one of them, at most `limit`, in an order of its own that stays.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn pages_after(
        &self,
        after: Option<(UploadId, PageAt)>,
        limit: usize,
    ) -> Result<Vec<(UploadId, PageAt, Page)>, CatalogError> {
        let all = keys::all(Table::Page);
        let range = match after {
            None => all,
            Some((upload, at)) => all.after(&keys::page(upload, at)),
        };
        let rows = self.view().await?.range(&range, RangeLimits::rows(limit)).await?.rows;
        let page = |row: &crate::keyspace::Row| {
            let mut key = KeyReader::new(&row.key, Table::Page)?;
            let upload = UploadId(key.fixed()?);
            let at = PageAt { part: key.u32()?, page: key.u32()? };
            key.end()?;
            Ok((upload, at, record::decode(&row.value)?))
        };
        rows.iter().map(page).collect()
    }

    /// The object that an upload is, or a version of, if it was committed and not let go since.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn object_of(&self, upload: UploadId) -> Result<Option<Object>, CatalogError> {
        let object = object_of_upload(&self.view().await?, upload).await?;
        Ok(object.map(|(object, _)| object))
    }

    /// Puts segments in the place of others, all or nothing: readers that come later find the new ones, the old ones are condemned
    /// for the retention. The writer's upload ends with it. The sealed part of the page stays as it is, since the sealed bytes do.
    ///
    /// # Errors
    /// See [`SwapError`]: nothing has changed then.
    pub async fn swap_segments(&self, swap: &Swap, now_unix_ms: u64) -> Result<(), SwapError> {
        at_most("segments of a page", swap.segments.len(), PAGE_SEGMENTS_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let (mut batch, mut delta) = (Batch::new(), Delta::default());
            let writer = open_upload(&view, swap.writer).await?.ok_or(SwapError::WriterGone)?;
            let plan = Plan { view: &view, swap, due_unix_ms: self.due_unix_ms(now_unix_ms) };
            plan.page((&mut batch, &mut delta)).await?;
            plan.hand_over(writer, (&mut batch, &mut delta)).await?;
            drop(view);
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }
}

struct Plan<'a, V> {
    view: &'a V,
    swap: &'a Swap,
    due_unix_ms: u64,
}

impl<V: View> Plan<'_, V> {
    /// The page, and what its upload uses. All must be there still when the batch is committed, and the object be what its key
    /// names: one that was deleted keeps its page for readers, but what would be condemned now would outlast the delete, and be
    /// unknown to a shredding.
    async fn page(&self, (batch, delta): (&mut Batch, &mut Delta)) -> Result<(), SwapError> {
        let Swap { object, at, segments, .. } = self.swap;
        let bucket = self.bucket(batch).await?;
        let key = keys::page(*object, *at);
        let found = find::<Page>(self.view, &key).await?;
        let mut page = found.record.ok_or(SwapError::PageGone)?;
        batch.expect(key.clone(), found.version);
        let mut uses = Uses::new(bucket, *object, self.due_unix_ms);
        for (old, new) in segments {
            let mut named = 0;
            for segment in page.segments.iter_mut().filter(|segment| segment.id == *old) {
                *segment = new.clone();
                named += 1;
            }
            let used = find::<UsedSegmentRecord>(self.view, &keys::used_segment(*object, *old)).await?;
            if named == 0 || used.record.is_none() {
                return Err(SwapError::PageGone);
            }
            uses.drop_one(*old, named);
            uses.name(&self.as_put(new).await?, named);
        }
        uses.plan(self.view, batch, delta).await?;
        Ok(put(batch, key, &page)?)
    }

    /// The object's bucket, if there is the object.
    async fn bucket(&self, batch: &mut Batch) -> Result<BucketId, SwapError> {
        let object = self.swap.object;
        let found = object_of_upload(self.view, object).await?;
        let (Object { bucket, .. }, standing) = found.ok_or(SwapError::PageGone)?;
        standing.expect(batch);
        Ok(bucket)
    }

    /// A new segment with the generation that the writer knows of it: it may have inherited a higher one than it put.
    async fn as_put(&self, new: &SegmentRef) -> Result<SegmentRef, SwapError> {
        let key = keys::used_segment(self.swap.writer, new.id);
        let used = find::<UsedSegmentRecord>(self.view, &key).await?.record.ok_or(SwapError::WriterGone)?;
        Ok(SegmentRef { generation: new.generation.max(used.generation), ..new.clone() })
    }

    /// The writer lets go of the new segments, which are the object's now, and ends. What else it put is let go, as of one that
    /// was aborted.
    async fn hand_over(
        &self,
        writer: OpenUpload,
        (batch, delta): (&mut Batch, &mut Delta),
    ) -> Result<(), SwapError> {
        let bucket = writer.record.bucket;
        plan_end(self.view, batch, &writer, UploadState::Aborted).await?;
        delta.uploads -= 1;
        let new: BTreeSet<_> = self.swap.segments.iter().map(|(_, new)| new.id).collect();
        for segment in &new {
            let key = keys::used_segment(writer.id, *segment);
            let found = find::<UsedSegmentRecord>(self.view, &key).await?;
            let UsedSegmentRecord { pool, profile, sealed_bytes, .. } =
                found.record.ok_or(SwapError::WriterGone)?;
            batch.expect(key.clone(), found.version);
            batch.delete(key);
            batch.delete(keys::reference(bucket, *segment, writer.id));
            delta.profile(&pool, profile, (-1, -i64::from(sealed_bytes)));
        }
        let range = keys::of_upload(Table::UsedSegment, writer.id);
        let page = self.view.range(&range, RangeLimits::rows(PAGE_SEGMENTS_MAX)).await;
        let used = page.map_err(CatalogError::from)?.rows.len();
        self.end(&writer, used.saturating_sub(new.len()), (batch, delta), bucket)
    }

    fn end(
        &self,
        writer: &OpenUpload,
        left: usize,
        (batch, delta): (&mut Batch, &mut Delta),
        bucket: BucketId,
    ) -> Result<(), SwapError> {
        let segments = left as u64;
        if segments == 0 {
            batch.delete(keys::upload(writer.id));
            return Ok(());
        }
        delta.condemned_waiting += super::tally::delta_of(segments);
        let key = keys::condemned_upload(self.due_unix_ms, writer.id);
        Ok(put(batch, key, &CondemnedUploadRecord { bucket, segments })?)
    }
}
