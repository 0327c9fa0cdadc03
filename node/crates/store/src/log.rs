//! The log file being appended to.
//!
//! Files are not allotted ahead: measured on ext4, batches of 1 MiB appends with one fdatasync each ran no more than a
//! tenth faster into allotted space, and what is allotted counts against the storage overhead.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::Path;

use datamesh_shard::Incarnation;
use rustix::fs::ftruncate;
use rustix::io::Errno;

use crate::disk::Disk;
use crate::format::{FILE_HEAD_BYTES, FileHead, LogNumber, Position};
use crate::page_cache;

/// The file being appended to.
pub(crate) struct ActiveLog {
    file: File,
    number: LogNumber,
    end: u64,
    disk: Disk,
}

impl ActiveLog {
    /// Makes a new file, durable before this returns, its name in the folder too.
    pub(crate) fn create(
        dir: &Path,
        number: LogNumber,
        incarnation: Incarnation,
        disk: Disk,
    ) -> io::Result<Self> {
        let path = dir.join(number.file_name());
        let made = Self::create_at(&path, number, incarnation, disk)
            .and_then(|log| log.disk.sync_dir(dir).map(|()| log));
        if made.is_err() {
            // What is left of it would be taken for a torn file at the next open, and stand in the way of the next
            // attempt; gone is better.
            let _ = std::fs::remove_file(&path);
        }
        made
    }

    fn create_at(path: &Path, number: LogNumber, incarnation: Incarnation, disk: Disk) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let mut log = Self { file, number, end: 0, disk };
        let head = FileHead { log: number, incarnation }.encode();
        log.append(&mut [IoSlice::new(&head)], false)?;
        log.sync()?;
        Ok(log)
    }

    /// Goes on with a file whose last whole record ends at `position`.
    pub(crate) fn reopen(dir: &Path, position: Position, disk: Disk) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(dir.join(position.log.file_name()))?;
        Ok(Self { file, number: position.log, end: position.offset, disk })
    }

    /// File and end.
    pub(crate) fn position(&self) -> Position {
        Position { log: self.number, offset: self.end }
    }

    /// Whether any record was written to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.end <= FILE_HEAD_BYTES as u64
    }

    /// Writes all parts behind the last record; whether records are large says what becomes of them in the page cache.
    pub(crate) fn append(&mut self, mut parts: &mut [IoSlice<'_>], is_large: bool) -> io::Result<()> {
        // System calls take a limited number of parts at once.
        const PARTS_MAX: usize = 1024;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let some = parts.len().min(PARTS_MAX);
            match page_cache::write(&self.file, &parts[..some], self.end, is_large) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.end += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Puts on the disk what was appended.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync_file(&self.file)
    }

    /// Takes back what was appended behind `end`.
    pub(crate) fn rewind(&mut self, end: u64) -> io::Result<()> {
        ftruncate(&self.file, end)?;
        self.end = end;
        Ok(())
    }
}
