//! Where writes go when nodes are away.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_placement::{PartitionId, Table, assign};

use crate::pools::Pool;

/// The largest number of one node and of one zone.
fn loads(table: &Table, nodes: &[u16]) -> (usize, usize) {
    let largest = |keys: Vec<u16>| {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
        counts.into_values().max().unwrap()
    };
    (largest(nodes.to_vec()), largest(nodes.iter().map(|&node| table.zones()[usize::from(node)]).collect()))
}

fn partitions(table: &Table) -> impl Iterator<Item = PartitionId> {
    (0..table.partitions()).map(PartitionId)
}

#[test]
fn live_holders_keep_their_shards_and_all_are_placed() {
    let table = Pool::new("six", 4, 2, 6).zones(&[2, 2, 2]).table();
    for partition in partitions(&table) {
        assert_eq!(
            assign(&table, (table.layout().profile, partition), |_| true).unwrap(),
            table.holders(partition)
        );
        // Any two of the six are dead: each of the others holds at most two, and all six are placed.
        for (first, second) in (0..6).flat_map(|first| (0..first).map(move |second| (first, second))) {
            let live = |node: u16| node != first && node != second;
            let nodes = assign(&table, (table.layout().profile, partition), live).unwrap();
            assert_eq!(nodes.len(), 6);
            for (&node, &holder) in nodes.iter().zip(table.holders(partition)) {
                assert!(live(node) && (node == holder || !live(holder)));
            }
            let (node, zone) = loads(&table, &nodes);
            assert_eq!(node, 2);
            assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), 4, "stand-ins are spread");
            // A whole zone dead leaves two zones of three each; otherwise one zone has two nodes, the others one or two.
            assert!(zone <= 3, "{nodes:?}");
        }
    }
}

#[test]
fn a_dead_zone_is_spread_over_the_others() {
    let table = Pool::new("twelve", 4, 2, 6).zones(&[3, 3, 3, 3]).table();
    for partition in partitions(&table) {
        for dead in 0..4 {
            let live = |node: u16| table.zones()[usize::from(node)] != dead;
            let nodes = assign(&table, (table.layout().profile, partition), live).unwrap();
            assert_eq!(loads(&table, &nodes), (1, 2), "one shard a node, two a zone: {nodes:?}");
        }
    }
}

#[test]
fn with_too_few_nodes_there_is_no_place() {
    let table = Pool::new("three", 2, 1, 4).zones(&[1, 1, 1]).table();
    // m = 1: the node that would take two shards could not be lost.
    let none = assign(&table, (table.layout().profile, PartitionId(0)), |node| node != 1).unwrap_err();
    assert_eq!((none.live, none.shards, none.per_node), (2, 3, 1));

    let table = Pool::new("six", 4, 2, 4).zones(&[2, 2, 2]).table();
    let nodes = assign(&table, (table.layout().profile, PartitionId(3)), |node| node < 3).unwrap();
    assert_eq!(loads(&table, &nodes).0, 2);
    assert!(assign(&table, (table.layout().profile, PartitionId(3)), |node| node < 2).is_err());
    assert!(assign(&table, (table.layout().profile, PartitionId(3)), |_| false).is_err());
}

#[test]
fn every_live_subset_is_served_as_the_rules_say() {
    let table = Pool::new("seven", 3, 2, 3).zones(&[3, 2, 2]).table();
    for partition in partitions(&table) {
        for mask in 0_u32..1 << 7 {
            let live = |node: u16| mask >> node & 1 == 1;
            let count = usize::try_from(mask.count_ones()).unwrap();
            match assign(&table, (table.layout().profile, partition), live) {
                Ok(nodes) => {
                    assert!(nodes.iter().all(|&node| live(node)));
                    assert!(loads(&table, &nodes).0 <= 2);
                    // A second shard goes to a node only when every live one has a first, or zones ask for it.
                    let zones =
                        nodes.iter().map(|&node| table.zones()[usize::from(node)]).collect::<BTreeSet<_>>();
                    let spread = nodes.iter().collect::<BTreeSet<_>>().len();
                    assert!(spread >= count.min(5) || zones.len() > 1, "{mask:07b} {nodes:?}");
                }
                Err(none) => {
                    assert_eq!(none.live, count);
                    assert!(2 * count < 5, "{mask:07b}");
                }
            }
        }
    }
}
