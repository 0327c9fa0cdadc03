//! Digests instead of inventories: the same counts, whatever the members have.

use std::collections::BTreeMap;

use datamesh_exchange::digest::{
    DIGESTS_MAX, Digest, Digester, Finding, Gathered, Question, Ranges, compare, expected,
};
use datamesh_exchange::survey::{Survey, survey};
use datamesh_shard::{ErasureProfile, Generation, Held, SegmentId, ShardIndex, ShardSet};

use crate::dice::{Dice, seed};

const PARTITIONS_LOG2: u8 = 3;
const PARTITION: u32 = 5;
const MEMBERS: u16 = 8;

type Inventories = Vec<(u16, Vec<Held>)>;

fn profile() -> ErasureProfile {
    ErasureProfile::new(4, 2).unwrap()
}

fn ranges(log2: u8) -> Ranges {
    Ranges::new(PARTITIONS_LOG2, PARTITION, log2).unwrap()
}

fn segment(dice: &mut Dice) -> SegmentId {
    let mut id = [0; 32];
    id.iter_mut().for_each(|byte| *byte = dice.byte());
    id[0] = u8::try_from(PARTITION << 5).unwrap() | (id[0] >> 3);
    SegmentId(id)
}

/// Who has which shards of one segment: most are whole, the others in every way that may be.
fn lies(dice: &mut Dice, holders: &[u16], damaged: usize) -> BTreeMap<u16, ShardSet> {
    let mut sets: BTreeMap<u16, ShardSet> =
        holders.iter().map(|holder| (*holder, expected(holders, *holder))).collect();
    if dice.percent(damaged) {
        for _ in 0..dice.below(4) {
            // Lost, one a holder has no business with, or a copy on somebody else.
            let shard = ShardIndex(u8::try_from(dice.below(6)).unwrap());
            let member = u16::try_from(dice.below(MEMBERS.into())).unwrap();
            match dice.below(3) {
                0 => drop(sets.remove(&holders[shard.at()])),
                _ => sets.entry(member).or_insert(ShardSet::EMPTY).insert(shard),
            }
        }
    }
    sets
}

fn inventories(dice: &mut Dice, holders: &[u16]) -> Inventories {
    let answering: Vec<u16> = match dice.below(3) {
        0 => (0..MEMBERS).filter(|_| dice.percent(80)).collect(),
        _ => (0..MEMBERS).collect(),
    };
    let (segments, damaged) = (dice.below(120), [0, 2, 30][dice.below(3)]);
    let mut rows: BTreeMap<u16, Vec<Held>> = answering.iter().map(|member| (*member, Vec::new())).collect();
    for _ in 0..segments {
        let id = segment(dice);
        for (member, shards) in lies(dice, holders, damaged) {
            let generation = Generation(u64::from(dice.percent(10)));
            let held = Held { segment: id, profile: profile(), generation, shards };
            rows.get_mut(&member).into_iter().for_each(|rows| rows.push(held.clone()));
        }
    }
    rows.values_mut().for_each(|rows| rows.sort_by_key(|held| held.segment));
    rows.into_iter().collect()
}

fn digests(inventories: &Inventories, holders: &[u16], ranges: Ranges) -> Vec<(u16, Vec<Digest>)> {
    let digest = |(member, rows): &(u16, Vec<Held>)| {
        let mut digester = Digester::new(ranges, (profile(), expected(holders, *member)));
        rows.iter().for_each(|held| digester.add(held));
        (*member, digester.finish())
    };
    inventories.iter().map(digest).collect()
}

