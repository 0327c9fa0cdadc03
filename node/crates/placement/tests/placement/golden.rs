//! The layout's bytes and the tables computed from it, held by files: every later version must come to the same.

use datamesh_placement::{Layout, LayoutError, Member, PartitionId, Table};
use datamesh_shard::{ErasureProfile, PeerKey};

use crate::pools::Pool;

const LAYOUT: &str = include_str!("../golden/layout-v1.hex");
const DRAINING: &str = include_str!("../golden/layout-v2.hex");
const HOLDERS: &str = include_str!("../golden/layout-v3.hex");
const PROFILES: &str = include_str!("../golden/layout-v4.hex");
const TABLES: &str = include_str!("../golden/tables-v1.txt");

fn pools() -> Vec<Pool> {
    vec![
        Pool::new("six in three zones", 4, 2, 4).zones(&[2, 2, 2]).capacities(&[3, 5]),
        Pool::new("three nodes", 2, 1, 4).zones(&[1, 1, 1]),
        Pool::new("twelve in four zones", 4, 2, 5).zones(&[3, 3, 3, 3]).capacities(&[10, 11, 12, 8, 9]),
        Pool::new("thirty in one zone", 8, 3, 4).zones(&[30]),
    ]
}

fn written() -> String {
    let mut text = String::new();
    for pool in pools() {
        let table = pool.table();
        text += &format!("{}\n", pool.name);
        for partition in (0..table.partitions()).map(PartitionId) {
            let holders: Vec<String> = table.holders(partition).iter().map(ToString::to_string).collect();
            let next = table
                .order(table.layout().profile, partition)
                .get(table.layout().profile.total())
                .map(ToString::to_string);
            text += &format!("  {partition}: {} then {}\n", holders.join(" "), next.unwrap_or("none".into()));
        }
    }
    text
}

#[test]
fn a_layout_reads_as_the_golden_file_says_and_is_written_so() {
    let layout = pools()[2].layout();
    let hex: String = layout.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, LAYOUT.trim());
    assert_eq!(Layout::decode(&layout.encode()).unwrap(), layout);
}

#[test]
fn tables_are_those_of_the_golden_file() {
    let written = written();
    for (at, (written, golden)) in written.lines().zip(TABLES.lines()).enumerate() {
        assert_eq!(written, golden, "line {}", at + 1);
    }
    assert_eq!(written.lines().count(), TABLES.lines().count(), "all lines:\n{written}");
}

#[test]
fn what_is_no_layout_is_refused_and_named() {
    let good = pools()[0].layout();
    let decode = |change: &dyn Fn(&mut Layout)| {
        let mut layout = good.clone();
        change(&mut layout);
        Layout::decode(&layout.encode()).unwrap_err()
    };
    assert!(matches!(decode(&|layout| layout.members.swap(0, 1)), LayoutError::Order(_)));
    assert!(matches!(decode(&|layout| layout.members[1] = layout.members[0].clone()), LayoutError::Order(_)));
    assert!(matches!(
        decode(&|layout| layout.members[1].peer = layout.members[0].peer),
        LayoutError::SharedKey(_)
    ));
    assert!(matches!(decode(&|layout| layout.members[1].capacity_bytes = 0), LayoutError::NoCapacity(_)));
    assert!(matches!(decode(&|layout| layout.members.truncate(5)), LayoutError::Members { members: 5, .. }));
    assert_eq!(decode(&|layout| layout.partitions_log2 = 17), LayoutError::Partitions(17));

    let held = |partition: usize, holders: [u16; 6]| {
        decode(&|layout| {
            layout.members[5].draining = true;
            layout.members.push(Member {
                node: "node-006".parse().unwrap(),
                peer: PeerKey([9; 32]),
                draining: false,
                ..layout.members[5].clone()
            });
            layout.holders = [0, 1, 2, 3, 4, 6].repeat(16);
            layout.holders[partition * 6..][..6].copy_from_slice(&holders);
        })
    };
    assert_eq!(decode(&|layout| layout.holders = vec![0; 95]), LayoutError::HolderCount(95));
    assert_eq!(held(3, [0, 1, 2, 3, 4, 7]), LayoutError::Holders(3), "no such member");
    assert_eq!(held(4, [0, 1, 2, 3, 4, 5]), LayoutError::Holders(4), "one that drains");
    assert_eq!(held(5, [0, 1, 2, 3, 4, 0]), LayoutError::Holders(5), "one that is there twice");

    let bytes = good.encode();
    assert_eq!(Layout::decode(&[]), Err(LayoutError::Bytes(0)));
    assert_eq!(Layout::decode(&[5, 0]), Err(LayoutError::Version(5)));
    assert_eq!(Layout::decode(&[bytes.clone(), vec![0; 3]].concat()), Err(LayoutError::Trailing(3)));
    assert!(matches!(Layout::decode(&bytes[..bytes.len() - 1]), Err(LayoutError::Malformed(_))));
    assert_eq!(Layout::decode(&vec![1; 1 << 20]), Err(LayoutError::Bytes(1 << 20)));
}

