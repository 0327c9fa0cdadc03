use datamesh_shard::SegmentId;

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::releases::{Release, Releases};
use super::tally::Delta;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, Row, View};
use crate::limits::SEGMENTS_PER_CALL_MAX;
use crate::model::{BucketId, Condemned, UploadId};
use crate::record::{
    self, CondemnedRecord, CondemnedSegmentRecord, CondemnedUploadRecord, KeyOnlyRecord, UsedSegmentRecord,
    Written as _,
};

/// Batches of one call at most: bounds how long a call takes; what is left comes with the next.
const STEPS_MAX: usize = 64;
/// Condemned uploads looked at in one batch at most.
const STEP_UPLOADS: usize = 64;
/// A batch takes in no further upload beyond this many writes, which leaves room for one more upload's share.
const STEP_WRITES: usize = 2048;
/// Segments, or rows of parts, of one upload let go in one batch at most.
const STEP_ROWS: usize = 512;
/// Pages of one upload deleted in one batch at most; they are read to be deleted, and are large.
const STEP_PAGES: usize = 64;
/// Segments of an upload that are counted when it is condemned: 16 GiB of full ones.
const COUNTED_MAX: usize = 4096;
/// In place of their number where there are more.
const UNCOUNTED: u64 = u64::MAX;

/// Why condemned segments were not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn due_and<const N: usize>(row: &Row, table: Table) -> Result<(u64, [u8; N]), CatalogError> {
    let mut key = KeyReader::new(&row.key, table)?;
    let columns = (key.u64()?, key.fixed()?);
    key.end()?;
    Ok(columns)
}

impl<K: Keyspace> Catalog<K> {
    /// Aborts uploads whose lease has ended, at most `limit` of them, and names them.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn reclaim_expired(
        &self,
        now_unix_ms: u64,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        self.reclaim(now_unix_ms, limit, None).await
    }

    /// The same of all uploads but those of one bucket. Of these there are few: they count towards the limit.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn reclaim_expired_beside(
        &self,
        spared: BucketId,
        now_unix_ms: u64,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        self.reclaim(now_unix_ms, limit, Some(spared)).await
    }

    async fn reclaim(
        &self,
        now_unix_ms: u64,
        limit: usize,
        spared: Option<BucketId>,
    ) -> Result<Vec<UploadId>, CatalogError> {
        let limits = RangeLimits::rows(limit);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let due = self.view().await?.range(&keys::due_by(Table::LeaseDue, now_unix_ms), limits).await?.rows;
        let mut aborted = Vec::new();
        for row in &due {
            let (_, upload) = due_and(row, Table::LeaseDue)?;
            let upload = UploadId(upload);
            if spared.is_some() && self.upload(upload).await?.map(|open| open.target.bucket) == spared {
                continue;
            }
            // It may have been renewed since.
            if self.abort_if(upload, now_unix_ms, |until| until <= now_unix_ms).await? {
                aborted.push(upload);
            }
        }
        Ok(aborted)
    }

    /// Segments whose shards may be deleted from the nodes by now, at most `limit`, those behind `after` where given:
    /// what cannot be deleted yet is passed over that way. Before that it expands uploads that were condemned as a
    /// whole, a bounded number of batches per call: call it again until it gives none.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn condemned_due(
        &self,
        now_unix_ms: u64,
        after: Option<&Condemned>,
        limit: usize,
    ) -> Result<Vec<Condemned>, CatalogError> {
        for _ in 0..STEPS_MAX {
            if !self.expand(now_unix_ms).await? {
                break;
            }
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        let all = keys::due_by(Table::Condemned, now_unix_ms);
        let range = match after {
            None => all,
            Some(last) => all.after(&keys::condemned(last.due_unix_ms, last.segment)),
        };
        let rows = self.view().await?.range(&range, RangeLimits::rows(limit)).await?.rows;
        let condemned = |row: &Row| {
            let (due_unix_ms, segment) = due_and(row, Table::Condemned)?;
            Ok(record::decode::<CondemnedRecord>(&row.value)?.condemned(SegmentId(segment), due_unix_ms))
        };
        rows.iter().map(condemned).collect()
    }

    /// One batch of work on condemned uploads that are due; false when there is none.
    async fn expand(&self, now_unix_ms: u64) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let range = keys::due_by(Table::CondemnedUpload, now_unix_ms);
            let uploads = view.range(&range, RangeLimits::rows(STEP_UPLOADS)).await?.rows;
            if uploads.is_empty() {
                return Ok(false);
            }
            let mut step = Step {
                view: &view,
                batch: Batch::new(),
                delta: Delta::default(),
                releases: Releases::default(),
            };
            for row in &uploads {
                step.let_go(row).await?;
                if step.batch.writes.len() > STEP_WRITES {
                    break;
                }
            }
            let Step { mut batch, delta, .. } = step;
            drop(view);
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Takes segments off the list once the nodes have deleted their shards; those that were put again meanwhile, with
    /// a newer generation, are left as they are. Gives how many it took off.
    ///
    /// # Errors
    /// See [`ForgetError`].
    pub async fn forget_condemned(&self, segments: &[Condemned]) -> Result<usize, ForgetError> {
        at_most("segments of one call", segments.len(), SEGMENTS_PER_CALL_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let mut batch = Batch::new();
            let (mut forgotten, mut delta) = (0_usize, Delta::default());
            for Condemned { segment, generation, due_unix_ms, pool, profile, .. } in segments {
                let key = keys::condemned_segment(*segment);
                let found = find::<CondemnedSegmentRecord>(&view, &key).await?;
                let known = CondemnedSegmentRecord { due_unix_ms: *due_unix_ms, generation: *generation };
                let first = !batch.writes.iter().any(|write| write.key() == key);
                if found.record == Some(known) && first {
                    batch.expect(key.clone(), found.version);
                    batch.delete(key);
                    batch.delete(keys::condemned(*due_unix_ms, *segment));
                    forgotten += 1;
                    delta.condemned -= 1;
                    delta.profile(pool, *profile, (-1, 0));
                }
            }
            drop(view);
            delta.add_to(&mut batch);
            if forgotten == 0 || self.try_commit(batch).await?.is_some() {
                return Ok(forgotten);
            }
        }
        Err(CatalogError::Contended.into())
    }
}

