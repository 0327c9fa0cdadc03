//! Which partitions a steward looks at next. Pure: it is told the time and who lives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datamesh_placement::{PartitionId, Table};
use datamesh_shard::Epoch;
use tokio::time::Instant;

use super::super::pace::Pace;

/// A visit is followed by this many times the pass's duration of rest: counting takes a twentieth of a node at most, unless a
/// member does not say what it has.
const REST_FACTOR: u32 = 20;
/// The same while something is missing that cannot be mended now: a third.
const REST_FACTOR_OPEN: u32 = 2;
/// A partition that is whole waits for others for this part of its rest at most: many of them are asked for at once.
const WAITS_PART: u32 = 6;
/// Doublings of the rest while nothing comes of it.
const DOUBLINGS_MAX: u32 = 10;

/// What a visit to a partition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is missing.
    Whole,
    /// Something is; some of it was mended.
    Better,
    /// Something is, and nothing could be done about it.
    Same,
    /// The same; some of it may be on its way until then, and is rebuilt if it has not come.
    Waiting(Instant),
}

/// Who had something of a partition, and how many members did not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) involved: Vec<u16>,
    pub(super) silent: u16,
}

/// The partitions this node is steward of.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    epoch: Option<Epoch>,
    /// Each member's life, `None` while it is away.
    lives: Vec<Option<u64>>,
    /// No hint is heeded before: the last pass counted for long.
    heeds_from: Option<Instant>,
    entries: BTreeMap<PartitionId, Entry>,
    /// When those are due that were found whole last.
    together: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    /// Whether all members said what they have when it was last looked at.
    seen_whole: bool,
    fruitless: u32,
    /// Somebody found damage in it since it was last looked at.
    hinted: bool,
    /// It is not looked at any earlier on a hint: whoever gives hints may lie.
    heeds_from: Instant,
    /// Members whose coming or going changes what was counted.
    involved: BTreeSet<u16>,
}

impl Agenda {
    /// Takes note of the layout and of who lives now; gives the partitions of which no count holds any more.
    pub(super) fn observe(
        &mut self,
        table: &Table,
        me: Option<u16>,
        lives: Vec<Option<u64>>,
        now: Instant,
    ) -> Vec<PartitionId> {
        let epoch = Some(table.layout().epoch);
        let mut dropped = Vec::new();
        if self.epoch != epoch {
            dropped.extend(std::mem::take(&mut self.entries).into_keys());
        } else if self.lives == lives {
            return dropped;
        }
        let changed: BTreeSet<u16> = (0_u16..)
            .zip(&lives)
            .filter(|(member, life)| self.lives.get(usize::from(*member)) != Some(*life))
            .map(|(member, _)| member)
            .collect();
        let is_live = |member: &u16| lives.get(usize::from(*member)).is_some_and(Option::is_some);
        for partition in (0..table.partitions()).map(PartitionId) {
            if me.is_none() || table.stewards(partition).find(is_live) != me {
                dropped.extend(self.entries.remove(&partition).map(|_| partition));
                continue;
            }
            let fresh = || Entry {
                due: now,
                seen_whole: false,
                fruitless: 0,
                hinted: false,
                heeds_from: now,
                involved: table.stewards(partition).collect(),
            };
            let entry = self.entries.entry(partition).or_insert_with(fresh);
            if !entry.involved.is_disjoint(&changed) {
                // What is missing now may have been lost with the life that ended: none of it is called new.
                (entry.due, entry.fruitless, entry.seen_whole) = (now, 0, false);
                dropped.push(partition);
            }
        }
        (self.epoch, self.lives) = (epoch, lives);
        dropped
    }

    /// Somebody found damage in a partition: it is looked at next, unless that was done a moment ago.
    pub(super) fn hint(&mut self, partition: PartitionId, now: Instant) {
        let Some(entry) = self.entries.get_mut(&partition) else { return };
        let heeded = entry.heeds_from.max(self.heeds_from.unwrap_or(now));
        entry.due = entry.due.min(heeded.max(now));
        // One that comes too early to be heeded at once waits with the others.
        entry.hinted |= heeded <= now;
    }

