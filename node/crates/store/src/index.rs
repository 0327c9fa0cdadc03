//! The index: RocksDB with three column families. `shards` says where each shard lies, `meta` what each log file holds
//! and up to where the index knows them, `records` keeps other small things.
//!
//! Rows of a batch are written in one write without a sync, together with the position in the log they stand for. After
//! a power loss the database is a prefix of what was written, so its position is right for its rows, and what lies
//! behind it is read from the log again. That leaves one sync for each batch: the log's.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use datamesh_shard::{Generation, Held, Incarnation, SegmentId, ShardIndex, ShardKey};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DB,
    DBCompressionType, DEFAULT_COLUMN_FAMILY_NAME, IteratorMode, LogLevel, LruCacheOptions, Options,
    ReadOptions, SliceTransform, WriteBatch, WriteOptions,
};

use crate::disk::Disk;
use crate::error::IndexError;
use crate::format::{
    LogNumber, LogRow, Position, RowError, ShardRow, decode_incarnation, decode_shard_key,
    encode_incarnation, encode_shard_key,
};

/// Blocks of all column families in memory at most, bloom filters included. 8 MiB hold the filters of some six million
/// shards; the rest of a storage pod's few hundred megabytes belongs to shards in transit.
const BLOCK_CACHE_BYTES: usize = 8 << 20;
/// The cache in so many parts, each with a lock of its own: more would leave none with room for the larger blocks.
const CACHE_SHARD_BITS: i32 = 2;
/// Indexes and filters are read by this: in one piece, that of a large table fits into no cache, and is read for every put.
const METADATA_BLOCK_BYTES: usize = 4 << 10;
/// Rows of shards in memory before they are written out: some 20,000.
const SHARDS_BUFFER_BYTES: usize = 2 << 20;
/// The same for the other column families.
const SMALL_BUFFER_BYTES: usize = 512 << 10;
/// Bytes of RocksDB's own log at most, all column families together: some 15,000 puts. RocksDB allots as much at once,
/// which counts against the storage overhead, so it is small.
const WAL_BYTES_MAX: u64 = 2 << 20;
/// Table files kept open, of 64 MiB and some 700,000 shards each: beyond, one is opened for nearly every put and get.
const OPEN_FILES_MAX: i32 = 512;
/// Those in so many parts. RocksDB's 64 have room for a few files each, and open others again and again.
const OPEN_FILES_SHARD_BITS: i32 = 2;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// RocksDB allots its manifest in steps of this (its default, 4 MiB, is more than a small store's whole index).
const MANIFEST_STEP_BYTES: usize = 64 << 10;

const SHARDS: &str = "shards";
const RECORDS: &str = "records";
const META: &str = "meta";

const POSITION: &[u8] = b"position";
const INCARNATION: &[u8] = b"incarnation";
const NODE_KEY: &[u8] = b"node-key";
const LOG: &[u8] = b"log/";

/// Whether a write is on the disk when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power loss.
    Synced,
    /// It survives the end of the process; a power loss may take the last seconds' writes, never earlier ones alone.
    Lazy,
}

/// Key and value of a small record.
pub type RecordPair = (Box<[u8]>, Box<[u8]>);

pub(crate) struct Index {
    db: DB,
    disk: Disk,
}

/// Rows to be written together.
pub(crate) struct Rows<'a> {
    shards: Arc<BoundColumnFamily<'a>>,
    meta: Arc<BoundColumnFamily<'a>>,
    batch: WriteBatch,
}

impl Rows<'_> {
    pub(crate) fn shard(&mut self, key: ShardKey, row: Option<&ShardRow>) -> Result<(), IndexError> {
        match row {
            Some(row) => self.batch.put_cf(&self.shards, encode_shard_key(key), row.encode()?),
            None => self.batch.delete_cf(&self.shards, encode_shard_key(key)),
        }
        Ok(())
    }

    pub(crate) fn log(&mut self, log: LogNumber, row: Option<&LogRow>) -> Result<(), IndexError> {
        match row {
            Some(row) => self.batch.put_cf(&self.meta, log_key(log), row.encode()?),
            None => self.batch.delete_cf(&self.meta, log_key(log)),
        }
        Ok(())
    }

    pub(crate) fn position(&mut self, position: Position) -> Result<(), IndexError> {
        self.batch.put_cf(&self.meta, POSITION, position.encode()?);
        Ok(())
    }
}

