//! The table partition -> holders of one layout.

use std::collections::BTreeSet;

use datamesh_shard::limits::PARTITIONS_LOG2_MAX;
use datamesh_shard::{ErasureProfile, SegmentId};

use crate::draw::Prices;
use crate::ground::Ground;
use crate::layout::{Layout, LayoutError};
use crate::rearrange::rearrange;
use crate::shares::Zones;

/// One slice of the segment ids of a pool: all its segments have the same holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// As an array index.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The segment ids of a partition among 2^`partitions_log2`: from the first on, up to the next partition's first, which
/// the last partition does not have. `None` where there is no such partition.
#[must_use]
pub fn segments_of(partitions_log2: u8, partition: u32) -> Option<(SegmentId, Option<SegmentId>)> {
    let partitions =
        1_u64.checked_shl(partitions_log2.into()).filter(|_| partitions_log2 <= PARTITIONS_LOG2_MAX)?;
    let first = |partition: u64| {
        let mut id = [0; 32];
        // A single partition begins at zero, where shifting by all 64 bits would be none.
        let top = partition.checked_shl(64 - u32::from(partitions_log2)).unwrap_or(0);
        id[..8].copy_from_slice(&top.to_be_bytes());
        SegmentId(id)
    };
    let (this, next) = (u64::from(partition), u64::from(partition) + 1);
    (this < partitions).then(|| (first(this), (next < partitions).then(|| first(next))))
}

/// What the loss of a whole zone costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLoss {
    /// Zones of the members that stay.
    pub zones: usize,
    /// Shards of one segment in one zone, in the worst partition.
    pub shards: usize,
    /// Shards that may be lost: its profile's m.
    pub parity: usize,
}

impl ZoneLoss {
    /// Whether every segment survives the loss of any one zone (as long as all its shards lie with their holders).
    #[must_use]
    pub const fn is_survived(self) -> bool {
        self.shards <= self.parity
    }
}

/// Which members hold each partition. Every member computes the same one from the same layout.
#[derive(Debug)]
pub struct Table {
    /// Without its holders, which are below.
    layout: Layout,
    /// Of all members.
    zones: Zones,
    /// The member index of each that stays. Nothing below is computed of the others, so they make no difference.
    staying: Vec<u16>,
    /// Of those that stay, by position in that list.
    prices: Prices,
    /// One a profile, the present one first.
    rows: Vec<Rows>,
}

/// The holders of one profile's segments.
#[derive(Debug)]
struct Rows {
    profile: ErasureProfile,
    /// k+m member indexes for each partition, by shard index.
    holders: Vec<u16>,
}

impl Rows {
    fn of(&self, partition: PartitionId) -> &[u16] {
        let total = self.profile.total();
        let from = partition.at().saturating_mul(total);
        self.holders.get(from..from.saturating_add(total)).unwrap_or_default()
    }
}

impl Table {
    /// Computes the table. The order in which the layout lists its members makes no difference: they are sorted first.
    ///
    /// # Errors
    /// Names what is wrong with the layout.
    pub fn compute(mut layout: Layout) -> Result<Self, LayoutError> {
        if layout.holders.is_empty() {
            layout.members.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        }
        layout.check()?;
        let holders = std::mem::take(&mut layout.holders);
        if holders.is_empty() && !layout.earlier.is_empty() {
            return Err(LayoutError::Profiles(layout.earlier.len()));
        }
        let ground = Ground::new(&layout, layout.profile);
        let mut holders = if holders.is_empty() { ground.members(&ground.place()) } else { holders };
        let rows = |profile: ErasureProfile| {
            let others = holders.split_off(profile.total() << layout.partitions_log2);
            Rows { profile, holders: std::mem::replace(&mut holders, others) }
        };
        let rows = layout.profiles().map(rows).collect();
        let Ground { staying, prices, .. } = ground;
        Ok(Self { zones: Zones::new(&layout), layout, staying, prices, rows })
    }

    /// The layout that is to follow this table's, given its members, profiles and the number of its partitions: with holders for
    /// each, so chosen that few shards move; each profile's by themselves. A partition that is split leaves its holders to both
    /// halves.
    ///
    /// # Errors
    /// Names what is wrong with the layout, also that it would have fewer partitions than this one, or is another pool's.
    pub fn followed_by(&self, mut layout: Layout) -> Result<Layout, LayoutError> {
        layout.holders = Vec::new();
        layout.members.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        layout.check()?;
        if layout.partitions_log2 < self.layout.partitions_log2 {
            return Err(LayoutError::Joined);
        }
        let is_known = |profile: &ErasureProfile| self.layout.profiles().any(|known| known == *profile);
        if layout.pool != self.layout.pool || !layout.earlier.iter().all(is_known) {
            return Err(LayoutError::Unrelated);
        }
        layout.holders = layout.profiles().flat_map(|profile| rearrange(self, &layout, profile)).collect();
        Ok(layout)
    }