    /// The partitions to be looked at now: those with a hint, then those that wait for the longest.
    pub(super) fn due(&self, now: Instant) -> Vec<PartitionId> {
        let mut due: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.due <= now)
            .map(|(partition, entry)| (!entry.hinted, entry.due, *partition))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, _, partition)| partition).collect()
    }

    /// Whether this node is a partition's steward.
    pub(super) fn has(&self, partition: PartitionId) -> bool {
        self.entries.contains_key(&partition)
    }

    /// Whether this node, when it last looked at a partition, heard of all there was.
    pub(super) fn was_seen_whole(&self, partition: PartitionId) -> bool {
        self.entries.get(&partition).is_some_and(|entry| entry.seen_whole)
    }

    /// When the next of them is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.due).min()
    }

    /// A pass has counted for so long. Hints keep a node busy for a third of its time at most.
    pub(super) fn counted(&mut self, now: Instant, spent: Duration, pace: &Pace) {
        self.heeds_from = Some(now + (spent * REST_FACTOR_OPEN).min(pace.rest_max));
    }

    /// A partition was looked at, in a pass that has taken `spent` so far.
    pub(super) fn visited(
        &mut self,
        partition: PartitionId,
        outcome: Outcome,
        seen: Seen,
        (now, spent, pace): (Instant, Duration, &Pace),
    ) {
        let Some(entry) = self.entries.get_mut(&partition) else { return };
        entry.seen_whole = seen.silent == 0;
        entry.involved.extend(seen.involved);
        entry.fruitless = match outcome {
            Outcome::Same | Outcome::Waiting(_) => entry.fruitless.saturating_add(1),
            Outcome::Whole | Outcome::Better => 0,
        };
        let rest = rest(outcome, entry.fruitless, (now, spent, pace));
        // Of whoever did not say what it has nothing is counted: it is asked again soon, if it did not keep the pass waiting for long.
        let soon = pace.rest_whole.max(spent * REST_FACTOR_OPEN).min(pace.rest_max);
        let longest = if seen.silent > 0 { soon } else { pace.rest_max };
        // No partition is looked at on a hint more often than one that is open.
        entry.hinted = false;
        entry.heeds_from = now + pace.rest_open.min(pace.rest_max);
        entry.due = match outcome {
            Outcome::Whole => {
                let (from, to) = (now + rest.min(longest), now + (rest + rest / WAITS_PART).min(longest));
                let due = self.together.filter(|together| (from..=to).contains(together)).unwrap_or(to);
                self.together = Some(due);
                due
            }
            _ => now + rest.min(longest),
        };
    }
}

/// How long a partition rests that was found so, and was fruitless so often.
fn rest(outcome: Outcome, fruitless: u32, (now, spent, pace): (Instant, Duration, &Pace)) -> Duration {
    let doubled = pace.rest_open * 2_u32.pow(fruitless.min(DOUBLINGS_MAX));
    // No more seldom than one that is whole: what was missing may have come back.
    let open = doubled.min(pace.rest_whole.max(pace.rest_open));
    match outcome {
        Outcome::Whole => (spent * REST_FACTOR).max(pace.rest_whole),
        // There may be more of it, and rebuilding rests by itself.
        Outcome::Better => pace.rest_open,
        Outcome::Same => (spent * REST_FACTOR_OPEN).max(open),
        Outcome::Waiting(until) => {
            (spent * REST_FACTOR_OPEN).max(open.min(until.saturating_duration_since(now)))
        }
    }
}

#[cfg(test)]
mod tests {
    use datamesh_placement::{Layout, Member};
    use datamesh_shard::{ErasureProfile, PeerKey};

    use super::*;

    /// Of four members all hold 2+2, two of them hold 1+1 of each partition, which is the present profile.
    fn table() -> Table {
        let member = |n: u8| Member {
            node: format!("n{n}").parse().unwrap(),
            peer: PeerKey([n + 1; 32]),
            zone: "z".parse().unwrap(),
            capacity_bytes: 1 << 30,
            draining: false,
        };
        let (wide, narrow) = (ErasureProfile::new(2, 2).unwrap(), ErasureProfile::new(1, 1).unwrap());
        let first = Layout {
            cluster: "test".parse().unwrap(),
            pool: "main".parse().unwrap(),
            profile: wide,
            epoch: Epoch(1),
            partitions_log2: 3,
            members: (0..4).map(member).collect(),
            earlier: Vec::new(),
            holders: Vec::new(),
        };
        let second = Layout { profile: narrow, earlier: vec![wide], epoch: Epoch(2), ..first.clone() };
        Table::compute(Table::compute(first).unwrap().followed_by(second).unwrap()).unwrap()
    }

