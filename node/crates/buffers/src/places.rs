//! One buffer, filled in several places at the same time.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::pool::{Buffer, aligned};

type Home = Arc<Mutex<Option<BytesMut>>>;

/// A buffer cut into places of equal length.
pub struct Places {
    /// Without its memory; there until they are joined.
    buffer: Option<Buffer>,
    /// Of each place.
    bytes: usize,
    homes: Vec<Home>,
    /// What lies behind the last place.
    rest: BytesMut,
}

/// One of them, while somebody fills it. Dropping it brings it home, with whatever was written into it.
pub struct Place {
    bytes: BytesMut,
    home: Home,
}

impl Buffer {
    /// Cuts the first `count` times `bytes` bytes into places.
    ///
    /// # Panics
    /// The buffer is shorter than that.
    #[must_use]
    pub fn cut(mut self, bytes: usize, count: usize) -> Places {
        let mut rest = self.empty();
        let homes = (0..count).map(|_| Arc::new(Mutex::new(Some(rest.split_to(bytes))))).collect();
        Places { buffer: Some(self), bytes, homes, rest }
    }
}

impl Places {
    /// The place with this number, if there is one and nobody else has it.
    #[must_use]
    pub fn take(&self, number: usize) -> Option<Place> {
        let home = self.homes.get(number)?;
        let bytes = home.lock().take()?;
        Some(Place { bytes, home: Arc::clone(home) })
    }

    /// The buffer, whole again. Places that somebody still has are lost to it: fresh memory is in their stead, and all is copied.
    #[must_use]
    pub fn join(mut self) -> Buffer {
        let parts = self.parts();
        let whole = match parts.iter().all(Option::is_some) {
            true => self.together(parts),
            false => copied(&parts, self.bytes, &self.rest),
        };
        // Taken here and by dropping alone.
        let mut buffer = self.buffer.take().unwrap_or_else(|| unreachable!("joined once"));
        buffer.fill(whole);
        buffer
    }

    fn parts(&self) -> Vec<Option<BytesMut>> {
        self.homes.iter().map(|home| home.lock().take()).collect()
    }

    fn together(&mut self, parts: Vec<Option<BytesMut>>) -> BytesMut {
        parts.into_iter().flatten().chain([std::mem::take(&mut self.rest)]).fold(BytesMut::new(), unsplit)
    }
}

/// The memory goes back to its pool, unless somebody still has a part of it.
impl Drop for Places {
    fn drop(&mut self) {
        let Some(mut buffer) = self.buffer.take() else { return };
        let parts = self.parts();
        if parts.iter().all(Option::is_some) {
            buffer.fill(self.together(parts));
        }
    }
}

/// Costs nothing where the second follows on the first in memory.
fn unsplit(mut first: BytesMut, second: BytesMut) -> BytesMut {
    first.unsplit(second);
    first
}

fn copied(parts: &[Option<BytesMut>], bytes: usize, rest: &[u8]) -> BytesMut {
    let mut whole = aligned(bytes * parts.len() + rest.len());
    for (place, part) in whole.chunks_exact_mut(bytes.max(1)).zip(parts) {
        if let Some(part) = part {
            place.copy_from_slice(part);
        }
    }
    let behind = bytes * parts.len();
    whole[behind..].copy_from_slice(rest);
    whole
}

impl Place {
    /// How much goes into it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl AsRef<[u8]> for Place {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Place {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.home.lock() = Some(std::mem::take(&mut self.bytes));
    }
}

/// Bytes that arrived: where they were wanted, or anywhere.
pub enum Payload {
    /// In the place that was given for them, which they fill.
    There(Place),
    /// Elsewhere.
    Elsewhere(Bytes),
}

impl Payload {
    /// Copied into a place that they fill.
    #[must_use]
    pub fn put(bytes: Bytes, place: Option<Place>) -> Self {
        match place.filter(|place| place.len() == bytes.len()) {
            Some(mut place) => {
                place.as_mut().copy_from_slice(&bytes);
                Self::There(place)
            }
            None => Self::Elsewhere(bytes),
        }
    }

    /// The bytes alone; out of a place they are copied.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::There(place) => Bytes::copy_from_slice(place.as_ref()),
            Self::Elsewhere(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::There(place) => place.as_ref(),
            Self::Elsewhere(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    fn filled(places: &Places, number: u8) -> Place {
        let mut place = places.take(usize::from(number)).unwrap();
        place.as_mut().fill(number + 1);
        place
    }

    #[test]
    fn places_are_put_together_where_they_lie() {
        let pool = Pool::within(1 << 20);
        let mut buffer = pool.take(100);
        buffer.as_mut().fill(0);
        let start = buffer.as_ref().as_ptr();
        let places = buffer.cut(30, 3);
        let all: Vec<_> = [2, 0, 1].map(|number| filled(&places, number)).into();
        assert!(places.take(1).is_none() && places.take(3).is_none());
        assert!(all.iter().all(|place| place.len() == 30 && !place.is_empty()));
        drop(all);
        let joined = places.join();
        assert_eq!(joined.as_ref().as_ptr(), start);
        assert_eq!(joined.as_ref(), [&[1; 30][..], &[2; 30], &[3; 30], &[0; 10]].concat());
        drop(joined);
        assert_eq!(pool.take(100).as_ref().as_ptr(), start, "it is used again");
    }

    #[test]
    fn a_place_that_somebody_keeps_leaves_the_others_right() {
        let pool = Pool::within(1 << 20);
        let places = pool.take(90).cut(30, 3);
        let kept = filled(&places, 1);
        drop((filled(&places, 0), filled(&places, 2)));
        let joined = places.join();
        assert_eq!((&joined.as_ref()[..30], &joined.as_ref()[60..]), (&[1; 30][..], &[3; 30][..]));
        assert_eq!(kept.as_ref(), [2; 30]);
        drop(joined);
        assert_eq!(pool.take(90).as_ref().len(), 90);
    }

    #[test]
    fn what_is_dropped_in_places_is_used_again() {
        let pool = Pool::within(1 << 20);
        let places = pool.take(1 << 20).cut(300, 3);
        drop((places.take(1), places));
        assert_eq!(pool.idle_bytes(), 1 << 20);
        let places = pool.take(1 << 20).cut(300, 3);
        let kept = places.take(1);
        drop(places);
        assert_eq!(pool.idle_bytes(), 0, "somebody has a part of it");
        drop((kept, pool.take(1 << 20)));
        assert_eq!(pool.idle_bytes(), 1 << 20, "and it does not count for ever");
    }

    #[test]
    fn what_is_dropped_half_filled_may_be_taken_again() {
        let places = Pool::within(1 << 20).take(64).cut(64, 1);
        drop(places.take(0));
        assert!(places.take(0).is_some());
        assert_eq!(Payload::Elsewhere(Bytes::from_static(b"x")).as_ref(), b"x");
    }
}
