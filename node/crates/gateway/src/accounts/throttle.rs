//! How often a wrong password may be tried: by name and address together, so that nobody locks an owner out from elsewhere, and by
//! address alone, so that nobody tries one password on many names. Pure: the time is passed in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

/// Attempts without a pause, of a name from an address, and of all names from it.
const FREE_OF_NAME: u32 = 4;
const FREE_OF_ADDRESS: u32 = 30;
/// The longest pause.
const PAUSE_SECONDS_MAX: u64 = 900;
/// After so long without an attempt they are forgotten.
const FORGOTTEN_MS: u64 = 3_600_000;
/// Names with addresses remembered at most, and addresses; beyond, who tried longest ago is forgotten. 10,000 are some 2 MiB.
const REMEMBERED_MAX: usize = 10_000;

/// What is free of a name from an address, or of an address, and how fast attempts are forgiven.
struct Rule {
    free: u32,
    /// One attempt is forgiven each time so long has passed.
    forgiven_ms: u64,
}

const OF_NAME: Rule = Rule { free: FREE_OF_NAME, forgiven_ms: FORGOTTEN_MS };
const OF_ADDRESS: Rule = Rule { free: FREE_OF_ADDRESS, forgiven_ms: 60_000 };

#[derive(Clone, Copy, Debug)]
struct Attempts {
    count: u32,
    /// The last that was wrong, or is not over.
    last_unix_ms: u64,
    /// Up to when what is forgiven has been taken off.
    forgiven_unix_ms: u64,
}

impl Attempts {
    fn none(now_unix_ms: u64) -> Self {
        Self { count: 0, last_unix_ms: 0, forgiven_unix_ms: now_unix_ms }
    }

    /// What is left of them now.
    fn now(mut self, rule: &Rule, now_unix_ms: u64) -> Self {
        let times = now_unix_ms.saturating_sub(self.forgiven_unix_ms) / rule.forgiven_ms;
        self.count = self.count.saturating_sub(u32::try_from(times).unwrap_or(u32::MAX));
        self.forgiven_unix_ms += times * rule.forgiven_ms;
        let forgotten = self.last_unix_ms.saturating_add(FORGOTTEN_MS) <= now_unix_ms;
        if forgotten { Self::none(now_unix_ms) } else { self }
    }

    /// When the next may come.
    fn next_unix_ms(self, rule: &Rule) -> u64 {
        let beyond = (self.count + 1).checked_sub(rule.free).filter(|beyond| *beyond > 0);
        let Some(beyond) = beyond else { return 0 };
        let seconds = 1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX).min(PAUSE_SECONDS_MAX);
        self.last_unix_ms.saturating_add(seconds * 1000)
    }
}

/// An attempt that was let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    at_unix_ms: u64,
    /// The attempt of the address before it.
    before_unix_ms: u64,
}

#[derive(Default)]
struct Known {
    names: BTreeMap<(IpAddr, String), Attempts>,
    addresses: BTreeMap<IpAddr, Attempts>,
}

/// Attempts that were wrong, or are not over. Each gateway counts its own.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Known>);

impl Throttle {
    /// Begins an attempt; it counts as wrong until it [`succeeded`](Self::succeeded), so that many at once are no way around. Gives
    /// the seconds to wait where it is too early.
    pub(super) fn begin(&self, name: &str, from: IpAddr, now_unix_ms: u64) -> Result<Begun, u64> {
        let from = network(from);
        let mut known = self.0.lock();
        let name = (from, name.to_owned());
        let next = |attempts: Option<&Attempts>, rule| {
            attempts.map_or(0, |attempts| attempts.now(rule, now_unix_ms).next_unix_ms(rule))
        };
        let next_unix_ms =
            next(known.names.get(&name), &OF_NAME).max(next(known.addresses.get(&from), &OF_ADDRESS));
        if next_unix_ms > now_unix_ms {
            return Err((next_unix_ms - now_unix_ms).div_ceil(1000));
        }
        count(&mut known.names, name, (&OF_NAME, now_unix_ms));
        let before_unix_ms = count(&mut known.addresses, from, (&OF_ADDRESS, now_unix_ms));
        Ok(Begun { at_unix_ms: now_unix_ms, before_unix_ms })
    }

    /// The attempt was right: the name's wrong ones are forgotten, and of the address it was none.
    pub(super) fn succeeded(&self, (name, from): (&str, IpAddr), begun: Begun) {
        self.0.lock().names.remove(&(network(from), name.to_owned()));
        self.went_halfway(from, begun);
    }

    /// One of the address's attempts was none after all, and nobody knows which.
    pub(super) fn forgive(&self, from: IpAddr) {
        if let Some(attempts) = self.0.lock().addresses.get_mut(&network(from)) {
            attempts.count = attempts.count.saturating_sub(1);
        }
    }

    /// The password was right and more is asked for: of the address it was no wrong attempt, of the name nothing is forgotten.
    pub(super) fn went_halfway(&self, from: IpAddr, begun: Begun) {
        let mut known = self.0.lock();
        if let Some(attempts) = known.addresses.get_mut(&network(from)) {
            attempts.count = attempts.count.saturating_sub(1);
            if attempts.last_unix_ms == begun.at_unix_ms {
                attempts.last_unix_ms = begun.before_unix_ms;
            }
        }
    }
}

