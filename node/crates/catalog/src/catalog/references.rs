use std::collections::BTreeMap;

use datamesh_shard::{ErasureProfile, Generation, PoolName, SegmentId};

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::releases::{Release, Releases};
use super::tally::Delta;
use super::uploads::open_upload;
use super::versioning::object_of_upload;
use super::{Catalog, CatalogError, Invalid};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, View};
use crate::limits::SEGMENTS_PER_CALL_MAX;
use crate::model::{BucketId, SegmentRef, UploadId};
use crate::record::{CondemnedSegmentRecord, KeyOnlyRecord, UsedSegmentRecord};

/// Why references were not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It was committed, aborted, reclaimed or never begun.
    #[error("the upload is gone")]
    UploadGone,
    /// The segment is condemned: deletes of its generation may be under way. Put it again with a newer one.
    #[error("segment {segment} is condemned: put it again with generation {needs} or later")]
    StaleGeneration {
        /// The segment.
        segment: SegmentId,
        /// The lowest generation that is safe.
        needs: Generation,
    },
    /// No layout has rows for its profile any more.
    #[error("pool {pool} has nothing in {profile} any more: write the segment in the pool's present profile")]
    Closed {
        /// The pool.
        pool: PoolName,
        /// The profile.
        profile: ErasureProfile,
    },
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// Writes down that an upload needs these segments: from then on they are not deleted. Do it alongside putting
    /// their shards, and before relying on shards that are there already.
    ///
    /// # Errors
    /// See [`ReferenceError`].
    pub async fn reference(&self, upload: UploadId, segments: &[SegmentRef]) -> Result<(), ReferenceError> {
        at_most("segments of one call", segments.len(), SEGMENTS_PER_CALL_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let open = open_upload(&view, upload).await?.ok_or(ReferenceError::UploadGone)?;
            let mut batch = Batch::new();
            let mut delta = Delta::default();
            open.expect(&mut batch);
            let mut uses = Uses::new(open.record.bucket, upload, 0);
            segments.iter().for_each(|segment| uses.name(segment, 0));
            uses.plan(&view, &mut batch, &mut delta).await?;
            drop(view);
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Lets go of segments that no page of the upload names, for instance because their put failed; also of one that became an object since.
    ///
    /// # Errors
    /// See [`ReferenceError`].
    pub async fn unreference(
        &self,
        upload: UploadId,
        segments: &[SegmentId],
        now_unix_ms: u64,
    ) -> Result<(), ReferenceError> {
        at_most("segments of one call", segments.len(), SEGMENTS_PER_CALL_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let (mut batch, mut delta) = (Batch::new(), Delta::default());
            let bucket = whose(&view, &mut batch, upload).await?;
            let uses = Uses::new(bucket, upload, self.due_unix_ms(now_unix_ms));
            let mut uses = uses.keeping_promises();
            segments.iter().for_each(|segment| uses.drop_one(*segment, 0));
            uses.plan(&view, &mut batch, &mut delta).await?;
            drop(view);
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }
}

/// The bucket of an upload that is open, or of the object that it became: it must be either still when the batch is committed. What would
/// be let go of an object that was deleted goes with it.
async fn whose(view: &impl View, batch: &mut Batch, upload: UploadId) -> Result<BucketId, ReferenceError> {
    if let Some(open) = open_upload(view, upload).await? {
        open.expect(batch);
        return Ok(open.record.bucket);
    }
    let (object, standing) = object_of_upload(view, upload).await?.ok_or(ReferenceError::UploadGone)?;
    standing.expect(batch);
    Ok(object.bucket)
}

/// What a batch changes in an upload's use of segments.
pub(super) struct Uses {
    bucket: BucketId,
    upload: UploadId,
    due_unix_ms: u64,
    /// Whether what the upload's client was told is durable stays in use without a page that names it.
    promised: bool,
    changes: BTreeMap<SegmentId, Use>,
}

#[derive(Default)]
struct Use {
    /// Absent when the segment is only let go.
    segment: Option<SegmentRef>,
    delta: i64,
}

impl Uses {
    /// Segments without further use will be condemned to be due then.
    pub(super) fn new(bucket: BucketId, upload: UploadId, due_unix_ms: u64) -> Self {
        Self { bucket, upload, due_unix_ms, promised: false, changes: BTreeMap::new() }
    }

    /// Of an upload that goes on: segments that its client was told are durable stay in use.
    pub(super) fn keeping_promises(self) -> Self {
        Self { promised: true, ..self }
    }

    /// The upload needs the segment, and this many pages more name it.
    pub(super) fn name(&mut self, segment: &SegmentRef, pages: i64) {
        let change = self.changes.entry(segment.id).or_default();
        change.delta += pages;
        change.segment = Some(segment.clone());
    }

    /// This many pages less name the segment.
    pub(super) fn drop_one(&mut self, segment: SegmentId, pages: i64) {
        self.changes.entry(segment).or_default().delta -= pages;
    }

    /// Adds checks and writes.
    pub(super) async fn plan(
        self,
        view: &impl View,
        batch: &mut Batch,
        delta: &mut Delta,
    ) -> Result<(), ReferenceError> {
        let mut releases = Releases::default();
        let (bucket, upload, due_unix_ms) = (self.bucket, self.upload, self.due_unix_ms);
        for (id, change) in self.changes {
            let key = keys::used_segment(upload, id);
            let found = find::<UsedSegmentRecord>(view, &key).await?;
            batch.expect(key.clone(), found.version);
            let uses = found.record.as_ref().map_or(0, |used| i64::from(used.uses)) + change.delta;
            let uses = u32::try_from(uses).unwrap_or(0);
            match (found.record, change.segment) {
                (None, None) => {}
                (None, Some(segment)) => {
                    expect_open(view, batch, &segment).await?;
                    revive(view, batch, delta, &segment).await?;
                    let bytes = i64::from(segment.sealed_bytes);
                    delta.profile(&segment.pool, segment.profile, (1, bytes));
                    put(batch, key, &UsedSegmentRecord::new(&segment, uses))?;
                    put(batch, keys::reference(bucket, id, upload), &KeyOnlyRecord)?;
                }
                (Some(used), None) if uses == 0 && !(self.promised && used.durable) => {
                    let release = Release { bucket, upload, segment: id, used, due_unix_ms };
                    releases.plan(view, batch, delta, release).await?;
                }
                (Some(used), None) => put(batch, key, &UsedSegmentRecord { uses, ..used })?,
                (Some(used), Some(segment)) => {
                    let newer =
                        UsedSegmentRecord { durable: used.durable, ..UsedSegmentRecord::new(&segment, uses) };
                    let kept = if newer.generation < used.generation {
                        UsedSegmentRecord { uses, ..used.clone() }
                    } else {
                        newer
                    };
                    if kept != used {
                        put(batch, key, &kept)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Requires that the newest layout has rows for the segment's profile: what is written down under an older one would have no home.
async fn expect_open(
    view: &impl View,
    batch: &mut Batch,
    segment: &SegmentRef,
) -> Result<(), ReferenceError> {
    let SegmentRef { pool, profile, .. } = segment;
    let key = keys::closed_profile(pool, *profile);
    if view.get(&key).await.map_err(CatalogError::from)?.is_some() {
        return Err(ReferenceError::Closed { pool: pool.clone(), profile: *profile });
    }
    batch.expect(key, None);
    Ok(())
}

/// Takes a segment off the list of condemned ones, if the caller's generation allows it.
async fn revive(
    view: &impl View,
    batch: &mut Batch,
    delta: &mut Delta,
    segment: &SegmentRef,
) -> Result<(), ReferenceError> {
    let key = keys::condemned_segment(segment.id);
    let found = find::<CondemnedSegmentRecord>(view, &key).await?;
    batch.expect(key.clone(), found.version);
    let Some(condemned) = found.record else { return Ok(()) };
    if segment.generation <= condemned.generation {
        let needs = condemned.generation.next();
        return Err(ReferenceError::StaleGeneration { segment: segment.id, needs });
    }
    batch.delete(key);
    batch.delete(keys::condemned(condemned.due_unix_ms, segment.id));
    delta.condemned -= 1;
    delta.profile(&segment.pool, segment.profile, (-1, 0));
    Ok(())
}
