//! What counting one partition costs on the wire, by digests and without. In virtual time; prints its figures.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of it is for tests")]

#[path = "support/members.rs"]
mod members;
#[path = "support/shelf.rs"]
mod shelf;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Request, Response, Stewardship};
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
    for (index, holder) in (0..).map(ShardIndex).zip(table.holders(PartitionId(0))) {
        let shelf = &shelves[usize::from(*holder)];
        (0..SEGMENTS).for_each(|n| shelf.list(ShardKey { segment: id(n), index }, header.clone()));
    }
}

/// One partition of a pool 4+2 on seven nodes, counted once.
async fn counted() -> Members {
    let world = World::new();
    let peers: Vec<_> = (0..7).map(peer).collect();
    let members = Members::of(&world, world.layout_of(1, &peers, (4, 2), 0), PACE, fill);
    tokio::time::sleep(Duration::from_secs(15)).await;
    members.bytes();
    members
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
