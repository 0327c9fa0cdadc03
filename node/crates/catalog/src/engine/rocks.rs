//! The embedded engine: RocksDB, one writer thread, one synced batch for many commits.

mod options;
mod read;
pub mod row;
mod writer;

use std::fmt;
use std::future::{Future, ready};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, FlushOptions, WaitForCompactOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::changes::ChangeLog;
use crate::keyspace::{
    Batch, Changes, ChangesError, CommitError, KeyRange, Keyspace, RangeLimits, RangePage, ReadError,
    Revision, Versioned, View,
};
pub use options::RocksOptions;
pub use read::RocksView;
pub(super) use read::Rows;
use writer::{Request, Writer};

/// Commits that may wait for the writer: a few groups' worth, so that callers beyond it wait in their own tasks and
/// memory stays bounded.
const QUEUE_COMMITS: usize = 1024;

/// Where the rows are.
pub(super) const SINGLE_FAMILY: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

/// Why the keyspace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process (or this one) has it open.
    #[error("the catalog is open elsewhere: {0}")]
    Locked(String),
    /// RocksDB's own fault.
    #[error("the catalog's database did not open: {0}")]
    Rocks(#[from] rocksdb::Error),
    /// Its own row is not what this version writes.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No thread to write with.
    #[error("the catalog's writer did not start: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the engine did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Commits that wrote something.
    pub commits: u64,
    /// Synced writes to disk; each carried one or more commits.
    pub syncs: u64,
    /// Commits refused by a check.
    pub conflicts: u64,
    /// Whether a write failed: no commit succeeds until the keyspace is opened again.
    pub failed: bool,
}

#[derive(Debug, Default)]
struct Tally {
    commits: AtomicU64,
    syncs: AtomicU64,
    conflicts: AtomicU64,
    failed: watch::Sender<bool>,
}

/// A keyspace on this machine's disk. The directory is locked while any clone lives; dropping the last one finishes
/// what was submitted and closes it.
#[derive(Clone)]
pub struct RocksKeyspace {
    shared: Arc<Shared>,
}

struct Shared {
    db: Arc<DB>,
    changes: Arc<Mutex<ChangeLog>>,
    tally: Arc<Tally>,
    submit: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.submit.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the catalog's writer had stopped by a panic");
        }
    }
}

impl fmt::Debug for RocksKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksKeyspace")
            .field("path", &self.shared.db.path())
            .field("stats", &self.stats())
            .finish()
    }
}

impl RocksKeyspace {
    /// Opens or creates it. Blocks: call it where that is allowed.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn open(dir: &Path, options: RocksOptions) -> Result<Self, EngineError> {
        let database = options.database();
        let families = [(SINGLE_FAMILY, options.database())];
        let db = DB::open_cf_with_opts(&database, dir, families).map_err(locked_or_other)?;
        let db = Arc::new(db);
        let newest = begin(&db, options.begins_after)?;
        let changes = Arc::new(Mutex::new(ChangeLog::new(newest, options.changes_max)));
        let tally = Arc::new(Tally::default());
        let (submit, requests) = mpsc::channel(QUEUE_COMMITS);
        let writer = Writer::new(Arc::clone(&db), Arc::clone(&changes), Arc::clone(&tally), newest);
        let writer =
            std::thread::Builder::new().name("catalog-writer".into()).spawn(move || writer.run(requests))?;
        let shared = Shared { db, changes, tally, submit: Some(submit), writer: Some(writer) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let tally = &self.shared.tally;
        EngineStats {
            commits: tally.commits.load(Ordering::Relaxed),
            syncs: tally.syncs.load(Ordering::Relaxed),
            conflicts: tally.conflicts.load(Ordering::Relaxed),
            failed: *tally.failed.borrow(),
        }
    }

    /// Waits until a write has failed: from then on no commit succeeds until the keyspace is opened again.
    pub async fn write_failed(&self) {
        let mut failed = self.shared.tally.failed.subscribe();
        // The sender lives as long as this keyspace.
        let _ = failed.wait_for(|failed| *failed).await;
    }

