use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel,
    LruCacheOptions, Options,
};

use crate::keyspace::Revision;

/// What may be chosen about the embedded engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Blocks, indexes and filters in memory, together at most.
    pub cache_bytes: usize,
    /// Rows in memory before they are written out as a table; two of these exist at most.
    pub memtable_bytes: usize,
    /// Changes kept for `changes_since` and range checks.
    pub changes_max: usize,
    /// Where an empty keyspace begins to count its commits.
    pub begins_after: Revision,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            memtable_bytes: 16 << 20,
            changes_max: 65_536,
            begins_after: Revision(0),
        }
    }
}

/// Table files held open at most.
const FILES_OPEN_MAX: i32 = 256;
/// Those in so many parts: RocksDB's 64 have room for three files each.
const FILES_OPEN_SHARD_BITS: i32 = 2;
/// Files of RocksDB's own log, and the size of each.
const LOG_FILES: usize = 2;
const LOG_FILE_BYTES: usize = 1 << 20;
/// Bits of a filter per key: one needless read in a hundred.
const FILTER_BITS: f64 = 10.0;
/// Block size: a few small-object rows.
const BLOCK_BYTES: usize = 16 << 10;
/// Parts of an index or filter: read and cached singly, so that a small cache is never filled by one table's index.
const INDEX_BLOCK_BYTES: usize = 4 << 10;
/// The cache is split in four: few enough that each takes the largest block, enough for two processors.
const CACHE_SHARD_BITS: i32 = 2;
/// Table files are handed to the disk in steps of this size, so that a flush does not delay a sync.
const TABLE_SYNC_BYTES: u64 = 1 << 20;
/// Threads for flush and compaction.
const BACKGROUND_JOBS: i32 = 2;

impl RocksOptions {
    pub(in crate::engine) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_size(self.memtable_bytes);
        options.set_max_write_buffer_number(2);
        options
            .set_max_total_wal_size(u64::try_from(self.memtable_bytes).unwrap_or(u64::MAX).saturating_mul(4));
        // A tear at the end of the log is an unsynced, unacknowledged write: cut it off. Synced writes come before it.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_max_open_files(FILES_OPEN_MAX);
        options.set_table_cache_num_shard_bits(FILES_OPEN_SHARD_BITS);
        options.set_max_background_jobs(BACKGROUND_JOBS);
        options.set_bytes_per_sync(TABLE_SYNC_BYTES);
        options.set_keep_log_file_num(LOG_FILES);
        options.set_max_log_file_size(LOG_FILE_BYTES);
        options.set_log_level(LogLevel::Warn);
        options.set_compression_type(DBCompressionType::None);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_block_based_table_factory(&self.tables());
        options
    }

    fn tables(&self) -> BlockBasedOptions {
        let mut tables = BlockBasedOptions::default();
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(self.cache_bytes);
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        tables.set_block_cache(&Cache::new_lru_cache_opts(&cache));
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_pin_top_level_index_and_filter(true);
        tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        tables.set_partition_filters(true);
        tables.set_metadata_block_size(INDEX_BLOCK_BYTES);
        tables.set_bloom_filter(FILTER_BITS, false);
        tables.set_block_size(BLOCK_BYTES);
        tables
    }
}