    /// The layout, its members sorted: what member indexes point into. Its holders are asked of the table.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        1 << self.layout.partitions_log2
    }

    /// The partition a segment belongs to: the top bits of its id.
    #[must_use]
    pub fn partition_of(&self, segment: SegmentId) -> PartitionId {
        // At most 16 bits are left of the 64.
        let top = segment.top().checked_shr(64 - u32::from(self.layout.partitions_log2)).unwrap_or(0);
        PartitionId(u32::try_from(top).unwrap_or_default())
    }

    /// The k+m members that hold what is written to a partition now, by shard index. A partition that the table does not have
    /// has no holders.
    #[must_use]
    pub fn holders(&self, partition: PartitionId) -> &[u16] {
        self.holders_of(self.layout.profile, partition)
    }

    /// The k+m members that hold what a partition has of this profile, by shard index. None of a profile that the table does
    /// not have.
    #[must_use]
    pub fn holders_of(&self, profile: ErasureProfile, partition: PartitionId) -> &[u16] {
        let rows = self.rows.iter().find(|rows| rows.profile == profile);
        rows.map_or(&[], |rows| rows.of(partition))
    }

    /// The members that look after a partition, all its profiles' segments: the first of them that lives is its steward. The holders
    /// of the present profile, then those of earlier ones: while any segment of it has a holder that lives, it has a steward.
    /// Members come more than once.
    pub fn stewards(&self, partition: PartitionId) -> impl Iterator<Item = u16> {
        self.rows.iter().flat_map(move |rows| rows.of(partition)).copied()
    }

    /// All members: the holders of this profile in shard order, then the others in the order in which they step in, at last those
    /// that drain, which step in for nobody.
    #[must_use]
    pub fn order(&self, profile: ErasureProfile, partition: PartitionId) -> Vec<u16> {
        let holders = self.holders_of(profile, partition);
        let mut others: Vec<(i64, u16)> = (0..)
            .zip(&self.staying)
            .filter(|(_, member)| !holders.contains(member))
            .map(|(position, member)| (self.prices.stand_in(partition.at(), position), *member))
            .collect();
        others.sort_unstable();
        let others = others.into_iter().map(|(_, member)| member);
        holders.iter().copied().chain(others).chain(self.draining()).collect()
    }

    /// Members that give their shards away, by index.
    pub fn draining(&self) -> impl Iterator<Item = u16> {
        (0..).zip(&self.layout.members).filter(|(_, member)| member.draining).map(|(at, _)| at)
    }

    /// The zone of each member, by member index: equal numbers, equal zones.
    #[must_use]
    pub fn zones(&self) -> &[u16] {
        &self.zones.of
    }

    /// What the loss of a whole zone costs, by the profile that takes it worst. Where zones permit it at most m shards of a
    /// segment; this says whether they do.
    #[must_use]
    pub fn zone_loss(&self) -> ZoneLoss {
        let worst = self.rows.iter().map(|rows| (self.shards_in_a_zone(rows), rows.profile.m()));
        let worst = worst.max_by_key(|(shards, parity)| {
            i64::try_from(*shards).unwrap_or(i64::MAX) - i64::try_from(*parity).unwrap_or(0)
        });
        let zones: BTreeSet<u16> = self
            .staying
            .iter()
            .filter_map(|member| self.zones.of.get(usize::from(*member)).copied())
            .collect();
        let (shards, parity) = worst.unwrap_or_default();
        ZoneLoss { zones: zones.len(), shards, parity }
    }

    /// Shards of one segment in one zone, in the worst partition.
    fn shards_in_a_zone(&self, rows: &Rows) -> usize {
        let mut shards = 0;
        let mut in_zone = vec![0_usize; self.zones.count];
        for row in rows.holders.chunks_exact(rows.profile.total()) {
            in_zone.fill(0);
            for &member in row {
                let zone = usize::from(self.zones.of[usize::from(member)]);
                in_zone[zone] += 1;
                shards = shards.max(in_zone[zone]);
            }
        }
        shards
    }
}
