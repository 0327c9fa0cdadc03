//! The snapshot that a chain begins with, as it is written.

use std::sync::Arc;

use datamesh_catalog::backup::{Anchor, AnchorPart, Changed, RowPieces};
use datamesh_catalog::keyspace::{Keyspace, Revision, View};
use datamesh_shard::{ErasureProfile, PoolName};
use tokio::time::Instant;

use super::chain::{BackupError, Chain, follow, log_part};
use super::plan::CHANGED_BYTES_MAX;
use crate::pipeline::{Context, Keeping, Pieces};

/// All rows of a view, put piece by piece. The engine's memory of changes is short: what changes meanwhile is taken in between two of them.
pub(super) struct Snapshot<'a, V> {
    context: &'a Arc<Context>,
    rows: RowPieces<'a, V>,
    revision: Revision,
    pieces: Pieces,
    /// What changed meanwhile, where it was so much that it was put.
    later: Vec<AnchorPart>,
    written: Written,
}

/// What becomes a chain.
pub(super) struct Written {
    pub(super) keeping: Keeping,
    pub(super) place: (PoolName, ErasureProfile),
    pub(super) anchor: Anchor,
    pub(super) changed: Changed,
    /// What was acknowledged by then is in it.
    pub(super) begun: Instant,
}

impl<'a, V: View> Snapshot<'a, V> {
    /// Of a view that was taken after it had begun, at the anchor's time.
    pub(super) async fn of(
        (view, context): (&'a V, &'a Arc<Context>),
        (keeping, place): (Keeping, (PoolName, ErasureProfile)),
        (anchor, begun): (Anchor, Instant),
    ) -> Result<Self, BackupError> {
        let revision = view.revision().await?;
        let written = Written { keeping, place, anchor, changed: Changed::since(revision), begun };
        let (rows, pieces, later) = (RowPieces::of(view), Pieces::default(), Vec::new());
        Ok(Self { context, rows, revision, pieces, later, written })
    }

    /// Puts the next piece; false after the last.
    ///
    /// # Errors
    /// `TooLarge` where no anchor has room for it.
    pub(super) async fn put_next(&mut self) -> Result<bool, BackupError> {
        let Some(piece) = self.rows.next().await? else { return Ok(false) };
        let Written { keeping, place, changed, .. } = &mut self.written;
        let max = Pieces::max_in_anchor(&place.0);
        if self.pieces.count() >= max {
            return Err(BackupError::TooLarge(max));
        }
        self.pieces.put(self.context, keeping, &piece).await?;
        let keyspace = self.context.catalog.keyspace();
        let newest = keyspace.view().await?.revision().await?;
        follow(changed, keyspace, newest).await?;
        if changed.bytes() >= CHANGED_BYTES_MAX {
            // What is acknowledged by now is in what is read from here on.
            let now = self.context.surroundings.now_unix_ms();
            self.later.extend(log_part(self.context, keeping, (changed, now)).await?);
        }
        Ok(true)
    }

    /// How many were put.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.count()
    }

    /// The chain that begins with it.
    pub(super) async fn finish(mut self) -> Result<Chain, BackupError> {
        let anchor = &mut self.written.anchor;
        let chunks = self.pieces.finish()?;
        anchor.parts.push(AnchorPart { revision: self.revision.0, at_unix_ms: anchor.at_unix_ms, chunks });
        anchor.parts.append(&mut self.later);
        Chain::of(self.context, self.written).await
    }
}