/// What a steward does, and how many rows it reads.
fn by_digests(
    inventories: &Inventories,
    holders: &[u16],
    ranges: Ranges,
    digests: &[(u16, Vec<Digest>)],
) -> (Survey, usize) {
    let findings = compare(profile(), holders, ranges, digests);
    let mut gathered = Gathered::new(inventories.iter().map(|(member, _)| *member));
    let mut read = 0;
    for (range, finding) in findings.iter().enumerate() {
        let of = |rows: &[Held]| -> Vec<Held> {
            rows.iter().filter(|held| ranges.of(held.segment) == Some(range)).cloned().collect()
        };
        for (member, rows) in inventories {
            match finding {
                Finding::Differs => of(rows).into_iter().for_each(|held| {
                    read += 1;
                    gathered.listed(*member, held);
                }),
                Finding::Alike(one) if one == member => of(rows).iter().for_each(|held| {
                    read += 1;
                    gathered.alike(holders, held);
                }),
                Finding::Alike(_) | Finding::Whole(_) => {}
            }
        }
        if let Finding::Whole(segments) = finding {
            gathered.whole(*segments);
        }
    }
    (gathered.survey(profile(), holders), read)
}

#[test]
fn counts_are_those_of_whole_inventories() {
    let mut dice = Dice::new(seed("counts_are_those_of_whole_inventories"));
    let (mut read, mut all, mut whole, mut alike) = (0, 0, 0, 0);
    for round in 0..3000 {
        let mut holders: Vec<u16> = (0..MEMBERS).collect();
        (0..6).for_each(|at| holders.swap(at, at + dice.below(usize::from(MEMBERS) - at)));
        holders.truncate(6);
        let inventories = inventories(&mut dice, &holders);
        let ranges = ranges(u8::try_from(dice.below(9)).unwrap());
        let digests = digests(&inventories, &holders, ranges);
        let (counted, rows) = by_digests(&inventories, &holders, ranges, &digests);
        assert_eq!(counted, survey(profile(), &holders, &inventories), "round {round}");
        let found = compare(profile(), &holders, ranges, &digests);
        whole += found.iter().filter(|found| matches!(found, Finding::Whole(1..))).count();
        alike += found.iter().filter(|found| matches!(found, Finding::Alike(_))).count();
        (read, all) = (read + rows, all + inventories.iter().map(|(_, rows)| rows.len()).sum::<usize>());
    }
    assert!(whole > 1000 && alike > 1000 && read * 2 < all, "{whole} {alike}; {read} rows of {all} read");
}

/// Whether counts are another once something is left out of the digests.
fn matters(inventories: &Inventories, forget: fn(&mut Digest)) -> bool {
    let holders = [0, 1, 2, 3, 4, 5];
    let mut digests = digests(inventories, &holders, ranges(0));
    digests.iter_mut().flat_map(|(_, of)| of).for_each(forget);
    let (counted, _) = by_digests(inventories, &holders, ranges(0), &digests);
    counted != survey(profile(), &holders, inventories)
}

/// The control: each part of a digest is needed.
#[test]
fn a_digest_that_leaves_something_out_is_seen_in_the_counts() {
    let mut dice = Dice::new(11);
    let ids = [segment(&mut dice), segment(&mut dice)];
    // As many everywhere: who lacks which is seen by the ids alone.
    let row = |segment: SegmentId, member: u16| {
        let shards = expected(&[0, 1, 2, 3, 4, 5], member);
        Held { segment, profile: profile(), generation: Generation(0), shards }
    };
    let mut inventories: Inventories = (0..6).map(|n| (n, vec![row(ids[0], n)])).collect();
    inventories[1].1 = vec![row(ids[1], 1)];
    assert!(matters(&inventories, |digest| digest.ids = [0; 32]));
    // One that has none of it.
    let mut inventories: Inventories = (0..6).map(|n| (n, vec![row(ids[0], n)])).collect();
    inventories[1].1.clear();
    assert!(matters(&inventories, |digest| {
        digest.ids = [0; 32];
        digest.expected = 1;
    }));
    // Something that only somebody else has.
    let mut inventories: Inventories = (0..6).map(|n| (n, vec![row(ids[0], n)])).collect();
    inventories.push((6, vec![row(ids[1], 0)]));
    assert!(matters(&inventories, |digest| digest.others = 0));
    assert!(!matters(&inventories, |_| {}));
}

