//! The holders of a layout that follows another. A shard stays where it is unless its holder drains, a zone has more shards
//! of a segment than it may, or a member more than its share.

use std::cmp::Reverse;

use datamesh_shard::ErasureProfile;

use crate::ground::Ground;
use crate::layout::Layout;
use crate::table::{PartitionId, Table};

/// k+m member indexes for each partition of `layout`, by shard index, in this profile. One that is new has nothing that could
/// move: its rows are computed like those of a first layout.
pub(crate) fn rearrange(old: &Table, layout: &Layout, profile: ErasureProfile) -> Vec<u16> {
    let ground = Ground::new(layout, profile);
    if !old.layout().profiles().any(|known| known == profile) {
        return ground.members(&ground.place());
    }
    let rows = kept_rows(old, &ground.layout);
    let holders = Vacancies::new(&ground, &rows).fill(rows);
    ground.members(&ground.balance().sparing().run(holders))
}

/// One partition: the position of the holder of each shard, where it has one.
type Row = Vec<Option<u16>>;

/// Where everything of the profile lies now, as far as it may stay.
fn kept_rows(old: &Table, staying: &Layout) -> Vec<Row> {
    let position = |member: &u16| {
        let node = &old.layout().members.get(usize::from(*member))?.node;
        let at = staying.members.binary_search_by(|member| member.node.cmp(node)).ok()?;
        u16::try_from(at).ok()
    };
    let positions: Vec<Option<u16>> =
        (0..).take(old.layout().members.len()).map(|member| position(&member)).collect();
    let splits = staying.partitions_log2 - old.layout().partitions_log2;
    let row = |partition: u32| {
        let holders = old.holders_of(staying.profile, PartitionId(partition >> splits)).iter();
        holders.map(|member| positions.get(usize::from(*member)).copied().flatten()).collect()
    };
    (0..1 << staying.partitions_log2).map(row).collect()
}

/// Shards without a holder, and those to be.
struct Vacancies<'a> {
    ground: &'a Ground,
    /// Slots of each now: of data, of parity.
    held: Vec<[u32; 2]>,
}

impl<'a> Vacancies<'a> {
    fn new(ground: &'a Ground, rows: &[Row]) -> Self {
        let mut vacancies = Self { ground, held: vec![[0; 2]; ground.slots.len()] };
        for (slot, at) in rows.iter().flat_map(|row| row.iter().enumerate()) {
            at.iter().for_each(|at| vacancies.count(slot, *at, 1));
        }
        vacancies
    }

    fn fill(mut self, rows: Vec<Row>) -> Vec<u16> {
        rows.into_iter().enumerate().flat_map(|(partition, row)| self.fill_row(partition, row)).collect()
    }

    /// How a partition's shards are spread over the zones.
    fn in_zones(&self, row: &Row) -> Vec<usize> {
        let mut in_zones = vec![0; self.ground.zones.count];
        row.iter().flatten().for_each(|at| in_zones[self.zone(*at)] += 1);
        in_zones
    }

    fn zone(&self, at: u16) -> usize {
        usize::from(self.ground.zones.of[usize::from(at)])
    }

    fn class(&self, slot: usize) -> usize {
        usize::from(slot >= self.ground.layout.profile.k())
    }

    fn count(&mut self, slot: usize, at: u16, by: i32) {
        let class = self.class(slot);
        let held = &mut self.held[usize::from(at)][class];
        *held = held.saturating_add_signed(by);
    }

    /// How much of its share a member is short of, in 2^16ths, of all slots and of those like this one together; below zero where
    /// it has too much.
    fn want(&self, slot: usize, at: u16) -> i64 {
        let (share, data, held) = {
            let at = usize::from(at);
            (self.ground.slots[at], self.ground.data[at], self.held[at])
        };
        let lacks =
            |share: u32, held: u32| ((i64::from(share) - i64::from(held)) << 16) / i64::from(share.max(1));
        let class = self.class(slot);
        lacks(share, held[0] + held[1]) + lacks([data, share - data][class], held[class])
    }

    fn fill_row(&mut self, partition: usize, mut row: Row) -> Vec<u16> {
        while let Some(slot) = self.slot_to_vacate(&row) {
            if let Some(at) = row[slot].take() {
                self.count(slot, at, -1);
            }
        }
        for slot in 0..row.len() {
            if row[slot].is_none()
                && let Some(at) = self.choose(partition, slot, &row)
            {
                row[slot] = Some(at);
                self.count(slot, at, 1);
            }
        }
        row.into_iter().flatten().collect()
    }

    /// A shard that must not stay, so that every zone has as many of the partition as it has to and may have.
    fn slot_to_vacate(&self, row: &Row) -> Option<usize> {
        let (in_zones, bounds) = (self.in_zones(row), &self.ground.bounds);
        let owed = (0..in_zones.len()).map(|zone| bounds.least[zone].saturating_sub(in_zones[zone]));
        let lacks_room = owed.sum::<usize>() > row.iter().filter(|at| at.is_none()).count();
        let must_leave = |at: u16| {
            let zone = self.zone(at);
            in_zones[zone] > bounds.most[zone] || lacks_room && in_zones[zone] > bounds.least[zone]
        };
        let leaving = row.iter().enumerate().filter_map(|(slot, at)| at.map(|at| (slot, at)));
        let leaving = leaving.filter(|(_, at)| must_leave(*at));
        // Zones above their bound first: others may be left alone then.
        let rank = |&(slot, at): &(usize, u16)| {
            let zone = self.zone(at);
            (Reverse(in_zones[zone] > bounds.most[zone]), self.want(slot, at), slot)
        };
        leaving.min_by_key(rank).map(|(slot, _)| slot)
    }

    /// Who is to hold a shard: of those that may, whoever is shortest of its share.
    fn choose(&self, partition: usize, slot: usize, row: &Row) -> Option<u16> {
        let (in_zones, bounds) = (self.in_zones(row), &self.ground.bounds);
        let owed: usize =
            (0..in_zones.len()).map(|zone| bounds.least[zone].saturating_sub(in_zones[zone])).sum();
        let is_due = owed >= row.iter().filter(|at| at.is_none()).count();
        let may = |at: &u16| {
            let zone = self.zone(*at);
            let room = if is_due { bounds.least[zone] } else { bounds.most[zone] };
            in_zones[zone] < room
        };
        let members = || (0..).take(self.ground.slots.len()).filter(|at| !row.contains(&Some(*at)));
        let price = |at: u16| self.ground.prices.price(partition, slot, usize::from(at));
        let rank = |at: &u16| (Reverse(self.want(slot, *at)), price(*at));
        members().filter(may).min_by_key(rank).or_else(|| members().min_by_key(rank))
    }
}
