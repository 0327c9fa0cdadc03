//! Segments that clients put by themselves, sealed: which of an upload are durable, and which an object has
//! ([ADR 52](../../../../../docs/adr/0052-private-buckets-hold-what-clients-sealed.md)).

use datamesh_shard::SegmentId;

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::releases::{Release, Releases};
use super::tally::Delta;
use super::uploads::open_upload;
use super::versioning::version_in;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, Row, View};
use crate::limits::PAGE_SEGMENTS_MAX;
use crate::model::{BucketId, SegmentRef, Target, UploadId, Version, VersionId};
use crate::record::{CurrentRecord, UploadRecord, UploadState, UsedSegmentRecord, Written as _};

/// Rows of one upload looked at, and let go, in one batch at most.
const SWEPT_AT_ONCE: usize = 512;

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
            let segment = segment_in(row)?;
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

    /// A segment of the object that a key has, or of this version of it, if that is of this upload.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn segment_of(
        &self,
        Target { bucket, key, upload }: &Target,
        version: Option<VersionId>,
        segment: SegmentId,
    ) -> Result<Option<SegmentRef>, CatalogError> {
        let view = self.view().await?;
        let there = match version {
            None => {
                let object = find::<CurrentRecord>(&view, &keys::object(*bucket, key.as_bytes())).await?;
                object.record.map(|current| current.object.upload)
            }
            Some(version) => match version_in(&view, (*bucket, key), version).await? {
                Some(Version::Object(object)) => Some(object.upload),
                Some(Version::Marker(_)) | None => None,
            },
        };
        if there != Some(*upload) {
            return Ok(None);
        }
        let key = keys::used_segment(*upload, segment);
        let used = find::<UsedSegmentRecord>(&view, &key).await?.record;
        Ok(used.filter(|used| used.uses > 0).map(|used| used.segment(segment)))
    }

    /// Committed uploads that may have segments to let go, at most `limit`.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn leftovers(&self, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        let rows =
            self.view().await?.range(&keys::all(Table::Leftover), RangeLimits::rows(limit)).await?.rows;
        rows.iter().map(|row| Ok(keys::read_leftover(&row.key)?)).collect()
    }

    /// Lets go of a committed upload's segments that no page names: what its client was promised ended with it, whoever else wrote to it is
    /// refused, and nobody else would find them. Of one that is open nothing goes: any gateway may be about to name it.
    /// In bounded batches, and from the beginning where that was cut off.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn let_go_idle(&self, upload: UploadId, now_unix_ms: u64) -> Result<(), CatalogError> {
        let all = keys::of_upload(Table::UsedSegment, upload);
        let (mut rest, mut conflicts) = (all.clone(), 0);
        while conflicts < ATTEMPTS_MAX {
            let view = self.view().await?;
            let found = find::<UploadRecord>(&view, &keys::upload(upload)).await?;
            let page = view.range(&rest, RangeLimits::rows(SWEPT_AT_ONCE)).await?;
            let (mut batch, mut delta) = (Batch::new(), Delta::default());
            // One that is let go as a whole takes all of them along.
            if let Some(record) = found.record.filter(|record| record.state == UploadState::Committed) {
                batch.expect(keys::upload(upload), found.version);
                let due_unix_ms = self.due_unix_ms(now_unix_ms);
                let mut sweep = Sweep { batch: &mut batch, delta: &mut delta, releases: Releases::default() };
                for row in &page.rows {
                    sweep.release_idle(&view, row, (record.bucket, upload, due_unix_ms)).await?;
                }
            }
            if !page.more {
                batch.delete(keys::leftover(upload));
            }
            drop(view);
            delta.add_to(&mut batch);
            if !batch.writes.is_empty() && self.try_commit(batch).await?.is_none() {
                conflicts += 1;
                continue;
            }
            match page.rows.last() {
                Some(last) if page.more => rest = all.after(&last.key),
                _ => return Ok(()),
            }
        }
        Err(CatalogError::Contended)
    }
}

/// One batch that lets go of what no page names.
struct Sweep<'a> {
    batch: &'a mut Batch,
    delta: &'a mut Delta,
    releases: Releases,
}

impl Sweep<'_> {
    async fn release_idle(
        &mut self,
        view: &impl View,
        row: &Row,
        (bucket, upload, due_unix_ms): (BucketId, UploadId, u64),
    ) -> Result<(), CatalogError> {
        let used = UsedSegmentRecord::decode(&row.value)?;
        if used.uses > 0 {
            return Ok(());
        }
        let segment = segment_in(row)?;
        self.batch.expect(row.key.clone(), Some(row.version));
        let release = Release { bucket, upload, segment, used, due_unix_ms };
        self.releases.plan(view, self.batch, self.delta, release).await
    }
}

fn segment_in(row: &Row) -> Result<SegmentId, CatalogError> {
    let mut key = KeyReader::new(&row.key, Table::UsedSegment)?;
    let (_, segment) = (key.fixed::<16>()?, SegmentId(key.fixed()?));
    key.end()?;
    Ok(segment)
}
