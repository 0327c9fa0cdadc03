//! How many slots (shards of partitions) each zone and each node is to hold.
//!
//! Slots go by capacity, as far as a node can hold them (one of a partition at most) and its zone may. A zone may hold
//! of each partition as many shards as its nodes' capacity asks for, but no more than m where the zones permit that;
//! where they do not, no zone's loss is survived however the shards lie, and capacity alone decides.

use crate::layout::Layout;

/// Fraction bits of slots while they are not rounded yet.
const POINT: u32 = 16;
/// Capacities are scaled to fewer bits than this, so that products stay within 128.
const CAPACITY_BITS: u32 = 40;

/// What each is to hold, in slots.
#[derive(Debug)]
pub(crate) struct Shares {
    /// By member.
    pub(crate) nodes: Vec<u32>,
    /// By zone.
    pub(crate) zones: Vec<u32>,
}

/// Zones by name, and each member's.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    /// By member.
    pub(crate) of: Vec<u16>,
    /// How many there are.
    pub(crate) count: usize,
}

impl Zones {
    pub(crate) fn new(layout: &Layout) -> Self {
        let mut names: Vec<_> = layout.members.iter().map(|member| &member.zone).collect();
        names.sort_unstable();
        names.dedup();
        let at =
            |name| names.binary_search(&name).ok().and_then(|at| u16::try_from(at).ok()).unwrap_or_default();
        Self { of: layout.members.iter().map(|member| at(&member.zone)).collect(), count: names.len() }
    }

    /// Members of a zone, by index.
    pub(crate) fn members(&self, zone: usize) -> impl Iterator<Item = usize> {
        self.of.iter().enumerate().filter(move |&(_, &of)| usize::from(of) == zone).map(|(member, _)| member)
    }
}

impl Shares {
    pub(crate) fn new(layout: &Layout, zones: &Zones) -> Self {
        let partitions = 1_u64 << layout.partitions_log2;
        let slots = partitions * layout.profile.total() as u64;
        let weights = weights(layout);
        let of_zone: Vec<Vec<u64>> = (0..zones.count)
            .map(|zone| zones.members(zone).map(|member| weights[member]).collect())
            .collect();
        let limit = partitions * zone_limit(layout, &of_zone, partitions);

        let demand = |zone: &[u64], level| demand(zone, level, partitions).min(limit << POINT);
        let level = level(slots, |level| of_zone.iter().map(|zone| demand(zone, level)).sum());
        let wanted: Vec<u64> = of_zone.iter().map(|zone| demand(zone, level)).collect();
        let room: Vec<u64> = of_zone.iter().map(|zone| (zone.len() as u64 * partitions).min(limit)).collect();
        let zone_slots = round(slots, &wanted, &room);

        let mut nodes = vec![0; layout.members.len()];
        for (zone, &slots) in zone_slots.iter().enumerate() {
            let shares = within(slots, &of_zone[zone], partitions);
            for (member, share) in zones.members(zone).zip(shares) {
                nodes[member] = narrow(share);
            }
        }
        Self { nodes, zones: zone_slots.into_iter().map(narrow).collect() }
    }
}

/// Data slots of each member: its k-th of k+m, so that reads are spread as shards are.
pub(crate) fn data_slots(layout: &Layout, nodes: &[u32]) -> Vec<u32> {
    let (k, total) = (u64::from(layout.profile.data()), layout.profile.total() as u64);
    let wanted: Vec<u64> = nodes.iter().map(|&slots| ((u64::from(slots) * k) << POINT) / total).collect();
    let room: Vec<u64> = nodes.iter().map(|&slots| u64::from(slots)).collect();
    round(k << layout.partitions_log2, &wanted, &room).into_iter().map(narrow).collect()
}

/// Slots fit 32 bits: 2^16 partitions of 24 shards at most.
fn narrow(slots: u64) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX)
}

fn weights(layout: &Layout) -> Vec<u64> {
    let largest = layout.members.iter().map(|member| member.capacity_bytes).max().unwrap_or(1);
    let shift = (largest.ilog2() + 1).saturating_sub(CAPACITY_BITS);
    layout.members.iter().map(|member| (member.capacity_bytes >> shift).max(1)).collect()
}

/// Shards of a partition a zone may hold.
fn zone_limit(layout: &Layout, of_zone: &[Vec<u64>], partitions: u64) -> u64 {
    let (parity, total) = (u64::from(layout.profile.parity()), layout.profile.total() as u64);
    let holds = |limit: u64| of_zone.iter().map(|zone| (zone.len() as u64).min(limit)).sum::<u64>();
    let least = (1..total).find(|&limit| holds(limit) >= total).unwrap_or(total);
    let most = if least <= parity { parity } else { total };
    let slots = partitions * total;
    let free = level(slots, |level| of_zone.iter().map(|zone| demand(zone, level, partitions)).sum());
    let largest = of_zone.iter().map(|zone| demand(zone, free, partitions)).max().unwrap_or(0);
    // A level is a hair too high rather than too low: that must not count as another shard.
    let asked = largest.saturating_sub(of_zone.iter().map(Vec::len).sum::<usize>() as u64);
    asked.div_ceil(partitions << POINT).clamp(least, most)
}

/// Slots the nodes of a zone take at a level, with [`POINT`] fraction bits.
fn demand(weights: &[u64], level: u128, partitions: u64) -> u64 {
    let full = u128::from(partitions << POINT);
    let sum: u128 =
        weights.iter().map(|&weight| ((u128::from(weight) * level) >> CAPACITY_BITS).min(full)).sum();
    u64::try_from(sum).unwrap_or(u64::MAX)
}

/// The lowest level at which all slots are taken.
fn level(slots: u64, taken: impl Fn(u128) -> u64) -> u128 {
    // At the highest one even a weight of 1 takes a slot of each of 2^16 partitions.
    let (mut low, mut high) = (0_u128, 1_u128 << (16 + POINT + CAPACITY_BITS));
    while low < high {
        let middle = low.midpoint(high);
        if taken(middle) >= slots << POINT {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn within(slots: u64, weights: &[u64], partitions: u64) -> Vec<u64> {
    let level = level(slots, |level| demand(weights, level, partitions));
    let wanted: Vec<u64> = weights.iter().map(|&weight| demand(&[weight], level, partitions)).collect();
    round(slots, &wanted, &vec![partitions; weights.len()])
}

/// Whole slots: each rounded down, what is left to the largest fractions, the first of equals first.
fn round(slots: u64, wanted: &[u64], room: &[u64]) -> Vec<u64> {
    let mut rounded: Vec<u64> =
        wanted.iter().zip(room).map(|(wanted, &room)| (wanted >> POINT).min(room)).collect();
    let mut left = slots.saturating_sub(rounded.iter().sum());
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(wanted[at] & ((1 << POINT) - 1)));
    while left > 0 {
        let before = left;
        for &at in &order {
            if left > 0 && rounded[at] < room[at] {
                rounded[at] += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    rounded
}