#[test]
fn ranges_cover_their_partition_and_nothing_else() {
    let mut dice = Dice::new(3);
    for (partitions_log2, partition) in [(0, 0), (3, 5), (3, 7), (16, 65_535), (16, 0)] {
        let (first, end) = datamesh_placement::segments_of(partitions_log2, partition).unwrap();
        for log2 in 0..=8 {
            let ranges = Ranges::new(partitions_log2, partition, log2).unwrap();
            assert_eq!(ranges.span(0, ranges.count() - 1), (first, end));
            for range in 1..ranges.count() {
                assert_eq!(ranges.span(range - 1, range - 1).1, Some(ranges.span(range, range).0));
            }
            for _ in 0..100 {
                let mut id = first.0;
                id[2..].iter_mut().for_each(|byte| *byte = dice.byte());
                let segment = SegmentId(id);
                let (from, to) = ranges.of(segment).map(|range| ranges.span(range, range)).unwrap();
                assert!(from <= segment && to.is_none_or(|to| segment < to));
            }
        }
    }
    assert_eq!(Ranges::new(3, 8, 0), None);
    assert_eq!(Ranges::new(3, 0, 9), None);
    assert_eq!(ranges(2).of(SegmentId([0; 32])), None, "of another partition");
    assert_eq!([0, 1, 16, 1000, 16_000, 1 << 40].map(Ranges::log2_for), [0, 1, 3, 5, 7, 8]);
}

#[test]
fn golden_digest() {
    let mut digester = Digester::new(ranges(0), (profile(), [ShardIndex(2)].into_iter().collect()));
    for n in 0..3 {
        let shards = [ShardIndex(if n == 1 { 3 } else { 2 })].into_iter().collect();
        let (segment, generation) = (SegmentId([0xa0 + n; 32]), Generation(7));
        let row = Held { segment, profile: profile(), generation, shards };
        digester.add(&row);
        // Another profile's make no difference.
        let profile = ErasureProfile::new(2, 1).unwrap();
        digester.add(&Held { segment: SegmentId([0xb0 + n; 32]), profile, ..row });
    }
    let [Digest { expected: 2, others: 1, ids }] = digester.finish()[..] else { panic!("other counts") };
    let ids: String = ids.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ids, include_str!("../golden/digest.txt").trim());
}

fn question(partitions: impl IntoIterator<Item = u32>, ranges_log2: u8) -> Question {
    let partitions = partitions.into_iter().map(|partition| (partition, ShardSet::EMPTY)).collect();
    Question { partitions_log2: 10, ranges_log2, profile: profile(), partitions }
}

#[test]
fn no_question_is_answered_by_more_digests_than_there_may_be() {
    let most = u32::try_from(DIGESTS_MAX).unwrap();
    for (partitions, ranges_log2) in [(most, 0), (most / 2, 1), (1, 8)] {
        let ranges = question(0..partitions, ranges_log2).ranges().unwrap();
        assert_eq!(ranges.into_iter().map(Ranges::count).sum::<usize>(), DIGESTS_MAX);
        assert_eq!(question(0..=partitions, ranges_log2).ranges(), None);
    }
    for (partitions, ranges_log2) in [(0..0, 0), (0..1, 9), (0..1, u8::MAX), (1023..1025, 0)] {
        assert_eq!(question(partitions, ranges_log2).ranges(), None);
    }
}

#[test]
fn an_answer_is_of_whole_partitions_of_one_at_least_and_of_none_that_was_not_asked_for() {
    let asked = question(0..3, 2);
    let answered: Vec<_> = (0..=16).filter_map(|digests| Some((digests, asked.answered(digests)?))).collect();
    assert_eq!(answered, [(4, 1), (8, 2), (12, 3)]);
}
