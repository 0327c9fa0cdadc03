//! The worker: a snapshot, then what changed, over and over.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::Anchor;
use datamesh_catalog::{BucketId, ObjectKey, Target, UploadId};
use datamesh_seal::ClusterSecret;
use datamesh_shard::{ErasureProfile, NodeName, PoolName};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::chain::{BackupError, Chain};
use super::holders::{Holders, KeepError};
use super::plan::{Due, PART_EVERY, Pace, after_failures};
use super::proof::Opener;
use super::standing::{Kept, Standing};
use crate::pipeline::{Context, Keeping, StoreError};
use crate::surroundings::random;
use crate::work::{Next, Worker};

/// Between two looks at what changed: engines remember some tens of thousands of changes.
const LOOK: Duration = Duration::from_secs(5);
/// Before a gateway serves, nodes have so long to say that its catalog was replaced.
const ASKED_FIRST: Duration = Duration::from_secs(3);
/// A bucket that no bucket is: what is put for it is no object's.
const NO_BUCKET: BucketId = BucketId(0);
/// What its upload would write to.
const KEY: &str = "backup of the catalog";

/// The worker.
pub(crate) struct KeepBackup {
    context: Arc<Context>,
    opener: Opener,
    gateway: NodeName,
    pub(crate) standing: Arc<Standing>,
    chain: Option<Chain>,
    /// A part follows another so soon at the earliest.
    pub(crate) part_every: Duration,
    /// Uploads of chains that end once the present one is safe.
    former: Vec<UploadId>,
    pace: Pace,
    /// Parts that failed one after another, and before when none is tried again.
    failures: u32,
    rests_until: Option<Instant>,
}

impl KeepBackup {
    pub(crate) fn new(
        context: Arc<Context>,
        (secret, (cluster, gateway), standing): (Arc<ClusterSecret>, (NodeName, NodeName), Arc<Standing>),
    ) -> Self {
        let opener = Opener { net: Arc::clone(&context.net), secret, cluster };
        Self {
            context,
            opener,
            gateway,
            standing,
            chain: None,
            part_every: PART_EVERY,
            former: Vec::new(),
            pace: Pace::default(),
            failures: 0,
            rests_until: None,
        }
    }

    async fn step(&mut self) -> Result<(), BackupError> {
        let Some(place) = self.place() else { return Ok(()) };
        // What is acknowledged by now is in what is read from here on.
        let now = (self.context.surroundings.now_unix_ms(), Instant::now());
        if let Some(chain) = &mut self.chain {
            chain.follow(self.context.catalog.keyspace()).await?;
        }
        let may_begin = (self.pace.may_begin(false), self.pace.may_begin(true));
        let due = match &self.chain {
            Some(chain) => chain.look(&place, may_begin).due(self.part_every),
            None if may_begin.0 => Due::Snapshot,
            None => Due::Nothing,
        };
        let is_resting = self.rests_until.is_some_and(|until| Instant::now() < until);
        match due {
            Due::Nothing => return Ok(()),
            Due::Anchor => {}
            Due::Snapshot => self.begin(place, now.0).await?,
            Due::Part => {
                let Some(chain) = &mut self.chain else { return Ok(()) };
                if is_resting || !chain.add_part(&self.context, now.0).await? {
                    return Ok(());
                }
            }
        }
        self.keep_anchor(now).await
    }

    /// Where a new chain would be: the pool that survives the most losses, the first of them by name.
    fn place(&self) -> Option<(PoolName, ErasureProfile)> {
        let pools = self.context.pools.all().into_iter();
        let places = pools.filter_map(|(name, pool)| Some((name, pool.layout()?.profile)));
        // The last of the greatest would be taken otherwise.
        places.rev().max_by_key(|(_, profile)| profile.parity())
    }

    /// The chain grows no more. What it has stays until the next one is safe.
    fn end(&mut self) {
        self.former.extend(self.chain.take().map(|chain| chain.anchor.upload));
    }

    /// Begins a chain, at the pace that snapshots have.
    async fn begin(&mut self, place: (PoolName, ErasureProfile), now: u64) -> Result<(), BackupError> {
        self.pace.begins();
        let begun = self.begin_in(place, now).await;
        let is_hopeless = matches!(begun, Err(BackupError::TooLarge(_)));
        self.pace.ends(begun.is_ok(), is_hopeless);
        let chain = begun?;
        self.end();
        self.chain = Some(chain);
        Ok(())
    }

