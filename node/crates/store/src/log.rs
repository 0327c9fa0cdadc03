//! Log files: the one being appended to, and reading from all of them.
//!
//! Files are not allotted ahead: measured on ext4, batches of 1 MiB appends with one fdatasync each ran no more than a
//! tenth faster into allotted space, and what is allotted counts against the storage overhead.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datamesh_shard::Incarnation;
use parking_lot::Mutex;
use rustix::fs::{fstat, ftruncate};
use rustix::io::Errno;

use crate::disk::Disk;
use crate::format::{FILE_HEAD_BYTES, FileHead, LogNumber, Position};
use crate::page_cache::{self, LARGE_BYTES};

/// Log files kept open for reading.
const FILES_OPEN_MAX: usize = 128;
/// Where a read lands relative to a cache line decides whether the kernel copies at 3 or at 28 GB/s.
const ALIGN: usize = 64;

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

/// Reads from log files.
pub(crate) struct LogReader {
    dir: PathBuf,
    open: Mutex<BTreeMap<LogNumber, Arc<File>>>,
}

impl LogReader {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads `len` bytes, fewer if the file ends before.
    pub(crate) fn read(&self, log: LogNumber, offset: u64, len: usize) -> io::Result<AlignedBytes> {
        read_at(self.file(log)?, offset, len)
    }

    /// The file was removed: it is not read any more, and its space comes back when readers at work have finished.
    pub(crate) fn forget(&self, log: LogNumber) {
        self.open.lock().remove(&log);
    }

    #[cfg(test)]
    pub(crate) fn open_files(&self) -> usize {
        self.open.lock().len()
    }

    fn file(&self, log: LogNumber) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.lock().get(&log) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.dir.join(log.file_name()))?);
        self.keep(log, &file);
        // Removed between being opened and being kept: kept any longer, its space would not come back.
        if fstat(&file)?.st_nlink == 0 {
            self.forget(log);
        }
        Ok(file)
    }

    fn keep(&self, log: LogNumber, file: &Arc<File>) {
        let mut open = self.open.lock();
        if open.len() >= FILES_OPEN_MAX {
            // Any victim does: a file is opened again in microseconds.
            open.pop_first();
        }
        open.insert(log, Arc::clone(file));
    }
}

/// Bytes read from a file, at the same place within a cache line as in the page cache.
pub(crate) struct AlignedBytes {
    buffer: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        bytes::Bytes::from(self.buffer).slice(self.start..)
    }
}

/// Reads `len` bytes at `offset`, fewer if the file ends before.
pub(crate) fn read_at(file: impl AsFd, offset: u64, len: usize) -> io::Result<AlignedBytes> {
    let mut buffer = vec![0; len + ALIGN];
    let wanted = usize::try_from(offset % ALIGN as u64).unwrap_or(0);
    let start = (wanted + ALIGN - buffer.as_ptr().addr() % ALIGN) % ALIGN;
    let (mut end, until) = (start, start + len);
    while end < until {
        let at = offset + (end - start) as u64;
        match page_cache::read(&file, &mut buffer[end..until], at, len >= LARGE_BYTES) {
            Ok(0) => break,
            Ok(read) => end += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    buffer.truncate(end);
    Ok(AlignedBytes { buffer, start })
}
