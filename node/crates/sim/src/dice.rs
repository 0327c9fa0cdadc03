//! All chance of a run, out of its seed.

use std::sync::Arc;
use std::time::Duration;

use datamesh_seal::Random;
use parking_lot::Mutex;

/// A stream of random numbers (SplitMix64). Clones share one stream: one thread draws them in one order.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// 64 random bits.
    pub fn bits(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % bound).unwrap_or_default()
    }

    /// True so many times out of a thousand.
    pub fn per_mille(&self, chance: usize) -> bool {
        self.below(1000) < chance
    }

    /// Whole milliseconds from `least` on, below `bound`.
    pub fn millis(&self, least: u64, bound: u64) -> Duration {
        Duration::from_millis(least + self.bits() % bound.saturating_sub(least).max(1))
    }

    /// One of several.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A stream of its own, so that what is drawn here does not depend on what others draw.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.bits())
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.bits().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}
