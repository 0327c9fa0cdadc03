use crc_fast::{CrcAlgorithm, Digest};
use datamesh_shard::limits::SHARD_BYTES_MAX;
use datamesh_shard::{Generation, Incarnation, SegmentId, ShardIndex, ShardKey};

use super::{FILE_HEAD_BYTES, HEADER_BYTES_MAX, LogNumber, RECORD_HEAD_BYTES};

/// The version both heads carry.
const VERSION: u8 = 1;
const FILE_MAGIC: [u8; 4] = *b"DMLG";
const RECORD_MAGIC: [u8; 3] = *b"DMR";
/// Both heads end with a CRC-32C over what stands before it.
const CRC_BYTES: usize = 4;

/// Why bytes of a log file are not what belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The file ends within the head.
    #[error("it ends after {0} bytes of its head")]
    Short(usize),
    /// No record begins here.
    #[error("no record begins here")]
    Magic,
    /// Written by a later version.
    #[error("record version {0} is not known to this version")]
    Version(u8),
    /// The head's checksum does not match.
    #[error("the head's checksum does not match")]
    HeadChecksum,
    /// An unknown kind of record.
    #[error("record kind {0} is not known to this version")]
    Kind(u8),
    /// The record stands in another log file than the one it was written to.
    #[error("it was written to log {0}")]
    Log(LogNumber),
    /// A segment header's length out of range.
    #[error("segment header of {0} bytes")]
    HeaderBytes(u16),
    /// A payload's length out of range.
    #[error("payload of {0} bytes")]
    PayloadBytes(u32),
    /// The body's checksum does not match.
    #[error("the body's checksum does not match")]
    BodyChecksum,
    /// The file ends within the body.
    #[error("the file ends within its body")]
    Body,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A shard: segment header and payload follow.
    Shard = 1,
    /// The shard is deleted; no body.
    Delete = 2,
    /// The shard that is already there takes a higher generation; no body.
    Raise = 3,
}

/// The 64 bytes in front of a record's body (segment header, then payload). Little-endian:
///
/// | at | bytes | |
/// |---|---|---|
/// | 0 | 4 | `DMR`, version |
/// | 4 | 1 | kind |
/// | 5 | 1 | shard index |
/// | 6 | 2 | bytes of the segment header |
/// | 8 | 4 | bytes of the payload |
/// | 12 | 4 | number of the log file |
/// | 16 | 8 | generation |
/// | 24 | 32 | segment id |
/// | 56 | 4 | CRC-32C of the body |
/// | 60 | 4 | CRC-32C of bytes 0 to 59 followed by the record's offset (8 bytes): a record elsewhere is no record |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What the record says.
    pub kind: RecordKind,
    /// The shard it is about.
    pub key: ShardKey,
    /// The generation it gives to the shard, or deletes.
    pub generation: Generation,
    /// Bytes of the segment header.
    pub header_bytes: u16,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// The log file it belongs to.
    pub log: LogNumber,
    /// CRC-32C of the body.
    pub body_crc: u32,
}

/// CRC-32C of a record's body.
#[must_use]
pub fn body_crc(header: &[u8], payload: &[u8]) -> u32 {
    crc32c(&[header, payload])
}

fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    // The algorithm's values have 32 bits.
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}

