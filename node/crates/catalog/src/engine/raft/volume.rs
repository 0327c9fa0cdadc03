//! A replica's database. One write-ahead log for its log and its rows: a sync makes both durable in the order they were
//! written, so rows are never ahead of the log, and what is purged was applied before.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::{BoundColumnFamily, DB, IteratorMode, Options, WriteBatch};
use tokio::sync::watch;

use super::flush::{FlushOn, Flusher};
use super::record::VolumeRecord;
use super::types::ReplicaId;
use crate::engine::rocks::{EngineError, RocksOptions, Rows, locked_or_other};
use crate::keyspace::{ReadError, Versioned};
use crate::record::{self, Record};

/// Votes, places, and whose volume it is.
const META: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;
/// Entries by their number.
const LOG: &str = "log";
/// Rows: the newest number is in the volume's record.
const ROWS_PREFIX: &str = "rows-";

const VOLUME_KEY: &[u8] = b"volume";

/// Why a replica could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// As of any engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The volume was another's.
    #[error("the volume belongs to replica {found}, not to {asked}: give this replica the id of its volume")]
    Other {
        /// Whose it is.
        found: ReplicaId,
        /// Who asked.
        asked: ReplicaId,
    },
    /// Under this id it was a replica before, and it has forgotten that.
    #[error(
        "replica {0} has taken part before, and its volume is blank: as it forgot whom it voted for and what it acknowledged, it must \
         not go on. Remove everything from its data folder, its identity too, so that it comes back as another replica"
    )]
    Forgotten(ReplicaId),
    /// Something else lies there.
    #[error(
        "the folder holds a catalog that is not replicated: its rows are not taken over; give the replica an empty folder"
    )]
    NotReplicated,
    /// What counts is not there.
    #[error("the replica's rows (generation {0}) are missing: replace its volume, under a new id")]
    RowsMissing(u64),
    /// What it keeps does not read.
    #[error("the replica's volume is damaged: {0}")]
    Damaged(#[from] record::RecordError),
    /// openraft did not start.
    #[error("the replica did not start: {0}")]
    Start(String),
}

impl From<rocksdb::Error> for OpenError {
    fn from(error: rocksdb::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// A replica's database, open.
pub struct Volume {
    flusher: Flusher,
    db: Arc<DB>,
    record: Mutex<VolumeRecord>,
    staged: AtomicU64,
    rows_options: RocksOptions,
    failed: watch::Sender<bool>,
    /// Dropped last: tells that the folder may be opened again.
    open: watch::Sender<()>,
}

fn rows_family(generation: u64) -> String {
    format!("{ROWS_PREFIX}{generation}")
}

/// An embedded catalog has its rows where a replica keeps votes; once it had a log beside them, nothing could open it any more.
fn refuse_what_is_not_replicated(known: &[String], dir: &Path) -> Result<(), OpenError> {
    if known.is_empty() || known.iter().any(|name| name == LOG) {
        return Ok(());
    }
    let db = DB::open_for_read_only(&Options::default(), dir, false).map_err(locked_or_other)?;
    let has_rows = db.iterator(IteratorMode::Start).next().is_some();
    if has_rows { Err(OpenError::NotReplicated) } else { Ok(()) }
}

/// These rows of a replica that nobody has open. Blocks.
///
/// # Errors
/// See [`OpenError`].
pub fn rows_at_rest<const N: usize>(
    dir: &Path,
    id: ReplicaId,
    keys: &[Vec<u8>; N],
) -> Result<[Option<Versioned>; N], OpenError> {
    let volume = Volume::open(dir, (id, true), RocksOptions::default(), FlushOn::Thread)?;
    let rows = volume.rows().map_err(EngineError::from)?;
    let mut found = [const { None }; N];
    for (found, key) in found.iter_mut().zip(keys) {
        *found = rows.get(key).map_err(EngineError::from)?;
    }
    Ok(found)
}

impl Volume {
    /// Opens or creates it. Blocks. Whoever knows that it exists says so: it is not made anew then.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        dir: &Path,
        (id, exists): (ReplicaId, bool),
        rows: RocksOptions,
        on: FlushOn,
    ) -> Result<Arc<Self>, OpenError> {
        let mut options = rows.database();
        options.create_missing_column_families(true);
        // What is written goes to the file when it is synced: one call to the kernel for a group.
        options.set_manual_wal_flush(true);
        let known = DB::list_cf(&options, dir).unwrap_or_default();
        refuse_what_is_not_replicated(&known, dir)?;
        let mut families: Vec<&str> = known.iter().map(String::as_str).collect();
        families.extend([META, LOG].iter().filter(|name| !known.iter().any(|known| known == *name)));
        let families = families.into_iter().map(|name| (name, rows.database()));
        let db = DB::open_cf_with_opts(&options, dir, families).map_err(locked_or_other)?;
        let found = db.get(VOLUME_KEY)?.map(|bytes| record::decode::<VolumeRecord>(&bytes)).transpose()?;
        let is_new = found.is_none();
        if is_new && exists {
            return Err(OpenError::Forgotten(id));
        }
        let record = found.unwrap_or(VolumeRecord { replica: id, generation: 0 });
        if record.replica != id {
            return Err(OpenError::Other { found: record.replica, asked: id });
        }
        let current = rows_family(record.generation);
        if db.cf_handle(&current).is_none() {
            // A volume is new until its record is synced, which is after its rows were made.
            if !is_new {
                return Err(OpenError::RowsMissing(record.generation));
            }
            db.create_cf(&current, &rows.database())?;
        }
        db.put(VOLUME_KEY, record::encode(&record)?)?;
        db.flush_wal(true)?;
        // What a snapshot that never became whole left behind.
        for stale in known.iter().filter(|name| name.starts_with(ROWS_PREFIX) && **name != current) {
            db.drop_cf(stale)?;
        }
        let (failed, db) = (watch::Sender::new(false), Arc::new(db));
        let flusher = Flusher::start(Arc::clone(&db), failed.clone(), on)?;
        let staged = AtomicU64::new(record.generation);
        let (record, open) = (Mutex::new(record), watch::Sender::new(()));
        Ok(Arc::new(Self { flusher, db, record, staged, rows_options: rows, failed, open }))
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    pub(super) fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    pub(super) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Nothing can be done here until it is opened again.
    pub(super) fn fail(&self) {
        self.failed.send_replace(true);
    }

    /// Ends when the volume is closed.
    pub(super) fn open_until(&self) -> watch::Receiver<()> {
        self.open.subscribe()
    }

    pub(super) fn log(&self) -> io::Result<Arc<BoundColumnFamily<'_>>> {
        self.db.cf_handle(LOG).ok_or_else(|| io::Error::other("the replica's log is missing"))
    }

    /// The rows that count. They are replaced by a snapshot's at times.
    pub(super) fn rows(&self) -> Result<Rows<'_>, ReadError> {
        loop {
            let generation = self.record.lock().generation;
            let rows = Rows::of(&self.db, &rows_family(generation));
            if rows.is_ok() || self.record.lock().generation == generation {
                return rows;
            }
        }
    }