    #[test]
    fn each_partition_has_one_steward_as_long_as_anybody_lives_who_holds_some_of_it() {
        let (table, now) = (table(), Instant::now());
        let narrow = |partition| table.holders(partition).to_vec();
        for partition in (0..table.partitions()).map(PartitionId) {
            for away in [Vec::new(), narrow(partition)[..1].to_vec(), narrow(partition)] {
                let lives: Vec<_> = (0..4).map(|n| (!away.contains(&n)).then_some(1)).collect();
                let live = (0..4).filter(|n| !away.contains(n));
                let stewards = live.filter(|me| {
                    let mut agenda = Agenda::default();
                    agenda.observe(&table, Some(*me), lives.clone(), now);
                    agenda.has(partition)
                });
                assert_eq!(stewards.count(), 1, "{partition} without {away:?}");
            }
        }
    }

    /// How long the first partition rests that a node is steward of, when a visit took so long and so many did not say what they have.
    fn rest(outcome: Outcome, silent: u16, spent: Duration) -> Duration {
        let (table, pace, now) = (table(), Pace::default(), Instant::now());
        let mut agenda = Agenda::default();
        agenda.observe(&table, Some(0), vec![Some(1); 4], now);
        let partition = agenda.due(now)[0];
        for _ in 0..=DOUBLINGS_MAX {
            agenda.visited(partition, outcome, Seen { involved: Vec::new(), silent }, (now, spent, &pace));
        }
        agenda.entries[&partition].due - now
    }

    #[test]
    fn what_may_be_on_its_way_is_looked_at_when_it_should_have_come() {
        let (pace, now) = (Pace::default(), Instant::now());
        let after = |outcome, spent| super::rest(outcome, 2, (now, spent, &pace));
        assert_eq!(after(Outcome::Same, Duration::ZERO), pace.rest_open * 4);
        let soon = Outcome::Waiting(now + pace.rest_open);
        assert_eq!(after(soon, Duration::ZERO), pace.rest_open);
        assert_eq!(after(Outcome::Waiting(now + pace.rest_max), Duration::ZERO), pace.rest_open * 4);
        assert_eq!(
            after(soon, pace.rest_open),
            pace.rest_open * REST_FACTOR_OPEN,
            "counting takes a third at most"
        );
    }

    #[test]
    fn what_is_whole_is_looked_at_together() {
        let (table, pace, begun) = (table(), Pace::default(), Instant::now());
        let mut agenda = Agenda::default();
        agenda.observe(&table, Some(0), vec![Some(1), None, None, None], begun);
        let all = agenda.due(begun);
        // Found whole one after another, as after an outage.
        for (second, partition) in (0..).zip(&all) {
            let now = begun + Duration::from_secs(second);
            agenda.visited(*partition, Outcome::Whole, Seen::default(), (now, Duration::ZERO, &pace));
            assert!(agenda.entries[partition].due - now >= pace.rest_whole);
        }
        let next = agenda.next().unwrap();
        assert_eq!(agenda.due(next), all);
        assert!(next - begun <= pace.rest_whole + pace.rest_whole / WAITS_PART);
    }

    #[test]
    fn what_was_counted_while_a_member_was_silent_is_counted_again_soon() {
        let (pace, timeout) = (Pace::default(), Duration::from_secs(15));
        assert_eq!(rest(Outcome::Whole, 1, timeout), pace.rest_whole);
        assert_eq!(rest(Outcome::Better, 1, timeout), pace.rest_open);
        // A count that takes long, with a member away, still takes a third of the time at most.
        for outcome in [Outcome::Whole, Outcome::Same] {
            assert_eq!(rest(outcome, 1, timeout * 3), timeout * 3 * REST_FACTOR_OPEN, "{outcome:?}");
        }
    }

    #[test]
    fn the_control_where_all_have_answered_a_long_count_is_followed_by_a_long_rest() {
        let spent = Duration::from_secs(45);
        assert_eq!(rest(Outcome::Whole, 0, spent), Pace::default().rest_max);
        assert_eq!(rest(Outcome::Same, 0, spent), spent * REST_FACTOR_OPEN);
    }
}
