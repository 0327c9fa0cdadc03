//! What this gateway's own requests say of each peer: how long its disk takes, how often it fails, whether its answers are
//! true. Pure: it is told the time, and judges when it is asked to.
//!
//! A peer far slower than the others of its pool is *slow*, one whose answers were proven wrong is *quarantined*. Both are
//! *avoided*: asked last, and given no shard that another may take at no cost. At most m of a pool are, the worst first:
//! more than that is no fault of theirs. All of it is kept in memory only.

mod honesty;
mod latency;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use datamesh_shard::{Incarnation, PeerKey, ShardKey};
use tokio::time::Instant;

use honesty::Honesty;
use latency::Latency;
pub(crate) use latency::Window;

/// Requests nobody waits for, by which a slow peer is measured: so many at once, begun so far apart. Shards that belong to it
/// go there as fast as its disk takes them; what is read is thrown away.
const PUT_PROBES: (u32, Duration) = (4, Duration::ZERO);
const GET_PROBES: (u32, Duration) = (1, Duration::from_secs(1));

/// What was asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// To take a shard: its disk writes and syncs.
    Put,
    /// To give one: its disk reads.
    Get,
}

/// How that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It did what was asked.
    Done,
    /// It failed, or was not reached.
    Failed,
    /// Nobody waits any more: it would have taken longer.
    GivenUp,
    /// By an answer that says nothing of its disk.
    Uncounted,
}

/// Why a peer is avoided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its disk, or the way to it, takes far longer than its peers'.
    Slow {
        /// What takes so long.
        asked: Asked,
        /// How long, and how long the others take.
        window: Window,
    },
    /// Its answers were proven wrong.
    Quarantined {
        /// Wrong answers so far.
        wrong: u32,
        /// When it will be tried again.
        until: Instant,
    },
}

/// One peer that is avoided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avoided {
    pub(crate) why: Why,
    pub(crate) since: Instant,
}

/// A member to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) peer: PeerKey,
    /// Whether it answers at all. Whoever does not is neither slow nor quick, and is judged anew once it does.
    pub(crate) live: bool,
    /// By its last report.
    pub(crate) incarnation: Option<Incarnation>,
}

#[derive(Default)]
struct Peer {
    puts: Latency,
    gets: Latency,
    honesty: Honesty,
    /// 0 is the worst.
    rank: Option<usize>,
}

/// All peers. A few hundred bytes for each.
#[derive(Default)]
pub(crate) struct Reputations(HashMap<PeerKey, Peer>);

impl Reputations {
    /// A request to a peer ended after this time.
    pub(crate) fn note(&mut self, peer: PeerKey, asked: Asked, took: Duration, ended: Ended) {
        self.0.entry(peer).or_default().latency(asked).note(took, ended);
    }

    /// An answer was not what its proof says.
    pub(crate) fn note_wrong(&mut self, peer: PeerKey, key: ShardKey, now: Instant) {
        self.0.entry(peer).or_default().honesty.note_wrong(key, now);
    }

    /// Judges the members of one pool, of which at most `m` are avoided.
    pub(crate) fn judge(&mut self, members: &[Subject], m: usize, now: Instant) {
        for member in members {
            self.0.entry(member.peer).or_default().begin(member, now);
        }
        for asked in [Asked::Put, Asked::Get] {
            let fresh: Vec<_> = members.iter().map(|member| self.fresh(&member.peer, asked, now)).collect();
            for (at, member) in members.iter().enumerate() {
                let others = fresh.iter().enumerate().filter(|(other, _)| *other != at);
                let others = latency::median(others.filter_map(|(_, mean)| *mean).collect());
                if let (Some(peer), Some(others)) = (self.0.get_mut(&member.peer), others) {
                    peer.latency(asked).judge(others, now);
                }
            }
        }
        self.rank(members, m);
    }

    /// Forgets whoever is in no pool any more.
    pub(crate) fn retain(&mut self, is_member: impl Fn(&PeerKey) -> bool) {
        self.0.retain(|peer, _| is_member(peer));
    }

