//! The worker: reads what the newest backup has from the mesh, and puts what the bucket lacks of it there; the anchor last.
//!
//! It takes the newest backup when it has done with one, and what came in between is never waiting anywhere: so however slow or full the
//! bucket is, neither commits nor the mesh's backups know of it. What it has of its own in memory is two pieces and an anchor.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datamesh_catalog::SegmentRef;
use datamesh_catalog::backup::Anchor;
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::record::{self, CopiedBackup, RecordError};
use datamesh_exchange::anchor::AnchorId;
use datamesh_seal::ClusterSecret;
use datamesh_shard::NodeName;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use parking_lot::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::endpoint::EndpointError;
use super::keep::{ended, let_go};
use super::names::ChainId;
use super::objects::{Copies, CopyProblem, NoCopy, segments};
use super::place::Place;
use super::{Backup, Newest};
use crate::backup::plan::after_failures;
use crate::pipeline::{Context, ManifestError, ReadError, millis, open_piece, sealed_piece, segments_of};
use crate::surroundings::random;
use crate::work::{Next, Worker};

/// A copy follows another so soon at the earliest.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks at whether there is a backup at all.
const LOOK: Duration = Duration::from_secs(10);
/// Between two tries that fail, at most.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Between two times that old copies are ended, and the newest is read back.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Pieces that are on their way at the same time: each is held in memory outside of what transfers share, which a slow bucket must not
/// take from them.
const AT_ONCE: usize = 2;
/// Objects that are deleted at the same time.
const DELETED_AT_ONCE: usize = 8;
/// Of the anchors that are there, this part at most is ended at a time, or so many.
const ENDED_PART: usize = 4;
const ENDED_MIN: usize = 2;

/// Why there is no newer copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error("a piece cannot be read from the mesh: {0}")]
    Read(#[from] ReadError),
    /// The bucket does not have what it said that it has.
    #[error("{0}; it is put there again")]
    Copy(#[from] CopyProblem),
    #[error("the backup's anchor: {0}")]
    Anchor(#[from] RecordError),
    #[error("the backup's anchor: {0}")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Another point may be the one that is wanted, and what leads to it must stay.
    #[error(
        "this catalog came out of copies and nobody has said yet that it is the one that is wanted: nothing is copied or ended before \
         `datamesh fsck --confirm-restored`"
    )]
    Held,
    /// It was restored elsewhere.
    #[error(
        "a later catalog of this cluster copies here, of generation {0}: if that is a rehearsal, give it another bucket and remove its anchors"
    )]
    Later(u64),
    /// The copy itself is whole.
    #[error("the copy is whole, but older ones are not ended: {0}")]
    NotEnded(EndpointError),
}

impl From<NoCopy> for CopyError {
    fn from(error: NoCopy) -> Self {
        match error {
            NoCopy::Endpoint(error) => error.into(),
            NoCopy::Copy(problem) => problem.into(),
            NoCopy::Later(error) => error.into(),
        }
    }
}

/// A copy that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copying {
    pub(crate) since_unix_ms: u64,
    /// Pieces that are there.
    pub(crate) done: usize,
    pub(crate) total: usize,
}

/// The one under way, if there is one, for whoever asks how far it is.
pub(crate) type UnderWay = Arc<Mutex<Option<Copying>>>;

/// The worker.
pub(crate) struct CopyBackups {
    context: Arc<Context>,
    secret: Arc<ClusterSecret>,
    cluster: NodeName,
    place: Arc<Place>,
    newest: Newest,
    /// The newest that is whole there, as far as this start knows.
    whole: Option<AnchorId>,
    pub(crate) tidied: Option<Instant>,
    /// Chains that nothing led to when it looked last: their anchor may have been on its way.
    unled: BTreeSet<ChainId>,
    /// Pieces that were put.
    put: AtomicU64,
    /// Tries that brought nothing, one after another.
    failures: u32,
    pub(crate) under_way: UnderWay,
}

impl CopyBackups {
    pub(crate) fn new(
        context: Arc<Context>,
        (secret, cluster): (Arc<ClusterSecret>, NodeName),
        (place, newest): (Arc<Place>, Newest),
    ) -> Self {
        let (whole, tidied, unled, put) = (None, None, BTreeSet::new(), AtomicU64::new(0));
        let (failures, under_way) = (0, UnderWay::default());
        Self { context, secret, cluster, place, newest, whole, tidied, unled, put, failures, under_way }
    }

