use std::collections::BTreeMap;

use datamesh_shard::{Epoch, ErasureProfile, Generation, PoolName, SegmentId};

use crate::catalog::faults::{ATTEMPTS_MAX, find, put};
use crate::catalog::tally::Delta;
use crate::catalog::{Catalog, CatalogError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, View};
use crate::model::{BucketId, UploadId};
use crate::record::{CondemnedRecord, CondemnedSegmentRecord, UsedSegmentRecord};

/// Segments from the first one up to the second, or to the end.
pub type Span = (SegmentId, Option<SegmentId>);

/// A segment that something in the catalog needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSegment {
    /// One of those that need it.
    pub upload: UploadId,
    /// The pool that holds its shards.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
}

/// A segment that nodes have and the catalog does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSegment {
    /// The segment.
    pub segment: SegmentId,
    /// The pool whose nodes have it.
    pub pool: PoolName,
    /// k and m.
    pub profile: ErasureProfile,
    /// The highest generation of its shards.
    pub generation: Generation,
    /// Bytes of the sealed segment.
    pub sealed_bytes: u32,
    /// The layout it was found under.
    pub epoch: Epoch,
}

impl<K: Keyspace> Catalog<K> {
    /// All segments of a span that are needed, whatever bucket's.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn needed_segments(
        &self,
        span: Span,
    ) -> Result<BTreeMap<SegmentId, KnownSegment>, CatalogError> {
        let view = self.view().await?;
        let mut all = BTreeMap::new();
        for bucket in referring(&view).await? {
            let mut rest = keys::references_within(bucket, span);
            loop {
                let page = view.range(&rest, RangeLimits::default()).await?;
                for row in &page.rows {
                    let (segment, upload) = keys::read_reference(&row.key)?;
                    let used = find::<UsedSegmentRecord>(&view, &keys::used_segment(upload, segment)).await?;
                    if let Some(UsedSegmentRecord { pool, profile, .. }) = used.record {
                        all.insert(segment, KnownSegment { upload, pool, profile });
                    }
                }
                match page.rows.last() {
                    Some(last) if page.more => rest = rest.after(&last.key),
                    _ => break,
                }
            }
        }
        Ok(all)
    }

    /// Whether a page of an upload names a segment. What was put and is named by none, as after a cut, nobody misses.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn is_named(&self, upload: UploadId, segment: SegmentId) -> Result<bool, CatalogError> {
        let key = keys::used_segment(upload, segment);
        let used = find::<UsedSegmentRecord>(&self.view().await?, &key).await?.record;
        Ok(used.is_some_and(|used| used.uses > 0))
    }

    /// Whether a segment is needed, or waits to be deleted.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn is_known(&self, segment: SegmentId) -> Result<bool, CatalogError> {
        let view = self.view().await?;
        if view.get(&keys::condemned_segment(segment)).await?.is_some() {
            return Ok(true);
        }
        is_needed(&view, &referring(&view).await?, segment).await
    }

    /// Puts a segment that is not known on the list of what is to be deleted after the retention. Gives false if it is known by now.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn condemn_unknown(
        &self,
        unknown: &UnknownSegment,
        now_unix_ms: u64,
    ) -> Result<bool, CatalogError> {
        let due_unix_ms = self.due_unix_ms(now_unix_ms);
        let UnknownSegment { segment, pool, profile, generation, sealed_bytes, epoch } = unknown.clone();
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let (mut batch, mut delta) = (Batch::new(), Delta::default());
            let buckets = referring(&view).await?;
            let listed = keys::condemned_segment(segment);
            if view.get(&listed).await?.is_some() || is_needed(&view, &buckets, segment).await? {
                return Ok(false);
            }
            // Whoever writes a reference of it meanwhile comes first.
            for bucket in buckets {
                batch.expect_unchanged(keys::references(bucket, segment), view.revision().await?);
            }
            batch.expect(listed.clone(), None);
            put(&mut batch, listed, &CondemnedSegmentRecord { due_unix_ms, generation })?;
            let condemned = CondemnedRecord { sealed_bytes, pool: pool.clone(), profile, epoch, generation };
            put(&mut batch, keys::condemned(due_unix_ms, segment), &condemned)?;
            delta.condemned += 1;
            delta.profile(&pool, profile, (1, 0));
            delta.add_to(&mut batch);
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended)
    }
}

/// Buckets with references, also of those that were deleted.
async fn referring(view: &impl View) -> Result<Vec<BucketId>, CatalogError> {
    let (mut buckets, mut rest) = (Vec::new(), keys::all(Table::Reference));
    while let Some(row) = view.range(&rest, RangeLimits::rows(1)).await?.rows.pop() {
        let bucket = BucketId(KeyReader::new(&row.key, Table::Reference)?.u64()?);
        buckets.push(bucket);
        let Some(next) = keys::references_of(bucket).end else { break };
        rest = KeyRange { start: next, end: rest.end };
        if rest.is_empty() {
            break;
        }
    }
    Ok(buckets)
}

async fn is_needed(view: &impl View, buckets: &[BucketId], segment: SegmentId) -> Result<bool, CatalogError> {
    for bucket in buckets {
        if !view.range(&keys::references(*bucket, segment), RangeLimits::rows(1)).await?.rows.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
