//! A chain of backups that grows: a snapshot, then what changed.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::ObjectKeyError;
use datamesh_catalog::backup::{Anchor, AnchorPart, Changed, RowPieces};
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keyspace::{ChangesError, Keyspace, ReadError, View};
use datamesh_catalog::record::{self, RecordError};
use datamesh_exchange::anchor::AnchorId;
use datamesh_shard::{ErasureProfile, PoolName};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::holders::KeepError;
use super::plan::{CHANGED_BYTES_LIMIT, CHANGED_BYTES_MAX, Look};
use crate::pipeline::{Context, Keeping, ManifestError, Pieces, StoreError};

/// Why there is no newer backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot list its segments: {0}")]
    Manifest(#[from] ManifestError),
    #[error(
        "the catalog is too large for a backup in the mesh: it has more than {0} pieces. Names and keys are as safe as the \
         gateways' volumes: keep several gateways"
    )]
    TooLarge(usize),
    #[error("its anchor: {0}")]
    Anchor(#[from] RecordError),
    #[error("more changed meanwhile than is remembered: it begins with a snapshot again")]
    Forgotten,
    #[error(transparent)]
    Key(#[from] ObjectKeyError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// A chain that grows.
pub(super) struct Chain {
    keeping: Keeping,
    pub(super) place: (PoolName, ErasureProfile),
    pub(super) anchor: Anchor,
    changed: Changed,
    begun: Instant,
    kept: Option<Instant>,
    /// When what is in its parts was read.
    read: Instant,
    /// Whether it has parts that are in no anchor which is kept.
    is_pending: bool,
    /// Bytes of the anchor with the snapshot alone, and now.
    anchor_bytes: (usize, usize),
}

impl Chain {
    /// Writes the snapshot. The engine's memory of changes is short: what changes meanwhile is taken in between two pieces.
    pub(super) async fn begin(
        context: &Arc<Context>,
        (keeping, place): (Keeping, (PoolName, ErasureProfile)),
        mut anchor: Anchor,
    ) -> Result<Self, BackupError> {
        let (begun, keyspace) = (Instant::now(), context.catalog.keyspace());
        let view = keyspace.view().await?;
        let revision = view.revision().await?;
        let mut changed = Changed::since(revision);
        let max = Pieces::max_in_anchor(&place.0);
        fits(&view, &mut changed, keyspace, max).await?;
        let (mut rows, mut pieces, mut later) = (RowPieces::of(&view), Pieces::default(), Vec::new());
        while let Some(piece) = rows.next().await? {
            pieces.put(context, &keeping, &piece).await?;
            follow(&mut changed, keyspace).await?;
            if changed.bytes() >= CHANGED_BYTES_MAX {
                // What is acknowledged by now is in what is read from here on.
                let now = context.surroundings.now_unix_ms();
                later.extend(log_part(context, &keeping, (&mut changed, now)).await?);
            }
        }
        let chunks = pieces.finish()?;
        anchor.parts.push(AnchorPart { revision: revision.0, at_unix_ms: anchor.at_unix_ms, chunks });
        anchor.parts.append(&mut later);
        let (read, kept, is_pending, anchor_bytes) = (begun, None, true, (0, 0));
        let mut chain = Self { keeping, place, anchor, changed, begun, kept, read, is_pending, anchor_bytes };
        chain.is_as_of((chain.anchor.at_unix_ms, begun));
        Ok(chain)
    }

    /// Takes in what changed.
    pub(super) async fn follow(&mut self, keyspace: &AnyKeyspace) -> Result<(), BackupError> {
        follow(&mut self.changed, keyspace).await
    }

    /// Adds what changed; false where that is not possible just now. What is acknowledged by `now` is in what is read from here on.
    pub(super) async fn add_part(
        &mut self,
        context: &Arc<Context>,
        now: (u64, Instant),
    ) -> Result<bool, BackupError> {
        let part = log_part(context, &self.keeping, (&mut self.changed, now.0)).await?;
        let Some(part) = part else { return Ok(false) };
        self.anchor.parts.push(part);
        self.is_pending = true;
        self.is_as_of(now);
        Ok(true)
    }

    /// Nothing has changed until now but the backup's own rows, if that is so.
    pub(super) fn is_quiet(&mut self, now: (u64, Instant)) {
        if !self.is_pending && self.changed.is_only_of(self.anchor.upload) {
            self.is_as_of(now);
        }
    }

    pub(super) fn look(&self, place: &(PoolName, ErasureProfile), may_begin: bool) -> Look {
        let (snapshot_bytes, anchor_bytes) = self.anchor_bytes;
        Look {
            since_kept: self.kept.map_or(Duration::MAX, |kept| kept.elapsed()),
            since_snapshot: self.begun.elapsed(),
            changed_bytes: self.changed.bytes(),
            is_only_own: self.changed.is_only_of(self.anchor.upload),
            snapshot_bytes,
            anchor_bytes,
            is_pending: self.is_pending,
            is_in_place: self.place == *place,
            may_begin,
        }
    }

    /// Nothing but what is in its parts was acknowledged by then.
    fn is_as_of(&mut self, (now, read): (u64, Instant)) {
        let last = self.anchor.parts.last().map_or(0, |part| part.at_unix_ms);
        (self.anchor.at_unix_ms, self.read) = (now.max(last), read);
    }

    /// How long ago what is in it was read.
    pub(super) fn age(&self) -> Duration {
        self.read.elapsed()
    }

    pub(super) fn id(&self) -> AnchorId {
        let revision = |part: Option<&AnchorPart>| part.map_or(0, |part| part.revision);
        AnchorId {
            generation: self.anchor.generation,
            revision: revision(self.anchor.parts.last()),
            at_unix_ms: self.anchor.at_unix_ms,
            snapshot: revision(self.anchor.parts.first()),
        }
    }

    /// Its anchor's bytes, not sealed yet.
    pub(super) fn encode(&mut self) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let plain = Zeroizing::new(record::encode(&self.anchor)?);
        let first = if self.kept.is_none() { plain.len() } else { self.anchor_bytes.0 };
        self.anchor_bytes = (first, plain.len());
        Ok(plain)
    }

    /// Its anchor is safe.
    pub(super) fn is_kept(&mut self) {
        (self.kept, self.is_pending) = (Some(Instant::now()), false);
    }
}

/// While parts cannot be written, what changed takes no more than so much memory: then a snapshot costs less.
async fn follow(changed: &mut Changed, keyspace: &impl Keyspace) -> Result<(), BackupError> {
    changed.follow(keyspace).await.map_err(|error| match error {
        ChangesError::Read(error) => error.into(),
        _ => BackupError::Forgotten,
    })?;
    if changed.bytes() > CHANGED_BYTES_LIMIT { Err(BackupError::Forgotten) } else { Ok(()) }
}

/// Whether an anchor has room for a snapshot. What is put of one that does not fit would fill the pool for nothing.
async fn fits(
    view: &impl View,
    changed: &mut Changed,
    keyspace: &AnyKeyspace,
    max: usize,
) -> Result<(), BackupError> {
    let (mut rows, mut pieces) = (RowPieces::of(view), 0);
    while rows.next().await?.is_some() {
        pieces += 1;
        if pieces > max {
            return Err(BackupError::TooLarge(max));
        }
        follow(changed, keyspace).await?;
    }
    Ok(())
}

/// What changed since the last part.
async fn log_part(
    context: &Arc<Context>,
    keeping: &Keeping,
    (changed, at_unix_ms): (&mut Changed, u64),
) -> Result<Option<AnchorPart>, BackupError> {
    let keyspace = context.catalog.keyspace();
    let view = keyspace.view().await?;
    let revision = view.revision().await?;
    follow(changed, keyspace).await?;
    // Readers see a commit a moment before the engine tells of it: half of that commit would be in the part.
    if changed.through() < revision {
        return Ok(None);
    }
    let (mut rows, mut pieces) = (changed.pieces(&view), Pieces::default());
    while let Some(piece) = rows.next().await? {
        pieces.put(context, keeping, &piece).await?;
    }
    let chunks = pieces.finish()?;
    changed.forget_through(revision);
    Ok(Some(AnchorPart { revision: revision.0, at_unix_ms, chunks }))
}

#[cfg(test)]
mod tests {
    use datamesh_catalog::engine::MemoryKeyspace;
    use datamesh_catalog::keyspace::{Batch, Revision};

    use super::*;

    #[tokio::test]
    async fn what_changed_takes_bounded_memory_however_long_no_part_is_written() {
        let (keyspace, mut changed) = (MemoryKeyspace::default(), Changed::since(Revision(0)));
        let (mut followed, mut number) = (Ok(()), 0_u32);
        while followed.is_ok() {
            assert!(changed.bytes() <= CHANGED_BYTES_LIMIT);
            let mut batch = Batch::new();
            for _ in 0..1000 {
                number += 1;
                batch.put([&[7; 900][..], &number.to_be_bytes()].concat(), b"1".to_vec());
            }
            keyspace.commit(batch).await.unwrap();
            followed = follow(&mut changed, &keyspace).await;
        }
        assert!(matches!(followed, Err(BackupError::Forgotten)));
        assert!(usize::try_from(number).unwrap() * 904 > CHANGED_BYTES_LIMIT / 2, "{number}");
    }
}
