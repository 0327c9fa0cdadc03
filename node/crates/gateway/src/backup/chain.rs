//! A chain of backups that grows: a snapshot, then what changed.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::ObjectKeyError;
use datamesh_catalog::backup::{Anchor, AnchorPart, Changed};
use datamesh_catalog::catalog::{CatalogError, UploadError};
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keyspace::{ChangesError, Keyspace, ReadError, Revision, View};
use datamesh_catalog::record::{self, RecordError};
use datamesh_exchange::anchor::AnchorId;
use datamesh_mesh::planted::{Planted, is_planted};
use datamesh_shard::{ErasureProfile, PoolName};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::holders::KeepError;
use super::plan::{CHANGED_BYTES_LIMIT, Look};
use super::snapshot::Written;
use crate::pipeline::{Context, Keeping, ManifestError, Pieces, StoreError};

/// Looks at whether the engine has told of what it shows, which takes it a moment.
const UNTOLD_MAX: usize = 1000;

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
    #[error("the catalog's engine shows changes that it does not tell of")]
    Untold,
    #[error("what keeps a backup from being deleted: {0}")]
    Hold(#[from] UploadError),
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
    /// Of a snapshot whose pieces are put, and of what changed meanwhile, up to now.
    pub(super) async fn of(context: &Arc<Context>, written: Written) -> Result<Self, BackupError> {
        let Written { keeping, place, anchor, changed, begun } = written;
        let (read, kept, is_pending, anchor_bytes) = (begun, None, true, (0, 0));
        let mut chain = Self { keeping, place, anchor, changed, begun, kept, read, is_pending, anchor_bytes };
        chain.is_as_of((chain.anchor.at_unix_ms, begun));
        chain.catch_up(context).await?;
        Ok(chain)
    }

    /// The chain before has grown meanwhile, and the one of the highest revision is what is restored: this one is never behind it.
    async fn catch_up(&mut self, context: &Arc<Context>) -> Result<(), BackupError> {
        for _ in 0..UNTOLD_MAX {
            let now = (context.surroundings.now_unix_ms(), Instant::now());
            if self.add_part(context, now).await? {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(BackupError::Untold)
    }

    /// Takes in what changed.
    pub(super) async fn follow(&mut self, keyspace: &AnyKeyspace) -> Result<(), BackupError> {
        // As far as by now: under load there is always something newer.
        let newest = keyspace.view().await?.revision().await?;
        follow(&mut self.changed, keyspace, newest).await
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
        if !self.is_pending && self.has_only_own() {
            self.is_as_of(now);
        }
    }

    pub(super) fn look(&self, place: &(PoolName, ErasureProfile), may_begin: bool) -> Look {
        let (snapshot_bytes, anchor_bytes) = self.anchor_bytes;
        Look {
            since_kept: self.kept.map_or(Duration::MAX, |kept| kept.elapsed()),
            since_snapshot: self.begun.elapsed(),
            changed_bytes: self.changed.bytes(),
            is_only_own: self.has_only_own(),
            snapshot_bytes,
            anchor_bytes,
            is_pending: self.is_pending,
            is_in_place: self.place == *place,
            may_begin,
            is_asked: false,
        }
    }

    fn has_only_own(&self) -> bool {
        is_planted(Planted::BackupSeesNoChange) || self.changed.is_only_of(self.anchor.upload)
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

/// Takes in what changed up to a revision, as far as the engine tells of it already. While parts cannot be written, that takes no more than
/// so much memory: then a snapshot costs less.
pub(super) async fn follow(
    changed: &mut Changed,
    keyspace: &impl Keyspace,
    until: Revision,
) -> Result<(), BackupError> {
    while changed.through() < until {
        let more = changed.follow(keyspace).await.map_err(|error| match error {
            ChangesError::Read(error) => error.into(),
            _ => BackupError::Forgotten,
        })?;
        if changed.bytes() > CHANGED_BYTES_LIMIT {
            return Err(BackupError::Forgotten);
        }
        if !more {
            break;
        }
    }
    Ok(())
}

/// What changed since the last part.
pub(super) async fn log_part(
    context: &Arc<Context>,
    keeping: &Keeping,
    (changed, at_unix_ms): (&mut Changed, u64),
) -> Result<Option<AnchorPart>, BackupError> {
    let keyspace = context.catalog.keyspace();
    let view = keyspace.view().await?;
    let revision = view.revision().await?;
    follow(changed, keyspace, revision).await?;
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
    use datamesh_catalog::engine::{MemoryKeyspace, MemoryView};
    use datamesh_catalog::keyspace::{Batch, Changes, CommitError, Versioned};

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
            followed = follow(&mut changed, &keyspace, Revision(u64::MAX)).await;
        }
        assert!(matches!(followed, Err(BackupError::Forgotten)));
        assert!(usize::try_from(number).unwrap() * 904 > CHANGED_BYTES_LIMIT / 2, "{number}");
    }

    /// Whenever it is asked for changes, there is another one.
    #[derive(Clone)]
    struct Busy(MemoryKeyspace);

    impl Keyspace for Busy {
        type View<'a> = MemoryView;

        async fn view(&self) -> Result<MemoryView, ReadError> {
            self.0.view().await
        }

        async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
            self.0.get(key).await
        }

        async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
            self.0.commit(batch).await
        }

        async fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
            let mut batch = Batch::new();
            batch.put(b"more".to_vec(), b"1".to_vec());
            self.commit(batch).await.unwrap();
            self.0.changes_since(since, limit).await
        }
    }

    #[tokio::test]
    async fn what_changes_without_end_is_followed_as_far_as_was_asked() {
        let (keyspace, mut changed) = (Busy(MemoryKeyspace::default()), Changed::since(Revision(0)));
        for _ in 0..3 {
            let mut batch = Batch::new();
            batch.put(b"key".to_vec(), b"1".to_vec());
            let newest = keyspace.commit(batch).await.unwrap();
            follow(&mut changed, &keyspace, newest).await.unwrap();
            assert_eq!(changed.through(), Revision(newest.0 + 1));
        }
    }
}
