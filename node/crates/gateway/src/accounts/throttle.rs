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

#[derive(Clone, Copy, Debug)]
struct Attempts {
    count: u32,
    last_unix_ms: u64,
}

impl Attempts {
    /// When the next may come.
    fn next_unix_ms(self, free: u32) -> u64 {
        let Some(beyond) = (self.count + 1).checked_sub(free).filter(|beyond| *beyond > 0) else { return 0 };
        let seconds = 1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX).min(PAUSE_SECONDS_MAX);
        self.last_unix_ms.saturating_add(seconds * 1000)
    }
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
    pub(super) fn begin(&self, name: &str, from: IpAddr, now_unix_ms: u64) -> Result<(), u64> {
        let from = network(from);
        let mut known = self.0.lock();
        let name = (from, name.to_owned());
        let next = |attempts: Option<&Attempts>, free| {
            let live = attempts.filter(|known| known.last_unix_ms.saturating_add(FORGOTTEN_MS) > now_unix_ms);
            live.map_or(0, |attempts| attempts.next_unix_ms(free))
        };
        let next_unix_ms =
            next(known.names.get(&name), FREE_OF_NAME).max(next(known.addresses.get(&from), FREE_OF_ADDRESS));
        if next_unix_ms > now_unix_ms {
            return Err((next_unix_ms - now_unix_ms).div_ceil(1000));
        }
        count(&mut known.names, name, now_unix_ms);
        count(&mut known.addresses, from, now_unix_ms);
        Ok(())
    }

    /// The attempt was right: the name's wrong ones are forgotten, and this one of the address.
    pub(super) fn succeeded(&self, name: &str, from: IpAddr) {
        let from = network(from);
        let mut known = self.0.lock();
        known.names.remove(&(from, name.to_owned()));
        if let Some(attempts) = known.addresses.get_mut(&from) {
            attempts.count = attempts.count.saturating_sub(1);
        }
    }
}

fn count<K: Ord + Clone>(of: &mut BTreeMap<K, Attempts>, key: K, now_unix_ms: u64) {
    if of.len() >= REMEMBERED_MAX && !of.contains_key(&key) {
        of.retain(|_, known| known.last_unix_ms.saturating_add(FORGOTTEN_MS) > now_unix_ms);
        if of.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                of.iter().min_by_key(|(_, known)| known.last_unix_ms).map(|(key, _)| key.clone())
        {
            of.remove(&oldest);
        }
    }
    let attempts = of.entry(key).or_insert(Attempts { count: 0, last_unix_ms: now_unix_ms });
    if attempts.last_unix_ms.saturating_add(FORGOTTEN_MS) <= now_unix_ms {
        attempts.count = 0;
    }
    attempts.count = attempts.count.saturating_add(1);
    attempts.last_unix_ms = now_unix_ms;
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
        throttle.begin("alice", address("10.0.0.2"), NOW).unwrap();
        throttle.succeeded("alice", address("10.0.0.2"));
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
