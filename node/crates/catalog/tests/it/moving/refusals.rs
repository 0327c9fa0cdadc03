//! What a move does not touch, and what a catalog that has gone does not do.

use datamesh_catalog::catalog::{CatalogError, OpenError};
use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::moving::{MoveError, Refusal, Step, has_gone, withdraw};
use datamesh_catalog::record::{self, ClusterRecord, Keeper, RecordError};
use datamesh_catalog::{Catalog, Condition};

use super::{FINGERPRINT, begin, gateway, move_all, mover, moves, opened, postgres, rocks, until};
use crate::postgres::server;
use crate::support::{OPTIONS, inline, put, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_something_in_it_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let source = rocks(dir.path(), RocksOptions::default());
    let _catalog = opened(source.clone()).await;
    let refused = async |there: &_| match begin(moves(&source, there, Keeper::Postgres), 1).await {
        Err(MoveError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let there = postgres(&server().database().await).await;
    put(&there, b"\x01\xffrow", b"1").await.unwrap();
    assert_eq!(refused(&there).await, Refusal::Strange);
    let there = postgres(&server().database().await).await;
    let other = Catalog::with_keyspace(there.clone(), "another", OPTIONS).await.unwrap();
    let refusal = refused(&there).await;
    assert_eq!(refusal, Refusal::Another { fingerprint: "another".into() });
    assert!(refusal.to_string().contains("name an empty database"), "{refusal}");
    other.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_copy_is_no_catalog_and_is_no_other_moves() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = rocks(dir.path(), RocksOptions::default());
    let catalog = opened(source.clone()).await;
    let there = postgres(&server().database().await).await;
    let half = moves(&source, &there, Keeper::Postgres);
    until(&mut mover(half.clone(), 1).await, &half, Step::Compare).await;
    let refused = Catalog::with_keyspace(there.clone(), FINGERPRINT, OPTIONS).await.unwrap_err();
    assert!(matches!(refused, OpenError::Coming { from: Keeper::Gateways, .. }), "{refused}");
    let other = rocks(other_dir.path(), RocksOptions::default());
    let _other = opened(other.clone()).await;
    let refused = begin(moves(&other, &there, Keeper::Postgres), 2).await.unwrap_err();
    assert_eq!(refused, MoveError::Refused(Refusal::HalfOfAnother));
    // Called off: the source goes on, and the next try finds its own.
    catalog.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await.unwrap();
    move_all(&half, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_fence_where_a_gateway_takes_back_that_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let source = rocks(dir.path(), RocksOptions::default());
    let _catalog = opened(source.clone()).await;
    let there = postgres(&server().database().await).await;
    let all = moves(&source, &there, Keeper::Postgres);
    let mut moving = mover(all.clone(), 1).await;
    until(&mut moving, &all, Step::Await).await;
    assert_eq!(moving.progress().step, Step::Fence);
    withdraw(&source, &gateway()).await.unwrap();
    moving.step(1).await.unwrap();
    assert_eq!(has_gone(&source).await.unwrap(), None);
    assert_eq!(moving.progress().step, Step::Await);
    until(&mut moving, &all, Step::Done).await;
    assert!(has_gone(&source).await.unwrap().is_some());
    assert_eq!(has_gone(&there).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_has_gone_takes_nothing_opens_nowhere_and_is_followed_to_one_place() {
    let dir = tempfile::tempdir().unwrap();
    let source = rocks(dir.path(), RocksOptions::default());
    // A gateway that knows of no move.
    let left_behind = opened(source.clone()).await;
    let there = postgres(&server().database().await).await;
    let all = moves(&source, &there, Keeper::Postgres);
    let mut moving = mover(all.clone(), 1).await;
    until(&mut moving, &all, Step::Fence).await;
    let put = left_behind.put_inline(&target("a", 1), &inline("a", 1), &Condition::None).await;
    let error = put.unwrap_err().to_string();
    assert_eq!(error, CatalogError::Moving.to_string());
    assert!(CatalogError::Moving.is_leaderless(), "it is to be tried again");
    assert!(
        left_behind.put_pool(&"fast".parse().unwrap(), &pool()).await.is_err(),
        "also what rests on nothing"
    );
    let elsewhere = postgres(&server().database().await).await;
    let refused = begin(moves(&source, &elsewhere, Keeper::Postgres), 2).await.unwrap_err().to_string();
    assert!(refused.contains("has gone to PostgreSQL") && refused.contains("is empty"), "{refused}");
    until(&mut moving, &all, Step::Done).await;

    let refused = Catalog::with_keyspace(source.clone(), FINGERPRINT, OPTIONS).await.unwrap_err();
    assert!(matches!(refused, OpenError::Gone { to: Keeper::Postgres, .. }), "{refused}");
    // What builds read that know of no fence.
    let row = source.get(&keys::only(Table::Cluster)).await.unwrap().unwrap();
    let unread = record::decode::<ClusterRecord>(&row.value);
    assert_eq!(unread, Err(RecordError::Version { record: "cluster", version: 2 }));
}

fn pool() -> datamesh_settings::admin::PoolSpec {
    datamesh_settings::admin::PoolSpec {
        erasure: datamesh_shard::ErasureProfile::new(4, 2).unwrap(),
        cipher: datamesh_shard::Cipher::Aes256Gcm,
        ack_shards: None,
        members: Vec::new(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}
