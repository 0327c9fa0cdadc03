use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use datamesh_shard::Incarnation;
use datamesh_shard::limits::SHARD_BYTES_MAX;
use parking_lot::Mutex;

use crate::compact::Signal;
use crate::compact::choice::Space;
use crate::error::IndexError;
use crate::format::{HEADER_BYTES_MAX, LogNumber, LogRow, RECORD_HEAD_BYTES};
use crate::index::Index;
use crate::lock::Lock;
use crate::log_reader::LogReader;
use crate::options::StoreOptions;
use crate::recover::Recovery;

/// The largest record of a shard.
const RECORD_BYTES_MAX: u64 = (RECORD_HEAD_BYTES + HEADER_BYTES_MAX + SHARD_BYTES_MAX) as u64;

/// How full a store is, and how well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Shards it holds.
    pub shards: u64,
    /// Bytes of their payloads.
    pub shard_bytes: u64,
    /// Bytes of all log files, deleted shards included.
    pub log_bytes: u64,
    /// Bytes of them that live: records of shards, and damaged parts. The rest is garbage that compaction gives back.
    pub live_bytes: u64,
    /// Bytes it may use in total.
    pub capacity_bytes: u64,
    /// Bytes it may still use: the smaller of what is left of the capacity and what the file system has free.
    pub free_bytes: u64,
    /// Whether it takes new shards: it has room for the largest there may be.
    pub accepting: bool,
    /// Shards found corrupt and not written anew since.
    pub corrupt_shards: u64,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Shards written.
    pub puts: u64,
    /// Shards deleted.
    pub deletes: u64,
    /// Times the log was synced: fewer than puts and deletes when they come together.
    pub syncs: u64,
    /// Bytes appended to logs, those of moves included.
    pub appended_bytes: u64,
    /// Reads that found a shard corrupt.
    pub corrupt_reads: u64,
    /// Bytes compaction wrote anew.
    pub moved_bytes: u64,
    /// Log files compaction emptied.
    pub compacted_logs: u64,
    /// Bytes of log files removed, by compaction or because everything in them was deleted.
    pub removed_bytes: u64,
}

#[derive(Default)]
pub(crate) struct Counting {
    pub(crate) puts: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) corrupt_reads: AtomicU64,
    pub(crate) moved_bytes: AtomicU64,
    pub(crate) compacted_logs: AtomicU64,
    pub(crate) removed_bytes: AtomicU64,
}

/// What the writer tells about space.
#[derive(Clone, Copy, Default)]
struct Used {
    logs: LogRow,
    index_bytes: u64,
}

/// What writer and readers share.
pub(crate) struct Shared {
    pub(crate) index: Index,
    pub(crate) reader: LogReader,
    pub(crate) options: StoreOptions,
    pub(crate) incarnation: Incarnation,
    pub(crate) recovery: Recovery,
    pub(crate) counting: Counting,
    pub(crate) compaction: Signal,
    /// Files to be emptied whatever it pays.
    pub(crate) shredding: Mutex<BTreeSet<LogNumber>>,
    /// Held while the node's key is made, so that it is made once.
    pub(crate) making_node_key: Mutex<()>,
    used: Mutex<Used>,
    failed: OnceLock<Arc<str>>,
    dir: File,
    // The last field: let go of after the index is closed.
    _lock: Lock,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { index, reader, options, incarnation, recovery, dir, lock } = parts;
        Self {
            index,
            reader,
            options,
            incarnation,
            recovery,
            counting: Counting::default(),
            compaction: Signal::new(),
            shredding: Mutex::default(),
            making_node_key: Mutex::new(()),
            used: Mutex::default(),
            failed: OnceLock::new(),
            dir,
            _lock: lock,
        }
    }

    /// The writer tells what the logs hold now.
    pub(crate) fn publish(&self, logs: LogRow) {
        self.used.lock().logs = logs;
    }

    /// Asks the index for its size; done seldom.
    pub(crate) fn measure_index(&self) -> Result<(), IndexError> {
        let bytes = self.index.bytes()?;
        self.used.lock().index_bytes = bytes;
        Ok(())
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let used = *self.used.lock();
        let left =
            self.options.capacity_bytes.saturating_sub(used.logs.bytes).saturating_sub(used.index_bytes);
        // Without an answer the capacity decides; a full file system then shows when it is written to.
        let free = rustix::fs::fstatvfs(&self.dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        left.min(free.unwrap_or(u64::MAX))
    }

    /// How much room there is.
    pub(crate) fn space(&self) -> Space {
        let free_bytes = self.free_bytes();
        let Used { logs, index_bytes } = *self.used.lock();
        let reserve_bytes = self.options.reserve_bytes;
        Space { log_bytes: logs.bytes, free_bytes, reserve_bytes, index_bytes }
    }

    pub(crate) fn usage(&self) -> Usage {
        let free_bytes = self.free_bytes();
        let logs = self.used.lock().logs;
        Usage {
            shards: logs.live_shards,
            shard_bytes: logs.payload_bytes,
            log_bytes: logs.bytes,
            live_bytes: logs.live_bytes,
            capacity_bytes: self.options.capacity_bytes,
            free_bytes,
            accepting: free_bytes >= self.options.reserve_bytes.saturating_add(RECORD_BYTES_MAX)
                && self.failure().is_none(),
            corrupt_shards: logs.corrupt_shards,
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            puts: read(&self.counting.puts),
            deletes: read(&self.counting.deletes),
            syncs: read(&self.counting.syncs),
            appended_bytes: read(&self.counting.appended_bytes),
            corrupt_reads: read(&self.counting.corrupt_reads),
            moved_bytes: read(&self.counting.moved_bytes),
            compacted_logs: read(&self.counting.compacted_logs),
            removed_bytes: read(&self.counting.removed_bytes),
        }
    }

    /// No more writes until the store is opened again: after a failed sync the kernel may call pages clean that never
    /// reached the disk, so a second sync that succeeds proves nothing.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        let reason = Arc::clone(self.failed.get_or_init(|| reason.into()));
        tracing::error!(%reason, "the store takes no writes until it is restarted");
        reason
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failed.get().cloned()
    }
}

/// What a store is made of.
pub(crate) struct Parts {
    pub(crate) index: Index,
    pub(crate) reader: LogReader,
    pub(crate) options: StoreOptions,
    pub(crate) incarnation: Incarnation,
    pub(crate) recovery: Recovery,
    pub(crate) dir: File,
    pub(crate) lock: Lock,
}
