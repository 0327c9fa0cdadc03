use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use datamesh_shard::{HeaderError, ShardError, ShardKey};

use crate::format::{LogNumber, RecordError, RowError};

/// The index failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database's own words.
    #[error("index: {0}")]
    Engine(#[from] rocksdb::Error),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The database was opened without a column family: never, unless this crate has a bug.
    #[error("index: no column family {0}")]
    Family(&'static str),
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the folder.
    #[error("{} is in use by {holder}; waited {waited_seconds} s for it to let go", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it: process id, host, incarnation.
        holder: String,
        /// How long was waited.
        waited_seconds: u64,
    },
    /// A system call on a file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// A log file was written by a later version, or is not one of ours.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why a shard was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The segment header is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Header or payload are not those of the shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Free space is below the reserve.
    #[error("{free_bytes} bytes are free and {reserve_bytes} are kept in reserve: no new shards")]
    Full {
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that stay free.
        reserve_bytes: u64,
    },
    /// The disk refused a write or a sync; nothing is stored any more until the store is opened again.
    #[error("the store takes no writes until it is restarted: {reason}")]
    Failed {
        /// What happened first.
        reason: Arc<str>,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What is wrong with a shard on the disk.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The record's checksums, or what it says, do not fit.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record is of another shard, or of another size, than the index says.
    #[error("the record there is of shard {0}")]
    Other(ShardKey),
    /// The log file is gone.
    #[error("the log file is missing")]
    Missing,
    /// The disk cannot read it.
    #[error("the disk cannot read it: {0}")]
    Unreadable(io::Error),
    /// An earlier read found it corrupt, and it was not written anew since.
    #[error("an earlier read found it corrupt")]
    Known,
}

/// Why a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The shard is there, and it is not what was stored.
    #[error("segment {}, shard {}: corrupt in log {log} at offset {offset}: {damage}", key.segment, key.index)]
    Corrupt {
        /// The shard.
        key: ShardKey,
        /// The log file its record is in.
        log: LogNumber,
        /// The offset of its record.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The range asked for is not within the payload.
    #[error("bytes {offset} to {offset}+{len} of a payload of {payload_bytes}")]
    Range {
        /// First byte asked for.
        offset: u32,
        /// Bytes asked for.
        len: u32,
        /// Bytes there are.
        payload_bytes: u32,
    },
    /// A system call failed, for no fault of the shard.
    #[error("log {log}: {source}")]
    Io {
        /// The log file.
        log: LogNumber,
        /// The operating system's words.
        source: io::Error,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The runtime is shutting down.
    #[error("the read was cancelled")]
    Cancelled,
}

/// Why a shard was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The disk refused a write or a sync; nothing is stored any more until the store is opened again.
    #[error("the store takes no writes until it is restarted: {reason}")]
    Failed {
        /// What happened first.
        reason: Arc<str>,
    },
    /// The disk has not even room for the note that the shard is deleted.
    #[error("the disk is full to the last byte")]
    NoSpace,
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a segment's shards could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The runtime is shutting down.
    #[error("the search was cancelled")]
    Cancelled,
}

/// Why deleted bytes were not looked for, or not taken out.
#[derive(Debug, thiserror::Error)]
pub enum ShredError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A log file cannot be read: what it holds is not known.
    #[error("{log} cannot be read: {reason}")]
    Read {
        /// The file.
        log: LogNumber,
        /// Why.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a small record was not kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Key or value are larger than a record may be.
    #[error("record with a key of {key_bytes} and a value of {value_bytes} bytes is too large")]
    TooLarge {
        /// Bytes of the key.
        key_bytes: usize,
        /// Bytes of the value.
        value_bytes: usize,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why the node's key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    /// The key handed over, or found, has an impossible size.
    #[error("node key of {0} bytes")]
    Length(usize),
    /// The row that holds it cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why the last writes did not end cleanly. What was acknowledged is safe all the same.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The index could not be synced; the next open reads the rest of the log again.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The writer stopped before.
    #[error("the store was closed already")]
    Closed,
}
