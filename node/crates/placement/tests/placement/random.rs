//! What holds for any pool.

use datamesh_placement::{PartitionId, assign};
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

use crate::pools::Pool;
use crate::table::{check_rows, held};

const PARTITIONS_LOG2: u8 = 8;

/// A profile, nodes in each zone, capacities.
fn pools() -> impl Strategy<Value = ((u8, u8), Vec<usize>, Vec<u64>)> {
    let profiles = prop::sample::select(vec![(4, 2), (2, 1), (1, 1), (1, 2), (8, 4), (3, 3)]);
    let zones = prop::collection::vec(1_usize..7, 1..7);
    (profiles, zones, prop::collection::vec(1_u64..20, 1..30))
        .prop_filter("as many nodes as shards", |((k, m), zones, _)| {
            zones.iter().sum::<usize>() >= usize::from(k + m)
        })
}

proptest! {
    #[test]
    fn any_pool_has_a_good_table(((data, parity), zones, capacities) in pools()) {
        let pool = Pool::new("random", data, parity, PARTITIONS_LOG2).zones(&zones).capacities(&capacities);
        let table = pool.table();
        check_rows(&table);
        let (k, m, partitions) = (usize::from(data), usize::from(parity), 1_u64 << PARTITIONS_LOG2);

        // Zones permit it when each, giving m shards at most, can give k+m together.
        let permitted = zones.iter().map(|&nodes| nodes.min(m)).sum::<usize>() >= k + m;
        prop_assert_eq!(table.zone_loss().is_survived(), permitted);

        // Where shares by capacity alone are possible, every node has its own, to a slot.
        let layout = table.layout();
        let capacity: u64 = layout.members.iter().map(|member| member.capacity_bytes >> 30).sum();
        let slots = partitions * (k + m) as u64;
        let share = |member: u64| (slots * member).div_ceil(capacity);
        let in_zone = |zone: u16| {
            let members = layout.members.iter().zip(table.zones()).filter(move |(_, of)| **of == zone);
            members.map(|(member, _)| member.capacity_bytes >> 30).sum::<u64>()
        };
        let zones_fit = !permitted || table.zones().iter().all(|&zone| share(in_zone(zone)) <= partitions * m as u64);
        let nodes_fit = layout.members.iter().all(|member| share(member.capacity_bytes >> 30) <= partitions);
        let held = held(&table);
        for ((slots, data_slots), member) in held.iter().zip(&layout.members) {
            if zones_fit && nodes_fit {
                let share = share(member.capacity_bytes >> 30);
                prop_assert!(u64::from(*slots).abs_diff(share) <= 2, "{slots} of {share}: {held:?}");
            }
            let share = u64::from(*slots) * k as u64 / (k + m) as u64;
            prop_assert!(u64::from(*data_slots).abs_diff(share) <= 1, "{data_slots} data slots of {share}");
        }
    }

    #[test]
    fn a_dead_node_is_stood_in_for(((data, parity), zones, capacities) in pools(), dead in 0_u16..40) {
        let pool = Pool::new("random", data, parity, 3).zones(&zones).capacities(&capacities);
        let table = pool.table();
        let live = table.layout().members.len() - usize::from(usize::from(dead) < table.layout().members.len());
        for partition in (0..table.partitions()).map(PartitionId) {
            let holders = table.holders(partition);
            match assign(&table, (table.layout().profile, partition), |node| node != dead) {
                Ok(nodes) => {
                    prop_assert!(nodes.iter().zip(holders).all(|(node, holder)| (node == holder) == (*holder != dead)));
                }
                Err(_) => prop_assert!(holders.contains(&dead) && live * usize::from(parity) < holders.len()),
            }
        }
    }
}
