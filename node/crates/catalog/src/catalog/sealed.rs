//! Segments that clients put by themselves, sealed: which of an upload are durable, and which an object has
//! ([ADR 52](../../../../../docs/adr/0052-private-buckets-hold-what-clients-sealed.md)).

use datamesh_shard::SegmentId;

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::uploads::open_upload;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, View};
use crate::limits::PAGE_SEGMENTS_MAX;
use crate::model::{Page, PageAt, SegmentRef, Target, UploadId};
use crate::record::{UploadRecord, UploadState, UsedSegmentRecord, Written as _};

/// Some of an upload's durable segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurableSegments {
    /// By id.
    pub segments: Vec<SegmentRef>,
    /// Where to go on; absent at the end. There may be more though this has none.
    pub after: Option<SegmentId>,
}

/// Why segments are not to be named by a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDurableError {
    /// It was not put under the upload, or was not acknowledged.
    #[error("segment {segment} is not durable in this upload: put it first")]
    Segment {
        /// The segment.
        segment: SegmentId,
        /// Its place among those that were asked for.
        at: usize,
    },
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// Writes down that a segment of an open upload is durable, before its client is told. It stays in use until the upload ends, whatever
    /// pages name. False when the upload is not open, or does not use the segment: then nobody is to be told so.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn promise_segment(&self, upload: UploadId, segment: SegmentId) -> Result<bool, CatalogError> {
        let key = keys::used_segment(upload, segment);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let Some(open) = open_upload(&view, upload).await? else { return Ok(false) };
            let found = find::<UsedSegmentRecord>(&view, &key).await?;
            drop(view);
            let used = match found.record {
                None => return Ok(false),
                Some(used) if used.durable => return Ok(true),
                Some(used) => used,
            };
            let mut batch = Batch::new();
            open.expect(&mut batch);
            batch.expect(key.clone(), found.version);
            put(&mut batch, key.clone(), &UsedSegmentRecord { durable: true, ..used })?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Segments of an open upload that are durable, by id, behind one of them: of at most `limit` that it uses. None of one that ended.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn durable_segments(
        &self,
        upload: UploadId,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<DurableSegments, CatalogError> {
        let view = self.view().await?;
        if open_upload(&view, upload).await?.is_none() {
            return Ok(DurableSegments::default());
        }
        let all = keys::of_upload(Table::UsedSegment, upload);
        let range = match after {
            None => all,
            Some(segment) => all.after(&keys::used_segment(upload, segment)),
        };
        let page = view.range(&range, RangeLimits::rows(limit)).await?;
        let (mut segments, mut last) = (Vec::new(), None);
        for row in &page.rows {
            let mut key = KeyReader::new(&row.key, Table::UsedSegment)?;
            let (_, segment) = (key.fixed::<16>()?, SegmentId(key.fixed()?));
            key.end()?;
            last = Some(segment);
            let used = UsedSegmentRecord::decode(&row.value)?;
            if used.durable {
                segments.push(used.segment(segment));
            }
        }
        Ok(DurableSegments { segments, after: last.filter(|_| page.more) })
    }

    /// What a page says of segments that are durable in an upload, in this order: at most a page's.
    ///
    /// # Errors
    /// See [`NotDurableError`].
    pub async fn durable(
        &self,
        upload: UploadId,
        segments: &[SegmentId],
    ) -> Result<Vec<SegmentRef>, NotDurableError> {
        at_most("segments of a page", segments.len(), PAGE_SEGMENTS_MAX)?;
        let view = self.view().await?;
        let mut durable = Vec::with_capacity(segments.len());
        for (at, segment) in segments.iter().enumerate() {
            let used = find::<UsedSegmentRecord>(&view, &keys::used_segment(upload, *segment)).await?.record;
            let used = used.filter(|used| used.durable);
            let used = used.ok_or(NotDurableError::Segment { segment: *segment, at })?;
            durable.push(used.segment(*segment));
        }
        Ok(durable)
    }

    /// A segment of what an upload became: of its key's object, or of one that this took the place of, for the retention.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn segment_of(
        &self,
        target: &Target,
        segment: SegmentId,
    ) -> Result<Option<SegmentRef>, CatalogError> {
        let view = self.view().await?;
        if !became_it(&view, target).await? {
            return Ok(None);
        }
        let key = keys::used_segment(target.upload, segment);
        let used = find::<UsedSegmentRecord>(&view, &key).await?.record;
        Ok(used.filter(|used| used.uses > 0).map(|used| used.segment(segment)))
    }

    /// A page of what an upload became, for as long as its segments are found.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn page_of(&self, target: &Target, at: PageAt) -> Result<Option<Page>, CatalogError> {
        let view = self.view().await?;
        if !became_it(&view, target).await? {
            return Ok(None);
        }
        Ok(find::<Page>(&view, &keys::page(target.upload, at)).await?.record)
    }
}

/// Whether an upload was committed as this key, and may be read by those who began while it was the object. What was deleted may not,
/// nor what is being shredded.
async fn became_it(view: &impl View, target: &Target) -> Result<bool, CatalogError> {
    if view.get(&keys::object(target.bucket, target.key.as_bytes())).await?.is_none() {
        return Ok(false);
    }
    let upload = find::<UploadRecord>(view, &keys::upload(target.upload)).await?.record;
    let is_it = upload.is_some_and(|upload| {
        upload.state == UploadState::Committed && upload.bucket == target.bucket && upload.key == target.key
    });
    Ok(is_it && view.get(&keys::shred(target.upload)).await?.is_none())
}
