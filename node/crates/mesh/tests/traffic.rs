//! What counting costs on the wire: one partition by digests and without, and many at once. In virtual time; prints its figures.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of it is for tests")]

#[path = "support/members.rs"]
mod members;
#[path = "support/shelf.rs"]
mod shelf;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::digest::Question;
use datamesh_exchange::message::{PartitionCount, Refusal, Request, Response, Stewardship};
use datamesh_mesh::Pace;
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::{SegmentHeader, SegmentId, ShardIndex, ShardKey};
use members::{Members, peer};
use shelf::MemoryShelf;
use world::World;

const SEGMENTS: u32 = 16_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Only what is asked for is looked at, and nothing is rebuilt.
const PACE: Pace = Pace {
    grace: DAY,
    look: Duration::from_secs(1),
    rest_open: Duration::from_secs(10),
    rest_whole: DAY,
    rest_homing: DAY,
    scrub_period: DAY,
    rest_max: DAY,
};

fn id(n: u32) -> SegmentId {
    let mut id = [0; 32];
    let mixed = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    id[8..12].copy_from_slice(&n.to_be_bytes());
    SegmentId(id)
}

fn fill(table: &Table, shelves: &[Arc<MemoryShelf>]) {
    let profile = table.layout().profile;
    let header = SegmentHeader::new(profile, 1, vec![[0; 32]; profile.total()]).unwrap().encode();
    for segment in (0..SEGMENTS).map(id) {
        for (index, holder) in (0..).map(ShardIndex).zip(table.holders(table.partition_of(segment))) {
            shelves[usize::from(*holder)].list(ShardKey { segment, index }, header.clone());
        }
    }
}

/// One partition of a pool 4+2 on seven nodes, counted once.
async fn counted() -> Members {
    let members = started(0, PACE);
    tokio::time::sleep(Duration::from_secs(15)).await;
    members.bytes();
    members
}

/// So many partitions of such a pool, none of which has been counted.
fn started(partitions_log2: u8, pace: Pace) -> Members {
    let world = World::new();
    let peers: Vec<_> = (0..7).map(peer).collect();
    Members::of(&world, world.layout_of(1, &peers, (4, 2), partitions_log2), pace, fill)
}

/// Counts again on a hint: bytes on the wire, and what came of it.
async fn count(members: &Members) -> (usize, Stewardship) {
    let steward = members.table.holders(PartitionId(0))[0];
    members.bytes();
    members.ask(steward, Request::Look { segments: vec![id(0)] }, Bytes::new()).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let bytes = members.bytes();
    let (answer, _) = members.ask(steward, Request::Stewardship { after: None }, Bytes::new()).await;
    let Response::Stewardship(stewardship) = answer else { panic!("{answer:?}") };
    (bytes, stewardship)
}

/// The same once more with everybody's inventory; the counts must not differ.
async fn compare(members: &Members, what: &str) -> (usize, usize) {
    let (bytes, by_digests) = count(members).await;
    members.wires.older.store(true, Ordering::SeqCst);
    let (full_bytes, by_inventories) = count(members).await;
    members.wires.older.store(false, Ordering::SeqCst);
    println!("{SEGMENTS} segments, {what}: {bytes} bytes by digests, {full_bytes} by inventories");
    let [by_digests, by_inventories] = [by_digests, by_inventories].map(|mut said| {
        said.counts[0].age_seconds = 0;
        said
    });
    assert_eq!(by_digests, by_inventories);
    assert_eq!(by_digests.counts[0].tolerances.total() + by_digests.counts[0].tolerances.under_way, 16_000);
    (bytes, full_bytes)
}

