//! A move that is called off behind its fence, one that is gone on with there, and gateways that are not where it goes.

use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::{AnyKeyspace, MovingKeyspace, RocksOptions};
use datamesh_catalog::moving::{
    MoveError, Mover, Moves, Step, has_gone, look, say_ready_elsewhere, take_back,
};
use datamesh_catalog::record::Keeper;
use datamesh_catalog::{Catalog, Condition};
use datamesh_shard::NodeName;

use super::{
    FINGERPRINT, NOW, copied, gateway, move_all, mover, moves, opened, postgres, rocks, rocks_above, until,
};
use crate::postgres::server;
use crate::support::{BUCKET, OPTIONS, inline, key, put, target};

/// Until it fails.
async fn end(mover: &mut Mover) -> MoveError {
    for _ in 0..10 {
        match mover.step(NOW).await {
            Ok(Step::Done) => panic!("it has moved"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    panic!("it neither ends nor fails: {mover:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_taken_back_as_long_as_its_target_cannot_be_open() {
    let dir = tempfile::tempdir().unwrap();
    let source = rocks(dir.path(), RocksOptions::default());
    let catalog = opened(source.clone()).await;
    let there = postgres(&server().database().await).await;
    let all = moves(&source, &there, Keeper::Postgres);
    let mut late = mover(all.clone(), 1).await;
    until(&mut late, &all, Step::Fence).await;
    let refused = Catalog::with_keyspace(source.clone(), FINGERPRINT, OPTIONS).await.unwrap_err();
    assert!(matches!(refused, OpenError::Gone { .. }), "{refused}");
    let stranger = NodeName::new("stranger").unwrap();
    assert!(
        !take_back(&source, &stranger).await.unwrap(),
        "it was no part of the move, and nobody told it otherwise"
    );
    assert!(take_back(&source, &gateway()).await.unwrap());
    assert!(take_back(&source, &stranger).await.unwrap(), "there is no fence any more");

    catalog.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await.unwrap();
    opened(source.clone()).await;
    // Whoever carried it out opens nothing any more.
    assert_eq!(end(&mut late).await, MoveError::Overtaken);
    assert_eq!(look(&there).await.unwrap().open(), None);

    move_all(&all, 2).await;
    assert!(copied(&source).await == copied(&there).await);
    assert!(!take_back(&source, &gateway()).await.unwrap(), "it is open there");
    let refused = Catalog::with_keyspace(source.clone(), FINGERPRINT, OPTIONS).await.unwrap_err().to_string();
    assert!(refused.contains("may be open and have acknowledged what is not here"), "{refused}");
    assert!(opened(there).await.object(BUCKET, &key("a")).await.unwrap().is_some());
}

/// Its last commit may have been done, whatever its mover was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_back_once_the_target_may_be_open() {
    let dir = tempfile::tempdir().unwrap();
    let source = rocks(dir.path(), RocksOptions::default());
    let _catalog = opened(source.clone()).await;
    let there = postgres(&server().database().await).await;
    let all = moves(&source, &there, Keeper::Postgres);
    let mut first = mover(all.clone(), 1).await;
    until(&mut first, &all, Step::Fence).await;
    // With this one, the first does not get to open the target, but only knows that when it tries.
    let mut second = mover(all.clone(), 2).await;
    assert_eq!(first.step(NOW).await, Err(MoveError::Overtaken));
    assert_eq!(look(&there).await.unwrap().open(), None);
    assert!(!take_back(&source, &gateway()).await.unwrap());
    assert!(has_gone(&source).await.unwrap().is_some());
    until(&mut second, &all, Step::Done).await;
    assert!(look(&there).await.unwrap().open().is_some());
}

/// A row that comes just before the fence, which the copy does not have yet.
async fn cut_off_behind_the_fence(all: &Moves, fresh: u8) {
    let mut first = mover(all.clone(), fresh).await;
    until(&mut first, all, Step::Await).await;
    assert_eq!(first.progress().step, Step::Fence);
    put(&all.source, b"\x01\xfflate", &[fresh]).await.unwrap();
    until(&mut first, all, Step::Fence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_on_behind_the_fence_writes_only_what_came_last() {
    let dir = tempfile::tempdir().unwrap();
    let source = postgres(&server().database().await).await;
    let _catalog = opened(source.clone()).await;
    let there = rocks_above(dir.path(), &source).await;
    let all = moves(&source, &there, Keeper::Gateways);
    cut_off_behind_the_fence(&all, 1).await;
    assert!(copied(&source).await != copied(&there).await);
    let mut next = mover(all.clone(), 2).await;
    assert_eq!(next.progress().step, Step::Open);
    until(&mut next, &all, Step::Done).await;
    assert!(copied(&source).await == copied(&there).await);
}

/// Nothing is left out that was in the copy once, and is not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_set_back_is_read_again_whoever_goes_on() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let source = postgres(&server().database().await).await;
    let _catalog = opened(source.clone()).await;
    let at = |dir: &tempfile::TempDir| dir.path().join("catalog");
    {
        let there = rocks_above(&at(&dirs[0]), &source).await;
        let half = moves(&source, &there, Keeper::Gateways);
        until(&mut mover(half.clone(), 1).await, &half, Step::Compare).await;
    }
    std::fs::create_dir(at(&dirs[1])).unwrap();
    for file in std::fs::read_dir(at(&dirs[0])).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), at(&dirs[1]).join(file.file_name())).unwrap();
    }
    for upload in 0..50 {
        put(&source, format!("\u{1}\u{ff}row{upload}").as_bytes(), b"1").await.unwrap();
    }
    {
        let there = rocks_above(&at(&dirs[0]), &source).await;
        cut_off_behind_the_fence(&moves(&source, &there, Keeper::Gateways), 2).await;
    }
    let there = rocks_above(&at(&dirs[1]), &source).await;
    let all = moves(&source, &there, Keeper::Gateways);
    for fresh in [3, 4] {
        let mut next = mover(all.clone(), fresh).await;
        assert_eq!(next.progress().step, Step::Copy);
        until(&mut next, &all, Step::Copy).await;
    }
    move_all(&all, 5).await;
    assert!(copied(&source).await == copied(&there).await);
}

/// A volume remembers what changed only while it is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_source_has_forgotten_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let there = postgres(&server().database().await).await;
    {
        let source = rocks(dir.path(), RocksOptions::default());
        let _catalog = opened(source.clone()).await;
        cut_off_behind_the_fence(&moves(&source, &there, Keeper::Postgres), 1).await;
    }
    let source = rocks(dir.path(), RocksOptions::default());
    let all = moves(&source, &there, Keeper::Postgres);
    let mut next = mover(all.clone(), 2).await;
    assert_eq!(next.progress().step, Step::Copy);
    until(&mut next, &all, Step::Done).await;
    assert!(copied(&source).await == copied(&there).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_where_it_goes_reads_nothing_once_it_may_be_open() {
    let dir = tempfile::tempdir().unwrap();
    let source = postgres(&server().database().await).await;
    let other = NodeName::new("other").unwrap();
    let beside = opened(MovingKeyspace::to_elsewhere(source.clone())).await;
    assert!(!say_ready_elsewhere(&source, &other).await.unwrap(), "there is no move yet");
    let there: AnyKeyspace = rocks_above(dir.path(), &source).await;
    let all = Moves { gateways: vec![gateway(), other.clone()], ..moves(&source, &there, Keeper::Gateways) };
    let mut moving = mover(all.clone(), 1).await;
    until(&mut moving, &all, Step::Await).await;
    assert_eq!(moving.missing(), std::slice::from_ref(&other));
    beside.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await.unwrap();
    assert!(say_ready_elsewhere(&source, &other).await.unwrap());
    until(&mut moving, &all, Step::Fence).await;
    assert!(beside.object(BUCKET, &key("a")).await.unwrap().is_some(), "nothing newer can be anywhere");
    until(&mut moving, &all, Step::Done).await;
    let refused = beside.object(BUCKET, &key("a")).await.unwrap_err();
    assert!(refused.is_leaderless() && refused.to_string().contains("moved to another gateway"), "{refused}");
    let refused = beside.put_inline(&target("b", 2), &inline("b", 1), &Condition::None).await.unwrap_err();
    assert!(
        refused.to_string().contains("moving") || refused.to_string().contains("another gateway"),
        "{refused}"
    );
    assert!(opened(there).await.object(BUCKET, &key("a")).await.unwrap().is_some());
}
