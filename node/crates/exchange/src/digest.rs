//! What members have of one profile of a partition, compared without saying it: where all holders have just their own shards of the same
//! segments, a hash says so, and only what differs is listed. Pure, and exact: what comes out is what [`survey()`] makes of
//! whole inventories.
//!
//! A range of segments is *whole* when every holder has exactly its shard of exactly the same segments and nobody else has
//! anything of it. All of them survive m losses then, and nothing is to be done, whatever their generations: a survey looks
//! at those of what it rebuilds only, and the ranges that hold such a segment differ and are listed.

use std::collections::BTreeMap;

use datamesh_shard::{ErasureProfile, Held, SegmentId, ShardIndex, ShardSet};
use serde::{Deserialize, Serialize};

use crate::survey::{Survey, survey};

/// Binary logarithm of the ranges of one partition at most: 256, whose digests take some 9 KiB.
pub const RANGES_LOG2_MAX: u8 = 8;
/// Digests asked for at once at most: all ranges of one partition, or one of each of as many partitions.
pub const DIGESTS_MAX: usize = 1 << RANGES_LOG2_MAX;
/// What the hash is for; part of the wire format.
const CONTEXT: &str = "datamesh 2026-11 digest of an inventory";

/// What a member has of one range of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Segments of which it has exactly the shards it should.
    pub expected: u32,
    /// BLAKE3 over their ids by rising id; zeros if there is none.
    pub ids: [u8; 32],
    /// Segments of which it has anything else.
    pub others: u32,
}

impl Digest {
    /// Segments in all.
    #[must_use]
    pub const fn segments(&self) -> u64 {
        self.expected as u64 + self.others as u64
    }
}

/// The segments of a partition in equal ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    partitions_log2: u8,
    partition: u32,
    ranges_log2: u8,
}

impl Ranges {
    /// 2^`ranges_log2` ranges of one of 2^`partitions_log2` partitions. `None` if there is no such partition, or that
    /// would be more than [`RANGES_LOG2_MAX`] says.
    #[must_use]
    pub fn new(partitions_log2: u8, partition: u32, ranges_log2: u8) -> Option<Self> {
        datamesh_placement::segments_of(partitions_log2, partition)?;
        (ranges_log2 <= RANGES_LOG2_MAX).then_some(Self { partitions_log2, partition, ranges_log2 })
    }

    /// Binary logarithm of so many ranges that naming all of them, and listing one of them, costs about the same.
    #[must_use]
    pub fn log2_for(segments: u64) -> u8 {
        let bits = u64::BITS - segments.leading_zeros();
        u8::try_from(bits.div_ceil(2)).unwrap_or(u8::MAX).min(RANGES_LOG2_MAX)
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> usize {
        1 << self.ranges_log2
    }

    /// Which of them a segment is in, if it is of this partition.
    #[must_use]
    pub fn of(self, segment: SegmentId) -> Option<usize> {
        let (shift, ranges) = (u32::from(self.partitions_log2), u32::from(self.ranges_log2));
        let partition = segment.top().checked_shr(u64::BITS - shift).unwrap_or(0);
        let within = segment.top() << shift;
        let range = within.checked_shr(u64::BITS - ranges).unwrap_or(0);
        (partition == u64::from(self.partition)).then(|| usize::try_from(range).unwrap_or(usize::MAX))
    }

    /// From the first segment of one range up to the first behind another.
    #[must_use]
    pub fn span(self, first: usize, last: usize) -> (SegmentId, Option<SegmentId>) {
        let bits = u32::from(self.partitions_log2) + u32::from(self.ranges_log2);
        let base = u64::from(self.partition) << self.ranges_log2;
        let at = |range: u64| {
            let mut id = [0; 32];
            let top = (base + range).checked_shl(u64::BITS - bits).unwrap_or(0);
            id[..8].copy_from_slice(&top.to_be_bytes());
            SegmentId(id)
        };
        let (first, next) = (first as u64, last as u64 + 1);
        (at(first), ((base + next) >> bits == 0).then(|| at(next)))
    }
}

/// Digests that are asked of a member: of one profile of some partitions, each in as many ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Binary logarithm of the number of partitions there are.
    pub partitions_log2: u8,
    /// Binary logarithm of the number of ranges of each.
    pub ranges_log2: u8,
    /// Only of the segments of this profile.
    pub profile: ErasureProfile,
    /// The partitions, and of each the shards the member should have of its segments. [`DIGESTS_MAX`] ranges in all at most.
    pub partitions: Vec<(u32, ShardSet)>,
}

impl Question {
    /// Each partition's ranges. `None` if one is no partition, if there is none, or if that would be too many digests.
    #[must_use]
    pub fn ranges(&self) -> Option<Vec<Ranges>> {
        let most = DIGESTS_MAX.checked_shr(self.ranges_log2.into()).unwrap_or(0);
        let ranges = |of: &(u32, ShardSet)| Ranges::new(self.partitions_log2, of.0, self.ranges_log2);
        (1..=most).contains(&self.partitions.len()).then(|| self.partitions.iter().map(ranges).collect())?
    }

