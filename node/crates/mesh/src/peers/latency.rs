//! How long a peer's answers take: a smoothed mean and the 95th percentile of the last ones.

use std::collections::VecDeque;
use std::time::Duration;

/// Answers remembered: enough for a 95th percentile, few enough to follow a change within seconds.
const WINDOW: usize = 128;
/// Weight of a new answer in the mean: one eighth, as in TCP's round-trip estimate.
const WEIGHT: u32 = 8;

/// How long a peer's answers took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Exponentially weighted mean.
    pub mean: Duration,
    /// 95th percentile of the last answers.
    pub p95: Duration,
    /// How many answers those are.
    pub samples: usize,
}

#[derive(Default)]
pub(super) struct Window {
    last: VecDeque<Duration>,
    mean: Duration,
}

impl Window {
    pub(super) fn add(&mut self, took: Duration) {
        self.mean = if self.last.is_empty() { took } else { (self.mean * (WEIGHT - 1) + took) / WEIGHT };
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(took);
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        let samples = self.last.len();
        if samples == 0 {
            return None;
        }
        let mut sorted: Vec<_> = self.last.iter().copied().collect();
        let (_, p95, _) = sorted.select_nth_unstable((samples * 95).div_ceil(100) - 1);
        Some(Latency { mean: self.mean, p95: *p95, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_and_mean_follow_the_answers() {
        let mut window = Window::default();
        assert_eq!(window.latency(), None);
        for ms in 1..=100 {
            window.add(Duration::from_millis(ms));
        }
        let latency = window.latency().unwrap();
        assert_eq!((latency.p95, latency.samples), (Duration::from_millis(95), 100));
        assert!(latency.mean > Duration::from_millis(85) && latency.mean < Duration::from_millis(100));
        for _ in 0..WINDOW {
            window.add(Duration::from_millis(3));
        }
        assert_eq!(window.latency().unwrap().p95, Duration::from_millis(3));
        assert_eq!(window.latency().unwrap().samples, WINDOW);
    }

    #[test]
    fn one_answer_is_its_own_percentile() {
        let mut window = Window::default();
        window.add(Duration::from_millis(7));
        let seven = Duration::from_millis(7);
        assert_eq!(window.latency(), Some(Latency { mean: seven, p95: seven, samples: 1 }));
    }
}
