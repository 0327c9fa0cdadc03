//! The worker: a snapshot, then what changed, over and over.
//!
//! * `inform`: what was before this gateway started or got the lead.

mod inform;

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::{Anchor, BACKUP_BUCKET, reach_ms};
use datamesh_catalog::catalog::{CatalogError, UploadError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{ObjectKey, Target, UploadId};
use datamesh_seal::ClusterSecret;
use datamesh_settings::CatalogBackups;
use datamesh_shard::{ErasureProfile, NodeName, PoolName};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::chain::{BackupError, Chain};
use super::copies::{Backup, Newest};
use super::forget::ForgetBackups;
use super::holders::{Holders, KeepError};
use super::plan::{BackupPace, Due, Look, Pace, after_failures, after_unkept};
use super::proof::Opener;
use super::snapshot::Snapshot;
use super::standing::{Kept, Standing, Writing};
use crate::pipeline::{Context, Keeping, StoreError, hold, millis};
use crate::surroundings::random;
use crate::work::{Next, Worker};

/// Between two looks at what changed: engines remember some tens of thousands of changes.
const LOOK: Duration = Duration::from_secs(5);
/// What its upload would write to.
const KEY: &str = "backup of the catalog";

/// The worker.
pub(crate) struct KeepBackup {
    context: Arc<Context>,
    pub(crate) opener: Opener,
    gateway: NodeName,
    pub(crate) standing: Arc<Standing>,
    /// Whether there shall be any; whoever runs it has looked.
    pub(crate) wanted: CatalogBackups,
    chain: Option<Chain>,
    /// A part follows another so soon at the earliest.
    pub(crate) part_every: Duration,
    /// A chain grows for so long, if nothing ends it.
    pub(crate) snapshot_every: Duration,
    /// The upload of the newest backup that another start or gateway has made, until there is a newer one. Its lease ends then: that gateway
    /// may go on with it.
    found: Option<UploadId>,
    /// Uploads of chains of this one that end once the present one is safe: first the one that is the newest backup until then.
    former: Vec<UploadId>,
    /// Whether it knows what was before it started or got the lead.
    is_informed: bool,
    pace: Pace,
    /// Whether that knows of the snapshots of before.
    is_paced: bool,
    /// Parts and anchors that failed one after another, and before when none is tried again.
    failures: u32,
    pub(crate) rests_until: Option<Instant>,
    /// The newest that is kept, for whoever copies it.
    newest: watch::Sender<Option<Arc<Backup>>>,
}

impl KeepBackup {
    pub(crate) fn new(
        context: Arc<Context>,
        (secret, (cluster, gateway), standing): (Arc<ClusterSecret>, (NodeName, NodeName), Arc<Standing>),
    ) -> Self {
        let opener = Opener { net: Arc::clone(&context.net), secret, cluster };
        let pace = BackupPace::default();
        let keeping = Self {
            context,
            opener,
            gateway,
            standing,
            wanted: CatalogBackups::default(),
            chain: None,
            part_every: pace.part_every,
            snapshot_every: pace.snapshot_every,
            found: None,
            former: Vec::new(),
            is_informed: false,
            pace: Pace::new(pace.snapshot_rest),
            is_paced: false,
            failures: 0,
            rests_until: None,
            newest: watch::Sender::new(None),
        };
        keeping.at(pace)
    }

    /// The same, so fast.
    pub(crate) fn at(self, pace: BackupPace) -> Self {
        let (part_every, snapshot_every) = (pace.part_every, pace.chain_grows(self.reach()));
        Self { part_every, snapshot_every, pace: Pace::new(pace.snapshot_rest), ..self }
    }

    /// The newest that it has made, from now on.
    pub(crate) fn newest(&self) -> Newest {
        self.newest.subscribe()
    }

    async fn step(&mut self) -> Result<(), BackupError> {
        let Some(place) = self.place() else { return Ok(()) };
        self.hold().await?;
        if !self.is_informed {
            self.inform(&place.0).await?;
        }
        let rest = self.pace.wait(self.snapshot_every, self.reach());
        self.standing.next_snapshot_in(rest);
        let may_begin = rest.is_zero();
        match self.go_on(&place, may_begin).await? {
            Due::Snapshot => self.begin(place).await,
            Due::Nothing | Due::Anchor | Due::Part => Ok(()),
        }
    }

    /// The chain that is there takes in what changed, and grows where that is due. A snapshot is left to others.
    async fn go_on(
        &mut self,
        place: &(PoolName, ErasureProfile),
        may_begin: bool,
    ) -> Result<Due, BackupError> {
        // What is acknowledged by now is in what is read from here on.
        let (now, is_asked) = (self.now(), self.is_asked().await?);
        let Some(chain) = &mut self.chain else {
            return Ok(if may_begin { Due::Snapshot } else { Due::Nothing });
        };
        chain.follow(self.context.catalog.keyspace()).await?;
        let look = Look { is_asked, ..chain.look(place, may_begin) };
        let due = look.due(self.part_every, self.snapshot_every);
        let is_resting = self.rests_until.is_some_and(|until| Instant::now() < until);
        match due {
            Due::Anchor if !is_resting => chain.is_quiet(now),
            Due::Part if !is_resting => {
                if !chain.add_part(&self.context, now).await? {
                    return Ok(Due::Nothing);
                }
            }
            _ => return Ok(due),
        }
        self.keep_anchor().await?;
        Ok(due)
    }

    /// Whether somebody wants one that leads further than the newest.
    async fn is_asked(&self) -> Result<bool, BackupError> {
        let asked = self.context.catalog.backup_asked().await?;
        Ok(asked.is_some_and(|(revision, _)| self.standing.revision() < Some(revision.0)))
    }

    /// By the time of day, and by the clock that nobody sets.
    fn now(&self) -> (u64, Instant) {
        (self.context.surroundings.now_unix_ms(), Instant::now())
    }

    /// What restoring would take stays until there is a newer backup, however long that takes: the newest that is kept, and the last that
    /// was told to nodes, as one of them may keep it.
    async fn hold(&self) -> Result<(), BackupError> {
        let last = self.former.last().filter(|_| self.former.len() > 1);
        for upload in self.found.iter().chain(self.former.first()).chain(last) {
            hold(&self.context, *upload).await?;
        }
        Ok(())
    }

    /// How far back a point may be to come back to.
    fn reach(&self) -> Duration {
        Duration::from_millis(reach_ms(self.context.catalog.options().retention_ms))
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
    async fn begin(&mut self, place: (PoolName, ErasureProfile)) -> Result<(), BackupError> {
        self.pace.begins();
        match Box::pin(self.begin_in(&place)).await {
            Ok(chain) => {
                self.pace.wrote();
                self.end();
                self.chain = Some(chain);
                self.keep_anchor().await
            }
            Err(error) => {
                self.pace.failed(matches!(error, BackupError::TooLarge(_)));
                self.not_begun(&error);
                Ok(())
            }
        }
    }

    async fn begin_in(&mut self, place: &(PoolName, ErasureProfile)) -> Result<Chain, BackupError> {
        self.is_informed = self.ask_for_later(&place.0).await?;
        let was_none = self.standing.begins();
        let upload = UploadId(random(&*self.context.surroundings));
        self.standing.writes(Some(Writing { since_unix_ms: self.now().0, pieces: 0 }));
        let written = self.write(upload, place).await;
        self.standing.writes(None);
        if written.is_err() {
            if was_none {
                // As there was before: nothing refers to anything.
                self.standing.has_none();
            }
            // No anchor names what was put of it. As if it had been given up long ago, which no backup that is missing holds up.
            self.let_go(upload, 0).await;
        }
        written
    }

    /// Writes a snapshot. Meanwhile the chain that is there goes on.
    async fn write(
        &mut self,
        upload: UploadId,
        place: &(PoolName, ErasureProfile),
    ) -> Result<Chain, BackupError> {
        let (context, now) = (Arc::clone(&self.context), self.now());
        // Before anything is put: who ends meanwhile shall know of it at the next start.
        context.catalog.note_snapshot(now.0).await?;
        let target = Target { bucket: BACKUP_BUCKET, key: ObjectKey::new(KEY)?, upload };
        let keeping = Keeping::new(&context, target, place.0.clone())?;
        let anchor = self.empty_anchor(upload, now.0).await?;
        let view = context.catalog.keyspace().view().await?;
        let mut snapshot = Snapshot::of((&view, &context), (keeping, place.clone()), (anchor, now.1)).await?;
        while snapshot.put_next().await? {
            self.standing.writes(Some(Writing { since_unix_ms: now.0, pieces: snapshot.pieces() }));
            self.hold().await?;
            match self.go_on(place, false).await {
                Err(error @ BackupError::Keep(KeepError::Superseded(_))) => return Err(error),
                Err(error) => self.failed(&error),
                Ok(_) => {}
            }
        }
        snapshot.finish().await
    }

    async fn empty_anchor(&self, upload: UploadId, at_unix_ms: u64) -> Result<Anchor, CatalogError> {
        let restored = self.context.catalog.restored().await?;
        let pools = self.context.pools.all().into_iter().filter(|(_, pool)| pool.layout().is_some());
        Ok(Anchor {
            cluster: self.opener.cluster.clone(),
            gateway: self.gateway.clone(),
            generation: restored.as_ref().map_or(0, |restored| restored.generation),
            wish: restored.map(|restored| restored.wish),
            pools: pools.map(|(name, _)| name).collect(),
            reach_ms: millis(self.reach()),
            upload,
            at_unix_ms,
            parts: Vec::new(),
        })
    }

    /// Where there shall be no backups.
    pub(crate) fn forgets(&self) -> ForgetBackups {
        ForgetBackups::new(Arc::clone(&self.context))
    }

    /// Has nodes keep the chain's anchor: from then on the backup is as new as what is in it.
    async fn keep_anchor(&mut self) -> Result<(), BackupError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        // After a halt longer than its lease, or where a clock was set, nothing keeps what it has.
        if self.context.catalog.upload(chain.anchor.upload).await?.is_none() {
            return Err(UploadError::Gone.into());
        }
        let plain = chain.encode()?;
        let id = chain.id();
        let sealed = self.opener.secret.seal_anchor(&id.binding(), &plain);
        let enough = usize::from(chain.place.1.parity()) + 1;
        let holders = Holders::of(&self.context.pools, &chain.place.0);
        holders.keep(&self.opener, (id, sealed.into()), enough).await?;
        chain.is_kept();
        if self.newest.receiver_count() > 0 {
            self.newest.send_replace(Some(Arc::new(Backup { id, anchor: chain.anchor.clone() })));
        }
        self.pace.is_kept();
        self.standing.kept(kept(id.at_unix_ms, id.revision, &chain.anchor), chain.age());
        (self.failures, self.rests_until, self.found) = (0, None, None);
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

    /// No chain was begun. The one that is there goes on.
    fn not_begun(&self, error: &BackupError) {
        tracing::warn!(%error, "no snapshot of the catalog is made for its backup");
        self.standing.failed(error.to_string());
        match error {
            BackupError::Keep(KeepError::Superseded(_)) => self.standing.is_superseded(),
            BackupError::TooLarge(_) => self.standing.is_impossible(),
            _ => {}
        }
    }

    /// The chain that is there did not grow, or there is none.
    fn failed(&mut self, error: &BackupError) {
        tracing::warn!(%error, "the catalog's backup does not go on");
        self.standing.failed(error.to_string());
        match error {
            BackupError::Keep(KeepError::Superseded(_)) => self.standing.is_superseded(),
            // Its upload may have ended, or its anchor be full, or something be missing: another may do.
            BackupError::Store(StoreError::Upload(_) | StoreError::Reference(_))
            | BackupError::Hold(UploadError::Gone)
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

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.standing.asked))
    }

    /// Another gateway begins chains of its own; with this one's, its upload's lease ends.
    fn rest(&mut self) {
        (self.chain, self.found, self.former) = (None, None, Vec::new());
        (self.is_informed, self.is_paced) = (false, false);
        self.newest.send_replace(None);
        self.standing.rests();
    }
}
