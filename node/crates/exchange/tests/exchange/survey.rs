//! Counting and repairing one partition.

use datamesh_exchange::survey::{Rebuild, Tolerances, survey};
use datamesh_shard::{ErasureProfile, Generation, Held, SegmentId, ShardIndex, ShardSet};

use crate::dice::Dice;

const HOLDERS: [u16; 6] = [0, 1, 2, 3, 4, 5];

fn profile() -> ErasureProfile {
    ErasureProfile::new(4, 2).unwrap()
}

fn id(n: u8) -> SegmentId {
    SegmentId([n; 32])
}

fn held(segment: u8, shards: &[u8]) -> Held {
    let shards = shards.iter().map(|shard| ShardIndex(*shard)).collect();
    Held { segment: id(segment), profile: profile(), generation: Generation(1), shards }
}

/// Each holder has its shard of segment 1, but for these.
fn without(lost: &[u16]) -> Vec<(u16, Vec<Held>)> {
    let row = |member: u16| match lost.contains(&member) {
        true => (member, Vec::new()),
        false => (member, vec![held(1, &[u8::try_from(member).unwrap()])]),
    };
    HOLDERS.map(row).to_vec()
}

#[test]
fn what_is_whole_is_left_alone() {
    let survey = survey(profile(), &HOLDERS, &without(&[]));
    assert_eq!(
        survey.tolerances,
        Tolerances { segments: vec![0, 0, 1], short: vec![0; 3], ..Tolerances::default() }
    );
    assert_eq!(survey.rebuilds, []);
    assert_eq!(survey.tolerances.all_short(), 0);
}

#[test]
fn lost_shards_are_rebuilt_where_they_belong() {
    let survey = survey(profile(), &HOLDERS, &without(&[1, 4]));
    assert_eq!(survey.tolerances.segments, [1, 0, 0]);
    let [Rebuild { missing, sources, tolerance: 0, .. }] = &survey.rebuilds[..] else { panic!("{survey:?}") };
    assert_eq!(missing, &[(ShardIndex(1), 1), (ShardIndex(4), 4)]);
    assert_eq!(sources.iter().map(|(shard, _)| shard.0).collect::<Vec<_>>(), [0, 2, 3, 5]);
}

#[test]
fn a_member_that_does_not_answer_counts_as_lost_but_is_waited_for() {
    let mut inventories = without(&[]);
    inventories.remove(3);
    let survey = survey(profile(), &HOLDERS, &inventories);
    assert_eq!(survey.tolerances.segments, [0, 1, 0]);
    assert_eq!(survey.rebuilds, []);
}

#[test]
fn two_shards_on_one_member_are_two_losses() {
    let mut inventories = without(&[5]);
    inventories[0].1 = vec![held(1, &[0, 5])];
    let survey = survey(profile(), &HOLDERS, &inventories);
    // Losing member 0 and any other leaves three.
    assert_eq!((survey.tolerances.segments.as_slice(), survey.tolerances.away), (&[0, 1, 0][..], 1));
    assert_eq!(survey.rebuilds, [], "it goes home, nothing is to be rebuilt");
}

#[test]
fn below_k_nothing_can_be_done_and_the_worst_comes_first() {
    let mut inventories = without(&[0, 1, 2]);
    for (member, rows) in &mut inventories {
        if *member > 0 {
            rows.push(held(2, &[u8::try_from(*member).unwrap()]));
        }
        if *member > 1 {
            rows.push(held(3, &[u8::try_from(*member).unwrap()]));
        }
    }
    let survey = survey(profile(), &HOLDERS, &inventories);
    assert_eq!(
        survey.tolerances,
        Tolerances { segments: vec![1, 1, 0], short: vec![1, 1, 0], unreadable: 1, ..Tolerances::default() }
    );
    assert_eq!(survey.rebuilds.iter().map(|rebuild| rebuild.segment).collect::<Vec<_>>(), [id(3), id(2)]);
}

