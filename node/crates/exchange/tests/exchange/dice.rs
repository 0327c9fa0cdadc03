//! A seeded generator, small enough to be replayed from a printed seed.

#![allow(dead_code, reason = "shared by test crates that use parts of it")]

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// The run's seed: from `DATAMESH_SEED`, else from the clock. Printed, so that a failure can be replayed.
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("DATAMESH_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = || {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
    };
    let seed = given.unwrap_or_else(clock);
    println!("{test}: DATAMESH_SEED={seed}");
    seed
}
