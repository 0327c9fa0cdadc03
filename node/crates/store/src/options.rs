use std::time::Duration;

/// Bytes of one log file at most, unless the options say otherwise. Space comes back by whole files, which speaks for
/// small ones; each costs a few system calls and an index row, which speaks for large ones.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// How long opening waits for the lock, unless the options say otherwise: longer than a pod takes to stop.
pub const LOCK_WAIT: Duration = Duration::from_secs(40);

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes the store may use in total.
    pub capacity_bytes: u64,
    /// Free bytes below which no new shards are taken.
    pub reserve_bytes: u64,
    /// Bytes of one log file at most; a batch larger than that still goes into one file.
    pub log_bytes_max: u64,
    /// How long opening waits for another process to let go of the folder.
    pub lock_wait: Duration,
}

impl StoreOptions {
    /// Options with the usual log size and patience.
    #[must_use]
    pub fn new(capacity_bytes: u64, reserve_bytes: u64) -> Self {
        Self { capacity_bytes, reserve_bytes, log_bytes_max: LOG_BYTES_MAX, lock_wait: LOCK_WAIT }
    }
}
