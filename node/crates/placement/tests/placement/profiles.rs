//! A pool whose profile changed: rows for each profile that has data, each as good as if it were alone.

use datamesh_placement::{Layout, LayoutError, PartitionId, Table, assign};
use datamesh_shard::ErasureProfile;

use crate::follow::{check_shares, fair, follow};
use crate::pools::{Pool, moved};
use crate::solver::fewest_moves;

fn profile(data: u8, parity: u8) -> ErasureProfile {
    ErasureProfile::new(data, parity).unwrap()
}

/// The rows of one of a table's profiles, as a table of their own.
fn alone(table: &Table, profile: ErasureProfile) -> Table {
    let partitions = (0..table.partitions()).map(PartitionId);
    let holders = partitions.flat_map(|partition| table.holders_of(profile, partition).to_vec()).collect();
    Table::compute(Layout { profile, earlier: Vec::new(), holders, ..table.layout().clone() }).unwrap()
}

#[test]
fn a_new_profile_moves_nothing_and_is_placed_as_in_a_new_pool() {
    let pool = Pool::new("changed", 4, 2, 7).zones(&[3, 3, 3, 3]).capacities(&[3, 4, 5]);
    let (before, old) = (pool.table(), profile(4, 2));
    for new in [profile(2, 1), profile(8, 3), profile(3, 3)] {
        let after = follow(&before, Layout { profile: new, earlier: vec![old], ..pool.layout() });
        assert_eq!(moved(&before, &alone(&after, old)), 0);
        let first = fair(&Layout { profile: new, ..pool.layout() });
        assert_eq!(moved(&first, &alone(&after, new)), 0, "{new}");
        assert!(after.zone_loss().is_survived());
    }
}

#[test]
fn with_two_profiles_a_change_moves_hardly_more_than_it_has_to() {
    let pool = Pool::new("two profiles", 4, 2, 7).zones(&[4, 4, 4]);
    let profiles = [profile(8, 3), profile(4, 2)];
    let first = pool.table();
    let layout = Layout { profile: profiles[0], earlier: vec![profiles[1]], ..pool.layout() };
    let before = follow(&first, layout.clone());
    let mut drained = layout.clone();
    drained.members[2].draining = true;
    let mut grown = layout.clone();
    grown.members[3].capacity_bytes *= 2;
    let split = Layout { partitions_log2: 8, ..layout };
    for (what, next) in
        [("a node drains", drained), ("has more room", grown), ("partitions are split", split)]
    {
        let after = follow(&before, next);
        for profile in profiles {
            let (before, after) = (alone(&before, profile), alone(&after, profile));
            check_shares(&after, &format!("{what}, {profile}"));
            let (moves, needed) = (moved(&before, &after), fewest_moves(&before, &fair(after.layout())));
            println!("{what}, {profile}: {moves} shards of partitions move, {needed} have to");
            assert!(moves * 10 <= needed * 11 + 240, "{what}, {profile}: {moves} move, {needed} have to");
        }
    }
}

#[test]
fn a_profile_that_comes_back_finds_its_data_where_it_was() {
    let pool = Pool::new("to and fro", 4, 2, 6).zones(&[3, 3]);
    let (old, new) = (profile(4, 2), profile(2, 1));
    let first = pool.table();
    let second = follow(&first, Layout { profile: new, earlier: vec![old], ..pool.layout() });
    let third = follow(&second, Layout { profile: old, earlier: vec![new], ..pool.layout() });
    assert_eq!((moved(&first, &third), moved(&second, &alone(&third, new))), (0, 0));
    let last = follow(&third, Layout { profile: old, ..pool.layout() });
    assert!(last.holders_of(new, PartitionId(0)).is_empty(), "nothing is left of it, nor a row");
    assert_eq!(last.layout().encode()[0], 1, "and nothing to say of it: the table's layout has no holders");
}

#[test]
fn a_write_goes_by_its_own_profile() {
    let pool = Pool::new("writes", 4, 2, 5).zones(&[3, 3]);
    let (old, new) = (profile(4, 2), profile(2, 1));
    let table = follow(&pool.table(), Layout { profile: new, earlier: vec![old], ..pool.layout() });
    for partition in (0..table.partitions()).map(PartitionId) {
        for profile in [old, new] {
            let holders = table.holders_of(profile, partition);
            assert_eq!(assign(&table, (profile, partition), |_| true).unwrap(), holders);
            let placed = assign(&table, (profile, partition), |node| node != holders[0]).unwrap();
            assert_eq!((placed.len(), &placed[1..]), (profile.total(), &holders[1..]));
            assert_eq!(table.order(profile, partition)[..profile.total()], *holders);
        }
    }
}

#[test]
fn what_has_no_rows_in_the_layout_before_or_too_many_is_refused() {
    let pool = Pool::new("refused", 4, 2, 7).zones(&[6, 6]);
    let table = pool.table();
    let with =
        |new, earlier| table.followed_by(Layout { profile: new, earlier, ..pool.layout() }).unwrap_err();
    let p = profile;
    assert_eq!(with(p(2, 1), vec![p(3, 1)]), LayoutError::Unrelated);
    assert_eq!(with(p(2, 1), vec![p(4, 2), p(4, 2)]), LayoutError::Profiles(2));
    assert_eq!(with(p(2, 1), vec![p(4, 2), p(3, 1), p(2, 2)]), LayoutError::Profiles(3));
    assert!(matches!(with(p(10, 3), vec![p(4, 2)]), LayoutError::Members { members: 12, .. }));
    let wide = Pool::new("refused", 4, 2, 15).zones(&[6, 6]).table();
    let next = Layout { profile: p(8, 3), earlier: vec![p(4, 2)], ..wide.layout().clone() };
    assert_eq!(wide.followed_by(next).unwrap_err(), LayoutError::Slots(17 << 15));
}