    /// Whether a peer is avoided, and why.
    pub(crate) fn avoided(&self, peer: &PeerKey) -> Option<Avoided> {
        let peer = self.0.get(peer)?;
        peer.rank.and_then(|_| peer.faults())
    }

    /// Which of the worst it is, from 0, if it is avoided.
    pub(crate) fn rank_of(&self, peer: &PeerKey) -> Option<usize> {
        self.0.get(peer)?.rank
    }

    /// Whether not one write of a peer was quick enough lately for a put to wait for.
    pub(crate) fn is_late(&self, peer: &PeerKey, now: Instant) -> bool {
        self.0.get(peer).is_some_and(|peer| peer.puts.is_late(now))
    }

    /// How long requests of a peer took in the last window, if there was one lately.
    pub(crate) fn mean(&self, peer: &PeerKey, asked: Asked, now: Instant) -> Option<Duration> {
        self.fresh(peer, asked, now)
    }

    /// Whether a slow peer is to be measured now, by a request that nobody waits for. Whoever is told so sends it, and says
    /// when it has ended.
    pub(crate) fn begin_probe(&mut self, peer: &PeerKey, asked: Asked, now: Instant) -> bool {
        let slow = self.avoided(peer).is_some_and(|avoided| matches!(avoided.why, Why::Slow { .. }));
        let probes = if asked == Asked::Put { PUT_PROBES } else { GET_PROBES };
        slow && self.0.get_mut(peer).is_some_and(|peer| peer.latency(asked).begin_probe(probes, now))
    }

    /// A probe has ended.
    pub(crate) fn end_probe(&mut self, peer: &PeerKey, asked: Asked) {
        if let Some(peer) = self.0.get_mut(peer) {
            peer.latency(asked).end_probe();
        }
    }

    fn fresh(&self, peer: &PeerKey, asked: Asked, now: Instant) -> Option<Duration> {
        let peer = self.0.get(peer)?;
        match asked {
            Asked::Put => peer.puts.fresh(now),
            Asked::Get => peer.gets.fresh(now),
        }
    }

    /// The worst come first: whoever is wrong before whoever is slow. Where two are as bad, by the members' order.
    fn rank(&mut self, members: &[Subject], m: usize) {
        let fault = |member: &Subject| Some((self.0.get(&member.peer)?.faults()?.why, member.peer));
        let mut bad: Vec<(Why, PeerKey)> = members.iter().filter_map(fault).collect();
        bad.sort_by_key(|(why, _)| match why {
            Why::Quarantined { wrong, .. } => (0, Reverse(u128::from(*wrong))),
            Why::Slow { window, .. } => (1, Reverse(window.times_the_others())),
        });
        for member in members {
            let rank = bad.iter().take(m).position(|(_, peer)| *peer == member.peer);
            if let Some(peer) = self.0.get_mut(&member.peer) {
                peer.rank = rank;
            }
        }
    }
}

impl Peer {
    fn latency(&mut self, asked: Asked) -> &mut Latency {
        match asked {
            Asked::Put => &mut self.puts,
            Asked::Get => &mut self.gets,
        }
    }

    /// A new judgement begins.
    fn begin(&mut self, member: &Subject, now: Instant) {
        if member.live {
            self.puts.close(now);
            self.gets.close(now);
        } else {
            (self.puts, self.gets) = Default::default();
        }
        self.honesty.judge(member.incarnation, now);
    }

    fn faults(&self) -> Option<Avoided> {
        let slow = |latency: &Latency, asked| {
            latency.slow().map(|(window, since)| Avoided { why: Why::Slow { asked, window }, since })
        };
        let quarantined = self.honesty.quarantined().map(|(since, until)| {
            let wrong = self.honesty.wrong();
            Avoided { why: Why::Quarantined { wrong, until }, since }
        });
        quarantined.or_else(|| slow(&self.puts, Asked::Put)).or_else(|| slow(&self.gets, Asked::Get))
    }
}
