//! One budget of segment buffers that all transfers share: memory stays bounded however many there are.
//!
//! Waiting is first come, first served, so a large wish is never overtaken for ever by small ones. A transfer asks
//! once for everything a segment needs; it never holds one part of a segment while it waits for another, so transfers
//! cannot block each other.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use datamesh_buffers::{Place, Places, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: pages of 64 KiB keep a budget of terabytes within the semaphore's 32-bit wishes.
const UNIT_BYTES: usize = 64 << 10;

/// The shared budget. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    permits: Arc<Semaphore>,
    units: u32,
    memory: Pool,
}

impl Budget {
    /// A budget of this many bytes, at least one unit.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES as u64).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        let permits = Arc::new(Semaphore::new(units as usize));
        let memory = Pool::within(units as usize * UNIT_BYTES);
        Self { inner: Arc::new(Inner { permits, units, memory }) }
    }

    /// Bytes of the whole budget.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.inner.units) * UNIT_BYTES as u64
    }

    /// Bytes that transfers hold now.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let free = self.inner.permits.available_permits() as u64 * UNIT_BYTES as u64;
        self.bytes().saturating_sub(free)
    }

    /// Waits for `bytes`, in the order of asking. A wish above the whole budget gets the whole budget.
    pub async fn reserve(&self, bytes: usize) -> Ticket {
        // The semaphore is never closed, so there is always a permit.
        let permit = Arc::clone(&self.inner.permits).acquire_many_owned(self.units_of(bytes)).await.ok();
        Ticket { permit, budget: self.clone() }
    }

    /// `bytes` if they are free at once and nobody waits: for work that may as well be done later.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize) -> Option<Ticket> {
        let permit = Arc::clone(&self.inner.permits).try_acquire_many_owned(self.units_of(bytes)).ok()?;
        Some(Ticket { permit: Some(permit), budget: self.clone() })
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.inner.units)
    }
}

/// The right to so many bytes of buffers. Dropping it gives back what was not turned into buffers.
pub struct Ticket {
    permit: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Ticket {
    /// A buffer of `bytes` out of this ticket. Its content is what its last user left: fill what you pass on.
    pub fn buffer(&mut self, bytes: usize) -> Buffer {
        let ticket = self.split(bytes);
        Buffer { memory: self.budget.inner.memory.take(bytes), ticket }
    }

    /// Takes `bytes` (or what is left) out of this ticket: to hold something the mesh allocated.
    pub fn split(&mut self, bytes: usize) -> Ticket {
        let permit = self.permit.as_mut().and_then(|permit| {
            let units = bytes.div_ceil(UNIT_BYTES).min(permit.num_permits());
            permit.split(units)
        });
        Ticket { permit, budget: self.budget.clone() }
    }
}

/// Page-aligned memory out of the budget; dropping it gives both back.
pub struct Buffer {
    // Before the permit: whoever gets that next finds the memory idle.
    memory: datamesh_buffers::Buffer,
    ticket: Ticket,
}

/// A buffer cut into places that are filled one by one.
pub struct Cut {
    places: Places,
    ticket: Ticket,
}

impl Buffer {
    /// Shortens it to `len`; the rest stays reserved.
    pub fn truncate(&mut self, len: usize) {
        self.memory.truncate(len);
    }

    /// Read-only shared bytes; the memory returns to the budget when the last slice is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// `count` places of `bytes` bytes each, which the buffer has room for.
    #[must_use]
    pub fn cut(self, bytes: usize, count: usize) -> Cut {
        Cut { places: self.memory.cut(bytes, count), ticket: self.ticket }
    }
}

impl Cut {
    /// The place with this number, unless somebody has it.
    #[must_use]
    pub fn take(&self, number: usize) -> Option<Place> {
        self.places.take(number)
    }

    /// The buffer again; what places hold by now is in it.
    #[must_use]
    pub fn join(self) -> Buffer {
        Buffer { memory: self.places.join(), ticket: self.ticket }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_ref()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buffers_are_used_again() {
        let budget = Budget::new(8 << 20);
        let mut ticket = budget.reserve(5 << 20).await;
        let buffer = ticket.buffer(4 << 20);
        assert_eq!(buffer.len(), 4 << 20);
        let first = buffer.as_ptr();
        drop(buffer);
        drop(ticket);
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(budget.reserve(4 << 20).await.buffer(4 << 20).as_ptr(), first);
    }

    #[tokio::test]
    async fn frozen_slices_hold_the_budget_until_the_last_is_dropped() {
        let budget = Budget::new(1 << 20);
        let mut ticket = budget.reserve(1 << 20).await;
        let bytes = ticket.buffer(1 << 20).freeze();
        drop(ticket);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert!(budget.try_reserve(1).is_none());
        drop(slice);
        assert!(budget.try_reserve(1 << 20).is_some());
    }

    #[tokio::test]
    async fn a_wish_above_the_budget_gets_all_of_it() {
        let budget = Budget::new(1 << 20);
        let mut ticket = budget.reserve(100 << 20).await;
        assert_eq!(budget.used_bytes(), 1 << 20);
        assert_eq!(ticket.buffer(3 << 20).len(), 3 << 20);
        drop(ticket);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn who_asks_first_is_served_first() {
        let budget = Budget::new(1 << 20);
        let held = budget.reserve(512 << 10).await;
        let large = crate::owned::spawn({
            let budget = budget.clone();
            async move { budget.reserve(1 << 20).await }
        });
        while budget.inner.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(budget.try_reserve(64 << 10).is_none(), "a small wish overtakes the large one");
        drop(held);
        drop(large.await.unwrap());
        assert!(budget.try_reserve(1 << 20).is_some());
    }
}
