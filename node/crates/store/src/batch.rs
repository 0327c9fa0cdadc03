//! One batch: what its jobs come to, decided before anything is written.

use std::io::IoSlice;

use bytes::Bytes;
use datamesh_shard::{Generation, SegmentHeader, ShardKey};
use tokio::sync::oneshot;

use crate::compact::choice::Space;
use crate::compact::{Moving, Request};
use crate::error::{CloseError, DeleteError, IndexError, PutError};
use crate::format::{Position, RECORD_HEAD_BYTES, RecordHead, RecordKind, ShardRow};
use crate::page_cache::LARGE_BYTES;
use crate::shred::Condemn;
use crate::table::Changes;

/// A shard on its way to the log, already proven.
pub(crate) struct PutJob {
    pub(crate) key: ShardKey,
    pub(crate) generation: Generation,
    pub(crate) header: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) body_crc: u32,
    pub(crate) answer: oneshot::Sender<Result<(), PutError>>,
}

/// What the writer is asked to do.
pub(crate) enum Job {
    Put(PutJob),
    Delete {
        key: ShardKey,
        generation: Generation,
        answer: oneshot::Sender<Result<bool, DeleteError>>,
    },
    /// A read found the shard corrupt at this place.
    Condemn {
        key: ShardKey,
        at: Position,
    },
    /// Compaction read the shard, and wants it written anew.
    Move(Moving),
    /// Something else the compactor wants.
    Compact(Request),
    /// Files shall be emptied whatever it pays.
    Shred(Condemn),
    Close {
        answer: oneshot::Sender<Result<(), CloseError>>,
    },
}

impl Job {
    /// Bytes it may add to the log.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put(put) => RECORD_HEAD_BYTES + put.header.len() + put.payload.len(),
            Self::Delete { .. } => RECORD_HEAD_BYTES,
            Self::Move(moving) => RECORD_HEAD_BYTES + moving.header.len() + moving.payload.len(),
            Self::Condemn { .. } | Self::Compact(_) | Self::Shred(_) | Self::Close { .. } => 0,
        }
    }
}

/// Why a batch was not stored.
#[derive(Clone)]
pub(crate) enum BatchFailure {
    /// The disk is full; what was written of it is taken back.
    NoSpace {
        free_bytes: u64,
        reserve_bytes: u64,
    },
    Failed(std::sync::Arc<str>),
}

impl From<BatchFailure> for PutError {
    fn from(failure: BatchFailure) -> Self {
        match failure {
            BatchFailure::NoSpace { free_bytes, reserve_bytes } => Self::Full { free_bytes, reserve_bytes },
            BatchFailure::Failed(reason) => Self::Failed { reason },
        }
    }
}

impl From<BatchFailure> for DeleteError {
    fn from(failure: BatchFailure) -> Self {
        match failure {
            BatchFailure::NoSpace { .. } => Self::NoSpace,
            BatchFailure::Failed(reason) => Self::Failed { reason },
        }
    }
}

/// An answer that waits for the batch to be durable.
pub(crate) enum Answer {
    Put(oneshot::Sender<Result<(), PutError>>, Result<(), PutError>),
    Delete(oneshot::Sender<Result<bool, DeleteError>>, Result<bool, DeleteError>),
}

impl Answer {
    /// Whoever asked may have gone away; that is no error.
    pub(crate) fn send(self, batch: Result<(), BatchFailure>) {
        match self {
            Self::Put(to, answer) => drop(to.send(answer.and_then(|()| Ok(batch?)))),
            Self::Delete(to, answer) => {
                drop(to.send(answer.and_then(|deleted| batch.map(|()| deleted).map_err(DeleteError::from))));
            }
        }
    }
}

struct Record {
    head: [u8; RECORD_HEAD_BYTES],
    header: Bytes,
    payload: Bytes,
}

/// What one batch appends, changes and answers.
pub(crate) struct Batch<'a> {
    pub(crate) changes: Changes<'a>,
    records: Vec<Record>,
    answers: Vec<Answer>,
    end: Position,
    free_bytes: u64,
    reserve_bytes: u64,
    spare_bytes: u64,
    pub(crate) puts: u64,
    pub(crate) deletes: u64,
    pub(crate) moved: Moved,
    /// Whether a shard was noted as corrupt.
    pub(crate) condemned: bool,
}

