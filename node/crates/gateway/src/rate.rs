//! How many requests may come: token buckets by address and by who asks. Pure: the time is passed in.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use parking_lot::Mutex;

/// Buckets that are shared, once there are too many to know each.
const SHARED: usize = 256;

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

    const fn full_milli(&self) -> u64 {
        self.burst as u64 * 1000
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
    neighbours: fn(&K) -> K,
    hashed: RandomState,
    known: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    since_ms: u64,
    /// The latest moment that was told. Who asks reads the clock before it gets here, so moments come out of order.
    last_ms: u64,
    present: HashMap<K, Bucket, RandomState>,
    before: HashMap<K, Bucket, RandomState>,
    /// Of all others; none before there are any.
    shared: Vec<Option<Bucket>>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// Of at most so many at a time, and as many of the time before. All beyond share [`SHARED`] buckets, neighbours the same: whoever
    /// has many keys of one neighbourhood drains one of these alone.
    pub(crate) fn new(rate: Rate, most: usize, neighbours: fn(&K) -> K) -> Self {
        Self { rate, most, neighbours, hashed: RandomState::new(), known: Mutex::new(Known::since(0)) }
    }

    /// How many may come.
    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one request out of a bucket.
    pub(crate) fn take(&self, whose: &K, now_ms: u64) -> Taken {
        let mut known = self.known.lock();
        let now_ms = known.advance(self.rate.full_after_ms(), now_ms);
        if known.present.len() >= self.most && !known.present.contains_key(whose) {
            let shared = self.shared_by(whose);
            known.shared.resize(SHARED, None);
            let Some(slot) = known.shared.get_mut(shared) else { return Taken::Wait(1) };
            let (bucket, taken) = take(self.rate, *slot, now_ms);
            *slot = Some(bucket);
            return taken;
        }
        let before = known.before.remove(whose);
        let found = known.present.get(whose).copied().or(before);
        let (bucket, taken) = take(self.rate, found, now_ms);
        known.present.insert(whose.clone(), bucket);
        taken
    }

    /// Puts back what was taken: it is counted elsewhere.
    pub(crate) fn give_back(&self, whose: &K) {
        let shared = self.shared_by(whose);
        let mut known = self.known.lock();
        let known = &mut *known;
        let bucket = match known.present.get_mut(whose).or_else(|| known.before.get_mut(whose)) {
            Some(bucket) => Some(bucket),
            None => known.shared.get_mut(shared).and_then(Option::as_mut),
        };
        if let Some(bucket) = bucket {
            bucket.left_milli = (bucket.left_milli + 1000).min(self.rate.full_milli());
        }
    }

    fn shared_by(&self, whose: &K) -> usize {
        let shared = u64::try_from(SHARED).unwrap_or(1);
        usize::try_from(self.hashed.hash_one((self.neighbours)(whose)) % shared).unwrap_or_default()
    }
}

impl<K> Known<K> {
    fn since(now_ms: u64) -> Self {
        let (present, before) = (HashMap::new(), HashMap::new());
        Self { since_ms: now_ms, last_ms: now_ms, present, before, shared: Vec::new() }
    }

    /// The moment that counts: never before one that counted already, which would give back twice for the time between. A clock that
    /// was set back begins anew.
    fn advance(&mut self, full_after_ms: u64, now_ms: u64) -> u64 {
        if self.last_ms.saturating_sub(now_ms) > full_after_ms {
            *self = Self::since(now_ms);
        }
        self.last_ms = self.last_ms.max(now_ms);
        let age_ms = self.last_ms - self.since_ms;
        if age_ms >= full_after_ms {
            let present = std::mem::take(&mut self.present);
            self.before = if age_ms >= full_after_ms.saturating_mul(2) { HashMap::new() } else { present };
            self.since_ms = self.last_ms;
        }
        self.last_ms
    }
}

fn take(rate: Rate, found: Option<Bucket>, now_ms: u64) -> (Bucket, Taken) {
    let full = rate.full_milli();
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
        let rates = Rates::new(RATE, 100, |whose| *whose);
        assert_eq!(rates.take(&1, NOW), Taken::Left(9));
        assert_eq!((drained(&rates, 1, NOW), rates.take(&1, NOW)), (9, Taken::Wait(1)));
        assert_eq!(rates.take(&2, NOW), Taken::Left(9), "somebody else's is full");
        assert_eq!(drained(&rates, 1, NOW + 1000), 5, "so many come back each second");
        assert_eq!(drained(&rates, 1, NOW + 60_000), 10, "and no more than it holds");
    }

    /// Whatever the moments at which buckets grow older, nobody gets more than one bucket would give.
    #[test]
    fn forgetting_gives_nobody_more() {
        let rates = Rates::new(RATE, 100, |whose| *whose);
        let mut through = 0;
        for step in 0..1000_u64 {
            through += drained(&rates, 1, NOW + step * 137);
        }
        let seconds = 999 * 137 / 1000;
        assert!(through <= 10 + 5 * (seconds + 1) && through >= 5 * seconds, "{through} in {seconds} s");
    }

    #[test]
    fn many_cost_no_more_memory_and_share_what_is_left() {
        let rates = Rates::new(RATE, 100, |_| 0);
        let through = (0..10_000).filter(|whose| matches!(rates.take(whose, NOW), Taken::Left(_))).count();
        assert_eq!(
            through, 110,
            "each known one has its first, all others of one neighbourhood have one bucket"
        );
        for generation in 1..10 {
            let now_ms = NOW + generation * RATE.full_after_ms();
            // New ones first, then those that are known.
            for whose in
                (0..100).map(|one| one + 10_000 * u32::try_from(generation).unwrap()).chain(0..20_000)
            {
                rates.take(&whose, now_ms);
            }
            let known = rates.known.lock();
            assert!(known.present.len() + known.before.len() <= 200, "{generation}");
        }
    }

    #[test]
    fn whoever_has_many_names_drains_the_bucket_of_their_neighbours_alone() {
        let rates = Rates::new(RATE, 100, |whose: &u32| whose / 100_000);
        for whose in 0..50_000 {
            rates.take(&whose, NOW);
        }
        let others = (1..100).filter(|one| rates.take(&(one * 100_000), NOW) != Taken::Wait(1)).count();
        assert!(others > 90, "{others} of 99");
    }

    /// Threads read the clock before they get here.
    #[test]
    fn moments_out_of_order_give_nobody_more() {
        let rates = Rates::new(RATE, 100, |whose| *whose);
        let out_of_order = (0..20_100_u64).map(|step| NOW + step / 10 + if step % 2 == 0 { 5 } else { 0 });
        let through = out_of_order.filter(|now_ms| matches!(rates.take(&1, *now_ms), Taken::Left(_))).count();
        assert_eq!(through, 20, "10 at once, and 5 in each of two seconds");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let rates = Rates::new(RATE, 1, |_| 0);
        for whose in [1, 2] {
            drained(&rates, whose, NOW);
            rates.give_back(&whose);
            assert_eq!((rates.take(&whose, NOW), rates.take(&whose, NOW)), (Taken::Left(0), Taken::Wait(1)));
        }
        rates.give_back(&3);
        (0..100).for_each(|_| rates.give_back(&1));
        assert_eq!(drained(&rates, 1, NOW), 10, "never more than it holds");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rates = Rates::new(RATE, 100, |whose| *whose);
        drained(&rates, 1, NOW);
        assert!(matches!(rates.take(&1, NOW - 3_600_000), Taken::Left(_)));
    }
}
