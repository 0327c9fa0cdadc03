//! Backups that fail, are interrupted, are not wanted, or are told of another catalog than this.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::AnchorPart;
use datamesh_catalog::record;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;

use super::{NODES, RETENTION_MS, back_up, begin_anew, has, house, names, noise, restored, restoring};
use crate::backup::{Given, KeepBackup, Standing};
use crate::metrics::BackupMetrics;
use crate::restore::{RestoreError, Wish};
use crate::tests::fake::peer;
use crate::work::Worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_not_filled_further_by_backups_and_a_restart_forgets_none() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    begin_anew(&mut house);
    house.core.backup.standing = Arc::new(Standing::new(BackupMetrics::default()));
    (0..NODES).for_each(|n| house.nodes.fill(n));
    house.core.backup.work().await;
    let told = house.core.backup.standing.told(RETENTION_MS);
    assert!(told.last_unix_ms.is_some(), "that of before the restart: {told:?}");
    assert!(told.error.is_some());
    let shards = house.nodes.all_shards();
    (0..NODES).for_each(|n| house.nodes.make_room(n));
    house.core.backup.work().await;
    assert_eq!(house.nodes.all_shards(), shards, "it is not tried again at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_do_not_keep_the_way_to_is_put_once_and_told_until_they_do() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    house.nodes.keep_anchors(false);
    house.put("b", "2").await.ok();
    house.core.backup.work().await;
    let shards = house.nodes.all_shards();
    for n in 0..5 {
        house.put("c", n.to_string()).await.ok();
        house.core.backup.rests_until = None;
        house.core.backup.work().await;
    }
    assert_eq!(house.nodes.all_shards(), shards, "no further part");
    let told = house.core.backup.standing.told(RETENTION_MS);
    assert!(told.error.unwrap().contains("nodes keep its anchor"));
    house.nodes.keep_anchors(true);
    house.core.backup.work().await;
    assert!(house.core.backup.standing.told(RETENTION_MS).error.is_some(), "it rests between two tries");
    house.core.backup.rests_until = None;
    let before_c = house.core.context.surroundings.now_unix_ms();
    back_up(&mut house).await;
    let (new, record) = restored(&house, Wish::Newest).await.unwrap();
    assert!(has(&new, "b").await && !has(&new, "c").await);
    assert!(record.until_unix_ms < before_c, "of when it was read, not of when it was kept");
    back_up(&mut house).await;
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "c").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_over_and_over_fill_no_pool_with_snapshots() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    for _ in 0..10 {
        begin_anew(&mut house);
        house.core.backup.work().await;
    }
    assert_eq!(house.catalog.snapshots_begun().await.unwrap().len(), 2);
    assert_eq!(house.nodes.anchors(0).len(), 2);
    // One that dies in the middle of it counts, too.
    begin_anew(&mut house);
    house.clock.move_on(Duration::from_secs(301));
    house.nodes.keep_anchors(false);
    house.core.backup.work().await;
    begin_anew(&mut house);
    house.core.backup.work().await;
    assert_eq!(house.catalog.snapshots_begun().await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fails_leaves_nothing_however_long_no_backup_comes() {
    let mut house = house().await;
    house.core.reclaim.backup = Some(Arc::clone(&house.core.backup.standing));
    house.put("a", noise(1, 5 << 20)).await.ok();
    back_up(&mut house).await;
    let shards = house.nodes.all_shards();
    begin_anew(&mut house);
    // One shard of it is put, then the pool is full.
    (1..NODES).for_each(|n| house.nodes.fill(n));
    house.core.backup.work().await;
    assert!(house.core.backup.standing.told(RETENTION_MS).error.is_some());
    (1..NODES).for_each(|n| house.nodes.make_room(n));
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), shards, "neither more nor less");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_was_set_back_begins_a_history_of_its_own() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    let id = house.nodes.anchors(0)[0];
    // What was to come, and was backed up, before the volume was set back.
    let ahead = AnchorId { revision: id.revision + 1000, at_unix_ms: id.at_unix_ms + 500, ..id };
    let opener = restoring(&house, house.dir(), Wish::Newest, "newest").opener;
    let Given::Proven(mut anchor) = opener.ask(&peer(0), &id, Duration::from_secs(5)).await else { panic!() };
    let more = AnchorPart { revision: ahead.revision, at_unix_ms: ahead.at_unix_ms, chunks: Vec::new() };
    anchor.parts.push(more);
    let sealed = house.secret.seal_anchor(&ahead.binding(), &record::encode(&*anchor).unwrap());
    for n in 0..NODES {
        let keep = Request::KeepAnchor { id: ahead, sealed: sealed.clone().into() };
        let answer = house.nodes.request(&peer(n), keep, None, Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.0, Response::Done);
    }
    begin_anew(&mut house);
    house.put("b", "2").await.ok();
    back_up(&mut house).await;
    let noted = house.catalog.restored().await.unwrap().unwrap();
    assert!(noted.generation > id.generation && noted.until_unix_ms == id.at_unix_ms, "{noted:?}");
    let status = house.status().await;
    assert_eq!(status["catalog"]["backup"]["restored"]["untilUnixMs"], noted.until_unix_ms);
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "b").await, "not what was abandoned");
    assert!(!house.core.backup.is_replaced().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_is_restored_by_its_time_alone() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    let at = house.nodes.anchors(0)[0].at_unix_ms;
    house.clock.move_on(Duration::from_secs(23 * 3600));
    assert!(restored(&house, Wish::Newest).await.is_ok());
    house.clock.move_on(Duration::from_secs(2 * 3600));
    let Err(RestoreError::Stale { at: told }) = restored(&house, Wish::Newest).await.map(drop) else {
        panic!()
    };
    assert_eq!(told.parse(), Ok(Wish::Until(at)));
    assert!(has(&restored(&house, Wish::Until(at)).await.unwrap().0, "a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_silent_does_not_hide_that_the_catalog_was_replaced() {
    let mut house = house().await;
    back_up(&mut house).await;
    let (mut new, _) = restored(&house, Wish::Newest).await.unwrap();
    back_up(&mut new).await;
    house.nodes.slow_down(0, Duration::from_secs(60));
    assert!(house.core.backup.is_replaced().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_backups_nodes_forget_those_there_were() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    house.nodes.kill(5);
    let mut forgets = KeepBackup::new(
        Arc::clone(&house.core.context),
        (Arc::clone(&house.secret), names(), Arc::clone(&house.core.backup.standing)),
    )
    .forgets();
    forgets.work().await;
    assert!((0..5).all(|n| house.nodes.anchors(n).is_empty()));
    house.nodes.revive(5);
    assert_eq!(house.nodes.anchors(5).len(), 1);
    forgets.work().await;
    assert!(house.nodes.anchors(5).is_empty(), "once it is back");
    assert!(matches!(restored(&house, Wish::Newest).await.map(drop), Err(RestoreError::None { .. })));
}
