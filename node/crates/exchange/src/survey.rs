//! What the members of a pool have of one partition: how many further losses each segment survives, and which shards
//! have to be rebuilt. Pure, so that simulation and nodes count alike.
//!
//! A shard counts where it was listed and nowhere else: a member that gave no inventory has nothing. Two shards on one
//! member count for two losses. What is reported is therefore never better than what is true.

use std::collections::BTreeMap;

use datamesh_shard::{ErasureProfile, Generation, Held, SegmentId, ShardIndex};
use serde::{Deserialize, Serialize};

/// Segments of a partition, or of many, by how they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerances {
    /// Segments that survive the loss of exactly this many further members, from 0 to the largest m of the profiles there are.
    pub segments: Vec<u64>,
    /// Those of them that survive less than the m of their own profile: fewer for the last number, which is 0.
    pub short: Vec<u64>,
    /// Segments of which fewer than k shards are to be had.
    pub unreadable: u64,
    /// Shards on members that only stand in for their holder.
    pub away: u64,
    /// Segments that are counted nowhere above, because they were first seen short of shards a moment ago: most are
    /// just being written or deleted. What is short for longer is counted.
    pub under_way: u64,
}

impl Tolerances {
    /// Adds another partition's.
    pub fn add(&mut self, other: &Self) {
        add_each(&mut self.segments, &other.segments);
        add_each(&mut self.short, &other.short);
        self.unreadable = self.unreadable.saturating_add(other.unreadable);
        self.away = self.away.saturating_add(other.away);
        self.under_way = self.under_way.saturating_add(other.under_way);
    }

    /// Whether these are worse than others of the same segments: more that cannot be read, then more that survive less.
    #[must_use]
    pub fn is_worse_than(&self, other: &Self) -> bool {
        let danger = |counts: &Self| (counts.unreadable, counts.short.clone(), counts.away, counts.under_way);
        danger(self) > danger(other)
    }

    /// Segments in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.segments.iter().fold(self.unreadable, |sum, segments| sum.saturating_add(*segments))
    }

    /// Segments that survive fewer than m further losses, or none.
    #[must_use]
    pub fn all_short(&self) -> u64 {
        self.short.iter().fold(self.unreadable, |sum, segments| sum.saturating_add(*segments))
    }

    /// One more segment of a profile with this m.
    fn count(&mut self, tolerance: usize, m: usize, segments: u64) {
        let mut of = vec![0; m + 1];
        of.iter_mut().skip(tolerance).take(1).for_each(|here| *here = segments);
        add_each(&mut self.segments, &of);
        if tolerance == m {
            of[m] = 0;
        }
        add_each(&mut self.short, &of);
    }
}

fn add_each(sums: &mut Vec<u64>, more: &[u64]) {
    sums.resize(sums.len().max(more.len()), 0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// A segment with shards that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The segment.
    pub segment: SegmentId,
    /// Its k and m.
    pub profile: ErasureProfile,
    /// What the rebuilt shards shall carry.
    pub generation: Generation,
    /// Further losses it survives now.
    pub tolerance: usize,
    /// The shards to make, and the member (index) each belongs to.
    pub missing: Vec<(ShardIndex, u16)>,
    /// Who has which shard: k different ones at least, the data shards first.
    pub sources: Vec<(ShardIndex, u16)>,
}

/// A partition's state and what is to be done about it, worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How its segments are.
    pub tolerances: Tolerances,
    /// Segments to rebuild.
    pub rebuilds: Vec<Rebuild>,
    /// Segments of which too little is there to rebuild anything, while members that answered lack their shards.
    pub lost: Vec<SegmentId>,
    /// All segments that survive fewer than m further losses, for whatever reason.
    pub short: Vec<SegmentId>,
}

impl Survey {
    /// So many more segments of a profile survive all that it allows for.
    pub(crate) fn whole(&mut self, profile: ErasureProfile, segments: u64) {
        self.tolerances.count(profile.m(), profile.m(), segments);
    }

    /// Adds what another profile's segments came to.
    pub fn add(&mut self, other: Self) {
        self.tolerances.add(&other.tolerances);
        self.rebuilds.extend(other.rebuilds);
        self.lost.extend(other.lost);
        self.short.extend(other.short);
        self.rebuilds.sort_by_key(|rebuild| (rebuild.tolerance, rebuild.segment));
    }