    /// Copies the newest backup, if there is one that was not; then ends old ones, where it is time for that.
    async fn step(&mut self, backup: &Backup) -> Result<(), CopyError> {
        let is_tidy = self.tidied.is_some_and(|tidied| tidied.elapsed() < TIDY_EVERY);
        if self.whole == Some(backup.id) && is_tidy {
            return Ok(());
        }
        self.check_own().await?;
        let copies = self.place.open(&self.secret.fingerprint()).await?;
        if !is_tidy {
            self.check_none_later(&copies, backup.id).await?;
        }
        if self.whole != Some(backup.id) {
            self.copy(&copies, backup).await?;
        }
        if !is_tidy {
            self.prove(&copies, backup).await?;
            self.check_own().await?;
            let ended = self.tidy(&copies, backup.id).await;
            // Whoever may not delete is not asked to each minute.
            self.tidied = Some(Instant::now());
            ended.map_err(CopyError::NotEnded)?;
        }
        Ok(())
    }

    /// That it may copy. Of several gateways one that is cut off from the others may not know yet that another leads, and copies: the catalog does
    /// not answer it, so it gets no further.
    async fn check_own(&self) -> Result<(), CopyError> {
        if self.context.catalog.holds_deletion().await? { Err(CopyError::Held) } else { Ok(()) }
    }

