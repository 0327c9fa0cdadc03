//! Who takes the shards of a segment: its holders, but for those that are away, full, or avoided.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use datamesh_exchange::PutPlan;
use datamesh_placement::{Member, NoPlace, PartitionId, Table, assign};
use datamesh_shard::{ErasureProfile, NodeName, PeerKey};

use super::spread::DEADLINES;
use crate::pools::{Pool, Pools, plan};

/// Everything a put of a segment of this partition begins with.
pub(super) fn put_plan(
    pools: &Pools,
    pool: &Pool,
    table: &Table,
    (profile, partition): (ErasureProfile, PartitionId),
) -> Result<PutPlan, NoPlace> {
    let available = pools.available(table);
    let is_available = |member: u16| available.get(usize::from(member)).copied().unwrap_or_default();
    let ack_shards = plan::asked_acks(&pool.spec, profile);
    let avoided = pools.avoided_of(table);
    let place = (profile, partition);
    let usual = match assign(table, place, is_available) {
        Ok(assignment) => assignment,
        // Where k shards are enough by the administrator's word, the holders that live will do.
        Err(_) if ack_shards.is_some_and(|asked| asked <= profile.data()) => {
            table.holders_of(profile, partition).to_vec()
        }
        Err(no_place) => return Err(no_place),
    };
    let is_late = |member: u16| {
        let member = table.layout().members.get(usize::from(member));
        member.is_some_and(|member| pools.is_late(&member.peer))
    };
    let assignment = around(table, place, usual, &avoided, (&is_available, &is_late));
    let mut spare: Vec<u16> =
        table.order(profile, partition).into_iter().filter(|member| is_available(*member)).collect();
    // Those that are avoided step in last.
    spare.sort_by_key(|member| avoided.contains(member));
    Ok(PutPlan {
        profile,
        assignment,
        spare,
        zones: table.zones().to_vec(),
        ack_shards,
        deadlines: DEADLINES,
        whole: false,
    })
}

/// To the holders and nobody else: for what is whole elsewhere until then. Where one was given up for lost, which does not come back, a
/// node that has no other shard of it stands in. `Err` names a holder that takes no shards now.
pub(super) fn whole_plan(
    pools: &Pools,
    table: &Table,
    (profile, partition): (ErasureProfile, PartitionId),
    given_up: &BTreeSet<PeerKey>,
) -> Result<PutPlan, NodeName> {
    let available = pools.available(table);
    // One that was given up and answers all the same leaves as soon as its place is taken, and is not drained before.
    let is_available = |member: u16| {
        let at = usize::from(member);
        let stays = |member: &Member| !given_up.contains(&member.peer);
        available.get(at).copied().unwrap_or_default() && table.layout().members.get(at).is_some_and(stays)
    };
    let holders = table.holders_of(profile, partition).iter();
    let members =
        holders.filter_map(|holder| Some((*holder, table.layout().members.get(usize::from(*holder))?)));
    let mut away = members.filter(|(holder, _)| !is_available(*holder)).map(|(_, member)| member).peekable();
    let first = away.peek().map(|member| member.node.clone());
    if let Some(away) = away.find(|member| !given_up.contains(&member.peer)) {
        return Err(away.node.clone());
    }
    let assignment = assign(table, (profile, partition), is_available).unwrap_or_default();
    if let Some(lost) = first
        && (assignment.is_empty() || worst_loss(&assignment, |node| node, 1) > 1)
    {
        return Err(lost);
    }
    Ok(PutPlan {
        profile,
        assignment,
        spare: Vec::new(),
        zones: table.zones().to_vec(),
        ack_shards: None,
        deadlines: DEADLINES,
        whole: true,
    })
}

/// The assignment without those that are avoided, the worst first, as far as that costs no safety.
///
/// Whoever is late in every put is left out in any case: otherwise others would take its shards all the same, only later.
fn around(
    table: &Table,
    place: (ErasureProfile, PartitionId),
    usual: Vec<u16>,
    avoided: &[u16],
    (is_available, is_late): (&dyn Fn(u16) -> bool, &dyn Fn(u16) -> bool),
) -> Vec<u16> {
    let mut left_out: Vec<u16> = Vec::new();
    let mut best = usual;
    for &member in avoided {
        left_out.push(member);
        let without = assign(table, place, |node| is_available(node) && !left_out.contains(&node));
        match without {
            Ok(without) if is_as_safe((table, place.0.m()), &without, &best, is_late(member)) => {
                best = without
            }
            _ => drop(left_out.pop()),
        }
    }
    best
}

