//! Reading a log file from front to back, past what is damaged.
//!
//! Where a record should begin and none does, the file is searched for the next head that proves itself; the end is where
//! there is none. Records stand at any byte, so every byte is tried. Could other bytes be taken for a head?
//!
//! * By chance: first letters, checksum and log number are 88 bits, 56 for a later version's head, whose log number is
//!   not read; a file of 256 MiB has 28 bits' worth of places. And a record counts only if its body's checksum holds too.
//! * Records from elsewhere: the checksum covers the offset, the head names the log.
//! * Bytes of an earlier use: files are not allotted ahead, their numbers are never used again, and what is cut off is
//!   gone before anything is written in its place.
//! * On purpose: what users store is sealed before it comes here, so none of them can write a record into a payload.

use std::fs::File;
use std::io;

use datamesh_shard::{ErasureProfile, SegmentHeader};
use rustix::fs::{Advice, fadvise};

use crate::format::{
    FILE_HEAD_BYTES, FileHead, LogNumber, RECORD_HEAD_BYTES, RecordError, RecordHead, RecordKind,
};
use crate::log_reader::read_at;

/// Bytes a search reads first. Most damage is small, and what is read beyond it is read again as records.
const SEARCH_BYTES_MIN: usize = 16 << 10;
/// Bytes a search reads at once when it has gone on for long; each step is twice the one before, up to this.
const SEARCH_BYTES_MAX: usize = 1 << 20;

/// A log file read one record after the other.
pub(crate) struct Scan {
    file: File,
    log: LogNumber,
    /// Where the next record begins.
    at: u64,
    /// The end of the last whole record.
    whole: u64,
    file_bytes: u64,
}

/// A whole record.
pub(crate) struct Whole {
    pub(crate) head: RecordHead,
    /// Where it begins.
    pub(crate) offset: u64,
    /// k and m of a shard's segment.
    pub(crate) profile: Option<ErasureProfile>,
}

/// What the scan came upon.
pub(crate) enum Found {
    /// A whole record.
    Record(Whole),
    /// A record whose body is not what its head says, or bytes that belong to no record; others may follow.
    Damaged,
    /// The end of the file, or no record begins from here on.
    End,
}

/// Why a scan stops for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Record(RecordError),
}

impl Scan {
    /// Reads records of `file` from `from` on, which is where a record begins.
    pub(crate) fn new(file: File, log: LogNumber, from: u64) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        // After a failed sync the page cache may hold what the disk does not: read the disk.
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(Self { file, log, at: from, whole: from, file_bytes })
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The end of the last whole record seen.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    /// The file's own head.
    pub(crate) fn file_head(&self) -> io::Result<Result<FileHead, RecordError>> {
        let head = read_at(&self.file, 0, FILE_HEAD_BYTES)?;
        Ok(FileHead::decode(head.as_slice(), self.log))
    }

    /// The next record. A later version's record is an error: it must not be cut off as a torn one.
    pub(crate) fn next(&mut self) -> Result<Found, ScanError> {
        let offset = self.at;
        let head = read_at(&self.file, offset, RECORD_HEAD_BYTES)?;
        let Some(head) = self.head(head.as_slice(), offset)? else {
            let Some(next) = self.search(offset + 1)? else { return Ok(Found::End) };
            self.at = next;
            return Ok(Found::Damaged);
        };
        let body = read_at(&self.file, offset + RECORD_HEAD_BYTES as u64, head.body_bytes())?;
        let profile = SegmentHeader::profile_in(body.as_slice()).ok();
        match head.check_body(body.as_slice()) {
            // What was written as a shard had a header that could be read.
            Ok(()) if head.kind != RecordKind::Shard || profile.is_some() => {
                self.at = offset + head.record_bytes();
                self.whole = self.at;
                Ok(Found::Record(Whole { head, offset, profile }))
            }
            // The head is proven: whatever was written after this record would stand behind the file's end.
            Err(RecordError::Body) => Ok(Found::End),
            Ok(()) | Err(_) => {
                self.at = offset + head.record_bytes();
                Ok(Found::Damaged)
            }
        }
    }

    /// The next head that proves itself, past damage; the body is not read. A later version's record is an error.
    pub(crate) fn next_head(&mut self) -> Result<Option<(RecordHead, u64)>, ScanError> {
        loop {
            let offset = self.at;
            let head = read_at(&self.file, offset, RECORD_HEAD_BYTES)?;
            if let Some(head) = self.head(head.as_slice(), offset)? {
                self.at = offset + head.record_bytes();
                return Ok(Some((head, offset)));
            }
            let Some(next) = self.search(offset + 1)? else { return Ok(None) };
            self.at = next;
        }
    }

    /// The head at the beginning of `bytes`, which stand at `offset`, if one proves itself.
    fn head(&self, bytes: &[u8], offset: u64) -> Result<Option<RecordHead>, ScanError> {
        match RecordHead::decode(bytes, self.log, offset) {
            Ok(head) => Ok(Some(head)),
            Err(error @ (RecordError::Version(_) | RecordError::Kind(_))) => Err(ScanError::Record(error)),
            Err(_) => Ok(None),
        }
    }

    /// Where the first head from `from` on stands. Each byte costs a comparison, and a checksum where a head's first
    /// letters stand; the growing steps keep what many small damages cost in proportion to their size.
    fn search(&self, mut from: u64) -> Result<Option<u64>, ScanError> {
        let mut step = SEARCH_BYTES_MIN;
        loop {
            let bytes = read_at(&self.file, from, step)?;
            for (at, head) in (from..).zip(bytes.as_slice().windows(RECORD_HEAD_BYTES)) {
                if self.head(head, at)?.is_some() {
                    return Ok(Some(at));
                }
            }
            if bytes.as_slice().len() < step {
                return Ok(None);
            }
            // A head may begin in the last bytes of this step.
            from += (step - RECORD_HEAD_BYTES + 1) as u64;
            step = (step * 2).min(SEARCH_BYTES_MAX);
        }
    }
}
