//! Where received bytes land: buffers that begin at a multiple of 64 bytes, used again and again.
//!
//! Memory touched for the first time is dear on virtual machines, and copies from the kernel into large vectors as the
//! allocator hands them out (16 bytes into a page) are slow on common processors. What the pool saves is measured in
//! docs/adr/0003-bulk-transport.md: something for plain TCP, little under TLS.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// Where a buffer begins: a multiple of this many bytes.
pub const ALIGNMENT: usize = 64;
/// Sizes are rounded up to this, so that shards of like length use each other's buffers.
const CLASS_BYTES: usize = 64 << 10;
/// Bytes kept for the next payload at most: 32 of the usual shards of 1 MiB; beyond it buffers are given back.
const IDLE_BYTES_MAX: usize = 32 << 20;

#[derive(Default)]
struct Idle {
    /// By size.
    classes: BTreeMap<usize, Vec<Vec<u8>>>,
    bytes: usize,
}

/// A pool of receive buffers. Cheap to clone; clones share the pool.
#[derive(Clone, Default)]
pub struct Buffers {
    idle: Arc<Mutex<Idle>>,
}

/// One buffer, all zeroes or the bytes of an earlier use, to be filled and then frozen.
pub struct Buffer {
    storage: Vec<u8>,
    start: usize,
    len: usize,
    home: Weak<Mutex<Idle>>,
}

impl Buffers {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer of exactly `len` bytes. The caller has checked `len` against its limit.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        let class = (len + ALIGNMENT).next_multiple_of(CLASS_BYTES);
        let storage = self.idle.lock().take(class).unwrap_or_else(|| vec![0; class]);
        let start = aligned_start(&storage);
        Buffer { storage, start, len, home: Arc::downgrade(&self.idle) }
    }

    /// Bytes waiting for their next use.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.idle.lock().bytes
    }
}

/// Index of the first aligned byte. `align_offset` may decline to answer; then nothing is skipped and all is as correct,
/// just slower.
pub(crate) fn aligned_start(storage: &[u8]) -> usize {
    let offset = storage.as_ptr().align_offset(ALIGNMENT);
    if offset < ALIGNMENT { offset } else { 0 }
}

impl Idle {
    /// One of this size, or of up to twice the size.
    fn take(&mut self, class: usize) -> Option<Vec<u8>> {
        let (&size, list) = self.classes.range_mut(class..=class * 2).next()?;
        let storage = list.pop();
        if list.is_empty() {
            self.classes.remove(&size);
        }
        self.bytes -= storage.as_ref().map_or(0, Vec::len);
        storage
    }

    fn put(&mut self, storage: Vec<u8>) {
        if self.bytes + storage.len() <= IDLE_BYTES_MAX {
            self.bytes += storage.len();
            self.classes.entry(storage.len()).or_default().push(storage);
        }
    }
}

impl Buffer {
    /// The bytes, for reading; the buffer goes back to its pool when the last clone is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        if self.len == 0 { Bytes::new() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.lock().put(std::mem::take(&mut self.storage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take(1 << 20);
        buffer.as_mut().fill(7);
        let place = buffer.as_ref().as_ptr();
        assert_eq!(place.align_offset(ALIGNMENT), 0);
        let frozen = buffer.freeze();
        let clone = frozen.clone();
        drop(frozen);
        assert_eq!(buffers.idle_bytes(), 0, "a clone still reads it");
        assert!(clone.iter().all(|&byte| byte == 7));
        drop(clone);
        assert!(buffers.idle_bytes() > 1 << 20);
        assert_eq!(buffers.take((1 << 20) - 5).as_ref().as_ptr(), place);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::new();
        let many: Vec<_> = (0..64).map(|_| buffers.take(1 << 20)).collect();
        drop(many);
        assert!(buffers.idle_bytes() <= IDLE_BYTES_MAX);
        assert!(buffers.idle_bytes() > IDLE_BYTES_MAX / 2);
    }

    #[test]
    fn lengths_are_exact() {
        let buffers = Buffers::new();
        for len in [0, 1, 63, 64, 65, CLASS_BYTES - ALIGNMENT, CLASS_BYTES, CLASS_BYTES + 1] {
            assert_eq!(buffers.take(len).as_ref().len(), len);
            assert_eq!(buffers.take(len).freeze().len(), len);
        }
    }
}
