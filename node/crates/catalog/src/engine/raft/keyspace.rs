use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::core::{Core, Raft};
use super::flush::FlushOn;
use super::gathered::Gathered;
use super::log::LogStore;
use super::members::{GroupStatus, MembersError};
use super::network::{Links, Peers};
use super::proposer::{self, QUEUE_COMMITS, Request};
use super::state::StateMachine;
use super::types::ReplicaId;
use super::volume::{OpenError, Volume};
use super::{fence, service};
use crate::engine::{EngineError, RocksOptions, RocksView, rocks};
use crate::keyspace::{
    Batch, Changes, ChangesError, CommitError, KeyRange, Keyspace, ReadError, Revision, Versioned,
};

/// What may be chosen about a replica. All replicas of a group have the same times.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// Of its database.
    pub rocks: RocksOptions,
    /// A leader is heard of this often (ms).
    pub heartbeat_ms: u64,
    /// A follower that hears nothing for this long, up to twice as long, stands for election (ms).
    pub election_ms: u64,
    /// Entries applied until the log before them may go.
    pub log_entries_kept: u64,
    /// Who syncs.
    pub flush_on: FlushOn,
    /// The id has taken part already: a volume that is blank is refused then.
    pub exists: bool,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            rocks: RocksOptions::default(),
            heartbeat_ms: 250,
            election_ms: 1000,
            log_entries_kept: 10_000,
            flush_on: FlushOn::Thread,
            exists: false,
        }
    }
}

impl ReplicaOptions {
    fn config(&self) -> Result<Config, OpenError> {
        let config = Config {
            cluster_name: "catalog".into(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_ms,
            election_timeout_max: self.election_ms * 2,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.log_entries_kept),
            max_in_snapshot_log_to_keep: self.log_entries_kept / 2,
            purge_batch_size: (self.log_entries_kept / 8).max(1),
            replication_lag_threshold: self.log_entries_kept * 2,
            enable_pre_vote: Some(true),
            // Its rows may be older than what it answered with before: it must be elected first.
            enable_leader_restore: Some(false),
            ..Config::default()
        };
        config.validate().map_err(|error| OpenError::Start(error.to_string()))
    }
}

/// A keyspace on a group of replicas, seen from one of them. Clones are one replica.
#[derive(Clone)]
pub struct RaftKeyspace {
    core: Arc<Core>,
    submit: mpsc::Sender<Request>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl fmt::Debug for RaftKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.core.raft.metrics();
        let metrics = metrics.borrow_watched();
        f.debug_struct("RaftKeyspace").field("raft", &format_args!("{}", *metrics)).finish()
    }
}

