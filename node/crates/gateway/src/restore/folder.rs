//! What becomes the catalog, row by row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::backup::{Anchor, AnchorPart, Restore};
use datamesh_catalog::catalog::{CommitLayoutError, OpenError, ProfileChange};
use datamesh_catalog::engine::{AnyKeyspace, MemoryKeyspace};
use datamesh_catalog::record::{RestoredRecord, RestoringRecord};
use datamesh_placement::Layout;
use datamesh_settings::admin::{DesiredMember, PoolSpec};
use datamesh_shard::{Incarnation, PeerKey};

use super::errors::{RestoreError, Unread};
use super::run::Restoring;
use super::source::Shelf;
use super::told::{Told, layouts};
use crate::cache::SegmentCache;
use crate::layouts::encode_stored;
use crate::metrics::Metrics;
use crate::pipeline::{Budget, Context, PieceError, segments_of};
use crate::pools::{Pool, Pools};

/// Nothing is put under this context.
const NO_LEASE: Duration = Duration::from_secs(60);

impl Restoring<'_> {
    /// Writes the rows, on from where the same was cut off.
    pub(super) async fn rows(
        &self,
        shelf: &Shelf,
        (anchor, parts): (&Anchor, &[AnchorPart]),
        (told, restored): (&BTreeMap<PeerKey, Told>, &RestoredRecord),
    ) -> Result<AnyKeyspace, Unread> {
        self.check_whole(shelf, (anchor, parts)).await?;
        let context = self.context(told).await?;
        let (restore, there) = self.begun(anchor, restored).await?;
        let mut come = RestoringRecord { upload: anchor.upload, revision: restored.revision, pieces: 0 };
        for chunk in parts.iter().flat_map(|part| &part.chunks) {
            for segment in segments_of(chunk).map_err(PieceError::from)? {
                come.pieces += 1;
                if come.pieces <= there {
                    continue;
                }
                restore.write(&self.piece_rows((shelf, &context), anchor, segment).await?).await?;
                restore.note(&come).await?;
            }
        }
        // Above all that the lost catalog may have been opened as since.
        let holds_deletion = matches!(shelf, Shelf::Copies(_));
        Ok(restore.finish(Incarnation(restored.at_unix_ms / 1000), (restored, holds_deletion)).await?)
    }

    /// Where they go, and how many pieces of this backup are in it. What is there of another one, or cannot be opened, goes.
    async fn begun(
        &self,
        anchor: &Anchor,
        restored: &RestoredRecord,
    ) -> Result<(Restore<AnyKeyspace>, u64), Unread> {
        let of = (anchor.upload, restored.revision);
        if let Ok(keyspace) = self.volume.open(restored, false).await
            && let Ok((restore, pieces)) = Restore::resume(keyspace, of).await
        {
            if pieces > 0 {
                tracing::info!(pieces, "a restore that was cut off goes on");
            }
            return Ok((restore, pieces));
        }
        let restore = Restore::into_empty(self.volume.open(restored, true).await?).await?;
        Ok((restore, 0))
    }

    /// What reads segments, by the layouts that nodes know.
    async fn context(&self, told: &BTreeMap<PeerKey, Told>) -> Result<Arc<Context>, RestoreError> {
        let pools = Arc::new(Pools::new(Arc::clone(&self.opener.net)));
        for (name, (layout, signed)) in layouts(told) {
            let mut pool = Pool::new(spec_of(layout));
            let refused = |error: datamesh_placement::LayoutError| RestoreError::Layout(error.to_string());
            pool.add(layout.clone(), signed.clone()).map_err(refused)?;
            pools.put(name.clone(), pool);
        }
        let budget = Budget::new(self.buffer_bytes);
        let (metrics, _) = Metrics::register(budget.clone());
        let cache = Arc::new(SegmentCache::new(0, metrics.cache.clone()));
        // It is asked nothing: what is read is in no row yet.
        let nothing = EmbeddedCatalog::in_memory(MemoryKeyspace::default(), "", self.options).await?;
        let outside = (Arc::clone(&self.opener.net), Arc::clone(&self.surroundings));
        Ok(Context::new((budget, cache), metrics, nothing, pools, outside, NO_LEASE))
    }

    /// Layouts that were committed after the backup: members take nothing by earlier ones.
    pub(super) async fn take_layouts(
        &self,
        keyspace: AnyKeyspace,
        told: &BTreeMap<PeerKey, Told>,
    ) -> Result<(), RestoreError> {
        let catalog =
            EmbeddedCatalog::with_keyspace(keyspace, &self.opener.secret.fingerprint(), self.options).await?;
        let known = catalog.pools().await.map_err(OpenError::from)?;
        for (name, (layout, signed)) in layouts(told) {
            let before = catalog.newest_epoch(name).await.map_err(OpenError::from)?;
            if before >= Some(layout.epoch) {
                continue;
            }
            let failed = |error: CommitLayoutError| RestoreError::Layout(error.to_string());
            if !known.iter().any(|(pool, _)| pool == name) {
                catalog.put_pool(name, &spec_of(layout)).await.map_err(failed)?;
            }
            let stored = encode_stored(signed).map_err(|error| RestoreError::Layout(error.to_string()))?;
            let profiles = ProfileChange { open: layout.profiles().collect(), closed: Vec::new() };
            catalog.commit_layout(name, layout.epoch, before, stored, &profiles).await.map_err(failed)?;
            tracing::info!(pool = %name, epoch = %layout.epoch, "a layout later than the backup is taken from the nodes");
        }
        Restore::settle(catalog.keyspace()).await.map_err(RestoreError::Rows)
    }
}

/// A pool as its layout knows it: the rest is as new pools have it, until the administrator says otherwise.
fn spec_of(layout: &Layout) -> PoolSpec {
    let members = layout.members.iter().map(|member| DesiredMember {
        node: member.node.clone(),
        zone: member.zone.clone(),
        capacity_bytes: member.capacity_bytes,
    });
    PoolSpec {
        erasure: layout.profile,
        cipher: Default::default(),
        ack_shards: None,
        members: members.collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}
