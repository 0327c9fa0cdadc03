//! Wires that are cut for a while, one by one.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::keyspace::{Batch, Keyspace};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::world::World;
use super::{LOG_ENTRIES_KEPT, in_a_world, rows};

/// As many as a snapshot needs several parts for.
const LARGE_ROWS: u8 = 12;
const LARGE_BYTES: usize = 700_000;

async fn put(at: &impl Keyspace, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    at.commit(batch).await.unwrap();
}

/// Who hears nothing asks whether it would be elected, and raises no term that would end the leader's.
#[test]
fn who_was_cut_off_does_not_unseat_the_leader() {
    in_a_world(|runtime| {
        runtime.block_on(async {
            let world = World::begin(4, LOG_ENTRIES_KEPT).await;
            let leader = world.leader().await;
            let cut = world.ids().into_iter().find(|id| *id != leader).unwrap();
            let term = world.keyspace(leader).unwrap().status().term;
            world.isolate(cut);
            sleep(Duration::from_secs(30)).await;
            put(&world.keyspace(leader).unwrap(), b"a", b"1").await;
            world.heal();
            let back = world.keyspace(cut).unwrap();
            assert_eq!(back.get(b"a").await.unwrap().unwrap().value, b"1");
            drop(back);
            for id in world.ids() {
                let status = world.keyspace(id).unwrap().status();
                assert_eq!((status.leader, status.term), (Some(leader), term), "at {id}");
            }
            world.end().await;
        });
    });
}

/// A snapshot of many parts is begun anew where it was cut off, and is whole in the end.
#[test]
fn a_snapshot_of_many_parts_arrives_through_cuts() {
    in_a_world(|runtime| {
        runtime.block_on(async {
            let world = World::begin(5, LOG_ENTRIES_KEPT).await;
            let first = world.keyspace(1).unwrap();
            for n in 0..LARGE_ROWS {
                put(&first, &[b'l', n], &vec![n; LARGE_BYTES]).await;
            }
            for n in 0..100 {
                put(&first, b"small", &[n]).await;
            }
            drop(first);
            world.lose(3);
            world.add(4).await;
            let mut cuts = JoinSet::new();
            cuts.spawn(cut_again_and_again(Arc::clone(&world), 4));
            let leader = world.keyspace(world.leader().await).unwrap();
            while leader.add_learner(4).await.is_err() {}
            cuts.join_all().await;
            leader.change_members([1, 2, 4].into()).await.unwrap();
            drop(leader);
            let all = rows(&world.keyspace(4).unwrap()).await;
            assert!(all.len() > usize::from(LARGE_ROWS), "{} rows", all.len());
            assert_eq!(all, rows(&world.keyspace(1).unwrap()).await);
            world.end().await;
        });
    });
}

/// Soon after it began each time: parts follow one another within some tens of milliseconds.
async fn cut_again_and_again(world: Arc<World>, id: u64) {
    for _ in 0..5 {
        sleep(Duration::from_millis(60) + world.up_to_ms(120)).await;
        world.isolate(id);
        sleep(world.up_to_ms(1500)).await;
        world.heal();
    }
}
