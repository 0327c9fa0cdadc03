//! Large records pass the page cache by, where the kernel can do that (`RWF_DONTCACHE`, Linux 6.14 on).
//!
//! The page cache takes fresh pages for what is written once and read, if ever, much later; on virtual machines each of them
//! is one that the host has to find first, and copying into those costs several times the copy itself. Passed by, the same
//! few pages are used over and over. What is small, and so likely to be read again in full, stays cached.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

/// Records, and reads, of at least this many bytes pass it by.
pub(crate) const LARGE_BYTES: usize = 256 << 10;
/// `RWF_DONTCACHE`, which rustix does not name yet.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Whether the kernel and the file systems in use know how; asked by trying, once a process.
static IS_KNOWN: AtomicBool = AtomicBool::new(true);

/// Writes some of `parts` at `offset`.
pub(crate) fn write(
    file: impl AsFd,
    parts: &[IoSlice<'_>],
    offset: u64,
    is_large: bool,
) -> Result<usize, Errno> {
    by_or_through(is_large, |flags| pwritev2(&file, parts, offset, flags))
}

/// Reads some of `buffer` from `offset` on.
pub(crate) fn read(file: impl AsFd, buffer: &mut [u8], offset: u64, is_large: bool) -> Result<usize, Errno> {
    by_or_through(is_large, |flags| preadv2(&file, &mut [IoSliceMut::new(buffer)], offset, flags))
}

fn by_or_through(
    is_large: bool,
    mut call: impl FnMut(ReadWriteFlags) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    if is_large && IS_KNOWN.load(Ordering::Relaxed) {
        match call(DONT_CACHE) {
            Err(Errno::OPNOTSUPP | Errno::INVAL) => IS_KNOWN.store(false, Ordering::Relaxed),
            done => return done,
        }
    }
    call(ReadWriteFlags::empty())
}