    /// Counts apart what is short of shards only since a moment ago.
    pub fn set_apart(&mut self, is_new: impl Fn(SegmentId) -> bool) {
        let Tolerances { segments, short, unreadable, under_way, .. } = &mut self.tolerances;
        for rebuild in self.rebuilds.iter().filter(|rebuild| is_new(rebuild.segment)) {
            if let Some(counted) = segments.get_mut(rebuild.tolerance) {
                *counted = counted.saturating_sub(1);
                *under_way += 1;
            }
            if let Some(counted) = short.get_mut(rebuild.tolerance) {
                *counted = counted.saturating_sub(1);
            }
        }
        for _ in self.lost.iter().filter(|segment| is_new(**segment)) {
            *unreadable = unreadable.saturating_sub(1);
            *under_way += 1;
        }
    }
}

/// Compares what inventories have of one profile. `holders`: its member of each shard index, by the newest layout. A holder that gave no
/// inventory is down: its shards count as lost, but nothing is rebuilt for it, since it may come back with them.
#[must_use]
pub fn survey(profile: ErasureProfile, holders: &[u16], inventories: &[(u16, Vec<Held>)]) -> Survey {
    let mut segments: BTreeMap<SegmentId, Vec<(u16, &Held)>> = BTreeMap::new();
    for (member, inventory) in inventories {
        for held in inventory.iter().filter(|held| held.profile == profile) {
            segments.entry(held.segment).or_default().push((*member, held));
        }
    }
    let answered = |member: u16| inventories.iter().any(|(other, _)| *other == member);
    let mut survey = Survey::default();
    survey.whole(profile, 0);
    for (segment, held) in segments {
        let places = Places::new(profile, holders, &held);
        survey.tolerances.away += places.away(holders);
        let missing = places.missing(holders, answered);
        if places.tolerance(profile) != Some(profile.m()) || !missing.is_empty() {
            survey.short.push(segment);
        }
        let Some(tolerance) = places.tolerance(profile) else {
            survey.tolerances.unreadable += 1;
            if !missing.is_empty() {
                survey.lost.push(segment);
            }
            continue;
        };
        survey.tolerances.count(tolerance, profile.m(), 1);
        if !missing.is_empty() {
            let generation = held.iter().map(|(_, held)| held.generation).max().unwrap_or_default();
            survey.rebuilds.push(Rebuild {
                segment,
                profile,
                generation,
                tolerance,
                missing,
                sources: places.sources(),
            });
        }
    }
    survey.rebuilds.sort_by_key(|rebuild| (rebuild.tolerance, rebuild.segment));
    survey
}

/// One member for each shard of a segment: its holder where that has it, else one that stands in.
struct Places(Vec<Option<u16>>);

impl Places {
    fn new(profile: ErasureProfile, holders: &[u16], held: &[(u16, &Held)]) -> Self {
        let place = |shard: ShardIndex| {
            let mut having =
                held.iter().filter(|(_, held)| held.shards.contains(shard)).map(|(member, _)| *member);
            let holder = holders.get(shard.at()).copied();
            let first = having.clone().next();
            having.find(|member| Some(*member) == holder).or(first)
        };
        Self((0..profile.data() + profile.parity()).map(ShardIndex).map(place).collect())
    }

    fn there(&self) -> impl Iterator<Item = (ShardIndex, u16)> {
        (0..).map(ShardIndex).zip(&self.0).filter_map(|(shard, place)| Some((shard, (*place)?)))
    }

    fn away(&self, holders: &[u16]) -> u64 {
        let away = self.there().filter(|(shard, member)| holders.get(shard.at()) != Some(member));
        away.fold(0, |sum, _| sum + 1)
    }

    /// Further losses survived: the members with the most shards go first. `None` below k.
    fn tolerance(&self, profile: ErasureProfile) -> Option<usize> {
        let mut loads: BTreeMap<u16, usize> = BTreeMap::new();
        self.there().for_each(|(_, member)| *loads.entry(member).or_default() += 1);
        let mut spare = loads.values().sum::<usize>().checked_sub(profile.k())?;
        let mut loads: Vec<usize> = loads.into_values().collect();
        loads.sort_unstable_by(|a, b| b.cmp(a));
        let mut survived = 0;
        for load in loads {
            let Some(left) = spare.checked_sub(load) else { break };
            spare = left;
            survived += 1;
        }
        Some(survived)
    }

    fn missing(&self, holders: &[u16], answered: impl Fn(u16) -> bool) -> Vec<(ShardIndex, u16)> {
        let absent = (0..).map(ShardIndex).zip(&self.0).filter(|(_, place)| place.is_none());
        let homeless = absent.filter_map(|(shard, _)| Some((shard, *holders.get(shard.at())?)));
        homeless.filter(|(_, holder)| answered(*holder)).collect()
    }

    fn sources(&self) -> Vec<(ShardIndex, u16)> {
        self.there().collect()
    }
}
