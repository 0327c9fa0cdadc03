//! Reading from log files. What is large comes from the disk into whole pages of a pool, past the page cache, where the file
//! system can do that.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datamesh_buffers::{PAGE_BYTES, Pool};
use parking_lot::Mutex;
use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;

use crate::format::LogNumber;
use crate::page_cache::{self, LARGE_BYTES};

/// Log files kept open for reading, each twice.
const FILES_OPEN_MAX: usize = 128;
/// Where a read lands relative to a cache line decides whether the kernel copies at 3 or at 28 GB/s.
const ALIGN: usize = 64;
/// How a file system says that it has no direct reads.
const INVAL: i32 = Errno::INVAL.raw_os_error();
/// Bytes kept for the next large read at most.
const KEPT_BYTES: usize = 16 << 20;

/// Reads from log files.
pub(crate) struct LogReader {
    dir: PathBuf,
    buffers: Pool,
    open: Mutex<BTreeMap<LogNumber, Arc<Opened>>>,
}

struct Opened {
    file: File,
    /// The same, past the page cache; `None` where that cannot be.
    direct: Option<File>,
}

impl LogReader {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, buffers: Pool::keeping(KEPT_BYTES), open: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads `len` bytes, fewer if the file ends before.
    pub(crate) fn read(&self, log: LogNumber, offset: u64, len: usize) -> io::Result<Bytes> {
        let opened = self.opened(log)?;
        if len < LARGE_BYTES {
            return Ok(read_at(&opened.file, offset, len)?.into_bytes());
        }
        self.read_pages(&opened, offset, len)
    }

    /// All pages that the bytes lie in.
    fn read_pages(&self, opened: &Opened, offset: u64, len: usize) -> io::Result<Bytes> {
        let skipped = usize::try_from(offset % PAGE_BYTES as u64).unwrap_or(0);
        let mut pages = self.buffers.take((skipped + len).next_multiple_of(PAGE_BYTES));
        let (from, end) = (offset - skipped as u64, skipped + len);
        let direct = opened.direct.as_ref().map(|file| rustix::io::pread(file, pages.as_mut(), from));
        // The file system may take the flag and refuse the read; and one that fails may have met a write beside it. Whether the
        // bytes cannot be read, the other way says.
        let mut read = direct.and_then(Result::ok).unwrap_or(0);
        // What a direct read leaves out does not begin where one may begin.
        if read < end {
            let (rest, at) = (&mut pages.as_mut()[read..end], from + read as u64);
            read += fill(rest, at, |rest, at| page_cache::read(&opened.file, rest, at, true))?;
        }
        Ok(pages.freeze().slice(skipped.min(read)..end.min(read)))
    }

    /// The file was removed: it is not read any more, and its space comes back when readers at work have finished.
    pub(crate) fn forget(&self, log: LogNumber) {
        self.open.lock().remove(&log);
    }

    #[cfg(test)]
    pub(crate) fn open_files(&self) -> usize {
        self.open.lock().len()
    }

    fn opened(&self, log: LogNumber) -> io::Result<Arc<Opened>> {
        if let Some(opened) = self.open.lock().get(&log) {
            return Ok(Arc::clone(opened));
        }
        let path = self.dir.join(log.file_name());
        let file = File::open(&path)?;
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        let direct = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        // Where that cannot be, it never can; out of descriptors, it can the next time.
        let is_settled = direct.as_ref().map_or_else(|error| error.raw_os_error() == Some(INVAL), |_| true);
        let opened = Arc::new(Opened { file, direct: direct.ok() });
        if !is_settled {
            return Ok(opened);
        }
        self.keep(log, &opened);
        // Removed between being opened and being kept: kept any longer, its space would not come back.
        if fstat(&opened.file)?.st_nlink == 0 {
            self.forget(log);
        }
        Ok(opened)
    }

    fn keep(&self, log: LogNumber, opened: &Arc<Opened>) {
        let mut open = self.open.lock();
        if open.len() >= FILES_OPEN_MAX {
            // Any victim does: a file is opened again in microseconds.
            open.pop_first();
        }
        open.insert(log, Arc::clone(opened));
    }
}

/// Reads until the buffer is full or the file ends; how many bytes that were.
fn fill(
    buffer: &mut [u8],
    from: u64,
    mut read: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut end = 0;
    while end < buffer.len() {
        match read(&mut buffer[end..], from + end as u64) {
            Ok(0) => break,
            Ok(read) => end += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(end)
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

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from(self.buffer).slice(self.start..)
    }
}

/// Reads `len` bytes at `offset` through the page cache, fewer if the file ends before.
pub(crate) fn read_at(file: impl AsFd, offset: u64, len: usize) -> io::Result<AlignedBytes> {
    let mut buffer = vec![0; len + ALIGN];
    let wanted = usize::try_from(offset % ALIGN as u64).unwrap_or(0);
    let start = (wanted + ALIGN - buffer.as_ptr().addr() % ALIGN) % ALIGN;
    let read = fill(&mut buffer[start..start + len], offset, |part, at| {
        page_cache::read(&file, part, at, len >= LARGE_BYTES)
    })?;
    buffer.truncate(start + read);
    Ok(AlignedBytes { buffer, start })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Past the page cache and through it, from any place to any place, beyond the end too.
    #[test]
    fn large_and_small_reads_bring_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogNumber(1);
        let text: Vec<u8> = (0_u32..300_000).flat_map(u32::to_le_bytes).collect();
        let mut file = File::create(dir.path().join(log.file_name())).unwrap();
        file.write_all(&text).unwrap();
        let reader = LogReader::new(dir.path().to_path_buf());
        for from in [0, 1, 63, 4095, 4096, 4097, 700_001, 1_199_999, 1_200_000] {
            for len in [0, 1, 5000, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 4097, 1 << 20] {
                let expected = &text[from..(from + len).min(text.len())];
                let read = reader.read(log, from as u64, len).unwrap();
                assert!(read == expected, "{len} bytes from {from}: {}", read.len());
                let opened = reader.opened(log).unwrap();
                let cached = Opened { file: opened.file.try_clone().unwrap(), direct: None };
                let read = reader.read_pages(&cached, from as u64, len).unwrap();
                assert!(read == expected, "through the cache, {len} bytes from {from}: {}", read.len());
            }
        }
    }
}