/// Condemns an upload that did not become the object it was for, with the segments it put. More of them than are counted at once
/// are many parts of a large one: they are found when it is expanded.
pub(super) async fn condemn_upload(
    view: &impl View,
    (batch, delta): (&mut Batch, &mut Delta),
    (bucket, upload): (BucketId, UploadId),
    due_unix_ms: u64,
) -> Result<(), CatalogError> {
    let range = keys::of_upload(Table::UsedSegment, upload);
    let page = view.range(&range, RangeLimits::rows(COUNTED_MAX)).await?;
    let segments = if page.more {
        delta.condemned_uncounted += 1;
        UNCOUNTED
    } else {
        let segments = page.rows.len() as u64;
        delta.condemned_waiting += super::tally::delta_of(segments);
        segments
    };
    put(batch, keys::condemned_upload(due_unix_ms, upload), &CondemnedUploadRecord { bucket, segments })
}

/// One batch that lets go of condemned uploads.
struct Step<'a, V> {
    view: &'a V,
    batch: Batch,
    delta: Delta,
    releases: Releases,
}

impl<V: View> Step<'_, V> {
    /// Adds a share of one upload's segments, pages and parts, and its end when nothing else is left.
    async fn let_go(&mut self, row: &Row) -> Result<(), CatalogError> {
        let (due_unix_ms, id) = due_and(row, Table::CondemnedUpload)?;
        let upload = UploadId(id);
        let condemned: CondemnedUploadRecord = record::decode(&row.value)?;
        self.batch.expect(row.key.clone(), Some(row.version));
        let mut left = self.release(upload, (condemned, due_unix_ms)).await?;
        left |= self.delete(keys::of_upload(Table::Page, upload), STEP_PAGES).await?;
        left |= self.delete(keys::of_upload(Table::Part, upload), STEP_ROWS).await?;
        left |= self.delete(keys::of_upload(Table::PartTag, upload), STEP_ROWS).await?;
        if !left {
            self.batch.delete(row.key.clone());
            self.batch.delete(keys::upload(upload));
            match condemned.segments {
                UNCOUNTED => self.delta.condemned_uncounted -= 1,
                segments => self.delta.condemned_waiting -= super::tally::delta_of(segments),
            }
        }
        Ok(())
    }

    async fn release(
        &mut self,
        upload: UploadId,
        (condemned, due_unix_ms): (CondemnedUploadRecord, u64),
    ) -> Result<bool, CatalogError> {
        let range = keys::of_upload(Table::UsedSegment, upload);
        let page = self.view.range(&range, RangeLimits::rows(STEP_ROWS)).await?;
        let shreds = self.view.get(&keys::shred(upload)).await?.is_some();
        for row in page.rows {
            let mut key = KeyReader::new(&row.key, Table::UsedSegment)?;
            let (_, segment) = (key.fixed::<16>()?, SegmentId(key.fixed()?));
            key.end()?;
            let used = UsedSegmentRecord::decode(&row.value)?;
            self.batch.expect(row.key.clone(), Some(row.version));
            if shreds {
                put(&mut self.batch, keys::shred_segment(upload, segment), &KeyOnlyRecord)?;
            }
            let release = Release { bucket: condemned.bucket, upload, segment, used, due_unix_ms };
            self.releases.plan(self.view, &mut self.batch, &mut self.delta, release).await?;
        }
        Ok(page.more)
    }

    /// Deletes some rows of a range; true when it has more.
    async fn delete(&mut self, range: KeyRange, rows: usize) -> Result<bool, CatalogError> {
        let page = self.view.range(&range, RangeLimits::rows(rows)).await?;
        for row in page.rows {
            self.batch.delete(row.key);
        }
        Ok(page.more)
    }
}
