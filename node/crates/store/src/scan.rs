//! Reading a log file from front to back.

use std::fs::File;
use std::io;

use rustix::fs::{Advice, fadvise};

use crate::format::{FILE_HEAD_BYTES, FileHead, LogNumber, RECORD_HEAD_BYTES, RecordError, RecordHead};
use crate::log::read_at;

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

/// What the scan came upon.
pub(crate) enum Found {
    /// A whole record, and where it begins.
    Record(RecordHead, u64),
    /// A record whose body is not what its head says; others may follow.
    Damaged,
    /// The end of the file, or no record begins where one should.
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
        let head = read_at(&self.file, self.at, RECORD_HEAD_BYTES)?;
        let head = match RecordHead::decode(head.as_slice(), self.log, self.at) {
            Ok(head) => head,
            Err(error @ (RecordError::Version(_) | RecordError::Kind(_))) => {
                return Err(ScanError::Record(error));
            }
            Err(_) => return Ok(Found::End),
        };
        let offset = self.at;
        let body = read_at(&self.file, offset + RECORD_HEAD_BYTES as u64, head.body_bytes())?;
        match head.check_body(body.as_slice()) {
            Ok(()) => {
                self.at = offset + head.record_bytes();
                self.whole = self.at;
                Ok(Found::Record(head, offset))
            }
            Err(RecordError::Body) => Ok(Found::End),
            Err(_) => {
                self.at = offset + head.record_bytes();
                Ok(Found::Damaged)
            }
        }
    }
}