#[test]
fn the_largest_layout_is_within_its_limit() {
    let mut layout = Pool::new("largest", 4, 2, 16).zones(&[500, 500]).layout();
    for (at, member) in layout.members.iter_mut().enumerate() {
        member.node = format!("{}-{at:04}", "n".repeat(58)).parse().unwrap();
        member.zone = "z".repeat(63).parse().unwrap();
        member.capacity_bytes = u64::MAX;
    }
    assert_eq!(Layout::decode(&layout.encode()).unwrap(), layout);
    // Capacities add up to more than 64 bits here; shares are computed all the same.
    layout.partitions_log2 = 8;
    assert!(Table::compute(layout).is_ok());
}

/// Version 2 is written only where version 1 cannot say it.
#[test]
fn a_layout_with_a_draining_member_reads_as_the_golden_file_says() {
    let mut layout = pools()[1].layout();
    layout.members.push(Member {
        draining: true,
        node: "node-003".parse().unwrap(),
        peer: PeerKey([9; 32]),
        ..layout.members[0].clone()
    });
    let hex: String = layout.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, DRAINING.trim());
    assert_eq!(Layout::decode(&layout.encode()).unwrap(), layout);
}

/// Version 3 is written only where another layout came before.
#[test]
fn a_layout_with_holders_reads_as_the_golden_file_says() {
    let first = pools()[1].table();
    let next = pools().swap_remove(1).joined("newer", "zone-1").layout();
    let mut next = first.followed_by(next).unwrap();
    assert_eq!(next.holders.len(), 3 << 4);
    let hex = |layout: &Layout| layout.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&next), HOLDERS.trim());
    assert_eq!(Layout::decode(&next.encode()).unwrap(), next);
    let table = Table::compute(next.clone()).unwrap();
    assert_eq!(table.holders(PartitionId(3)), &next.holders[9..12]);
    next.members.reverse();
    assert!(matches!(Table::compute(next), Err(LayoutError::Order(_))), "indexes are of sorted members");
}

/// Version 4 is written only where a pool has data in other profiles, too.
#[test]
fn a_layout_with_an_earlier_profile_reads_as_the_golden_file_says() {
    let first = pools()[1].table();
    let (old, new) = (first.layout().profile, ErasureProfile::new(1, 1).unwrap());
    let next = Layout { profile: new, earlier: vec![old], ..pools()[1].layout() };
    let next = first.followed_by(next).unwrap();
    let hex: String = next.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, PROFILES.trim());
    assert_eq!(Layout::decode(&next.encode()).unwrap(), next);
    let table = Table::compute(next.clone()).unwrap();
    assert_eq!(table.holders(PartitionId(3)), &next.holders[6..8]);
    assert_eq!(table.holders_of(old, PartitionId(3)), &next.holders[32 + 9..32 + 12]);
    let decode = |change: &dyn Fn(&mut Layout)| {
        let mut layout = next.clone();
        change(&mut layout);
        Layout::decode(&layout.encode()).unwrap_err()
    };
    assert_eq!(decode(&|layout| layout.earlier.push(old)), LayoutError::Profiles(2), "twice");
    assert_eq!(decode(&|layout| layout.earlier = vec![new]), LayoutError::Profiles(1), "the present one");
    let another = ErasureProfile::new(2, 2).unwrap();
    assert!(matches!(decode(&|layout| layout.earlier = vec![another]), LayoutError::Members { .. }));
    assert_eq!(decode(&|layout| layout.holders.truncate(79)), LayoutError::HolderCount(79));
    assert_eq!(decode(&|layout| layout.holders[79] = layout.holders[78]), LayoutError::Holders(15));
    assert!(matches!(decode(&|layout| layout.partitions_log2 = 16), LayoutError::HolderCount(80)));
    let bare = Layout { holders: Vec::new(), ..next.clone() };
    assert!(matches!(Table::compute(bare), Err(LayoutError::Profiles(1))), "what was before is not computed");
}