impl Index {
    pub(crate) fn open(path: &Path, disk: Disk) -> Result<Self, IndexError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_table_cache_num_shard_bits(OPEN_FILES_SHARD_BITS);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_background_jobs(2);
        options.set_manifest_preallocation_size(MANIFEST_STEP_BYTES);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(BLOCK_CACHE_BYTES);
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        let cache = Cache::new_lru_cache_opts(&cache);
        let mut shards = family(&cache, SHARDS_BUFFER_BYTES);
        shards.set_prefix_extractor(SliceTransform::create_fixed_prefix(32));
        let families = [
            // Never written to, but RocksDB insists on it, and on large buffers for it.
            ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, family(&cache, SMALL_BUFFER_BYTES)),
            ColumnFamilyDescriptor::new(SHARDS, shards),
            ColumnFamilyDescriptor::new(RECORDS, family(&cache, SMALL_BUFFER_BYTES)),
            ColumnFamilyDescriptor::new(META, family(&cache, SMALL_BUFFER_BYTES)),
        ];
        Ok(Self { db: DB::open_cf_descriptors(&options, path, families)?, disk })
    }

    fn handle(&self, name: &'static str) -> Result<Arc<BoundColumnFamily<'_>>, IndexError> {
        self.db.cf_handle(name).ok_or(IndexError::Family(name))
    }

    pub(crate) fn shard(&self, key: ShardKey) -> Result<Option<ShardRow>, IndexError> {
        let row = self.db.get_pinned_cf(&self.handle(SHARDS)?, encode_shard_key(key))?;
        Ok(row.map(|row| ShardRow::decode(&row)).transpose()?)
    }

    /// The shards of a segment that are here; those known to be corrupt only if asked for.
    pub(crate) fn locate(
        &self,
        segment: SegmentId,
        corrupt_too: bool,
    ) -> Result<Vec<ShardIndex>, IndexError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let from = IteratorMode::From(&segment.0, rocksdb::Direction::Forward);
        let mut found = Vec::new();
        for row in self.db.iterator_cf_opt(&self.handle(SHARDS)?, options, from) {
            let (key, row) = row?;
            let key = decode_shard_key(&key)?;
            if key.segment != segment {
                break;
            }
            if corrupt_too || !ShardRow::decode(&row)?.corrupt {
                found.push(key.index);
            }
        }
        Ok(found)
    }

    /// What is here of the segments behind `after` in `range`, at most `limit` of them; corrupt shards are left out.
    pub(crate) fn held(
        &self,
        (from, to): (SegmentId, Option<SegmentId>),
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Held>, IndexError> {
        let mut options = all_rows();
        if let Some(to) = to {
            options.set_iterate_upper_bound(to.0);
        }
        let first = after.map_or(from, |after| after.max(from));
        let start = IteratorMode::From(&first.0, rocksdb::Direction::Forward);
        let mut found: Vec<Held> = Vec::new();
        for row in self.db.iterator_cf_opt(&self.handle(SHARDS)?, options, start) {
            let (key, row) = row?;
            let (key, row) = (decode_shard_key(&key)?, ShardRow::decode(&row)?);
            if after.is_some_and(|after| key.segment <= after) || row.corrupt {
                continue;
            }
            if let Some(held) = found.last_mut()
                && held.segment == key.segment
            {
                held.shards.insert(key.index);
                held.generation = held.generation.max(row.generation);
                continue;
            }
            if found.len() == limit {
                break;
            }
            let shards = [key.index].into_iter().collect();
            let (segment, profile, generation) = (key.segment, row.profile, row.generation);
            found.push(Held { segment, profile, generation, shards });
        }
        Ok(found)
    }

    /// Shards known to be corrupt and their generations, at most `limit` of them.
    pub(crate) fn corrupt(&self, limit: usize) -> Result<Vec<(ShardKey, Generation)>, IndexError> {
        let mut found = Vec::new();
        self.each_shard(None, |key, row| {
            found.extend(row.corrupt.then_some((key, row.generation)));
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// Hands every shard's row to `each`, or those behind `after`, until it has enough.
    pub(crate) fn each_shard(
        &self,
        after: Option<ShardKey>,
        mut each: impl FnMut(ShardKey, ShardRow) -> Result<ControlFlow<()>, IndexError>,
    ) -> Result<(), IndexError> {
        let after = after.map(encode_shard_key);
        let start = after
            .as_ref()
            .map_or(IteratorMode::Start, |after| IteratorMode::From(after, rocksdb::Direction::Forward));
        for row in self.db.iterator_cf_opt(&self.handle(SHARDS)?, all_rows(), start) {
            let (key, row) = row?;
            if after.is_some_and(|after| after == *key) {
                continue;
            }
            if each(decode_shard_key(&key)?, ShardRow::decode(&row)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The shards behind `after` that lie in a log file and are not known to be corrupt, at most `limit` of them, as far as
    /// `go_on` lets it look.
    pub(crate) fn shards_in(
        &self,
        log: LogNumber,
        after: Option<ShardKey>,
        limit: usize,
        go_on: impl Fn() -> bool,
    ) -> Result<Vec<(ShardKey, ShardRow)>, IndexError> {
        let mut found = Vec::new();
        self.each_shard(after, |key, row| {
            if row.log == log && !row.corrupt {
                found.push((key, row));
            }
            let has_more = found.len() < limit && go_on();
            Ok(if has_more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    pub(crate) fn logs(&self) -> Result<Vec<(LogNumber, LogRow)>, IndexError> {
        let mut logs = Vec::new();
        let from = IteratorMode::From(LOG, rocksdb::Direction::Forward);
        for row in self.db.iterator_cf(&self.handle(META)?, from) {
            let (key, row) = row?;
            let Some(number) = key.strip_prefix(LOG) else { break };
            let number = <[u8; 4]>::try_from(number).map_err(|_| RowError::Length(key.len()))?;
            logs.push((LogNumber(u32::from_be_bytes(number)), LogRow::decode(&row)?));
        }
        Ok(logs)
    }

    pub(crate) fn position(&self) -> Result<Option<Position>, IndexError> {
        let row = self.db.get_pinned_cf(&self.handle(META)?, POSITION)?;
        Ok(row.map(|row| Position::decode(&row)).transpose()?)
    }

    pub(crate) fn incarnation(&self) -> Result<Incarnation, IndexError> {
        let row = self.db.get_pinned_cf(&self.handle(META)?, INCARNATION)?;
        Ok(row.map(|row| decode_incarnation(&row)).transpose()?.unwrap_or_default())
    }

    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) -> Result<(), IndexError> {
        let row = encode_incarnation(incarnation)?;
        Ok(self.db.put_cf_opt(&self.handle(META)?, INCARNATION, row, &synced())?)
    }

    pub(crate) fn node_key(&self) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.db.get_cf(&self.handle(META)?, NODE_KEY)?)
    }

    pub(crate) fn set_node_key(&self, row: &[u8]) -> Result<(), IndexError> {
        Ok(self.db.put_cf_opt(&self.handle(META)?, NODE_KEY, row, &synced())?)
    }

    pub(crate) fn rows(&self) -> Result<Rows<'_>, IndexError> {
        Ok(Rows { shards: self.handle(SHARDS)?, meta: self.handle(META)?, batch: WriteBatch::default() })
    }

    pub(crate) fn write(&self, rows: Rows<'_>) -> Result<(), IndexError> {
        Ok(self.db.write(rows.batch)?)
    }

    /// Puts all rows written so far on the disk.
    pub(crate) fn sync(&self) -> Result<(), IndexError> {
        self.db.flush_wal(true)?;
        self.disk.index_was_synced();
        Ok(())
    }

    /// Bytes the index takes, its own log counted as full.
    pub(crate) fn bytes(&self) -> Result<u64, IndexError> {
        let mut bytes = WAL_BYTES_MAX;
        for name in [SHARDS, RECORDS, META] {
            let tables = self
                .db
                .property_int_value_cf(&self.handle(name)?, rocksdb::properties::TOTAL_SST_FILES_SIZE)?;
            bytes += tables.unwrap_or_default();
        }
        Ok(bytes)
    }

    pub(crate) fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.db.get_cf(&self.handle(RECORDS)?, key)?)
    }

    pub(crate) fn put_record(
        &self,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<(), IndexError> {
        Ok(self.db.put_cf_opt(&self.handle(RECORDS)?, key, value, &write_options(durability))?)
    }

    pub(crate) fn delete_record(&self, key: &[u8], durability: Durability) -> Result<(), IndexError> {
        Ok(self.db.delete_cf_opt(&self.handle(RECORDS)?, key, &write_options(durability))?)
    }

    /// Records from `prefix` on, in the order of their keys.
    pub(crate) fn records_from<'a>(
        &'a self,
        prefix: &[u8],
    ) -> Result<impl Iterator<Item = Result<RecordPair, IndexError>> + 'a, IndexError> {
        let from = IteratorMode::From(prefix, rocksdb::Direction::Forward);
        let rows = self.db.iterator_cf(&self.handle(RECORDS)?, from);
        Ok(rows.map(|row| row.map_err(IndexError::Engine)))
    }
}

/// For reading many rows once, across segments.
fn all_rows() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.fill_cache(false);
    options
}

fn family(cache: &Cache, buffer_bytes: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_top_level_index_and_filter(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(buffer_bytes);
    options.set_max_write_buffer_number(2);
    // Keys are hashes: nothing to compress.
    options.set_compression_type(DBCompressionType::None);
    options
}

fn log_key(log: LogNumber) -> Vec<u8> {
    [LOG, &log.0.to_be_bytes()].concat()
}

fn synced() -> WriteOptions {
    write_options(Durability::Synced)
}

fn write_options(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Synced);
    options
}