    /// Of how many partitions, from the first on, so many digests are. `None` if they are no answer to this.
    #[must_use]
    pub fn answered(&self, digests: usize) -> Option<usize> {
        let of_each = 1_usize.checked_shl(self.ranges_log2.into())?;
        let partitions = digests / of_each;
        let is_answer = digests.is_multiple_of(of_each) && (1..=self.partitions.len()).contains(&partitions);
        is_answer.then_some(partitions)
    }
}

/// Makes the digests of one member out of its inventory of one profile, by rising segment.
pub struct Digester {
    ranges: Ranges,
    profile: ErasureProfile,
    shards: ShardSet,
    digests: Vec<Digest>,
    /// The range whose ids are being hashed.
    open: Option<(usize, blake3::Hasher)>,
}

impl Digester {
    /// Of the segments of one profile, for a member that should have these shards of each, which may be none.
    #[must_use]
    pub fn new(ranges: Ranges, (profile, shards): (ErasureProfile, ShardSet)) -> Self {
        Self { ranges, profile, shards, digests: vec![Digest::default(); ranges.count()], open: None }
    }

    /// The next row. One of another partition or profile is left out.
    pub fn add(&mut self, held: &Held) {
        let Some(range) = self.ranges.of(held.segment).filter(|_| held.profile == self.profile) else {
            return;
        };
        if held.shards != self.shards || held.shards.is_empty() {
            self.digests[range].others = self.digests[range].others.saturating_add(1);
            return;
        }
        if self.open.as_ref().is_none_or(|(open, _)| *open != range) {
            self.close();
            self.open = Some((range, blake3::Hasher::new_derive_key(CONTEXT)));
        }
        if let Some((_, hasher)) = &mut self.open {
            hasher.update(&held.segment.0);
        }
        self.digests[range].expected = self.digests[range].expected.saturating_add(1);
    }

    fn close(&mut self) {
        if let Some((range, hasher)) = self.open.take() {
            self.digests[range].ids = *hasher.finalize().as_bytes();
        }
    }

    /// One digest a range.
    #[must_use]
    pub fn finish(mut self) -> Vec<Digest> {
        self.close();
        self.digests
    }
}

/// The shards a member should have of each segment of a partition.
#[must_use]
pub fn expected(holders: &[u16], member: u16) -> ShardSet {
    let of = (0..).map(ShardIndex).zip(holders).filter(|(_, holder)| **holder == member);
    of.map(|(shard, _)| shard).collect()
}

/// How one range is, by the digests of all members that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// So many segments, of which nothing is missing and nothing is elsewhere.
    Whole(u64),
    /// All holders that answered have the same: what this one lists, the others have too, each its own shard.
    Alike(u16),
    /// Everybody's inventory is needed.
    Differs,
}

/// Compares digests, range by range. Each member must have given as many as there are ranges.
#[must_use]
pub fn compare(
    profile: ErasureProfile,
    holders: &[u16],
    ranges: Ranges,
    digests: &[(u16, Vec<Digest>)],
) -> Vec<Finding> {
    let answering: Vec<_> = digests.iter().filter(|(member, _)| holders.contains(member)).collect();
    // Where one member holds two shards, less is survived than m.
    let one_each = holders.len() == profile.total()
        && holders.iter().all(|holder| expected(holders, *holder).len() == 1);
    let finding = |range: usize| {
        let alone = digests.iter().all(|(member, of)| {
            of[range].others == 0 && (of[range].expected == 0 || holders.contains(member))
        });
        let same = answering.windows(2).all(|pair| pair[0].1[range] == pair[1].1[range]);
        match answering.first() {
            _ if !alone || !same || !one_each => Finding::Differs,
            Some((member, of)) if of[range].expected > 0 && answering.len() < holders.len() => {
                Finding::Alike(*member)
            }
            first => Finding::Whole(first.map_or(0, |(_, of)| of[range].segments())),
        }
    };
    (0..ranges.count()).map(finding).collect()
}

/// What was found and listed of a partition, until it is surveyed.
#[derive(Debug)]
pub struct Gathered {
    whole: u64,
    inventories: BTreeMap<u16, Vec<Held>>,
}

impl Gathered {
    /// Of all members that answered.
    pub fn new(answered: impl IntoIterator<Item = u16>) -> Self {
        let inventories = answered.into_iter().map(|member| (member, Vec::new())).collect();
        Self { whole: 0, inventories }
    }

    /// So many segments are whole.
    pub const fn whole(&mut self, segments: u64) {
        self.whole = self.whole.saturating_add(segments);
    }

    /// A row of one member's.
    pub fn listed(&mut self, member: u16, held: Held) {
        self.inventories.entry(member).or_default().push(held);
    }

    /// A row of one holder's which all others that answered have alike.
    pub fn alike(&mut self, holders: &[u16], held: &Held) {
        for (member, inventory) in &mut self.inventories {
            let shards = expected(holders, *member);
            if !shards.is_empty() {
                inventory.push(Held { shards, ..held.clone() });
            }
        }
    }

    /// How all of it is.
    #[must_use]
    pub fn survey(self, profile: ErasureProfile, holders: &[u16]) -> Survey {
        let inventories: Vec<_> = self.inventories.into_iter().collect();
        let mut survey = survey(profile, holders, &inventories);
        survey.whole(profile, self.whole);
        survey
    }
}