#[test]
fn what_is_short_since_a_moment_ago_is_counted_apart() {
    let mut inventories = without(&[0, 1, 2]);
    inventories[5].1.push(held(2, &[5]));
    for (_, rows) in inventories.iter_mut().skip(1) {
        rows.push(held(3, &[1]));
    }
    let mut survey = survey(profile(), &HOLDERS, &inventories);
    let before = survey.tolerances.clone();
    assert_eq!((before.unreadable, survey.short.len()), (3, 3));
    survey.set_apart(|segment| segment == id(2));
    assert_eq!((survey.tolerances.unreadable, survey.tolerances.under_way), (2, 1));
    assert!(before.is_worse_than(&survey.tolerances) && !survey.tolerances.is_worse_than(&before));
    // A holder that is away is no reason to call anything new.
    let mut inventories = without(&[]);
    inventories.remove(3);
    let mut away = datamesh_exchange::survey::survey(profile(), &HOLDERS, &inventories);
    away.set_apart(|_| true);
    assert_eq!((away.tolerances.segments, away.tolerances.under_way), (vec![0, 1, 0], 0));
}

/// Of two profiles each segment is judged by its own: what is all that one allows for is too little for the other.
#[test]
fn segments_of_two_profiles_are_counted_each_by_its_own() {
    let (old, new) = (profile(), ErasureProfile::new(2, 1).unwrap());
    let mut inventories = without(&[0]);
    let row = |segment, profile, shard| Held { profile, ..held(segment, &[shard]) };
    (0..3).for_each(|n| inventories[usize::from(n) + 3].1.push(row(2, new, n)));
    (0..2).for_each(|n| inventories[usize::from(n) + 3].1.push(row(3, new, n)));
    let mut both = survey(old, &HOLDERS, &inventories);
    both.add(survey(new, &[3, 4, 5], &inventories));
    let Tolerances { segments, short, unreadable, .. } = both.tolerances.clone();
    assert_eq!((segments, short, unreadable), (vec![1, 2, 0], vec![1, 1, 0], 0));
    assert_eq!((both.tolerances.total(), both.tolerances.all_short()), (3, 2));
    let due: Vec<_> = both.rebuilds.iter().map(|due| (due.segment, due.profile, due.tolerance)).collect();
    assert_eq!(due, [(id(3), new, 0), (id(1), old, 1)], "worst first, whichever profile");
    // One of whose profile the layout has no rows is judged by its own shape; nobody is to be given anything.
    let stray = survey(new, &[], &inventories);
    assert_eq!((stray.tolerances.segments, stray.tolerances.away), (vec![1, 1], 5));
    assert!(stray.rebuilds.is_empty());
}

/// Never better than the truth: whatever members are lost, as many as the survey says are survived.
#[test]
fn a_stated_tolerance_holds_for_every_choice_of_losses() {
    let mut dice = Dice::new(7);
    for _ in 0..2000 {
        let mut sets = [ShardSet::EMPTY; 8];
        for _ in 0..dice.below(14) {
            sets[dice.below(8)].insert(ShardIndex(u8::try_from(dice.below(6)).unwrap()));
        }
        let row = |(member, shards): (usize, &ShardSet)| {
            let held =
                Held { segment: id(1), profile: profile(), generation: Generation(1), shards: *shards };
            (u16::try_from(member).unwrap(), if shards.is_empty() { vec![] } else { vec![held] })
        };
        let inventories: Vec<_> = sets.iter().enumerate().map(row).collect();
        let counted = survey(profile(), &HOLDERS, &inventories).tolerances;
        let Some(stated) = counted.segments.iter().position(|segments| *segments == 1) else { continue };
        for lost in 0_u32..256 {
            if lost.count_ones() as usize != stated {
                continue;
            }
            let left: ShardSet = sets
                .iter()
                .enumerate()
                .filter(|(member, _)| lost & (1 << member) == 0)
                .flat_map(|(_, set)| set.iter())
                .collect();
            assert!(left.len() >= 4, "{sets:?} without {lost:b}, said to survive {stated}");
        }
    }
}