impl RecordHead {
    /// Bytes of the body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        usize::from(self.header_bytes) + self.payload_bytes as usize
    }

    /// Bytes of head and body.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEAD_BYTES as u64 + u64::from(self.header_bytes) + u64::from(self.payload_bytes)
    }

    /// The head of a record that stands at `offset`.
    #[must_use]
    pub fn encode(&self, offset: u64) -> [u8; RECORD_HEAD_BYTES] {
        let mut out = [0; RECORD_HEAD_BYTES];
        out[..3].copy_from_slice(&RECORD_MAGIC);
        out[3] = VERSION;
        out[4] = self.kind as u8;
        out[5] = self.key.index.0;
        out[6..8].copy_from_slice(&self.header_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.log.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..56].copy_from_slice(&self.key.segment.0);
        out[56..60].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c(&[&out[..60], &offset.to_le_bytes()]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the head that stands at `offset` of the log file `log`.
    ///
    /// # Errors
    /// Every way in which hostile bytes can be wrong has its variant.
    pub fn decode(bytes: &[u8], log: LogNumber, offset: u64) -> Result<Self, RecordError> {
        let Some(head) = bytes.first_chunk::<RECORD_HEAD_BYTES>() else {
            return Err(RecordError::Short(bytes.len()));
        };
        if head[..3] != RECORD_MAGIC {
            return Err(RecordError::Magic);
        }
        if u32_at(head, 60) != crc32c(&[&head[..60], &offset.to_le_bytes()]) {
            return Err(RecordError::HeadChecksum);
        }
        // Only a version whose checksum holds is a later one; every later one keeps place and kind of the checksum.
        if head[3] != VERSION {
            return Err(RecordError::Version(head[3]));
        }
        let kind = match head[4] {
            1 => RecordKind::Shard,
            2 => RecordKind::Delete,
            3 => RecordKind::Raise,
            other => return Err(RecordError::Kind(other)),
        };
        let mut segment = [0; 32];
        segment.copy_from_slice(&head[24..56]);
        let decoded = Self {
            kind,
            key: ShardKey { segment: SegmentId(segment), index: ShardIndex(head[5]) },
            generation: Generation(u64_at(head, 16)),
            header_bytes: u16::from_le_bytes([head[6], head[7]]),
            payload_bytes: u32_at(head, 8),
            log: LogNumber(u32_at(head, 12)),
            body_crc: u32_at(head, 56),
        };
        decoded.check(log)?;
        Ok(decoded)
    }

    fn check(&self, log: LogNumber) -> Result<(), RecordError> {
        if self.log != log {
            return Err(RecordError::Log(self.log));
        }
        let (header_max, payload_max) = match self.kind {
            RecordKind::Shard => (HEADER_BYTES_MAX, SHARD_BYTES_MAX),
            RecordKind::Delete | RecordKind::Raise => (0, 0),
        };
        if usize::from(self.header_bytes) > header_max {
            return Err(RecordError::HeaderBytes(self.header_bytes));
        }
        if self.payload_bytes as usize > payload_max {
            return Err(RecordError::PayloadBytes(self.payload_bytes));
        }
        Ok(())
    }

    /// Checks the body that follows this head.
    ///
    /// # Errors
    /// Says whether it is too short or does not match its checksum.
    pub fn check_body(&self, body: &[u8]) -> Result<(), RecordError> {
        if body.len() != self.body_bytes() {
            return Err(RecordError::Body);
        }
        if crc32c(&[body]) != self.body_crc {
            return Err(RecordError::BodyChecksum);
        }
        Ok(())
    }
}

/// The 32 bytes a log file begins with: `DMLG`, version, three zeros, number (u32), incarnation of the store that made
/// the file (u64), eight zeros, CRC-32C of all that (u32). Little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// The file's own number.
    pub log: LogNumber,
    /// The incarnation of the store when the file was made.
    pub incarnation: Incarnation,
}

impl FileHead {
    /// The head's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEAD_BYTES] {
        let mut out = [0; FILE_HEAD_BYTES];
        out[..4].copy_from_slice(&FILE_MAGIC);
        out[4] = VERSION;
        out[8..12].copy_from_slice(&self.log.0.to_le_bytes());
        out[12..20].copy_from_slice(&self.incarnation.0.to_le_bytes());
        let crc = crc32c(&[&out[..FILE_HEAD_BYTES - CRC_BYTES]]);
        out[FILE_HEAD_BYTES - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the head of the log file `log`.
    ///
    /// # Errors
    /// As for records.
    pub fn decode(bytes: &[u8], log: LogNumber) -> Result<Self, RecordError> {
        let Some(head) = bytes.first_chunk::<FILE_HEAD_BYTES>() else {
            return Err(RecordError::Short(bytes.len()));
        };
        if head[..4] != FILE_MAGIC {
            return Err(RecordError::Magic);
        }
        let crc_at = FILE_HEAD_BYTES - CRC_BYTES;
        if u32_at(head, crc_at) != crc32c(&[&head[..crc_at]]) {
            return Err(RecordError::HeadChecksum);
        }
        if head[4] != VERSION {
            return Err(RecordError::Version(head[4]));
        }
        let decoded = Self { log: LogNumber(u32_at(head, 8)), incarnation: Incarnation(u64_at(head, 12)) };
        if decoded.log != log {
            return Err(RecordError::Log(decoded.log));
        }
        Ok(decoded)
    }
}

/// The callers' arrays are of fixed length and `at` is a constant within.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
