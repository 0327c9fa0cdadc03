//! References that go, and what becomes of segments that have none left.

use std::collections::BTreeMap;

use datamesh_shard::{Generation, SegmentId};

use super::CatalogError;
use super::faults::{find, put};
use super::tally::Delta;
use crate::keys;
use crate::keyspace::{Batch, RangeLimits, View};
use crate::model::{BucketId, UploadId};
use crate::record::{CondemnedRecord, CondemnedSegmentRecord, UsedSegmentRecord};

/// A reference to remove.
pub(super) struct Release {
    pub(super) bucket: BucketId,
    pub(super) upload: UploadId,
    pub(super) segment: SegmentId,
    pub(super) used: UsedSegmentRecord,
    /// When the segment may go if this was its last reference.
    pub(super) due_unix_ms: u64,
}

/// References that one batch removes. A segment whose last reference goes is condemned, with the highest generation that any of its
/// references had: a delete of a lower one would leave shards behind that nobody knows of any more.
#[derive(Default)]
pub(super) struct Releases {
    /// Removed by this batch already: the view still shows them.
    removed: BTreeMap<(BucketId, SegmentId), Removed>,
}

#[derive(Default)]
struct Removed {
    uploads: Vec<UploadId>,
    /// The highest of theirs.
    generation: Generation,
}

impl Releases {
    /// Adds what removes an upload's reference to a segment.
    pub(super) async fn plan(
        &mut self,
        view: &impl View,
        batch: &mut Batch,
        delta: &mut Delta,
        mut release: Release,
    ) -> Result<(), CatalogError> {
        let Release { bucket, upload, segment, .. } = release;
        let UsedSegmentRecord { pool, profile, sealed_bytes, .. } = &release.used;
        delta.profile(pool, *profile, (-1, -i64::from(*sealed_bytes)));
        batch.delete(keys::used_segment(upload, segment));
        batch.delete(keys::reference(bucket, segment, upload));
        let removed = self.removed.entry((bucket, segment)).or_default();
        removed.uploads.push(upload);
        removed.generation = removed.generation.max(release.used.generation);
        release.used.generation = removed.generation;
        let range = keys::references(bucket, segment);
        let references = view.range(&range, RangeLimits::rows(removed.uploads.len() + 1)).await?.rows;
        let others = references.iter().map(|row| Ok(keys::read_reference(&row.key)?.1));
        let others: Vec<UploadId> = others.collect::<Result<_, CatalogError>>()?;
        // Whoever adds or removes another reference meanwhile makes this batch start anew.
        batch.expect_unchanged(range, view.revision().await?);
        match others.into_iter().find(|other| !removed.uploads.contains(other)) {
            None => condemn(view, batch, delta, release).await,
            Some(heir) => bequeath(view, batch, (heir, segment), removed.generation).await,
        }
    }
}

/// One of those that still refer to a segment remembers the generation that its shards may have got by a reference which goes.
async fn bequeath(
    view: &impl View,
    batch: &mut Batch,
    (heir, segment): (UploadId, SegmentId),
    generation: Generation,
) -> Result<(), CatalogError> {
    let key = keys::used_segment(heir, segment);
    let found = find::<UsedSegmentRecord>(view, &key).await?;
    batch.expect(key.clone(), found.version);
    match found.record {
        Some(used) if used.generation < generation => {
            put(batch, key, &UsedSegmentRecord { generation, ..used })
        }
        _ => Ok(()),
    }
}

async fn condemn(
    view: &impl View,
    batch: &mut Batch,
    delta: &mut Delta,
    release: Release,
) -> Result<(), CatalogError> {
    let Release { segment, mut used, due_unix_ms, .. } = release;
    let key = keys::condemned_segment(segment);
    let before = find::<CondemnedSegmentRecord>(view, &key).await?;
    batch.expect(key.clone(), before.version);
    if let Some(before) = before.record {
        used.generation = used.generation.max(before.generation);
        batch.delete(keys::condemned(before.due_unix_ms, segment));
        delta.condemned -= 1;
        delta.profile(&used.pool, used.profile, (-1, 0));
    }
    delta.profile(&used.pool, used.profile, (1, 0));
    put(batch, key, &CondemnedSegmentRecord { due_unix_ms, generation: used.generation })?;
    put(batch, keys::condemned(due_unix_ms, segment), &CondemnedRecord::from(used))?;
    delta.condemned += 1;
    Ok(())
}