    /// A record beside log and rows.
    pub(super) fn meta<R: Record>(&self, key: &[u8]) -> io::Result<Option<R>> {
        let bytes = self.db.get(key).map_err(io::Error::other)?;
        bytes.map(|bytes| record::decode(&bytes).map_err(io::Error::other)).transpose()
    }

    pub(super) fn put_meta<R: Record>(&self, key: &[u8], record: &R) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        batch.put(key, record::encode(record).map_err(io::Error::other)?);
        self.write(batch)
    }

    /// Writes, in order with all else; durable with the next sync. A failure stops the replica.
    pub(super) fn write(&self, batch: WriteBatch) -> io::Result<()> {
        self.db.write(batch).map_err(|error| {
            self.failed.send_replace(true);
            io::Error::other(error)
        })
    }

    /// Room for another state beside the one that counts.
    pub(super) fn stage(&self) -> io::Result<u64> {
        let generation = self.staged.fetch_add(1, Ordering::Relaxed) + 1;
        let name = rows_family(generation);
        self.db.create_cf(&name, &self.rows_options.database()).map_err(io::Error::other)?;
        Ok(generation)
    }

    pub(super) fn staged_rows(&self, generation: u64) -> io::Result<Rows<'_>> {
        Rows::of(&self.db, &rows_family(generation)).map_err(io::Error::other)
    }

    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.record.lock().generation == generation
    }

    pub(super) fn drop_staged(&self, generation: u64) -> io::Result<()> {
        self.db.drop_cf(&rows_family(generation)).map_err(io::Error::other)
    }

    /// Makes a staged state the one that counts, at once: a crash leaves this one or the other.
    pub(super) async fn adopt(&self, generation: u64) -> io::Result<()> {
        let staged = self.staged_rows(generation)?;
        self.db.flush_cf(staged.family()).map_err(io::Error::other)?;
        drop(staged);
        let earlier = *self.record.lock();
        let next = VolumeRecord { generation, ..earlier };
        self.put_meta(VOLUME_KEY, &next)?;
        self.flusher.durable().await?;
        *self.record.lock() = next;
        self.drop_staged(earlier.generation)
    }
}
