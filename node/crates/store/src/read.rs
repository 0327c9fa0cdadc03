//! Reading shards. A whole shard is held against its checksum before it is handed out, a part of one is not: the reader
//! proves what it gets, by the frames' tags or the segment's leaves. A scrub proves all of it here.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use datamesh_shard::{Generation, ShardKey};
use rustix::io::Errno;

use crate::error::{Damage, GetError};
use crate::format::{Position, RECORD_HEAD_BYTES, RecordError, RecordHead, ShardRow};
use crate::shared::Shared;

/// A shard as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The encoded segment header.
    pub header: Bytes,
    /// The shard's bytes.
    pub payload: Bytes,
    /// The highest generation it was put with.
    pub generation: Generation,
}

impl GetError {
    /// Where the record stands that was found corrupt just now.
    pub(crate) fn found_corrupt_at(&self) -> Option<Position> {
        match self {
            Self::Corrupt { damage: Damage::Known, .. } => None,
            Self::Corrupt { log, offset, .. } => Some(Position { log: *log, offset: *offset }),
            _ => None,
        }
    }
}

impl Shared {
    /// The whole shard, as it was when it was proven and written.
    pub(crate) fn read_shard(&self, key: ShardKey) -> Result<Option<Shard>, GetError> {
        self.read_with(key, |row| {
            let (_, header, payload) = self.read_whole(key, row)?;
            Ok(Shard { header, payload, generation: row.generation })
        })
    }

    /// The record of a shard, if it lies at `at` and is not known to be corrupt: head, segment header, payload.
    pub(crate) fn read_record(
        &self,
        key: ShardKey,
        at: Position,
    ) -> Result<Option<(RecordHead, Bytes, Bytes)>, GetError> {
        let is_at = |row: &ShardRow| (row.log, row.offset) == (at.log, at.offset);
        if !self.index.shard(key)?.is_some_and(|row| is_at(&row) && !row.corrupt) {
            return Ok(None);
        }
        let read = self
            .read_with(key, |row| if is_at(row) { self.read_whole(key, row).map(Some) } else { Ok(None) });
        match read {
            Ok(record) => Ok(record.flatten()),
            Err(GetError::Corrupt { damage: Damage::Known, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_whole(&self, key: ShardKey, row: &ShardRow) -> Result<(RecordHead, Bytes, Bytes), ReadFailure> {
        let bytes = row.header_bytes as usize + row.payload_bytes as usize + RECORD_HEAD_BYTES;
        let record = self.reader.read(row.log, row.offset, bytes).map_err(ReadFailure::from_io)?;
        let head = check(key, row, &record)?;
        let mut body = record.slice(RECORD_HEAD_BYTES..);
        let header = body.split_to(row.header_bytes.into());
        Ok((head, header, body))
    }

    /// A part of the payload, not proven.
    pub(crate) fn read_range(&self, key: ShardKey, offset: u32, len: u32) -> Result<Option<Bytes>, GetError> {
        self.read_with(key, |row| {
            let payload_bytes = row.payload_bytes;
            if offset.checked_add(len).is_none_or(|end| end > payload_bytes) {
                return Err(GetError::Range { offset, len, payload_bytes }.into());
            }
            let from =
                row.offset + RECORD_HEAD_BYTES as u64 + u64::from(row.header_bytes) + u64::from(offset);
            let part = self.reader.read(row.log, from, len as usize).map_err(ReadFailure::from_io)?;
            if part.len() < len as usize {
                return Err(Damage::Record(RecordError::Body).into());
            }
            Ok(part)
        })
    }

    /// Reads where the index says. If that fails and the index says something else by then, the shard was deleted or
    /// written anew in between: once more.
    fn read_with<T>(
        &self,
        key: ShardKey,
        read: impl Fn(&ShardRow) -> Result<T, ReadFailure>,
    ) -> Result<Option<T>, GetError> {
        let Some(mut row) = self.index.shard(key)? else { return Ok(None) };
        loop {
            let result = if row.corrupt { Err(Damage::Known.into()) } else { read(&row) };
            let damage = match result {
                Ok(shard) => return Ok(Some(shard)),
                Err(ReadFailure::Io(source)) => return Err(GetError::Io { log: row.log, source }),
                Err(ReadFailure::Refused(error)) => return Err(error),
                Err(ReadFailure::Damage(damage)) => damage,
            };
            match self.index.shard(key)? {
                None => return Ok(None),
                Some(now) if (now.log, now.offset) != (row.log, row.offset) => row = now,
                Some(_) => {
                    self.counting.corrupt_reads.fetch_add(1, Ordering::Relaxed);
                    return Err(GetError::Corrupt { key, log: row.log, offset: row.offset, damage });
                }
            }
        }
    }
}

/// Why one attempt failed.
enum ReadFailure {
    Damage(Damage),
    Io(io::Error),
    Refused(GetError),
}

impl ReadFailure {
    fn from_io(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Self::Damage(Damage::Missing),
            // The sector is gone, or the file system's own checksum failed.
            Some(Errno::IO | Errno::BADMSG | Errno::UCLEAN) => Self::Damage(Damage::Unreadable(error)),
            _ => Self::Io(error),
        }
    }
}

impl From<Damage> for ReadFailure {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<GetError> for ReadFailure {
    fn from(error: GetError) -> Self {
        Self::Refused(error)
    }
}

/// The record is of this shard and was not changed since it was written, when header and payload proved themselves.
/// Hashing them again would be a third of what a read costs, and the reader has to do it anyway.
fn check(key: ShardKey, row: &ShardRow, record: &[u8]) -> Result<RecordHead, Damage> {
    let head = RecordHead::decode(record, row.log, row.offset)?;
    if head.key != key || head.header_bytes != row.header_bytes || head.payload_bytes != row.payload_bytes {
        return Err(Damage::Other(head.key));
    }
    let body = record.get(RECORD_HEAD_BYTES..).unwrap_or_default();
    head.check_body(body)?;
    Ok(head)
}