impl RaftKeyspace {
    /// Opens or creates the replica with this id. A new one waits to be told who its group is, by [`Self::form`] here or
    /// by a leader elsewhere.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        dir: &Path,
        id: ReplicaId,
        options: &ReplicaOptions,
        peers: Arc<dyn Peers>,
    ) -> Result<Self, OpenError> {
        let volume = Volume::open(dir, (id, options.exists), options.rocks, options.flush_on.clone())?;
        let state = StateMachine::open(Arc::clone(&volume))?;
        let (changes, log) = (state.changes(), LogStore::new(Arc::clone(&volume)));
        let config = Arc::new(options.config()?);
        let raft = Raft::new(id, config, Links(Arc::clone(&peers)), log, state).await;
        let raft = raft.map_err(|error| OpenError::Start(error.to_string()))?;
        // What it says of its group is nothing before it has looked at its log, and it answers no question before.
        raft.with_raft_state(|_| ()).await.map_err(|error| OpenError::Start(error.to_string()))?;
        let core = Arc::new(Core {
            id,
            raft,
            volume,
            changes,
            peers,
            incoming: tokio::sync::Mutex::default(),
            forwarded: AtomicU64::new(0),
            fences: Gathered::new(),
        });
        core.stand_if_alone().await;
        let (submit, requests) = mpsc::channel(QUEUE_COMMITS);
        let mut tasks = JoinSet::new();
        tasks.spawn(proposer::run(Arc::clone(&core), requests));
        tasks.spawn(tell_of_end(core.raft.clone(), Arc::clone(&core.volume)));
        Ok(Self { core, submit, tasks: Arc::new(Mutex::new(tasks)) })
    }

    /// Answers a question of another replica of the group: what [`Peers`] carried here.
    pub async fn answer(&self, question: &[u8]) -> Vec<u8> {
        service::answer(&self.core, question).await
    }

    /// Makes these replicas the group, once and for all: a group that exists stays as it is. Call it on one of them.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn form(&self, members: BTreeSet<ReplicaId>) -> Result<(), MembersError> {
        self.core.form(members).await
    }

    /// Has a replica told of everything, without a vote, and waits until it has caught up. Can be called again.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn add_learner(&self, id: ReplicaId) -> Result<(), MembersError> {
        self.core.add_learner(id).await
    }

    /// Forgets a replica without a vote, as one whose volume was lost before it got one. Can be called again.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn remove_learner(&self, id: ReplicaId) -> Result<(), MembersError> {
        self.core.remove_learner(id).await
    }

    /// Gives these replicas, which must be learners or voters, the vote, and no others: those leave. Can be called again.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn change_members(&self, voters: BTreeSet<ReplicaId>) -> Result<(), MembersError> {
        self.core.change_members(voters).await
    }

    /// Has this replica, which leads, followed by another; it leads until that one does. Nothing happens where it does not lead.
    ///
    /// # Errors
    /// The replica has stopped.
    pub async fn hand_over(&self, to: ReplicaId) -> Result<(), MembersError> {
        let handed = self.core.raft.trigger().transfer_leader(to).await;
        handed.map_err(|stopped| MembersError::Not(stopped.to_string()))
    }

    /// Waits until what this replica knows of its group is so; `false` once it has stopped.
    pub async fn until(&self, is_so: impl Fn(&GroupStatus) -> bool + Send + Sync) -> bool {
        let mut metrics = self.core.raft.metrics();
        metrics.wait_until(|seen| is_so(&GroupStatus::of(seen))).await.is_ok()
    }

    /// Which replica this is.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.core.id
    }

    /// Commits of callers here that were carried to a leader elsewhere, since it was opened.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.core.forwarded.load(Ordering::Relaxed)
    }

    /// Syncs of this replica's log to its disk, since it was opened; each carried one append or more.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.core.volume.flusher().made()
    }

    /// What this replica knows of its group.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        self.core.status()
    }

    /// Waits until a write has failed: from then on this replica does nothing until it is opened again.
    pub async fn write_failed(&self) {
        // The sender lives as long as this keyspace.
        let _ = self.core.volume.failed().wait_for(|failed| *failed).await;
    }

    /// As of the embedded engine, for the rows of this replica alone. What the log says of them goes when the log does. Blocks.
    ///
    /// # Errors
    /// RocksDB's own faults; it can be tried again.
    pub fn purge(&self, ranges: &[KeyRange]) -> Result<(), EngineError> {
        let volume = &self.core.volume;
        Ok(rocks::purge(volume.db(), &volume.rows()?, ranges)?)
    }

    /// Stops the replica and waits until its folder may be opened again.
    pub async fn close(self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        // A core that has stopped by itself has said why.
        let _ = self.core.raft.shutdown().await;
        let mut open = self.core.volume.open_until();
        drop(self);
        // Its sender goes with the volume.
        while open.changed().await.is_ok() {}
    }

    async fn submit(&self, batch: Batch) -> Result<Revision, CommitError> {
        batch.validate()?;
        let (reply, answer) = oneshot::channel();
        self.submit.send(Request { batch, reply }).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }

    fn changes(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        let answer = self.core.changes.lock().since(since, limit);
        if let Err(ChangesError::Future { .. }) = answer {
            let newest = self.core.volume.rows().and_then(|rows| rows.newest_revision())?;
            if since <= newest {
                // Readers see a commit a moment before the log has it.
                return Ok(Changes { changes: Vec::new(), through: since });
            }
        }
        answer
    }
}

/// openraft stops for more reasons than a failed write, a row that does not read among them: whoever waits for a failure is told of
/// each.
async fn tell_of_end(raft: Raft, volume: Arc<Volume>) {
    let mut metrics = raft.metrics();
    let _ = metrics.wait_until(|seen| seen.running_state.is_err()).await;
    volume.fail();
}

impl Keyspace for RaftKeyspace {
    type View<'a> = RocksView<'a>;

    async fn view(&self) -> Result<RocksView<'_>, ReadError> {
        fence::wait(&self.core).await?;
        self.core.volume.rows().map(|rows| rows.view())
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        fence::wait(&self.core).await?;
        self.core.volume.rows()?.get(key)
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        self.submit(batch).await
    }

    async fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        fence::wait(&self.core).await?;
        self.changes(since, limit)
    }
}