/// What became of a batch's moves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// Bytes of the records written anew.
    pub(crate) bytes: u64,
    /// Whether some were not, for lack of room.
    pub(crate) lacked_room: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(changes: Changes<'a>, end: Position, space: &Space) -> Self {
        Self {
            changes,
            records: Vec::new(),
            answers: Vec::new(),
            end,
            free_bytes: space.free_bytes,
            reserve_bytes: space.reserve_bytes,
            spare_bytes: space.spare_bytes(),
            puts: 0,
            deletes: 0,
            moved: Moved::default(),
            condemned: false,
        }
    }

    pub(crate) fn add(&mut self, job: Job) {
        match job {
            Job::Put(put) => self.put(put),
            Job::Delete { key, generation, answer } => {
                let deleted = self.delete(key, generation).map_err(DeleteError::from);
                self.answers.push(Answer::Delete(answer, deleted));
            }
            Job::Condemn { key, at } => self.condemn(key, at),
            Job::Move(moving) => self.relocate(moving),
            // Taken out by the writer before.
            Job::Compact(request) => drop(request),
            Job::Shred(condemn) => drop(condemn),
            Job::Close { answer } => drop(answer),
        }
    }

    fn put(&mut self, put: PutJob) {
        let PutJob { key, generation, header, payload, body_crc, answer } = put;
        let stored = match self.changes.current(key) {
            Err(error) => Err(error.into()),
            Ok(Some(row)) if !row.corrupt => {
                if generation > row.generation {
                    self.append(RecordKind::Raise, key, generation, Body::default());
                    self.changes.raise(key, &row, generation);
                }
                Ok(())
            }
            Ok(old) => self.store(key, old, generation, Body { header, payload, crc: body_crc }),
        };
        self.answers.push(Answer::Put(answer, stored));
    }

    /// In place of a corrupt shard it may use the reserve as moves may: that lets the corrupt one's file go.
    fn store(
        &mut self,
        key: ShardKey,
        old: Option<ShardRow>,
        generation: Generation,
        body: Body,
    ) -> Result<(), PutError> {
        let bytes = (RECORD_HEAD_BYTES + body.header.len() + body.payload.len()) as u64;
        let reserve_bytes = match old {
            Some(_) => self.spare_bytes.min(self.reserve_bytes),
            None => self.reserve_bytes,
        };
        if self.free_bytes < reserve_bytes.saturating_add(bytes) {
            return Err(PutError::Full { free_bytes: self.free_bytes, reserve_bytes });
        }
        let profile = SegmentHeader::profile_in(&body.header)?;
        let generation = old.map_or(generation, |old| old.generation.max(generation));
        let (head, offset) = self.append(RecordKind::Shard, key, generation, body);
        self.changes.place(key, old, ShardRow::of(&head, offset, profile));
        self.puts += 1;
        Ok(())
    }

    fn delete(&mut self, key: ShardKey, generation: Generation) -> Result<bool, IndexError> {
        let Some(row) = self.changes.current(key)?.filter(|row| row.generation <= generation) else {
            return Ok(false);
        };
        self.append(RecordKind::Delete, key, generation, Body::default());
        self.changes.remove(key, &row);
        self.deletes += 1;
        Ok(true)
    }

    fn condemn(&mut self, key: ShardKey, at: Position) {
        match self.changes.current(key) {
            Ok(Some(row)) if (row.log, row.offset) == (at.log, at.offset) && !row.corrupt => {
                self.changes.condemn(key, row);
                self.condemned = true;
            }
            Ok(_) => {}
            // It is corrupt whether noted or not: the next read finds it again.
            Err(error) => tracing::warn!(%key, %error, "a corrupt shard could not be noted"),
        }
    }

    /// Writes a shard anew with the generation it has by now, unless it does not lie where it was read any more, or was
    /// found corrupt there meanwhile. Moves may use the reserve: it is kept for them.
    fn relocate(&mut self, moving: Moving) {
        let Moving { key, from, header, payload, body_crc } = moving;
        let row = match self.changes.current(key) {
            Ok(Some(row)) if (row.log, row.offset) == (from.log, from.offset) && !row.corrupt => row,
            Ok(_) => return,
            // It stays where it is, and its file with it.
            Err(error) => return tracing::warn!(%key, %error, "a shard could not be moved"),
        };
        if self.free_bytes < self.spare_bytes.saturating_add(row.record_bytes()) {
            self.moved.lacked_room = true;
            return;
        }
        let body = Body { header, payload, crc: body_crc };
        let (head, offset) = self.append(RecordKind::Shard, key, row.generation, body);
        self.changes.place(key, Some(row), ShardRow::of(&head, offset, row.profile));
        self.moved.bytes += head.record_bytes();
    }

    fn append(
        &mut self,
        kind: RecordKind,
        key: ShardKey,
        generation: Generation,
        body: Body,
    ) -> (RecordHead, u64) {
        let Body { header, payload, crc } = body;
        let head = RecordHead {
            kind,
            key,
            generation,
            // Proven shards' lengths are within limits far below these types'.
            header_bytes: u16::try_from(header.len()).unwrap_or(u16::MAX),
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            log: self.end.log,
            body_crc: crc,
        };
        let offset = self.end.offset;
        self.records.push(Record { head: head.encode(offset), header, payload });
        self.end.offset += head.record_bytes();
        self.free_bytes = self.free_bytes.saturating_sub(head.record_bytes());
        (head, offset)
    }

    /// The records' bytes, in order.
    pub(crate) fn parts(&self) -> Vec<IoSlice<'_>> {
        let parts =
            self.records.iter().flat_map(|record| [&record.head[..], &record.header, &record.payload]);
        parts.filter(|part| !part.is_empty()).map(IoSlice::new).collect()
    }

    /// Whether its records are large ones, as a rule.
    pub(crate) fn is_large(&self) -> bool {
        let bytes: usize = self.records.iter().map(|record| record.payload.len()).sum();
        bytes >= self.records.len() * LARGE_BYTES
    }

    /// The end of the log once the batch is written.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    pub(crate) fn into_parts(self) -> (Changes<'a>, Vec<Answer>) {
        (self.changes, self.answers)
    }
}

/// What follows a record's head. CRC-32C of nothing is 0.
#[derive(Default)]
struct Body {
    header: Bytes,
    payload: Bytes,
    crc: u32,
}