/// Whether no loss of up to m nodes costs more than by the usual assignment, and that of a zone no more than that or m. Where
/// nodes do not matter only the zones are looked at.
fn is_as_safe((table, m): (&Table, usize), assignment: &[u16], usual: &[u16], any_nodes: bool) -> bool {
    let zone = |node: u16| table.zones().get(usize::from(node)).copied().unwrap_or_default();
    let zones = |of: &[u16]| worst_loss(of, zone, 1);
    let nodes = |of: &[u16], lost: usize| worst_loss(of, |node| node, lost);
    let no_worse = |lost| nodes(assignment, lost) <= nodes(usual, lost);
    (any_nodes || (1..=m).all(no_worse)) && zones(assignment) <= zones(usual).max(m)
}

/// Shards that are lost with so many nodes or zones, if it is those that have most.
fn worst_loss(assignment: &[u16], place: impl Fn(u16) -> u16, lost: usize) -> usize {
    let mut loads: BTreeMap<u16, usize> = BTreeMap::new();
    for node in assignment {
        *loads.entry(place(*node)).or_default() += 1;
    }
    let mut loads: Vec<usize> = loads.into_values().collect();
    loads.sort_unstable_by_key(|load| Reverse(*load));
    loads.iter().take(lost).sum()
}

#[cfg(test)]
mod tests {
    use datamesh_placement::{Layout, Member};
    use datamesh_shard::{Epoch, PeerKey};

    use super::*;

    /// The table of a pool 4+2 of so many members in so many zones.
    fn table(members: u8, zones: u8) -> Table {
        let member = |n: u8| Member {
            node: format!("n{n}").parse().unwrap(),
            peer: PeerKey([n + 1; 32]),
            zone: format!("z{}", n % zones).parse().unwrap(),
            capacity_bytes: 1 << 30,
            draining: false,
        };
        Table::compute(Layout {
            cluster: "test".parse().unwrap(),
            pool: "main".parse().unwrap(),
            profile: ErasureProfile::new(4, 2).unwrap(),
            epoch: Epoch(1),
            partitions_log2: 8,
            members: (0..members).map(member).collect(),
            earlier: Vec::new(),
            holders: Vec::new(),
        })
        .unwrap()
    }

    /// In how many partitions each of `avoided` gets a shard, and shards of a node and of a zone at most.
    fn placed(table: &Table, avoided: &[u16], late: &[u16]) -> (Vec<usize>, usize, usize) {
        let (mut takes, mut node, mut zone) = (vec![0; avoided.len()], 0, 0);
        for partition in (0..table.partitions()).map(PartitionId) {
            let usual = table.holders(partition).to_vec();
            let place = (table.layout().profile, partition);
            let placed = around(table, place, usual, avoided, (&|_| true, &|node| late.contains(&node)));
            for (takes, member) in takes.iter_mut().zip(avoided) {
                *takes += usize::from(placed.contains(member));
            }
            node = node.max(worst_loss(&placed, |node| node, 1));
            zone = zone.max(worst_loss(&placed, |node| table.zones()[usize::from(node)], 1));
        }
        (takes, node, zone)
    }

    #[test]
    fn the_avoided_take_nothing_where_that_costs_no_safety() {
        assert_eq!(placed(&table(9, 3), &[], &[]), (vec![], 1, 2));
        assert_eq!(placed(&table(9, 3), &[4, 0], &[]), (vec![0, 0], 1, 2), "each zone has one to spare");
        let (takes, node, zone) = placed(&table(9, 3), &[3, 0], &[]);
        assert_eq!((takes[0], node, zone), (0, 1, 2), "the worst is left out first");
        assert!(takes[1] > 0, "of two in one zone the other is needed there");
        assert_eq!(placed(&table(7, 1), &[0], &[]), (vec![0], 1, 6), "one zone costs what it costs anyway");
    }

    #[test]
    fn no_node_takes_two_shards_for_one_that_is_only_slow() {
        assert_eq!(placed(&table(6, 3), &[0], &[]), (vec![256], 1, 2));
        let (takes, node, _) = placed(&table(6, 3), &[0], &[0]);
        assert_eq!((takes, node), (vec![0], 2), "it would be replaced in every put, only later");
    }

    #[test]
    fn where_a_node_has_two_shards_already_no_other_takes_two_for_one_that_is_only_slow() {
        let table = table(6, 3);
        for partition in (0..table.partitions()).map(PartitionId) {
            let is_up = |node: u16| node != 5;
            let place = (table.layout().profile, partition);
            let usual = assign(&table, place, is_up).unwrap();
            let placed = around(&table, place, usual.clone(), &[0, 1], (&is_up, &|_| false));
            assert_eq!(worst_loss(&placed, |node| node, 2), worst_loss(&usual, |node| node, 2), "{placed:?}");
        }
    }
}
