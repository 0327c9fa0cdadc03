use datamesh_shard::Cipher;

use super::*;

fn name(n: usize) -> NodeName {
    NodeName::new(&format!("n{n}")).unwrap()
}

fn spec(members: usize) -> PoolSpec {
    let member = |n| DesiredMember {
        node: name(n),
        zone: ZoneName::new(&format!("z{}", n % 3)).unwrap(),
        capacity_bytes: 1 << 30,
    };
    PoolSpec {
        erasure: ErasureProfile::new(4, 2).unwrap(),
        cipher: Cipher::default(),
        ack_shards: None,
        members: (0..members).map(member).collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}

fn joined(members: usize) -> BTreeMap<NodeName, PeerKey> {
    (0..members).map(|n| (name(n), PeerKey([u8::try_from(n).unwrap(); 32]))).collect()
}

fn next(spec: &PoolSpec, joined: &BTreeMap<NodeName, PeerKey>, current: Option<&Layout>) -> Step {
    drained(spec, joined, &[], &[], current)
}

/// The step while some drain, and some have nothing any more.
fn drained(
    spec: &PoolSpec,
    joined: &BTreeMap<NodeName, PeerKey>,
    drains: &[usize],
    drained: &[usize],
    current: Option<&Layout>,
) -> Step {
    let names = |numbers: &[usize]| numbers.iter().map(|n| name(*n)).collect::<BTreeSet<_>>();
    let (drains, drained) = (&names(drains), &names(drained));
    let members = current.map_or(&[][..], |layout| &layout.members).iter();
    let lost = members.filter(|member| joined.get(&member.node) != Some(&member.peer));
    let lost = &lost.map(|member| member.node.clone()).collect();
    let empty = &BTreeSet::new();
    let wish = Wish { spec, drains, joined, drained, lost, empty, partitions_log2: None };
    step(&NodeName::new("c").unwrap(), &PoolName::new("p").unwrap(), &wish, current)
}

fn draining(layout: &Layout) -> Vec<String> {
    layout.members.iter().filter(|member| member.draining).map(|member| member.node.to_string()).collect()
}

#[test]
fn who_is_not_wanted_drains_and_goes_once_it_has_nothing() {
    let first = committed(next(&spec(8), &joined(8), None));
    let mut fewer = spec(8);
    fewer.members.remove(2);
    // Being empty before the layout says that it drains is worth nothing: it takes shards still.
    let second = committed(drained(&fewer, &joined(8), &[], &[2], Some(&first)));
    assert_eq!((second.members.len(), draining(&second)), (8, vec!["n2".to_owned()]));
    assert_eq!(next(&fewer, &joined(8), Some(&second)), Step::Keep);
    let third = committed(drained(&fewer, &joined(8), &[], &[2], Some(&second)));
    assert_eq!((third.members.len(), draining(&third).len(), third.epoch), (7, 0, Epoch(3)));
    // Wanted again before it went.
    let back = committed(next(&spec(8), &joined(8), Some(&second)));
    assert_eq!((back.members.len(), draining(&back).len()), (8, 0));
}

#[test]
fn a_pool_that_grew_has_its_partitions_split() {
    let first = committed(next(&spec(8), &joined(8), None));
    let second = committed(next(&spec(24), &joined(24), Some(&first)));
    let third = committed(next(&spec(120), &joined(120), Some(&second)));
    let numbers = [&first, &second, &third].map(|layout| layout.partitions_log2);
    assert_eq!(numbers, [10, 10, 13]);
    // Those that drain need no slots, and a smaller pool keeps what it has.
    let fewer = committed(next(&spec(8), &joined(120), Some(&third)));
    assert_eq!((fewer.staying().count(), fewer.partitions_log2), (8, 13));
}

#[test]
fn who_is_drained_but_wanted_comes_back_when_it_shall_not_drain_any_more() {
    let first = committed(next(&spec(7), &joined(7), None));
    let second = committed(drained(&spec(7), &joined(7), &[3], &[], Some(&first)));
    assert_eq!(draining(&second), ["n3"]);
    assert_eq!(draining(&committed(next(&spec(7), &joined(7), Some(&second)))).len(), 0, "called off");
    let third = committed(drained(&spec(7), &joined(7), &[3], &[3], Some(&second)));
    assert_eq!(third.members.len(), 6);
    // Its proof is not asked for again, nor its key.
    let mut six = joined(7);
    six.remove(&name(3));
    assert_eq!(drained(&spec(7), &six, &[3], &[], Some(&third)), Step::Keep);
    let fourth = committed(next(&spec(7), &joined(7), Some(&third)));
    assert_eq!((fourth.members.len(), draining(&fourth).len()), (7, 0));
}

#[test]
fn who_was_given_up_for_lost_goes_without_a_proof_if_it_shall_go() {
    let first = committed(next(&spec(8), &joined(8), None));
    let mut fewer = spec(8);
    fewer.members.remove(2);
    let mut others = joined(8);
    others.remove(&name(2));
    // Its place is kept while it is wanted: another volume may take it.
    assert_eq!(next(&spec(8), &others, Some(&first)), Step::Wait(vec![name(2)]));
    // One layout says that it drains, the next is without it.
    let second = committed(next(&fewer, &others, Some(&first)));
    assert_eq!(draining(&second), ["n2"]);
    assert_eq!(committed(next(&fewer, &others, Some(&second))).members.len(), 7);
    // The same for one that is drained by hand.
    let drained_by_hand = committed(drained(&spec(8), &joined(8), &[2], &[], Some(&first)));
    assert_eq!(committed(drained(&spec(8), &others, &[2], &[], Some(&drained_by_hand))).members.len(), 7);
}

#[test]
fn only_joining_waits_for_those_that_join() {
    let first = committed(next(&spec(7), &joined(7), None));
    // n7 is wanted and has not joined, n1 lost its key: a drain goes on all the same, and can be called off.
    let mut some = joined(7);
    some.remove(&name(1));
    let second = committed(drained(&spec(8), &some, &[2], &[], Some(&first)));
    assert_eq!((second.members.len(), draining(&second)), (7, vec!["n2".to_owned()]));
    assert_eq!(draining(&committed(next(&spec(8), &some, Some(&second)))).len(), 0);
    // Two come: not one before the other.
    assert_eq!(next(&spec(9), &joined(8), Some(&first)), Step::Wait(vec![name(8)]));
    // n6 shall be replaced by n7: not before that is there, since too few would stay.
    let mut other = spec(8);
    other.members.remove(6);
    other.members.remove(5);
    assert_eq!(next(&other, &joined(7), Some(&first)), Step::Wait(vec![name(7)]));
}

fn committed(step: Step) -> Layout {
    let Step::Commit(layout) = step else { panic!("{step:?}") };
    layout
}

#[test]
fn the_first_epoch_waits_for_all_and_growth_makes_the_next() {
    assert_eq!(next(&spec(6), &joined(4), None), Step::Wait(vec![name(4), name(5)]));
    let first = committed(next(&spec(6), &joined(6), None));
    assert_eq!((first.epoch, first.partitions_log2, first.members.len()), (Epoch(1), 10, 6));
    assert_eq!(next(&spec(6), &joined(9), Some(&first)), Step::Keep);
    assert_eq!(next(&spec(7), &joined(6), Some(&first)), Step::Wait(vec![name(6)]));
    let second = committed(next(&spec(7), &joined(7), Some(&first)));
    assert_eq!((second.epoch, second.members.len()), (Epoch(2), 7));
    let mut larger = spec(7);
    larger.members[3].capacity_bytes *= 2;
    assert_eq!(committed(next(&larger, &joined(7), Some(&second))).epoch, Epoch(3));
}

#[test]
fn wrong_wishes_name_their_field() {
    let of = |change: fn(&mut PoolSpec)| {
        let mut wish = spec(6);
        change(&mut wish);
        check(&wish, &BTreeSet::new(), (None, &BTreeSet::new())).unwrap_err().field()
    };
    assert_eq!(check(&spec(6), &BTreeSet::new(), (None, &BTreeSet::new())), Ok(()));
    assert_eq!(of(|s| s.members.truncate(5)), "members");
    assert_eq!(of(|s| s.members[1].node = s.members[0].node.clone()), "members");
    assert_eq!(of(|s| s.members[1].capacity_bytes = 0), "members");
    assert_eq!(of(|s| s.ack_shards = Some(4)), "ackShards");
    assert_eq!(of(|s| s.ack_shards = Some(7)), "ackShards");
}

#[test]
fn data_that_is_there_limits_what_can_change() {
    let layout = committed(next(&spec(7), &joined(7), None));
    let of = |change: fn(&mut PoolSpec)| {
        let mut wish = spec(7);
        change(&mut wish);
        let error = check(&wish, &BTreeSet::from([name(5)]), (Some(&layout), &BTreeSet::new())).unwrap_err();
        assert!(error.is_in_use());
        error.to_string()
    };
    let none = BTreeSet::new();
    assert_eq!(check(&spec(8), &none, (Some(&layout), &BTreeSet::new())), Ok(()));
    assert_eq!(check(&spec(6), &none, (Some(&layout), &BTreeSet::new())), Ok(()), "the seventh drains");
    assert!(of(|s| drop(s.members.pop())).starts_with("5 members would stay when 1 are drained"));
    assert!(of(|s| s.members[0].zone = ZoneName::new("z9").unwrap()).contains("stands in zone z0"));
}

#[test]
fn a_profile_is_followed_by_another_and_goes_when_nothing_is_left_of_it() {
    let of = |data, parity| ErasureProfile::new(data, parity).unwrap();
    let as_wanted = |erasure, members| PoolSpec { erasure, ..spec(members) };
    let step_with = |wish: &PoolSpec, empty: &[ErasureProfile], current: &Layout| {
        let (none, empty) = (&BTreeSet::new(), &empty.iter().copied().collect());
        let (joined, drained) = (&joined(8), &BTreeSet::new());
        let wish =
            Wish { spec: wish, drains: none, joined, drained, lost: none, empty, partitions_log2: None };
        step(&NodeName::new("c").unwrap(), &PoolName::new("p").unwrap(), &wish, Some(current))
    };
    let first = committed(next(&spec(8), &joined(8), None));
    let second = committed(step_with(&as_wanted(of(2, 1), 8), &[], &first));
    assert_eq!((second.profile, second.earlier.as_slice()), (of(2, 1), &[of(4, 2)][..]));
    assert_eq!(step_with(&as_wanted(of(2, 1), 8), &[], &second), Step::Keep);
    assert_eq!(step_with(&as_wanted(of(2, 1), 8), &[of(2, 1)], &second), Step::Keep, "what is wanted stays");
    let third = committed(step_with(&as_wanted(of(2, 1), 8), &[of(4, 2)], &second));
    assert!(third.earlier.is_empty());
    // Without data it becomes another at once, and back there is nothing to be kept.
    assert!(committed(step_with(&as_wanted(of(3, 2), 8), &[of(4, 2)], &first)).earlier.is_empty());
    let back = committed(step_with(&spec(8), &[], &second));
    assert_eq!((back.profile, back.earlier), (of(4, 2), vec![of(2, 1)]));
    // A wider one waits for its members, while the pool goes on as it is.
    assert_eq!(step_with(&as_wanted(of(8, 3), 11), &[], &first), Step::Wait((8..11).map(name).collect()));
    let none = BTreeSet::new();
    assert_eq!(check(&as_wanted(of(8, 3), 11), &none, (Some(&first), &BTreeSet::new())), Ok(()));
    let fewer = check(&as_wanted(of(2, 1), 5), &none, (Some(&first), &BTreeSet::new())).unwrap_err();
    assert!(
        fewer.is_in_use() && fewer.to_string().contains("4+2 needs 6"),
        "old data needs its nodes: {fewer}"
    );
    let gone = BTreeSet::from([of(4, 2)]);
    assert_eq!(check(&as_wanted(of(2, 1), 5), &none, (Some(&first), &gone)), Ok(()), "there is no old data");
    let crowded = Layout { earlier: vec![of(2, 1), of(2, 2)], ..first.clone() };
    let refused = check(&as_wanted(of(3, 2), 8), &none, (Some(&crowded), &BTreeSet::new())).unwrap_err();
    assert!(refused.is_in_use() && refused.field() == "erasure");
    assert!(refused.to_string().contains("as 4+2 and as 2+1 and as 2+2"), "{refused}");
    assert_eq!(
        check(&as_wanted(of(2, 1), 8), &none, (Some(&crowded), &BTreeSet::new())),
        Ok(()),
        "one of those it has"
    );
    let large = Layout { partitions_log2: 15, ..first };
    let refused = check(&as_wanted(of(5, 3), 8), &none, (Some(&large), &BTreeSet::new())).unwrap_err();
    assert!(refused.to_string().contains("too many members for data as 4+2 and as 5+3"), "{refused}");
}