    /// Takes what was deleted or replaced in these ranges out of the database's files, its log included. Blocks, for as long as it
    /// takes to write anew what shares table files with them. A view that is open meanwhile keeps what it sees.
    ///
    /// # Errors
    /// RocksDB's own faults; it can be tried again.
    pub fn purge(&self, ranges: &[KeyRange]) -> Result<(), EngineError> {
        Ok(purge(&self.shared.db, &self.rows()?, ranges)?)
    }

    async fn submit(&self, batch: Batch) -> Result<Revision, CommitError> {
        batch.validate()?;
        let (reply, answer) = oneshot::channel();
        let submit = self.shared.submit.as_ref().ok_or(CommitError::Closed)?;
        submit.send(Request { batch, reply }).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }

    fn rows(&self) -> Result<Rows<'_>, ReadError> {
        Rows::of(&self.shared.db, SINGLE_FAMILY)
    }

    fn changes(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        let answer = self.shared.changes.lock().since(since, limit);
        if let Err(ChangesError::Future { .. }) = answer
            && self.rows().and_then(|rows| rows.newest_revision()).is_ok_and(|newest| since <= newest)
        {
            // Readers see a commit a moment before the log has it.
            return Ok(Changes { changes: Vec::new(), through: since });
        }
        answer
    }
}

/// Flushes what the log stands for and writes anew what lies in these ranges.
pub(super) fn purge(db: &DB, rows: &Rows<'_>, ranges: &[KeyRange]) -> Result<(), rocksdb::Error> {
    // A log file goes with the memtable it stands for.
    let mut flush = FlushOptions::default();
    flush.set_wait(true);
    db.flush_cf_opt(rows.family(), &flush)?;
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    // Also where a table is at the bottom already and nothing lies above it.
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for KeyRange { start, end } in ranges {
        db.compact_range_cf_opt(rows.family(), Some(start), end.as_ref(), &options);
    }
    // What was replaced is removed behind the answer.
    db.wait_for_compact(&WaitForCompactOptions::default())
}

/// The newest revision. An empty keyspace is given its first: the sync of the first commit makes it durable.
fn begin(db: &DB, begins_after: Revision) -> Result<Revision, EngineError> {
    let newest = Rows::of(db, SINGLE_FAMILY)?.newest_revision()?;
    if newest > Revision(0) || begins_after == Revision(0) {
        return Ok(newest);
    }
    db.put(row::REVISION_KEY, row::encode(begins_after, &[]))?;
    Ok(begins_after)
}

/// RocksDB reports a held lock as an I/O error and says so only in words.
pub(super) fn locked_or_other(error: rocksdb::Error) -> EngineError {
    let text = error.to_string();
    if text.contains("lock file") || text.contains("lock hold by current process") {
        return EngineError::Locked(text);
    }
    EngineError::Rocks(error)
}

impl Keyspace for RocksKeyspace {
    type View<'a> = RocksView<'a>;

    fn view(&self) -> impl Future<Output = Result<RocksView<'_>, ReadError>> + Send {
        ready(self.rows().map(|rows| rows.view()))
    }

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send {
        ready(self.rows().and_then(|rows| rows.get(key)))
    }

    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Revision, CommitError>> + Send {
        self.submit(batch)
    }

    fn changes_since(
        &self,
        since: Revision,
        limit: usize,
    ) -> impl Future<Output = Result<Changes, ChangesError>> + Send {
        ready(self.changes(since, limit))
    }
}

impl View for RocksView<'_> {
    fn revision(&self) -> impl Future<Output = Result<Revision, ReadError>> + Send {
        ready(self.revision_now())
    }

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Versioned>, ReadError>> + Send {
        ready(self.get_now(key))
    }

    fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
    ) -> impl Future<Output = Result<RangePage, ReadError>> + Send {
        ready(self.range_now(range, limits))
    }
}
