//! The shards of one node on one disk: append-only log files that hold them, an index in RocksDB that finds them.
//!
//! * A put is answered once its record is on the disk: one thread appends what waits, with one `fdatasync` for all.
//! * Data first, then the index row that points at it; the index itself is not synced, its tail is read again from the
//!   log at the next open (see [`Recovery`]).
//! * Every record has checksums, and a shard is proven against its segment's hash before it is handed out.
//! * A sync that fails is final: no more writes until the store is opened again.
//! * One process per folder, and each opening has a higher [`Store::incarnation`].
//!
//! * A log file goes when nothing in it lives. What lives in files that are mostly dead is moved out of them beforehand,
//!   behind what clients wait for; the fuller the disk, the more of a file may live for that ([`Store::compacted`]).

mod batch;
mod compact;
mod disk;
mod error;
pub mod format;
mod index;
mod lock;
mod log;
mod log_reader;
mod options;
mod page_cache;
mod read;
mod records;
mod recover;
mod scan;
mod shared;
mod shred;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{
    CloseError, Damage, DeleteError, GetError, IndexError, LocateError, NodeKeyError, OpenError, PutError,
    RecordsError, ShredError,
};
pub use index::{Durability, RecordPair};
pub use options::{LOCK_WAIT, LOG_BYTES_MAX, StoreOptions};
pub use read::Shard;
pub use records::{RECORD_KEY_BYTES_MAX, RECORD_VALUE_BYTES_MAX, Records};
pub use recover::Recovery;
pub use shared::{Counters, Usage};
pub use shred::Shredded;
pub use store::Store;
