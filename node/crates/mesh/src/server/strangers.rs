//! Places for connections that have not proven who they are. They are few; and a place is held only until someone else
//! needs it: whoever comes takes the place of the oldest stranger of the source that holds most, so that nobody is kept
//! out by those who merely sit there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Connections that have not proven who they are at a time at most, so that strangers cannot crowd out members.
pub const STRANGERS_MAX: usize = 64;
/// Of those, of one source at most: twice as many as one gateway opens to one node at once.
pub const STRANGERS_PER_SOURCE_MAX: usize = 16;
/// Nobody's place is taken before it was held this long. A peer that means it has proven itself by then; without it, a
/// thousand nodes that come at once would take each other's places and none would get through.
const TENURE: Duration = Duration::from_millis(250);

/// Who counts as one: an IPv4 address, or the 64 bits of an IPv6 network, whose addresses its owner has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// All places.
#[derive(Default)]
pub(super) struct Strangers {
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    /// By number; the oldest first.
    held: BTreeMap<u64, Held>,
    next: u64,
}

struct Held {
    source: Source,
    since: Instant,
    taken: CancellationToken,
}

/// A stranger's place, until dropped or taken by another.
pub(super) struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    taken: CancellationToken,
}

impl Strangers {
    /// A place for a connection from `address`, someone else's if need be. `None`: all are held, and none for long.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let (source, taken) = (Source::of(address), CancellationToken::new());
        let mut places = self.places.lock();
        if !places.make_room(source, now) {
            return None;
        }
        let number = places.next;
        places.next += 1;
        places.held.insert(number, Held { source, since: now, taken: taken.clone() });
        drop(places);
        Some(Place { strangers: Arc::clone(self), number, taken })
    }
}

impl Places {
    /// Sees to it that one more of `source` fits; false if it does not.
    fn make_room(&mut self, source: Source, now: Instant) -> bool {
        let own = self.of(source);
        if own < STRANGERS_PER_SOURCE_MAX && self.held.len() < STRANGERS_MAX {
            return true;
        }
        let may_go = |held: &Held| {
            now.saturating_duration_since(held.since) >= TENURE
                && (own < STRANGERS_PER_SOURCE_MAX || held.source == source)
        };
        let candidates = self.held.iter().filter(|(_, held)| may_go(held));
        // Of equals the oldest, which has the lowest number.
        let number = candidates
            .max_by_key(|(number, held)| (self.of(held.source), Reverse(**number)))
            .map(|(number, _)| *number);
        let gone = number.and_then(|number| self.held.remove(&number));
        gone.is_some_and(|held| {
            held.taken.cancel();
            true
        })
    }

    fn of(&self, source: Source) -> usize {
        self.held.values().filter(|held| held.source == source).count()
    }
}

impl Place {
    /// Returns once another has taken it.
    pub(super) async fn taken(&self) {
        self.taken.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.places.lock().held.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        strangers: Arc<Strangers>,
        start: Instant,
        places: Vec<Place>,
    }

    impl Scene {
        fn new() -> Self {
            Self { strangers: Arc::default(), start: Instant::now(), places: Vec::new() }
        }

        /// Whether a connection from there is let in, so many tenures after the start.
        fn come(&mut self, address: &str, tenures: u32) -> bool {
            let place = self.strangers.admit(address.parse().unwrap(), self.start + TENURE * tenures);
            place.map(|place| self.places.push(place)).is_some()
        }

        /// Whose places were taken, by the order in which they came.
        fn gone(&self) -> Vec<usize> {
            (0..self.places.len()).filter(|n| self.places[*n].taken.is_cancelled()).collect()
        }
    }

    #[test]
    fn one_source_holds_its_share_and_no_more() {
        let mut scene = Scene::new();
        for _ in 0..STRANGERS_PER_SOURCE_MAX {
            assert!(scene.come("10.0.0.1", 0));
        }
        assert!(!scene.come("10.0.0.1", 0), "its own oldest has not had its time yet");
        assert!(!scene.come("::ffff:10.0.0.1", 0), "written otherwise it is the same");
        assert!(scene.come("10.0.0.2", 0), "others are not concerned");
        assert!(scene.come("10.0.0.1", 1));
        assert_eq!(scene.gone(), [0], "its oldest has gone");
        // What is given back is free at once.
        scene.places.remove(3);
        assert!(scene.come("10.0.0.1", 1));
        assert!(!scene.places.iter().skip(1).any(|place| place.taken.is_cancelled()));
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut scene = Scene::new();
        for n in 0..STRANGERS_PER_SOURCE_MAX {
            assert!(scene.come(&format!("fd00:1:2:3::{n:x}"), 0));
        }
        assert!(!scene.come("fd00:1:2:3:4:5:6:7", 0));
        assert!(scene.come("fd00:1:2:4::1", 0));
    }

    #[test]
    fn who_comes_to_a_full_house_takes_the_oldest_place_of_who_holds_most() {
        let mut scene = Scene::new();
        assert!(scene.come("10.0.0.9", 0), "alone of its kind, and older than all");
        for n in 0..STRANGERS_MAX - 1 {
            assert!(scene.come(&format!("10.0.1.{}", n % 8), 0));
        }
        assert!(!scene.come("10.0.0.1", 0), "nobody has had its time yet");
        // 63 places on eight sources: the last has seven, the others eight.
        assert!(scene.come("10.0.0.1", 1));
        assert_eq!(scene.gone(), [1]);
        for n in 1..STRANGERS_MAX - 9 {
            assert!(scene.come(&format!("10.0.2.{n}"), 1), "newcomer {n}");
        }
        assert!(!scene.gone().contains(&0), "each of the eight holds one by now, as the lone one does");
        assert!(scene.come("10.0.3.1", 1));
        assert!(scene.gone().contains(&0), "of equals the oldest");
    }
}
