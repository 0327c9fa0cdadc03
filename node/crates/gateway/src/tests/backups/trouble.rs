//! Backups that fail, are interrupted, are not wanted, or are told of another catalog than this.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::AnchorPart;
use datamesh_catalog::keyspace::{Batch, Keyspace};
use datamesh_catalog::record;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;

use super::{
    NODES, RETENTION_MS, back_up, backed_up, begin_anew, has, house, names, noise, restored, restoring,
};
use crate::backup::{Given, KeepBackup, Standing};
use crate::metrics::BackupMetrics;
use crate::restore::{RestoreError, Wish};
use crate::tests::fake::peer;
use crate::work::Worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_not_filled_further_by_backups_and_a_restart_forgets_none() {
    let mut house = backed_up().await;
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
    let mut house = backed_up().await;
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
    let mut house = backed_up().await;
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
    assert_eq!(noted.wish, "set back with its volume", "nobody has wished anything yet");
    let status = house.status().await;
    assert_eq!(status["catalog"]["backup"]["restored"]["untilUnixMs"], noted.until_unix_ms);
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "b").await, "not what was abandoned");
    assert!(!house.core.backup.is_replaced().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_is_restored_by_its_time_alone() {
    let house = backed_up().await;
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
    let house = backed_up().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_backup_stays_however_long_no_newer_one_comes() {
    let mut house = house().await;
    house.put("a", noise(1, 5 << 20)).await.ok();
    back_up(&mut house).await;
    // No gateway for longer than a lease, and than deletion waits: it ended as well as it could.
    house.clock.move_on(Duration::from_secs(7 * 3600));
    begin_anew(&mut house);
    let standing = Arc::new(Standing::new(BackupMetrics::default()));
    house.core.backup.standing = Arc::clone(&standing);
    house.core.reclaim.backup = Some(standing);
    house.nodes.keep_anchors(false);
    // What deletes is faster than what asks the nodes.
    house.core.reclaim.work().await;
    for _ in 0..8 {
        house.core.backup.work().await;
        house.clock.move_on(Duration::from_secs(600));
        house.core.reclaim.work().await;
        house.core.reclaim.work().await;
    }
    assert!(house.core.backup.standing.told(RETENTION_MS).error.is_some());
    let (new, _) = restored(&house, Wish::Newest).await.unwrap();
    assert!(has(&new, "a").await);
    // Once there is a newer one, its lease ends, and it goes as ever.
    let before = house.nodes.generations();
    house.nodes.keep_anchors(true);
    for _ in 0..2 {
        begin_anew(&mut house);
        back_up(&mut house).await;
        house.clock.move_on(Duration::from_secs(3600));
        house.core.reclaim.work().await;
    }
    begin_anew(&mut house);
    back_up(&mut house).await;
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    let after = house.nodes.generations();
    assert!(before.keys().any(|segment| !after.contains_key(segment)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_first_backup_restarts_hold_no_deletion_up_and_tries_leave_nothing() {
    let mut house = house().await;
    house.put("a", noise(1, 5 << 20)).await.ok();
    let shards = house.nodes.all_shards();
    for _ in 0..2 {
        begin_anew(&mut house);
        let standing = Arc::new(Standing::new(BackupMetrics::default()));
        house.core.backup.standing = Arc::clone(&standing);
        house.core.reclaim.backup = Some(Arc::clone(&standing));
        (1..NODES).for_each(|n| house.nodes.fill(n));
        house.core.backup.work().await;
        assert!(standing.told(RETENTION_MS).error.is_some());
        let now = house.core.context.surroundings.now_unix_ms();
        assert_eq!(standing.deletable_until(now, RETENTION_MS), now, "as if there were no backups");
        (1..NODES).for_each(|n| house.nodes.make_room(n));
        house.core.reclaim.work().await;
        house.core.reclaim.work().await;
        assert_eq!(house.nodes.all_shards(), shards);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_grows_while_the_next_is_written_and_that_is_never_behind_it() {
    let mut house = house().await;
    back_up(&mut house).await;
    let before = house.nodes.anchors(0)[0];
    // Rows of some pieces.
    for n in 0..8 {
        let mut batch = Batch::new();
        batch.put([250, n], noise(u64::from(n), 2_000_000).to_vec());
        house.catalog.keyspace().commit(batch).await.unwrap();
    }
    house.core.backup.snapshot_every = Duration::ZERO;
    // It leaves the gateway alone for as long as the first took.
    while house.nodes.anchors(0).len() < 2 {
        back_up(&mut house).await;
    }
    let anchors = house.nodes.anchors(0);
    let [old, new] = anchors[..] else { panic!("{anchors:?}") };
    assert!(old.chain() == before.chain() && old.revision > new.snapshot, "{anchors:?} {before:?}");
    assert!(new.revision > old.revision, "{anchors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fails_does_not_end_the_chain_that_is_there() {
    let mut house = house().await;
    back_up(&mut house).await;
    let before = house.nodes.anchors(0);
    house.core.backup.snapshot_every = Duration::ZERO;
    (0..NODES).for_each(|n| house.nodes.fill(n));
    while house.catalog.snapshots_begun().await.unwrap().len() < 2 {
        house.core.backup.work().await;
    }
    assert!(house.core.backup.standing.told(RETENTION_MS).error.is_some());
    (0..NODES).for_each(|n| house.nodes.make_room(n));
    house.core.backup.snapshot_every = Duration::from_secs(3600);
    house.core.backup.rests_until = None;
    house.put("b", "2").await.ok();
    back_up(&mut house).await;
    let after = house.nodes.anchors(0);
    assert!(after.len() == 1 && after[0].chain() == before[0].chain(), "{after:?}");
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "b").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_starts_before_its_nodes_asks_until_they_have_said_what_was() {
    let mut house = backed_up().await;
    begin_anew(&mut house);
    let standing = Arc::new(Standing::new(BackupMetrics::default()));
    house.core.backup.standing = Arc::clone(&standing);
    (0..NODES).for_each(|n| house.nodes.kill(n));
    house.core.backup.work().await;
    assert!(standing.is_unknown());
    (0..NODES).for_each(|n| house.nodes.revive(n));
    house.core.backup.work().await;
    assert!(!standing.is_unknown() && standing.told(RETENTION_MS).last_unix_ms.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_anchor_is_told_of_a_chain_that_nothing_keeps_any_more() {
    let mut house = backed_up().await;
    house.nodes.keep_anchors(false);
    house.put("b", "2").await.ok();
    house.core.backup.work().await;
    // The machine stood still for longer than a lease.
    house.clock.move_on(Duration::from_secs(3600));
    house.core.reclaim.work().await;
    house.nodes.keep_anchors(true);
    house.core.backup.rests_until = None;
    let told = house.nodes.anchors(0);
    house.core.backup.work().await;
    assert_eq!(house.nodes.anchors(0), told);
    while house.nodes.anchors(0).len() < 2 {
        house.core.backup.work().await;
    }
    assert!(house.core.backup.standing.told(RETENTION_MS).error.is_none());
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "b").await);
}