    async fn begin_in(&self, place: (PoolName, ErasureProfile), now: u64) -> Result<Chain, BackupError> {
        let restored = self.context.catalog.restored().await?;
        let generation = restored.as_ref().map_or(0, |restored| restored.generation);
        self.ask_for_later(&place.0, generation).await?;
        let upload = UploadId(random(&*self.context.surroundings));
        let target = Target { bucket: NO_BUCKET, key: ObjectKey::new(KEY)?, upload };
        let keeping = Keeping::new(&self.context, target, place.0.clone())?;
        let pools = self.context.pools.all().into_iter().filter(|(_, pool)| pool.layout().is_some());
        let anchor = Anchor {
            cluster: self.opener.cluster.clone(),
            gateway: self.gateway.clone(),
            generation,
            wish: restored.map(|restored| restored.wish),
            pools: pools.map(|(name, _)| name).collect(),
            retention_ms: self.context.catalog.options().retention_ms,
            upload,
            at_unix_ms: now,
            parts: Vec::new(),
        };
        let begun = Chain::begin(&self.context, (keeping, place), anchor).await;
        if begun.is_err() {
            // What was put of it is let go; where that fails, with its lease.
            self.let_go(upload).await;
        }
        begun
    }

    /// Whether a catalog of a later generation has taken the place of this one; and how new this one's newest backup is.
    async fn ask_for_later(&self, place: &PoolName, generation: u64) -> Result<(), KeepError> {
        let holders = Holders::of(&self.context.pools, place);
        let Some((id, anchor)) = holders.newest(&self.opener).await else { return Ok(()) };
        if id.generation > generation {
            return Err(KeepError::Superseded(id.generation));
        }
        if id.generation == generation {
            let age = self.context.surroundings.now_unix_ms().saturating_sub(id.at_unix_ms);
            self.standing.found(kept(id.at_unix_ms, id.revision, &anchor), Duration::from_millis(age));
        }
        Ok(())
    }

    /// Whether nodes say so before this gateway serves anybody. Those that do not answer soon say it when they are given a backup.
    pub(crate) async fn is_replaced(&self) -> bool {
        let Some((place, _)) = self.place() else { return false };
        let generation = match self.context.catalog.restored().await {
            Ok(restored) => restored.map_or(0, |restored| restored.generation),
            Err(_) => return false,
        };
        let asked = tokio::time::timeout(ASKED_FIRST, self.ask_for_later(&place, generation)).await;
        let Ok(Err(error)) = asked else { return false };
        tracing::error!(%error, "this catalog was replaced");
        true
    }

    /// Has nodes keep the chain's anchor: from then on the backup is as new as `now`.
    async fn keep_anchor(&mut self, (now, read): (u64, Instant)) -> Result<(), BackupError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.is_as_of(now);
        let plain = chain.encode()?;
        let id = chain.id();
        let sealed = self.opener.secret.seal_anchor(&id.binding(), &plain);
        let enough = usize::from(chain.place.1.parity()) + 1;
        let holders = Holders::of(&self.context.pools, &chain.place.0);
        holders.keep(&self.opener, (id, sealed.into()), enough).await?;
        chain.is_kept();
        self.standing.kept(kept(id.at_unix_ms, id.revision, &chain.anchor), read.elapsed());
        (self.failures, self.rests_until) = (0, None);
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
            BackupError::TooLarge(_) => self.standing.is_impossible(),
            // Its upload may have ended, or its anchor be full, or something be missing: another may do.
            BackupError::Store(StoreError::Upload(_) | StoreError::Reference(_))
            | BackupError::Anchor(_)
            | BackupError::Forgotten => self.end(),
            // Each try may have put something.
            BackupError::Store(_) => {
                self.failures = self.failures.saturating_add(1);
                self.rests_until = Some(Instant::now() + after_failures(self.failures));
            }
            _ => {}
        }
    }
}

fn kept(at_unix_ms: u64, revision: u64, anchor: &Anchor) -> Kept {
    let segments = u64::try_from(anchor.segments()).unwrap_or(u64::MAX);
    Kept { at_unix_ms, revision, bytes: anchor.bytes(), segments }
}

impl Worker for KeepBackup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            if let Err(error) = self.step().await {
                self.failed(&error);
            }
            Next::Wait(LOOK)
        }
        .boxed()
    }

    /// Another gateway begins chains of its own; with this one's, its upload's lease ends.
    fn rest(&mut self) {
        (self.chain, self.former) = (None, Vec::new());
        self.standing.rests();
    }
}