/// Counts one; gives when the one before was.
fn count<K: Ord + Clone>(of: &mut BTreeMap<K, Attempts>, key: K, (rule, now_unix_ms): (&Rule, u64)) -> u64 {
    if of.len() >= REMEMBERED_MAX && !of.contains_key(&key) {
        of.retain(|_, known| known.last_unix_ms.saturating_add(FORGOTTEN_MS) > now_unix_ms);
        if of.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                of.iter().min_by_key(|(_, known)| known.last_unix_ms).map(|(key, _)| key.clone())
        {
            of.remove(&oldest);
        }
    }
    let attempts = of.entry(key).or_insert(Attempts::none(now_unix_ms));
    *attempts = attempts.now(rule, now_unix_ms);
    let before_unix_ms = attempts.last_unix_ms;
    attempts.count = attempts.count.saturating_add(1);
    attempts.last_unix_ms = now_unix_ms;
    before_unix_ms
}

/// Whoever has an IPv6 address has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Attempts at one moment until one is refused.
    fn taken(throttle: &Throttle, name: impl Fn(u32) -> String, from: &str) -> u32 {
        (0..100).find(|n| throttle.begin(&name(*n), address(from), NOW).is_err()).unwrap_or(100)
    }

    #[test]
    fn the_pause_grows_and_ends() {
        let throttle = Throttle::default();
        assert_eq!(taken(&throttle, |_| "alice".into(), "10.0.0.1"), FREE_OF_NAME);
        let (mut now, mut pauses) = (NOW, Vec::new());
        for _ in 0..12 {
            let seconds = throttle.begin("alice", address("10.0.0.1"), now).unwrap_err();
            assert!(throttle.begin("alice", address("10.0.0.1"), now + seconds * 1000 - 1).is_err());
            now += seconds * 1000;
            throttle.begin("alice", address("10.0.0.1"), now).unwrap();
            pauses.push(seconds);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        throttle.begin("alice", address("10.0.0.1"), now + FORGOTTEN_MS).unwrap();
        throttle.begin("alice", address("10.0.0.1"), now + FORGOTTEN_MS).unwrap();
    }

    #[test]
    fn nobody_is_locked_out_from_elsewhere() {
        let throttle = Throttle::default();
        assert_eq!(taken(&throttle, |_| "alice".into(), "10.0.0.1"), FREE_OF_NAME);
        let begun = throttle.begin("alice", address("10.0.0.2"), NOW).unwrap();
        throttle.succeeded(("alice", address("10.0.0.2")), begun);
        assert!(throttle.begin("alice", address("10.0.0.1"), NOW).is_err());
    }

    #[test]
    fn many_names_are_an_address_s_own_affair() {
        let throttle = Throttle::default();
        assert_eq!(taken(&throttle, |n| format!("user{n}"), "2001:db8::1"), FREE_OF_ADDRESS);
        assert!(throttle.begin("bob", address("2001:db8::ffff"), NOW).is_err(), "the same network");
        assert!(throttle.begin("bob", address("2001:db8:0:1::1"), NOW).is_ok(), "another");
    }

    #[test]
    fn an_address_is_forgiven_one_attempt_a_minute_while_it_is_used() {
        let throttle = Throttle::default();
        assert_eq!(taken(&throttle, |n| format!("user{n}"), "10.0.0.1"), FREE_OF_ADDRESS);
        // Two a minute are more than is forgiven; one a minute is not, for as long as it likes.
        for minute in 1..=600_u64 {
            let now = NOW + minute * 60_000;
            throttle.begin(&format!("late{minute}"), address("10.0.0.1"), now).unwrap();
            assert!(throttle.begin("more", address("10.0.0.1"), now).is_err(), "in minute {minute}");
        }
    }

    #[test]
    fn who_is_right_makes_nobody_wait_longer() {
        let throttle = Throttle::default();
        assert_eq!(taken(&throttle, |n| format!("user{n}"), "10.0.0.1"), FREE_OF_ADDRESS);
        let wait = throttle.begin("bob", address("10.0.0.1"), NOW).unwrap_err();
        let then = NOW + wait * 1000;
        for _ in 0..100 {
            let begun = throttle.begin("alice", address("10.0.0.1"), then).unwrap();
            throttle.succeeded(("alice", address("10.0.0.1")), begun);
        }
        throttle.begin("bob", address("10.0.0.1"), then).unwrap();
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let throttle = Throttle::default();
        for n in 0..12_000_u32 {
            throttle.begin("a", IpAddr::V4((0x0a00_0000 + n).into()), NOW + u64::from(n)).unwrap();
        }
        let known = throttle.0.lock();
        assert_eq!((known.names.len(), known.addresses.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(known.addresses.contains_key(&IpAddr::V4((0x0a00_0000_u32 + 11_999).into())));
        assert!(!known.addresses.contains_key(&address("10.0.0.0")));
    }
}
