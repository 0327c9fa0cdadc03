//! What the store writes to its disk: log files with their records, and the rows of the index. Pure: bytes in, values out.
//!
//! Both formats carry a version and are fixed by the files under `tests/golden`.

mod record;
mod rows;

pub use record::{FileHead, RecordError, RecordHead, RecordKind, body_crc};
pub use rows::{
    LogRow, Position, RowError, ShardRow, decode_incarnation, decode_node_key, decode_shard_key,
    encode_incarnation, encode_node_key, encode_shard_key,
};

use datamesh_shard::limits::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX};

/// Bytes in front of a log file's first record.
pub const FILE_HEAD_BYTES: usize = 32;
/// Bytes in front of a record's body.
pub const RECORD_HEAD_BYTES: usize = 64;
/// Bytes of a segment header at most: 8 fixed ones and a leaf of 32 for each shard.
pub const HEADER_BYTES_MAX: usize = 8 + (DATA_SHARDS_MAX as usize + PARITY_SHARDS_MAX as usize) * 32;
/// Bytes of a shard's key in the index: the segment's id, then the shard's index.
pub const SHARD_KEY_BYTES: usize = 33;

/// Numbers the log files of one store, from 1 on; a number is never used again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct LogNumber(pub u32);

impl LogNumber {
    /// The file's name inside the folder of logs.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:010}.log", self.0)
    }

    /// The number after this one.
    #[must_use]
    pub fn following(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number a file name stands for, if it is one of a log.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let number = Self(name.strip_suffix(".log")?.parse().ok()?);
        (number.file_name() == name).then_some(number)
    }
}

impl std::fmt::Display for LogNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file_name())
    }
}
