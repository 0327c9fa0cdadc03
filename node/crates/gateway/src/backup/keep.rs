//! The worker: a snapshot, then what changed, over and over.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::{Anchor, AnchorPart, Changed, RowPieces};
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::keyspace::{ChangesError, Keyspace, ReadError, View};
use datamesh_catalog::record::{self, RecordError};
use datamesh_catalog::{BucketId, ObjectKey, ObjectKeyError, Target, UploadId};
use datamesh_exchange::anchor::AnchorId;
use datamesh_seal::ClusterSecret;
use datamesh_shard::{ErasureProfile, Incarnation, NodeName, PoolName};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::holders::{self, KeepError};
use super::plan::{Due, Look, PART_EVERY};
use super::standing::{Kept, Standing};
use crate::group::Leading;
use crate::pipeline::{Context, Keeping, ManifestError, Pieces, StoreError};
use crate::surroundings::random;
use crate::work::{Next, Worker};

/// Between two looks at what changed: engines remember some tens of thousands of changes.
const LOOK: Duration = Duration::from_secs(5);
/// Before what failed is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// A bucket that no bucket is: what is put for it is no object's.
const NO_BUCKET: BucketId = BucketId(0);
/// What its upload would write to.
const KEY: &str = "backup of the catalog";

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
    #[error("the catalog is too large for a backup in the mesh: {0}")]
    Anchor(#[from] RecordError),
    #[error(transparent)]
    Key(#[from] ObjectKeyError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// A chain of backups that grows.
struct Chain {
    keeping: Keeping,
    place: (PoolName, ErasureProfile),
    anchor: Anchor,
    changed: Changed,
    begun: Instant,
    kept: Option<Instant>,
    /// Bytes of the anchor with the snapshot alone, and now.
    anchor_bytes: (usize, usize),
}

impl Chain {
    fn look(&self, place: &(PoolName, ErasureProfile)) -> Look {
        let (snapshot_bytes, anchor_bytes) = self.anchor_bytes;
        Look {
            since_kept: self.kept.map_or(Duration::MAX, |kept| kept.elapsed()),
            since_snapshot: self.begun.elapsed(),
            changed_bytes: self.changed.bytes(),
            is_only_own: self.changed.is_only_of(self.anchor.upload),
            snapshot_bytes,
            anchor_bytes,
            is_in_place: self.place == *place,
        }
    }

    fn id(&self) -> AnchorId {
        let revision = |part: Option<&AnchorPart>| part.map_or(0, |part| part.revision);
        AnchorId {
            incarnation: self.anchor.incarnation,
            snapshot: revision(self.anchor.parts.first()),
            revision: revision(self.anchor.parts.last()),
            at_unix_ms: self.anchor.at_unix_ms,
        }
    }
}

/// The worker.
pub(crate) struct KeepBackup {
    context: Arc<Context>,
    secret: Arc<ClusterSecret>,
    /// Of the cluster and of this gateway.
    names: (NodeName, NodeName),
    pub(crate) standing: Arc<Standing>,
    chain: Option<Chain>,
    /// Where it does not, it makes no backups.
    pub(crate) leading: Leading,
    wake: Arc<Notify>,
    /// A part follows another so soon at the earliest.
    pub(crate) part_every: Duration,
    /// Uploads of chains that end once the present one is safe.
    former: Vec<UploadId>,
}

impl KeepBackup {
    pub(crate) fn new(
        context: Arc<Context>,
        (secret, names, standing): (Arc<ClusterSecret>, (NodeName, NodeName), Arc<Standing>),
    ) -> Self {
        let (leading, wake) = (Leading::Always, Arc::default());
        let (chain, former) = (None, Vec::new());
        Self { context, secret, names, standing, chain, leading, wake, part_every: PART_EVERY, former }
    }

    async fn step(&mut self) -> Result<Next, BackupError> {
        if !self.leading.now() {
            // What the chain has stays until its lease ends: whoever leads has begun another by then.
            (self.chain, self.former) = (None, Vec::new());
            self.standing.is_made_elsewhere();
            return Ok(Next::Wait(RETRY));
        }
        let Some(place) = self.place() else { return Ok(Next::Wait(LOOK)) };
        // What is acknowledged by now is in what is read from here on.
        let now = self.context.surroundings.now_unix_ms();
        let part_every = self.part_every;
        let incarnation = self.context.catalog.newest_incarnation().await?;
        if self.chain.as_ref().is_some_and(|chain| chain.anchor.incarnation != incarnation) {
            // Another gateway has it open, and may have led meanwhile.
            self.end();
        }
        let due = match self.follow().await? {
            Some(chain) => chain.look(&place).due(part_every),
            None => Due::Snapshot,
        };
        match due {
            Due::Nothing => return Ok(Next::Wait(LOOK)),
            Due::Anchor => {}
            Due::Part => self.add_part(now).await?,
            Due::Snapshot => self.begin(place, (incarnation, now)).await?,
        }
        self.keep_anchor(now).await?;
        Ok(Next::Wait(LOOK))
    }

    /// Where a new chain would be: the first pool by name that has a layout.
    fn place(&self) -> Option<(PoolName, ErasureProfile)> {
        let mut pools = self.context.pools.all().into_iter();
        pools.find_map(|(name, pool)| Some((name, pool.layout()?.profile)))
    }

    /// The chain, knowing what changed; none where that was forgotten.
    async fn follow(&mut self) -> Result<Option<&Chain>, BackupError> {
        let Some(chain) = &mut self.chain else { return Ok(None) };
        match chain.changed.follow(self.context.catalog.keyspace()).await {
            Ok(()) => {}
            Err(ChangesError::Read(error)) => return Err(error.into()),
            Err(error) => {
                tracing::info!(%error, "the backup of the catalog begins with a snapshot again");
                self.end();
            }
        }
        Ok(self.chain.as_ref())
    }

    /// The chain grows no more. What it has stays until the next one is safe.
    fn end(&mut self) {
        self.former.extend(self.chain.take().map(|chain| chain.anchor.upload));
    }

    /// Begins a chain.
    async fn begin(
        &mut self,
        place: (PoolName, ErasureProfile),
        (incarnation, now): (Incarnation, u64),
    ) -> Result<(), BackupError> {
        let begun = Instant::now();
        let upload = UploadId(random(&*self.context.surroundings));
        let target = Target { bucket: NO_BUCKET, key: ObjectKey::new(KEY)?, upload };
        let keeping = Keeping::new(&self.context, target, place.0.clone())?;
        let part = match self.snapshot(&keeping, now).await {
            Ok(part) => part,
            Err(error) => {
                // What was put of it is let go; where that fails, with its lease.
                self.let_go(upload).await;
                return Err(error);
            }
        };
        self.end();
        let (cluster, gateway) = self.names.clone();
        let changed = Changed::since(datamesh_catalog::keyspace::Revision(part.revision));
        let anchor = Anchor {
            cluster,
            gateway,
            incarnation,
            retention_ms: self.context.catalog.options().retention_ms,
            upload,
            at_unix_ms: now,
            parts: vec![part],
        };
        let anchor_bytes = (0, 0);
        self.chain = Some(Chain { keeping, place, anchor, changed, begun, kept: None, anchor_bytes });
        Ok(())
    }

    async fn snapshot(&self, keeping: &Keeping, at_unix_ms: u64) -> Result<AnchorPart, BackupError> {
        let view = self.context.catalog.keyspace().view().await?;
        let revision = view.revision().await?.0;
        let (mut rows, mut pieces) = (RowPieces::of(&view), Pieces::default());
        while let Some(piece) = rows.next().await? {
            pieces.put(&self.context, keeping, &piece).await?;
        }
        Ok(AnchorPart { revision, at_unix_ms, chunks: pieces.finish()? })
    }

    /// Adds what changed to the chain.
    async fn add_part(&mut self, at_unix_ms: u64) -> Result<(), BackupError> {
        let keyspace = self.context.catalog.keyspace();
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let view = keyspace.view().await?;
        let revision = view.revision().await?;
        match chain.changed.follow(keyspace).await {
            Ok(()) => {}
            Err(ChangesError::Read(error)) => return Err(error.into()),
            // The next step finds it forgotten, too.
            Err(_) => return Ok(()),
        }
        let (mut rows, mut pieces) = (chain.changed.pieces(&view), Pieces::default());
        while let Some(piece) = rows.next().await? {
            pieces.put(&self.context, &chain.keeping, &piece).await?;
        }
        let chunks = pieces.finish()?;
        chain.anchor.parts.push(AnchorPart { revision: revision.0, at_unix_ms, chunks });
        chain.changed.forget_through(revision);
        Ok(())
    }

    /// Has nodes keep the chain's anchor: from then on the backup is as new as `now`.
    async fn keep_anchor(&mut self, now: u64) -> Result<(), BackupError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.anchor.at_unix_ms = now;
        let id = chain.id();
        let plain = Zeroizing::new(record::encode(&chain.anchor)?);
        let sealed = self.secret.seal_anchor(&id.binding(), &plain);
        let first = if chain.anchor.parts.len() == 1 { sealed.len() } else { chain.anchor_bytes.0 };
        chain.anchor_bytes = (first, sealed.len());
        let pool = self.context.pools.get(&chain.place.0);
        let holders = pool.as_ref().and_then(|pool| pool.layout()).map(holders::of).unwrap_or_default();
        let enough = usize::from(chain.place.1.parity()) + 1;
        holders::keep(&self.context.net, holders, (id, sealed.into()), enough).await?;
        chain.kept = Some(Instant::now());
        let segments = u64::try_from(chain.anchor.segments()).unwrap_or(u64::MAX);
        let bytes = chain.anchor.bytes();
        self.standing.kept(Kept { at_unix_ms: now, revision: id.revision, bytes, segments });
        for upload in std::mem::take(&mut self.former) {
            self.let_go(upload).await;
        }
        Ok(())
    }

    async fn let_go(&self, upload: UploadId) {
        let now = self.context.surroundings.now_unix_ms();
        if let Err(error) = self.context.catalog.abort_upload(upload, now).await {
            tracing::warn!(%upload, %error, "an earlier backup of the catalog is let go once its lease ends");
        }
    }

    fn failed(&mut self, error: &BackupError) {
        tracing::warn!(%error, "the catalog's backup does not go on");
        self.standing.failed(error.to_string());
        match error {
            BackupError::Keep(KeepError::Superseded(_)) => self.standing.is_superseded(),
            // Its upload may have ended, or its anchor be full: another may do.
            BackupError::Store(_) | BackupError::Anchor(_) => self.end(),
            _ => {}
        }
    }
}

impl Worker for KeepBackup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                self.failed(&error);
                Next::Wait(RETRY)
            })
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.wake))
    }
}
