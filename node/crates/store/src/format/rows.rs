use datamesh_shard::limits::SHARD_BYTES_MAX;
use datamesh_shard::{ErasureProfile, Generation, Incarnation, SegmentId, ShardIndex, ShardKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FILE_HEAD_BYTES, HEADER_BYTES_MAX, LogNumber, RECORD_HEAD_BYTES, RecordHead, SHARD_KEY_BYTES};

/// The byte in front of every row but a shard's.
const VERSION: u8 = 1;
/// The byte in front of a shard's: version 1 did not say its profile.
const SHARD_VERSION: u8 = 2;

/// Why bytes are no row of the index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Nothing there, or less than belongs there.
    #[error("index row of {0} bytes")]
    Length(usize),
    /// Written by another version.
    #[error("index row version {0} is not known to this version")]
    Version(u8),
    /// The bytes behind the version are no such row.
    #[error("index row: {0}")]
    Encoding(#[from] postcard::Error),
    /// A length or offset out of range.
    #[error("index row: {what} is {value}")]
    Range {
        /// Which field.
        what: &'static str,
        /// What it says.
        value: u64,
    },
}

/// Where a shard lies. The row's bytes: version, then postcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRow {
    /// The log file.
    pub log: LogNumber,
    /// Offset of the record's head.
    pub offset: u64,
    /// Bytes of the segment header.
    pub header_bytes: u16,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// The shard's generation: the highest it was put with.
    pub generation: Generation,
    /// A read found it corrupt; a put of the same shard writes it anew.
    pub corrupt: bool,
    /// k and m of its segment, as the segment's header says: what is listed says them, too.
    pub profile: ErasureProfile,
}

impl ShardRow {
    /// The row of a shard whose record stands at `offset`.
    #[must_use]
    pub fn of(head: &RecordHead, offset: u64, profile: ErasureProfile) -> Self {
        Self {
            log: head.log,
            offset,
            header_bytes: head.header_bytes,
            payload_bytes: head.payload_bytes,
            generation: head.generation,
            corrupt: false,
            profile,
        }
    }

    /// Bytes of the record: head, segment header and payload.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEAD_BYTES as u64 + u64::from(self.header_bytes) + u64::from(self.payload_bytes)
    }

    /// The first byte behind the record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.record_bytes()
    }

    /// The row's bytes.
    ///
    /// # Errors
    /// None in practice; postcard's signature.
    pub fn encode(&self) -> Result<Vec<u8>, RowError> {
        encode_as(SHARD_VERSION, self)
    }

    /// Reads a row; lengths and offset are within limits.
    ///
    /// # Errors
    /// Every way in which the bytes can be wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let row: Self = decode_as(SHARD_VERSION, bytes)?;
        if usize::from(row.header_bytes) > HEADER_BYTES_MAX {
            return Err(RowError::Range { what: "header_bytes", value: row.header_bytes.into() });
        }
        if row.payload_bytes as usize > SHARD_BYTES_MAX {
            return Err(RowError::Range { what: "payload_bytes", value: row.payload_bytes.into() });
        }
        // Files' offsets are signed in POSIX; the sum with the lengths above cannot overflow either.
        if row.offset < FILE_HEAD_BYTES as u64 || row.offset > u64::MAX >> 2 {
            return Err(RowError::Range { what: "offset", value: row.offset });
        }
        Ok(row)
    }
}

/// What one log file holds. The row's bytes: version, then postcard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Bytes of the file up to the end of its last whole record.
    pub bytes: u64,
    /// Bytes of records of shards that live, and of damaged parts, of which nobody can say what they held.
    pub live_bytes: u64,
    /// Bytes of those shards' payloads.
    pub payload_bytes: u64,
    /// Shards that live.
    pub live_shards: u64,
    /// Those of them a read found corrupt.
    pub corrupt_shards: u64,
}

impl LogRow {
    /// The row's bytes.
    ///
    /// # Errors
    /// None in practice; postcard's signature.
    pub fn encode(&self) -> Result<Vec<u8>, RowError> {
        encode(self)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Every way in which the bytes can be wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        decode(bytes)
    }
}

/// Up to where the index knows the logs; what lies behind is read again at the next open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The log file that was being appended to.
    pub log: LogNumber,
    /// The end of its last record.
    pub offset: u64,
}

impl Position {
    /// The row's bytes.
    ///
    /// # Errors
    /// None in practice; postcard's signature.
    pub fn encode(&self) -> Result<Vec<u8>, RowError> {
        encode(self)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Every way in which the bytes can be wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        decode(bytes)
    }
}

/// The row that holds the store's incarnation.
///
/// # Errors
/// None in practice; postcard's signature.
pub fn encode_incarnation(incarnation: Incarnation) -> Result<Vec<u8>, RowError> {
    encode(&incarnation)
}

/// Reads the row that holds the store's incarnation.
///
/// # Errors
/// Every way in which the bytes can be wrong.
pub fn decode_incarnation(bytes: &[u8]) -> Result<Incarnation, RowError> {
    decode(bytes)
}

/// The row that holds the node's key: version, then the key as it is.
#[must_use]
pub fn encode_node_key(key: &[u8]) -> Vec<u8> {
    [&[VERSION], key].concat()
}

/// Reads the row that holds the node's key.
///
/// # Errors
/// Refuses a later version, and nothing.
pub fn decode_node_key(mut row: Vec<u8>) -> Result<Vec<u8>, RowError> {
    match row.first() {
        None => Err(RowError::Length(0)),
        Some(&VERSION) => Ok(row.split_off(1)),
        Some(&version) => Err(RowError::Version(version)),
    }
}

/// The key of a shard's row: the segment's id, then the shard's index.
#[must_use]
pub fn encode_shard_key(key: ShardKey) -> [u8; SHARD_KEY_BYTES] {
    let mut out = [0; SHARD_KEY_BYTES];
    out[..SHARD_KEY_BYTES - 1].copy_from_slice(&key.segment.0);
    out[SHARD_KEY_BYTES - 1] = key.index.0;
    out
}

/// Reads the key of a shard's row.
///
/// # Errors
/// Refuses any other length.
pub fn decode_shard_key(bytes: &[u8]) -> Result<ShardKey, RowError> {
    match bytes.split_first_chunk::<32>() {
        Some((segment, [index])) => Ok(ShardKey { segment: SegmentId(*segment), index: ShardIndex(*index) }),
        _ => Err(RowError::Length(bytes.len())),
    }
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, RowError> {
    encode_as(VERSION, row)
}

fn encode_as<T: Serialize>(version: u8, row: &T) -> Result<Vec<u8>, RowError> {
    Ok(postcard::to_extend(row, vec![version])?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    decode_as(VERSION, bytes)
}

fn decode_as<T: DeserializeOwned>(known: u8, bytes: &[u8]) -> Result<T, RowError> {
    let (version, rest) = bytes.split_first().ok_or(RowError::Length(0))?;
    if *version != known {
        return Err(RowError::Version(*version));
    }
    let (row, unread) = postcard::take_from_bytes(rest)?;
    if !unread.is_empty() {
        return Err(RowError::Length(bytes.len()));
    }
    Ok(row)
}
