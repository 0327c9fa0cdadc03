//! Random bytes from a seed that is printed, so that a failure can be played again with `DATAMESH_SEED=<seed>`.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::expect_used, clippy::print_stdout, reason = "test support")]

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Dice(blake3::OutputReader);

impl Dice {
    /// From `DATAMESH_SEED`, or from the clock; the seed is printed.
    pub(crate) fn printed(test: &str) -> Self {
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos() & u128::from(u64::MAX);
        let seed = std::env::var("DATAMESH_SEED").unwrap_or_else(|_| clock().to_string());
        println!("{test}: DATAMESH_SEED={seed}");
        Self::of(&format!("{test} {seed}"))
    }

    pub(crate) fn of(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// 0 to `end` - 1; the tiny bias of a remainder matters to no test.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(u64::from_le_bytes(self.array()) % u64::try_from(end).expect("fits")).expect("fits")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// An input as hostile or broken peers send it: `valid` with bytes flipped, cut, extended, repeated or swapped.
    pub(crate) fn mutate(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.extend(self.array::<7>()),
                2 => drop(bytes.drain(at.min(other)..at.max(other))),
                3 => bytes.extend_from_within(at.min(other)..at.max(other)),
                4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                5 if at < bytes.len() && other < bytes.len() => bytes.swap(at, other),
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        bytes
    }
}
