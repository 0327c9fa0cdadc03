//! The worker: a snapshot, then what changed, over and over.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::{Anchor, BACKUP_BUCKET, reach_ms};
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::keyspace::{Keyspace, View};
use datamesh_catalog::record::RestoredRecord;
use datamesh_catalog::{ObjectKey, Target, UploadId};
use datamesh_exchange::anchor::AnchorId;
use datamesh_seal::ClusterSecret;
use datamesh_settings::CatalogBackups;
use datamesh_shard::{ErasureProfile, NodeName, PoolName};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::chain::{BackupError, Chain};
use super::forget::ForgetBackups;
use super::holders::{Holders, KeepError};
use super::plan::{Due, PART_EVERY, Pace, after_failures, after_unkept, snapshot_every};
use super::proof::Opener;
use super::standing::{Kept, Standing};
use crate::pipeline::{Context, Keeping, StoreError};
use crate::restore;
use crate::surroundings::random;
use crate::work::{Next, Worker};

/// Between two looks at what changed: engines remember some tens of thousands of changes.
const LOOK: Duration = Duration::from_secs(5);
/// Before a gateway serves, nodes have so long to say that its catalog was replaced.
const ASKED_FIRST: Duration = Duration::from_secs(3);
/// In the place of a wish, where nobody wished it.
const SET_BACK: &str = "set back with its volume";
/// What its upload would write to.
const KEY: &str = "backup of the catalog";