#[tokio::test(start_paused = true)]
async fn what_is_whole_costs_a_line() {
    let members = counted().await;
    let (bytes, full) = compare(&members, "all whole").await;
    assert!(bytes < 1000 && full > 2_500_000, "{bytes} of {full}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_costs_its_neighbours() {
    let members = counted().await;
    let holders = members.table.holders(PartitionId(0)).to_vec();
    for n in [17, 4000, 9000] {
        let key = ShardKey { segment: id(n), index: ShardIndex(2) };
        members.shelves[usize::from(holders[2])].lose(key);
    }
    let (bytes, full) = compare(&members, "three shards lost").await;
    assert!(bytes * 20 < full, "{bytes} of {full}");
}

#[tokio::test(start_paused = true)]
async fn of_a_holder_that_is_away_one_inventory_is_read() {
    let members = counted().await;
    members.kill(members.table.holders(PartitionId(0))[3]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (bytes, full) = compare(&members, "a holder away").await;
    assert!(bytes * 3 < full, "{bytes} of {full}");
}

const MANY_LOG2: u8 = 8;
/// What is whole is counted again after 60 to 70 seconds.
const ROUNDS: Pace = Pace { rest_whole: Duration::from_secs(60), ..PACE };

/// Questions for digests between members in one round, and what all stewards say then.
async fn counted_once(members: &Members) -> (usize, Vec<PartitionCount>) {
    // In the first one they hear of each other's incarnations, and count anew.
    tokio::time::sleep(Duration::from_secs(50)).await;
    members.asked();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = members.asked().into_iter().filter(|request| matches!(request, Request::Digests(_))).count();
    let mut counts = Vec::new();
    for member in members.left() {
        let (answer, _) = members.ask(member, Request::Stewardship { after: None }, Bytes::new()).await;
        let Response::Stewardship(stewardship) = answer else { panic!("{answer:?}") };
        counts.extend(stewardship.counts.into_iter().map(|count| PartitionCount { age_seconds: 0, ..count }));
    }
    counts.sort_by_key(|count| count.partition);
    (asked, counts)
}

#[tokio::test(start_paused = true)]
async fn many_partitions_are_asked_for_at_once() {
    let members = started(MANY_LOG2, ROUNDS);
    let (asked, counts) = counted_once(&members).await;
    let mut of_each = [0_usize; 7];
    for partition in (0..members.table.partitions()).map(PartitionId) {
        of_each[usize::from(members.table.stewards(partition).next().unwrap())] += 1;
    }
    println!("{asked} questions for {} partitions, of each steward {of_each:?}", counts.len());
    // Each steward asks the six others for 64 partitions at once.
    let questions: usize = of_each.iter().map(|partitions| 6 * partitions.div_ceil(64)).sum();
    assert_eq!((asked, counts.len()), (questions, 1 << MANY_LOG2));
    assert!(counts.iter().all(|count| count.silent == 0 && count.tolerances.all_short() == 0));
    assert_eq!(counts.iter().map(|count| count.tolerances.total()).sum::<u64>(), u64::from(SEGMENTS));

    let terse = started(MANY_LOG2, ROUNDS);
    terse.wires.terse.store(true, Ordering::SeqCst);
    let (asked, one_by_one) = counted_once(&terse).await;
    assert_eq!((asked, one_by_one), (6 << MANY_LOG2, counts), "one question a partition and member");
}

/// What is not whole is counted among many as it is by itself.
#[tokio::test(start_paused = true)]
async fn a_loss_among_many_partitions_is_seen() {
    let members = started(MANY_LOG2, ROUNDS);
    let lost = BTreeSet::from([17, 4000, 9000].map(|n| members.table.partition_of(id(n))));
    for n in [17, 4000, 9000] {
        let holders = members.table.holders(members.table.partition_of(id(n)));
        members.shelves[usize::from(holders[2])].lose(ShardKey { segment: id(n), index: ShardIndex(2) });
    }
    let (asked, counts) = counted_once(&members).await;
    let short = counts.iter().filter(|count| count.tolerances.all_short() > 0);
    assert_eq!(short.map(|count| PartitionId(count.partition)).collect::<BTreeSet<_>>(), lost);
    assert_eq!(counts.iter().map(|count| count.tolerances.all_short()).sum::<u64>(), 3);
    println!("{asked} questions while three of {} partitions are short", counts.len());
    assert!(asked < 7 * 6 + 3 * 200, "{asked}");
}

/// A member that does not answer is missed in what it has nothing of as in what it holds.
#[tokio::test(start_paused = true)]
async fn whoever_is_away_is_silent_in_each_of_many_partitions() {
    let members = started(MANY_LOG2, ROUNDS);
    members.kill(3);
    let (_, counts) = counted_once(&members).await;
    assert_eq!(counts.len(), 1 << MANY_LOG2);
    assert!(counts.iter().all(|count| count.silent == 1), "{counts:?}");
    let is_short = |count: &&PartitionCount| count.tolerances.all_short() > 0;
    let short: BTreeSet<_> =
        counts.iter().filter(is_short).map(|count| PartitionId(count.partition)).collect();
    let partitions = (0..members.table.partitions()).map(PartitionId);
    let held: BTreeSet<_> = partitions.filter(|of| members.table.holders(*of).contains(&3)).collect();
    assert_eq!(short, held);
    assert!(held.len() < counts.len());
}

/// Whoever has much to read says so much of it at once, and the first partition whole whatever that is.
#[tokio::test(start_paused = true)]
async fn an_answer_ends_where_much_was_read() {
    const ROWS: u32 = 600_000;
    let world = World::new();
    let members =
        Members::of(&world, world.layout_of(1, &[peer(0), peer(1)], (1, 1), 3), PACE, |table, shelves| {
            let header = SegmentHeader::new(table.layout().profile, 1, vec![[0; 32]; 2]).unwrap().encode();
            (0..ROWS).for_each(|n| {
                shelves[0].list(ShardKey { segment: id(n), index: ShardIndex(0) }, header.clone())
            });
        });
    let profile = members.table.layout().profile;
    let shards = [ShardIndex(0)].into_iter().collect();
    let asked = |partitions_log2, partitions: std::ops::Range<u32>| {
        let partitions = partitions.map(|partition| (partition, shards)).collect();
        Request::Digests(Question { partitions_log2, ranges_log2: 0, profile, partitions })
    };
    for (request, digests) in [(asked(3, 0..8), 7), (asked(3, 5..8), 3)] {
        let (answer, _) = members.ask(0, request, Bytes::new()).await;
        let Response::Digests(said) = answer else { panic!("{answer:?}") };
        assert_eq!(said.len(), digests);
        assert!(said.iter().all(|digest| (74_000..76_000).contains(&digest.expected)), "{said:?}");
    }
    for wrong in [asked(2, 0..1), asked(3, 8..9), asked(3, 0..0), asked(10, 0..257)] {
        let (answer, _) = members.ask(0, wrong, Bytes::new()).await;
        assert!(matches!(answer, Response::Refused(Refusal::BadRequest(_))), "{answer:?}");
    }
}
