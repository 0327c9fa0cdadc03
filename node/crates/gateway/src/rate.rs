//! How many requests may come: token buckets by address and by who asks. Pure: the time is passed in.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::Hash;

use parking_lot::Mutex;

/// A bucket holds `burst` requests and gets `per_second` back each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Whose, as the headers of answers say.
    pub(crate) of: &'static str,
    /// Requests at once.
    pub(crate) burst: u32,
    /// Requests a second, at length.
    pub(crate) per_second: u32,
}

impl Rate {
    /// After so long any bucket is full: one nobody has taken from meanwhile is as good as none.
    const fn full_after_ms(&self) -> u64 {
        self.burst as u64 * 1000 / self.per_second as u64
    }
}

/// What a request found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It may go on; so many more may come at once.
    Left(u32),
    /// It came too early by so many seconds.
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of requests that are left.
    left_milli: u64,
    at_ms: u64,
}

/// Buckets of many. Those of the time before are kept beside the present ones; when those are as old as a bucket takes to fill, they
/// are full, and forgotten.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    rate: Rate,
    most: usize,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    since_ms: u64,
    present: HashMap<K, Bucket, RandomState>,
    before: HashMap<K, Bucket, RandomState>,
    /// All others share it, once there are too many to know each.
    others: Option<Bucket>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// Of at most so many at a time; all beyond share one bucket.
    pub(crate) fn new(rate: Rate, most: usize) -> Self {
        let known = Known { since_ms: 0, present: HashMap::new(), before: HashMap::new(), others: None };
        Self { rate, most, known: Mutex::new(known) }
    }

    /// How many may come.
    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one request out of a bucket.
    pub(crate) fn take(&self, whose: &K, now_ms: u64) -> Taken {
        let mut known = self.known.lock();
        known.grow_older(self.rate.full_after_ms(), now_ms);
        let found = known.present.get(whose).or_else(|| known.before.get(whose)).copied();
        let is_other = found.is_none() && known.present.len() >= self.most;
        let found = if is_other { known.others } else { found };
        let (bucket, taken) = take(self.rate, found, now_ms);
        if is_other {
            known.others = Some(bucket);
        } else {
            known.before.remove(whose);
            known.present.insert(whose.clone(), bucket);
        }
        taken
    }
}

impl<K> Known<K> {
    fn grow_older(&mut self, full_after_ms: u64, now_ms: u64) {
        // A clock that was set back begins anew.
        let age_ms = now_ms.checked_sub(self.since_ms).unwrap_or(u64::MAX);
        if age_ms >= full_after_ms {
            let present = std::mem::take(&mut self.present);
            self.before = if age_ms >= full_after_ms.saturating_mul(2) { HashMap::new() } else { present };
            self.since_ms = now_ms;
        }
    }
}

fn take(rate: Rate, found: Option<Bucket>, now_ms: u64) -> (Bucket, Taken) {
    let full = u64::from(rate.burst) * 1000;
    let bucket = found.unwrap_or(Bucket { left_milli: full, at_ms: now_ms });
    let back = now_ms.saturating_sub(bucket.at_ms).saturating_mul(u64::from(rate.per_second));
    let left = bucket.left_milli.saturating_add(back).min(full);
    match left.checked_sub(1000) {
        Some(left_milli) => {
            let more = u32::try_from(left_milli / 1000).unwrap_or(u32::MAX);
            (Bucket { left_milli, at_ms: now_ms }, Taken::Left(more))
        }
        None => {
            let wait_ms = (1000 - left).div_ceil(u64::from(rate.per_second));
            (Bucket { left_milli: left, at_ms: now_ms }, Taken::Wait(wait_ms.div_ceil(1000).max(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { of: "test", burst: 10, per_second: 5 };
    const NOW: u64 = 1_790_000_000_000;

    fn drained(rates: &Rates<u32>, whose: u32, now_ms: u64) -> u32 {
        (0..).find(|_| matches!(rates.take(&whose, now_ms), Taken::Wait(_))).unwrap()
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let rates = Rates::new(RATE, 100);
        assert_eq!(rates.take(&1, NOW), Taken::Left(9));
        assert_eq!((drained(&rates, 1, NOW), rates.take(&1, NOW)), (9, Taken::Wait(1)));
        assert_eq!(rates.take(&2, NOW), Taken::Left(9), "somebody else's is full");
        assert_eq!(drained(&rates, 1, NOW + 1000), 5, "so many come back each second");
        assert_eq!(drained(&rates, 1, NOW + 60_000), 10, "and no more than it holds");
    }

    /// Whatever the moments at which buckets grow older, nobody gets more than one bucket would give.
    #[test]
    fn forgetting_gives_nobody_more() {
        let rates = Rates::new(RATE, 100);
        let mut through = 0;
        for step in 0..1000_u64 {
            through += drained(&rates, 1, NOW + step * 137);
        }
        let seconds = 999 * 137 / 1000;
        assert!(through <= 10 + 5 * (seconds + 1) && through >= 5 * seconds, "{through} in {seconds} s");
    }

    #[test]
    fn many_cost_no_more_memory_and_share_what_is_left() {
        let rates = Rates::new(RATE, 100);
        let through = (0..10_000).filter(|whose| matches!(rates.take(whose, NOW), Taken::Left(_))).count();
        assert_eq!(through, 110, "each known one has its first, all others have one bucket");
        let known = rates.known.lock();
        assert!(known.present.len() + known.before.len() <= 200);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rates = Rates::new(RATE, 100);
        drained(&rates, 1, NOW);
        assert!(matches!(rates.take(&1, NOW - 3_600_000), Taken::Left(_)));
    }
}
