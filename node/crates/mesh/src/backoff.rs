//! Growing pauses between attempts, jittered so that many waiters do not come back at once.

use std::time::Duration;

/// Doubling pauses up to a longest one; each is shortened by a random part of up to one half.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        // Without randomness from the system there is no jitter, which is no reason to fail.
        let mut random = [0];
        let share = getrandom::fill(&mut random).map_or(0, |()| u32::from(random[0]));
        pause - pause * share / 512
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_reset() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, longest);
        let mut expected = first;
        for _ in 0..8 {
            let pause = backoff.next();
            assert!(pause <= expected && pause >= expected / 2, "{pause:?} of {expected:?}");
            expected = (expected * 2).min(longest);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