    /// Whether another catalog, restored from these copies or elsewhere, has taken the place of this one: what it puts here is the newest, and
    /// what this one would put never is. Names prove nothing.
    async fn check_none_later(&self, copies: &Copies, own: AnchorId) -> Result<(), CopyError> {
        for id in copies.anchors().await?.into_iter().rev().take_while(|id| id.generation > own.generation) {
            match copies.anchor(&id, (&self.secret, &self.cluster)).await {
                Ok(_) | Err(NoCopy::Later(_)) => return Err(CopyError::Later(id.generation)),
                Err(NoCopy::Copy(_)) | Err(NoCopy::Endpoint(EndpointError::Missing(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn copy(&mut self, copies: &Copies, backup: &Backup) -> Result<(), CopyError> {
        let (chain, parts) = (backup.id.chain(), &backup.anchor.parts);
        let there = copies.pieces(chain).await?;
        let is_there = |segment: &&SegmentRef| there.get(&segment.id) == Some(&segment.sealed_bytes.into());
        let missing: Vec<&SegmentRef> = segments(parts).filter(|segment| !is_there(segment)).collect();
        let since_unix_ms = self.context.surroundings.now_unix_ms();
        let (total, mut left) = (segments(parts).count(), missing.len());
        for some in missing.chunks(AT_ONCE) {
            self.check_own().await?;
            *self.under_way.lock() = Some(Copying { since_unix_ms, done: total - left, total });
            left -= some.len();
            try_join_all(some.iter().map(|segment| self.put(copies, chain, segment))).await?;
        }
        // What leads to pieces comes after them, and after a look at whether they are there.
        if !missing.is_empty()
            && let Some(problem) = copies.lacking((chain, &copies.pieces(chain).await?), parts)
        {
            return Err(problem.into());
        }
        let plain = Zeroizing::new(record::encode(&backup.anchor)?);
        self.check_own().await?;
        copies.put_anchor(&backup.id, self.secret.seal_anchor(&backup.id.binding(), &plain)).await?;
        let before = self.whole.replace(backup.id);
        self.note(Ok(copied(backup))).await;
        self.context.metrics.copies.copied(backup.id.at_unix_ms);
        match before.filter(|before| before.chain() == chain) {
            Some(before) => copies.delete_anchor(&before).await.map_err(CopyError::NotEnded),
            None => Ok(()),
        }
    }

    async fn put(&self, copies: &Copies, chain: ChainId, segment: &SegmentRef) -> Result<(), CopyError> {
        let sealed = sealed_piece(&self.context, segment).await?;
        let bytes = segment.sealed_bytes.into();
        copies.put_piece(chain, segment, sealed).await?;
        self.context.metrics.copies.bytes.inc_by(bytes);
        self.put.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the anchor and one piece back, and opens them: a bucket may say what it likes of what it keeps.
    async fn prove(&self, copies: &Copies, backup: &Backup) -> Result<(), CopyError> {
        let chain = backup.id.chain();
        copies.anchor(&backup.id, (&self.secret, &self.cluster)).await?;
        let number = u64::from_le_bytes(random(&*self.context.surroundings));
        let Some((segment, secret)) = any_piece(&backup.anchor, number)? else { return Ok(()) };
        let sealed = copies.piece(chain, &segment).await?;
        match open_piece(&self.context, (segment.clone(), secret), sealed).await {
            Ok(_) => Ok(()),
            Err(ReadError::Open(error)) => {
                // Of the same length, a list would not show it.
                self.put(copies, chain, &segment).await?;
                let name = copies.piece_name(chain, &segment);
                Err(CopyProblem { name, problem: format!("is not what was put: {error}") }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends what is older than copies are kept, anchors first: none ever leads to what is gone.
    async fn tidy(&mut self, copies: &Copies, newest: AnchorId) -> Result<(), EndpointError> {
        let now = self.context.surroundings.now_unix_ms();
        let anchors = copies.anchors().await?;
        // A clock that is far ahead for a moment does not end all of them.
        let most = (anchors.len() / ENDED_PART).max(ENDED_MIN);
        let gone = ended(&anchors, newest, now.saturating_sub(millis(self.place.keep)));
        let gone: BTreeSet<AnchorId> = gone.into_iter().take(most).collect();
        for id in &gone {
            copies.delete_anchor(id).await?;
        }
        let chains = copies.chains().await?;
        // Again: one that was on its way may have come.
        let unled = let_go(&chains, &copies.anchors().await?, newest);
        let ended: BTreeSet<ChainId> = gone.iter().map(AnchorId::chain).collect();
        let known = std::mem::replace(&mut self.unled, unled.iter().copied().collect());
        for chain in unled.into_iter().filter(|chain| ended.contains(chain) || known.contains(chain)) {
            let pieces: Vec<_> = copies.pieces(chain).await?.into_keys().collect();
            for some in pieces.chunks(DELETED_AT_ONCE) {
                try_join_all(some.iter().map(|segment| copies.delete_piece(chain, segment))).await?;
            }
        }
        Ok(())
    }

    async fn note(&self, outcome: Result<CopiedBackup, &str>) {
        let now = self.context.surroundings.now_unix_ms();
        if let Err(error) = self.context.catalog.note_copy(self.place.told(), outcome, now).await {
            tracing::warn!(%error, "the catalog does not note how far copies of its backups are");
        }
    }

    /// Before the next try: longer each time, and by chance, so that clusters with one bucket do not come all at once.
    fn pause(&self) -> Duration {
        let most = after_failures(self.failures).min(RETRY_MAX);
        let part = u32::from(u16::from_le_bytes(random(&*self.context.surroundings)));
        most / 2 + most / 2 * part / u32::from(u16::MAX)
    }
}

fn copied(backup: &Backup) -> CopiedBackup {
    let AnchorId { generation, revision, at_unix_ms, .. } = backup.id;
    CopiedBackup { generation, revision, at_unix_ms, bytes: backup.anchor.bytes() }
}

/// One of the pieces, by any number.
fn any_piece(
    anchor: &Anchor,
    number: u64,
) -> Result<Option<(SegmentRef, crate::pipeline::SegmentSecret)>, ManifestError> {
    let all = u64::try_from(anchor.segments()).unwrap_or(u64::MAX).max(1);
    let mut left = usize::try_from(number % all).unwrap_or(0);
    for chunk in anchor.parts.iter().flat_map(|part| &part.chunks) {
        if left < chunk.segments.len() {
            return Ok(segments_of(chunk)?.into_iter().nth(left));
        }
        left -= chunk.segments.len();
    }
    Ok(None)
}

impl Worker for CopyBackups {
    fn name(&self) -> &'static str {
        "copies of backups"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            let newest = self.newest.borrow().clone();
            let Some(backup) = newest else { return Next::Wait(LOOK) };
            let before = *self.put.get_mut();
            let outcome = self.step(&backup).await;
            *self.under_way.lock() = None;
            if let Err(error) = outcome {
                tracing::warn!(%error, place = self.place.told(), "backups of the catalog are not copied");
                self.context.metrics.copies.failures.inc();
                self.note(Err(&error.to_string())).await;
                match error {
                    CopyError::NotEnded(_) => {
                        self.failures = 0;
                        return Next::Wait(EVERY);
                    }
                    // It is not there, whatever was believed.
                    CopyError::Copy(_) => self.whole = None,
                    _ => {}
                }
                let has_come_on = *self.put.get_mut() > before;
                self.failures = if has_come_on { 1 } else { self.failures.saturating_add(1) };
                return Next::Wait(self.pause());
            }
            self.failures = 0;
            Next::Wait(EVERY)
        }
        .boxed()
    }

    /// Another gateway copies what it makes.
    fn rest(&mut self) {
        (self.whole, self.tidied, self.failures) = (None, None, 0);
        *self.under_way.lock() = None;
        self.unled.clear();
        self.context.metrics.copies.copied(0);
    }
}