/// The worker.
pub(crate) struct KeepBackup {
    context: Arc<Context>,
    opener: Opener,
    gateway: NodeName,
    pub(crate) standing: Arc<Standing>,
    /// Whether there shall be any; whoever runs it has looked.
    pub(crate) wanted: CatalogBackups,
    chain: Option<Chain>,
    /// A part follows another so soon at the earliest.
    pub(crate) part_every: Duration,
    /// Uploads of chains that end once the present one is safe.
    former: Vec<UploadId>,
    /// Whether it knows what was before it started or got the lead.
    is_informed: bool,
    pace: Pace,
    /// Parts and anchors that failed one after another, and before when none is tried again.
    failures: u32,
    pub(crate) rests_until: Option<Instant>,
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
            wanted: CatalogBackups::default(),
            chain: None,
            part_every: PART_EVERY,
            former: Vec::new(),
            is_informed: false,
            pace: Pace::default(),
            failures: 0,
            rests_until: None,
        }
    }

    async fn step(&mut self) -> Result<(), BackupError> {
        let Some(place) = self.place() else { return Ok(()) };
        if !self.is_informed {
            self.inform(&place.0).await?;
        }
        // What is acknowledged by now is in what is read from here on.
        let now = (self.context.surroundings.now_unix_ms(), Instant::now());
        let every = snapshot_every(Duration::from_millis(self.reach_ms()));
        if let Some(chain) = &mut self.chain {
            chain.follow(self.context.catalog.keyspace()).await?;
        }
        let may_begin = self.pace.may_begin(every);
        let due = match &self.chain {
            Some(chain) => chain.look(&place, may_begin).due(self.part_every, every),
            None if may_begin => Due::Snapshot,
            None => Due::Nothing,
        };
        let is_resting = self.rests_until.is_some_and(|until| Instant::now() < until);
        match (due, &mut self.chain) {
            (Due::Snapshot, _) => self.begin(place, now.0).await?,
            (Due::Anchor, Some(chain)) if !is_resting => chain.is_quiet(now),
            (Due::Part, Some(chain)) if !is_resting => {
                if !chain.add_part(&self.context, now).await? {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
        self.keep_anchor().await
    }

    /// What was before this gateway started or got the lead: how new the newest backup is, and when snapshots were begun.
    async fn inform(&mut self, place: &PoolName) -> Result<(), BackupError> {
        self.ask_for_later(place).await?;
        let (now, catalog) = (self.context.surroundings.now_unix_ms(), &self.context.catalog);
        let ages = catalog.snapshots_begun().await?.into_iter();
        self.pace.recall(ages.map(|begun| Duration::from_millis(now.saturating_sub(begun))));
        self.is_informed = true;
        Ok(())
    }

    /// How far back a point may be to come back to.
    fn reach_ms(&self) -> u64 {
        reach_ms(self.context.catalog.options().retention_ms)
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
        match self.begin_in(place, now).await {
            Ok(chain) => {
                self.pace.wrote();
                self.end();
                self.chain = Some(chain);
                Ok(())
            }
            Err(error) => {
                self.pace.failed(matches!(error, BackupError::TooLarge(_)));
                Err(error)
            }
        }
    }

    async fn begin_in(&self, place: (PoolName, ErasureProfile), now: u64) -> Result<Chain, BackupError> {
        self.ask_for_later(&place.0).await?;
        self.standing.begins();
        // Before anything is put: who ends meanwhile shall know of it at the next start.
        self.context.catalog.note_snapshot(now).await?;
        let restored = self.context.catalog.restored().await?;
        let upload = UploadId(random(&*self.context.surroundings));
        let target = Target { bucket: BACKUP_BUCKET, key: ObjectKey::new(KEY)?, upload };
        let keeping = Keeping::new(&self.context, target, place.0.clone())?;
        let pools = self.context.pools.all().into_iter().filter(|(_, pool)| pool.layout().is_some());
        let anchor = Anchor {
            cluster: self.opener.cluster.clone(),
            gateway: self.gateway.clone(),
            generation: restored.as_ref().map_or(0, |restored| restored.generation),
            wish: restored.map(|restored| restored.wish),
            pools: pools.map(|(name, _)| name).collect(),
            reach_ms: self.reach_ms(),
            upload,
            at_unix_ms: now,
            parts: Vec::new(),
        };
        let begun = Chain::begin(&self.context, (keeping, place), anchor).await;
        if begun.is_err() {
            // No anchor names what was put of it. As if it had been given up long ago, which no backup that is missing holds up.
            self.let_go(upload, 0).await;
        }
        begun
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        Ok(self.context.catalog.restored().await?.map_or(0, |restored| restored.generation))
    }

    /// Whether a catalog of a later generation has taken the place of this one; and how new the newest backup is.
    async fn ask_for_later(&self, place: &PoolName) -> Result<(), BackupError> {
        let (generation, pools) = (self.generation().await?, &self.context.pools);
        let heard = Holders::of(pools, place).newest(&self.opener).await;
        let Some((id, anchor)) = heard.newest else {
            let parity = pools.get(place).and_then(|pool| Some(pool.layout()?.profile.parity()));
            // One more keeps the anchor of each backup.
            if heard.silent <= usize::from(parity.unwrap_or(0)) {
                self.standing.has_none();
            }
            return Ok(());
        };
        if id.generation > generation {
            return Err(KeepError::Superseded(id.generation).into());
        }
        let age = self.context.surroundings.now_unix_ms().saturating_sub(id.at_unix_ms);
        self.standing.found(kept(id.at_unix_ms, id.revision, &anchor), Duration::from_millis(age));
        if id.generation == generation {
            self.set_back(&id, &anchor).await?;
        }
        Ok(())
    }

    /// A catalog whose newest backup is ahead of it was set back with its volume. From here on it is another one: what it was to become
    /// would be restored in its place otherwise.
    async fn set_back(&self, id: &AnchorId, anchor: &Anchor) -> Result<(), BackupError> {
        let catalog = &self.context.catalog;
        let revision = catalog.keyspace().view().await?.revision().await?.0;
        if revision >= id.revision {
            return Ok(());
        }
        let restored = set_back_to(revision, (id, anchor), self.context.surroundings.now_unix_ms());
        catalog.begin_generation(&restored).await?;
        tracing::error!(
            revision,
            backed_up = id.revision,
            "this volume has an earlier state of the catalog than the nodes keep a backup of: what came after it is lost, unless an empty \
             volume is given to this gateway and that backup restored. Backups go on with what is here"
        );
        self.standing.was_restored(Some(restore::status(&restored)));
        Ok(())
    }

    /// Whether nodes say so before this gateway serves anybody. Those that do not answer soon say it when they are given a backup.
    pub(crate) async fn is_replaced(&self) -> bool {
        let Some((place, _)) = self.place() else { return false };
        let Ok(generation) = self.generation().await else { return false };
        let holders = Holders::of(&self.context.pools, &place);
        let asking = holders.know_later(&self.opener, generation);
        let Ok(Some(later)) = tokio::time::timeout(ASKED_FIRST, asking).await else { return false };
        tracing::error!(error = %KeepError::Superseded(later), "this catalog was replaced");
        true
    }

    /// Where there shall be no backups.
    pub(crate) fn forgets(self) -> ForgetBackups {
        ForgetBackups::new(self.context)
    }

    /// Has nodes keep the chain's anchor: from then on the backup is as new as what is in it.
    async fn keep_anchor(&mut self) -> Result<(), BackupError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let plain = chain.encode()?;
        let id = chain.id();
        let sealed = self.opener.secret.seal_anchor(&id.binding(), &plain);
        let enough = usize::from(chain.place.1.parity()) + 1;
        let holders = Holders::of(&self.context.pools, &chain.place.0);
        holders.keep(&self.opener, (id, sealed.into()), enough).await?;
        chain.is_kept();
        self.pace.is_kept();
        self.standing.kept(kept(id.at_unix_ms, id.revision, &chain.anchor), chain.age());
        (self.failures, self.rests_until) = (0, None);
        let now = self.context.surroundings.now_unix_ms();
        for upload in std::mem::take(&mut self.former) {
            self.let_go(upload, now).await;
        }
        Ok(())
    }

    /// As of this time of day.
    async fn let_go(&self, upload: UploadId, now: u64) {
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
            BackupError::Store(_) => self.rest_for(after_failures),
            // What is told to nodes is told to many.
            BackupError::Keep(KeepError::TooFew { .. }) => self.rest_for(after_unkept),
            _ => {}
        }
    }

    fn rest_for(&mut self, after: impl Fn(u32) -> Duration) {
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(Instant::now() + after(self.failures));
    }
}

/// What is known of a catalog that has an earlier state than this anchor leads to.
fn set_back_to(revision: u64, (id, anchor): (&AnchorId, &Anchor), now: u64) -> RestoredRecord {
    let parts = anchor.parts.iter().take_while(|part| part.revision <= revision);
    RestoredRecord {
        generation: id.generation.saturating_add(1).max(now / 1000),
        wish: SET_BACK.into(),
        // Of an earlier state no time is known.
        until_unix_ms: parts.last().map_or(0, |part| part.at_unix_ms),
        at_unix_ms: now,
        revision,
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
        (self.chain, self.former, self.is_informed) = (None, Vec::new(), false);
        self.standing.rests();
    }
}
