//! A pool of buffers by size.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;

/// Where a buffer begins: a multiple of this many bytes.
pub const PAGE_BYTES: usize = 4096;
/// Sizes are rounded up to this, so that few distinct ones wait for their next use.
const STEP_BYTES: usize = 64 << 10;
/// The same beyond 1 MiB.
const LARGE_STEP_BYTES: usize = 256 << 10;

/// A pool of buffers. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Pool {
    idle: Arc<Mutex<Idle>>,
}

/// How much memory waits for its next use at most.
#[derive(Clone, Copy)]
enum Most {
    /// So many bytes.
    Idle(usize),
    /// So many together with what is in use.
    Together(usize),
}

/// Memory that waits for its next use, by size.
struct Idle {
    most: Most,
    by_bytes: BTreeMap<usize, Vec<BytesMut>>,
    bytes: usize,
    used_bytes: usize,
}

/// Page-aligned memory; dropping it gives it back to its pool. Its content is what its last user left: fill what you pass on.
pub struct Buffer {
    memory: BytesMut,
    /// Bytes of the memory, while it is here and while it is taken out.
    room: usize,
    len: usize,
    home: Weak<Mutex<Idle>>,
}

impl Pool {
    /// An empty pool that keeps at most so many bytes for their next use.
    #[must_use]
    pub fn keeping(bytes: usize) -> Self {
        Self::new(Most::Idle(bytes))
    }

    /// An empty pool: what it keeps and what is in use are together at most so many bytes, as far as what it keeps decides that.
    #[must_use]
    pub fn within(bytes: usize) -> Self {
        Self::new(Most::Together(bytes))
    }

    fn new(most: Most) -> Self {
        let idle = Idle { most, by_bytes: BTreeMap::new(), bytes: 0, used_bytes: 0 };
        Self { idle: Arc::new(Mutex::new(idle)) }
    }

    /// A buffer of exactly `len` bytes. The caller has checked `len` against its limit.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        let room = room_of(len);
        let mut idle = self.idle.lock();
        let (memory, dropped) = idle.take(room);
        drop(idle);
        // Given back to the system outside the lock.
        drop(dropped);
        let memory = memory.unwrap_or_else(|| aligned(room));
        Buffer { memory, room, len, home: Arc::downgrade(&self.idle) }
    }

    /// Bytes waiting for their next use.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.idle.lock().bytes
    }
}

fn room_of(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(if bytes <= 1 << 20 { STEP_BYTES } else { LARGE_STEP_BYTES })
}

/// `align_offset` may decline to answer; then nothing is skipped and all is as correct, just slower.
pub(crate) fn aligned(room: usize) -> BytesMut {
    let mut memory = BytesMut::zeroed(room + PAGE_BYTES);
    let offset = memory.as_ptr().align_offset(PAGE_BYTES);
    memory.advance(if offset < PAGE_BYTES { offset } else { 0 });
    memory.truncate(room);
    memory
}

impl Idle {
    /// Memory of that size, and what has to go for it.
    fn take(&mut self, room: usize) -> (Option<BytesMut>, Vec<BytesMut>) {
        self.used_bytes += room;
        if let Some(memory) = self.by_bytes.get_mut(&room).and_then(Vec::pop) {
            self.bytes -= room;
            return (Some(memory), Vec::new());
        }
        (None, self.shrink_to(self.room_for_idle()))
    }

    fn room_for_idle(&self) -> usize {
        match self.most {
            Most::Idle(bytes) => bytes,
            Most::Together(bytes) => bytes.saturating_sub(self.used_bytes),
        }
    }

    /// Memory that was lost meanwhile, or cut up and not put together, is not kept.
    fn put(&mut self, room: usize, memory: BytesMut) {
        self.used_bytes -= room;
        if memory.len() == room && self.bytes + room <= self.room_for_idle() {
            self.bytes += room;
            self.by_bytes.entry(room).or_default().push(memory);
        }
    }

    fn shrink_to(&mut self, bytes: usize) -> Vec<BytesMut> {
        let mut dropped = Vec::new();
        while self.bytes > bytes {
            let Some(mut entry) = self.by_bytes.last_entry() else { break };
            match entry.get_mut().pop() {
                Some(memory) => {
                    self.bytes -= entry.key();
                    dropped.push(memory);
                }
                None => drop(entry.remove()),
            }
        }
        dropped
    }
}

impl Buffer {
    /// Shortens it to `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Read-only shared bytes; the memory goes back to its pool when the last clone is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        if self.len == 0 { Bytes::new() } else { Bytes::from_owner(self) }
    }

    /// Takes the memory out, to be put back by [`Self::fill`].
    pub(crate) fn empty(&mut self) -> BytesMut {
        std::mem::take(&mut self.memory)
    }

    /// Puts back memory as large as what was taken out.
    pub(crate) fn fill(&mut self, memory: BytesMut) {
        self.memory = memory;
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.lock().put(self.room, std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let pool = Pool::within(8 << 20);
        let mut buffer = pool.take((1 << 20) + 9);
        buffer.as_mut().fill(7);
        let place = buffer.as_ref().as_ptr();
        assert_eq!(place.align_offset(PAGE_BYTES), 0);
        let frozen = buffer.freeze();
        let clone = frozen.clone();
        drop(frozen);
        assert_eq!(pool.idle_bytes(), 0, "a clone still reads it");
        assert!(clone.len() == (1 << 20) + 9 && clone.iter().all(|&byte| byte == 7));
        drop(clone);
        assert!(pool.idle_bytes() > 1 << 20);
        assert_eq!(pool.take((1 << 20) + 5).as_ref().as_ptr(), place);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = Pool::within(4 << 20);
        let all: Vec<_> = (0..8).map(|_| pool.take(1 << 20)).collect();
        drop(all);
        assert_eq!(pool.idle_bytes(), 4 << 20);
        for megabytes in [1, 2, 3, 4, 3, 2, 1] {
            let buffer = pool.take(megabytes << 20);
            let idle = pool.idle.lock();
            assert!(idle.bytes + idle.used_bytes <= 4 << 20, "{} + {}", idle.bytes, idle.used_bytes);
            drop(idle);
            drop(buffer);
        }
    }

    #[test]
    fn what_is_kept_beside_what_is_in_use_is_bounded() {
        let pool = Pool::keeping(2 << 20);
        let mut all: Vec<_> = (0..8).map(|_| pool.take(1 << 20)).collect();
        all.truncate(5);
        assert_eq!(pool.idle_bytes(), 2 << 20, "in spite of five in use");
        drop(all);
        assert_eq!(pool.idle_bytes(), 2 << 20);
    }

    #[test]
    fn a_pool_that_is_gone_takes_nothing_back() {
        let pool = Pool::keeping(1 << 20);
        let buffer = pool.take(0);
        drop(pool);
        assert!(buffer.freeze().is_empty());
    }
}
