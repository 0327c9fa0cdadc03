//! A catalog whose volume is lost comes back out of the mesh.

mod asked;
mod copies;
mod interrupted;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use datamesh_catalog::record::RestoredRecord;
use datamesh_catalog::{CatalogOptions, EmbeddedCatalog};
use datamesh_exchange::anchor::AnchorId;
use datamesh_shard::NodeName;
use http::StatusCode;

use super::fake::{FakeNodes, peer};
use super::house::{House, noise};
use crate::backup::{KeepBackup, Opener, Standing};
use crate::metrics::BackupMetrics;
use crate::restore::{RestoreError, Restoring, Source, Volume, Wish};
use crate::work::{Next, Worker};

const NODES: u8 = 6;
const BUFFERS: (u64, u64) = (512 << 20, 0);
const RETENTION_MS: u64 = 600_000;

async fn house() -> House {
    let mut house = House::keeping(NODES, BUFFERS.0, RETENTION_MS).await;
    house.core.backup.part_every = Duration::ZERO;
    house
}

/// The backup is as new as can be.
async fn back_up(house: &mut House) {
    assert!(matches!(house.core.backup.work().await, Next::Wait(_)));
    let backup = house.status().await["catalog"]["backup"].clone();
    assert!(backup["lastUnixMs"].is_u64() && backup["error"].is_null(), "{backup}");
}

/// One with an object, `a`, that is backed up.
async fn backed_up() -> House {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    back_up(&mut house).await;
    house
}

/// The cluster's and the gateway's.
fn names() -> (NodeName, NodeName) {
    ("test".parse().unwrap(), "gw".parse().unwrap())
}

/// As after a restart: the next backup begins with a snapshot.
fn begin_anew(house: &mut House) {
    let standing = Arc::clone(&house.core.backup.standing);
    let parts = (Arc::clone(&house.secret), names(), standing);
    house.core.backup = KeepBackup::new(Arc::clone(&house.core.context), parts);
    house.core.backup.part_every = Duration::ZERO;
}

fn restoring<'a>(house: &House, dir: &'a std::path::Path, wish: Wish, words: &str) -> Restoring<'a> {
    Restoring {
        opener: Opener {
            net: Arc::<FakeNodes>::clone(&house.nodes),
            secret: Arc::clone(&house.secret),
            cluster: NodeName::new("test").unwrap(),
        },
        surroundings: house.core.context.surroundings.clone(),
        buffer_bytes: BUFFERS.0,
        options: CatalogOptions { retention_ms: RETENTION_MS },
        volume: Volume::Folder(dir),
        wish: (wish, words.to_owned()),
        source: Source::Mesh,
    }
}

/// The catalog on another volume, and a gateway that starts there; asked for in words that were never used.
async fn restored(house: &House, wish: Wish) -> Result<(House, RestoredRecord), RestoreError> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    restored_by(house, wish, &format!("newest#{}", ASKED.fetch_add(1, Ordering::Relaxed))).await
}

async fn restored_by(
    house: &House,
    wish: Wish,
    words: &str,
) -> Result<(House, RestoredRecord), RestoreError> {
    let dir = tempfile::tempdir().unwrap();
    let restoring = restoring(house, dir.path(), wish, words);
    let told = restoring.ask((0..NODES).map(peer).collect()).await;
    let record = restoring.restore(&told).await?;
    drop(restoring);
    let (nodes, secret) = (Arc::clone(&house.nodes), Arc::clone(&house.secret));
    let new = House::on(dir, (nodes, secret), BUFFERS, RETENTION_MS).await;
    Ok((new, record))
}

async fn has(house: &House, key: &str) -> bool {
    let got = house.get(key).await;
    assert!(got.status.is_success() || got.status == StatusCode::NOT_FOUND, "{key}: {}", got.status);
    got.status.is_success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_backup_is_there_when_the_volume_is_lost() {
    let mut house = house().await;
    house.put("paged", noise(1, 9 << 20)).await.ok();
    house.put("deleted", noise(2, 5 << 20)).await.ok();
    back_up(&mut house).await;
    house.put("inline", "small").await.ok();
    house.put("later", noise(3, 5 << 20)).await.ok();
    house.delete("deleted").await.ok();
    back_up(&mut house).await;
    let last = house.status().await["catalog"]["backup"]["lastUnixMs"].as_u64().unwrap();
    house.put("lost", "after the backup").await.ok();
    house.delete("later").await.ok();
    let lost_incarnation = house.catalog.incarnation();

    let (mut new, status) = restored(&house, Wish::Newest).await.unwrap();
    assert_eq!(status.until_unix_ms, last);
    assert_eq!(new.get("paged").await.ok().body, noise(1, 9 << 20));
    assert_eq!(new.get("inline").await.ok().body, "small");
    assert_eq!(
        new.get("later").await.ok().body,
        noise(3, 5 << 20),
        "its delete is lost, its segments are not"
    );
    assert!(!has(&new, "deleted").await);
    assert!(!has(&new, "lost").await);
    assert!(new.catalog.incarnation() > lost_incarnation);
    new.put("new", noise(4, 5 << 20)).await.ok();
    assert_eq!(new.get("new").await.ok().body, noise(4, 5 << 20));

    // The one that was taken for lost lives on: until it hears of the other.
    back_up(&mut house).await;
    back_up(&mut new).await;
    assert!(house.core.backup.is_replaced().await && !new.core.backup.is_replaced().await);
    house.put("too-late", "x").await.ok();
    house.core.backup.work().await;
    tokio::time::timeout(Duration::from_secs(5), house.core.backup.standing.superseded()).await.unwrap();
    let (again, _) = restored(&new, Wish::Newest).await.unwrap();
    assert!(has(&again, "new").await && !has(&again, "too-late").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_passed_over_for_the_one_before() {
    let mut house = house().await;
    house.put("first", noise(1, 5 << 20)).await.ok();
    back_up(&mut house).await;
    let before = house.nodes.generations();
    begin_anew(&mut house);
    house.clock.move_on(Duration::from_secs(60));
    house.put("second", "2").await.ok();
    let second = house.core.context.surroundings.now_unix_ms();
    back_up(&mut house).await;
    let after = house.nodes.generations();
    // As it is, and with one good copy of its anchor.
    house.nodes.damage_newest_anchor(1);
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "second").await);
    // Its segments lost.
    let newest: Vec<_> = after.keys().filter(|segment| !before.contains_key(segment)).copied().collect();
    assert!(!newest.is_empty());
    newest.into_iter().for_each(|segment| house.nodes.lose(segment));
    // They may be slow as well: nobody decides that they are lost but people, who ask for a time.
    let outcome = restored(&house, Wish::Newest).await.map(drop);
    assert!(
        matches!(&outcome, Err(RestoreError::NotYet(text)) if text.contains("ask for a time before")),
        "{outcome:?}"
    );
    let (older, _) = restored(&house, Wish::Until(second - 1)).await.unwrap();
    assert!(has(&older, "first").await && !has(&older, "second").await);
    // Its anchor damaged, at all who keep it but one that is busy.
    house.nodes.damage_newest_anchor(1);
    house.nodes.keep_busy(0, true);
    let outcome = restored(&house, Wish::Newest).await.map(drop);
    assert!(
        matches!(&outcome, Err(RestoreError::NotYet(text)) if text.contains("says that it keeps")),
        "{outcome:?}"
    );
    house.nodes.keep_busy(0, false);
    // At all: then it is none.
    house.nodes.damage_newest_anchor(0);
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "first").await);
    before.into_keys().for_each(|segment| house.nodes.lose(segment));
    assert!(matches!(restored(&house, Wish::Newest).await, Err(RestoreError::NotYet(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_part_is_a_point_to_come_back_to() {
    let mut house = house().await;
    let mut times = Vec::new();
    for key in ["a", "b", "c"] {
        house.put(key, "x").await.ok();
        back_up(&mut house).await;
        times.push(house.status().await["catalog"]["backup"]["lastUnixMs"].as_u64().unwrap());
        house.clock.move_on(Duration::from_secs(60));
    }
    house.put("d", "never backed up").await.ok();
    for (at, keys) in [(times[0], 1), (times[1] - 1, 1), (times[1] + 5, 2), (times[2] + 1000, 3)] {
        let (new, status) = restored(&house, Wish::Until(at)).await.unwrap();
        let mut there = Vec::new();
        for key in ["a", "b", "c", "d"] {
            there.push(has(&new, key).await);
        }
        assert_eq!(there, [true, keys > 1, keys > 2, false], "{at}");
        assert!(status.until_unix_ms <= at);
    }
    let too_old = restored(&house, Wish::Until(times[2] - RETENTION_MS - 1)).await;
    assert!(matches!(too_old, Err(RestoreError::TooOld { .. })));
    let before_all = restored(&house, Wish::Until(times[0] - 1000)).await;
    assert!(matches!(before_all, Err(RestoreError::None { tried: 0, .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_before_the_anchor_is_kept_leaves_the_backup_before_and_no_garbage() {
    let mut house = backed_up().await;
    let shards = house.nodes.all_shards();
    begin_anew(&mut house);
    house.put("b", "2").await.ok();
    house.nodes.keep_anchors(false);
    house.core.backup.work().await;
    let backup = house.status().await["catalog"]["backup"].clone();
    assert!(backup["error"].as_str().unwrap().contains("nodes keep its anchor"), "{backup}");
    assert!(house.nodes.all_shards() > shards, "the snapshot is there");
    let (new, _) = restored(&house, Wish::Newest).await.unwrap();
    assert!(has(&new, "a").await && !has(&new, "b").await);
    // As dead as its gateway: nobody renews the lease.
    begin_anew(&mut house);
    house.clock.move_on(Duration::from_secs(3600));
    house.core.reclaim.work().await;
    house.clock.move_on(Duration::from_secs(3600));
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(house.nodes.all_shards(), 0, "neither backup is kept by anybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_newest_backup_refers_to_is_deleted_once_there_is_a_newer_one() {
    let mut house = house().await;
    house.core.reclaim.backup = Some(Arc::clone(&house.core.backup.standing));
    house.put("a", noise(1, 5 << 20)).await.ok();
    let segments = house.nodes.generations();
    back_up(&mut house).await;
    house.clock.move_on(Duration::from_secs(120));
    house.delete("a").await.ok();
    house.nodes.keep_anchors(false);
    house.clock.move_on(Duration::from_millis(3 * RETENTION_MS));
    house.core.backup.work().await;
    house.core.reclaim.work().await;
    let left =
        |house: &House| segments.keys().filter(|id| house.nodes.generations().contains_key(id)).count();
    assert_eq!(left(&house), segments.len(), "the backup has the object");
    let (new, _) = restored(&house, Wish::Newest).await.unwrap();
    assert_eq!(new.get("a").await.ok().body, noise(1, 5 << 20));
    house.nodes.keep_anchors(true);
    // Nobody renewed the chain's lease in the hour that did not pass.
    begin_anew(&mut house);
    back_up(&mut house).await;
    house.core.reclaim.work().await;
    house.core.reclaim.work().await;
    assert_eq!(left(&house), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_at_rest_is_backed_up_without_writing_anything() {
    let mut house = backed_up().await;
    let (shards, before) = (house.nodes.all_shards(), house.status().await);
    house.clock.move_on(Duration::from_secs(100));
    for _ in 0..3 {
        back_up(&mut house).await;
    }
    let after = house.status().await;
    assert_eq!(house.nodes.all_shards(), shards);
    assert_eq!(before["catalog"]["backup"]["segments"], after["catalog"]["backup"]["segments"]);
    assert!(after["catalog"]["backup"]["behindSeconds"].as_u64().unwrap() < 60, "{after}");
    house.put("b", "2").await.ok();
    back_up(&mut house).await;
    assert!(house.nodes.all_shards() > shards);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_lead_in_turn_go_on_with_the_same_backup_and_fence_nobody() {
    let mut house = backed_up().await;
    // Another has opened the catalog, and gets the lead: it makes a chain of its own.
    let (keyspace, options) = (house.catalog.keyspace().clone(), house.catalog.options());
    let opened = EmbeddedCatalog::with_keyspace(keyspace, &house.secret.fingerprint(), options).await;
    assert!(opened.unwrap().incarnation() > house.catalog.incarnation());
    let standing = Arc::new(Standing::new(BackupMetrics::default()));
    let names = (NodeName::new("test").unwrap(), NodeName::new("gw-0").unwrap());
    let parts = (Arc::clone(&house.secret), names, Arc::clone(&standing));
    let mut other = KeepBackup::new(Arc::clone(&house.core.context), parts);
    house.put("b", "2").await.ok();
    other.work().await;
    let told = standing.told(RETENTION_MS);
    assert!(told.error.is_none() && told.last_unix_ms.is_some(), "{told:?}");
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "b").await);
    // It loses the lead again, before the first one has looked: that one's chain is older, and leads further.
    other.rest();
    house.put("c", "3").await.ok();
    back_up(&mut house).await;
    let (new, _) = restored(&house, Wish::Newest).await.unwrap();
    assert!(has(&new, "b").await && has(&new, "c").await);
    assert!(!house.core.backup.is_replaced().await && !other.is_replaced().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_do_not_answer_are_waited_for() {
    let mut house = house().await;
    house.put("first", "1").await.ok();
    back_up(&mut house).await;
    begin_anew(&mut house);
    house.put("second", noise(2, 5 << 20)).await.ok();
    back_up(&mut house).await;
    let dir = tempfile::tempdir().unwrap();
    let restoring = restoring(&house, dir.path(), Wish::Newest, "newest");
    let told = restoring.ask((0..NODES).map(peer).collect()).await;
    (0..3).for_each(|n| house.nodes.kill(n));
    let outcome = restoring.restore(&told).await;
    assert!(matches!(&outcome, Err(RestoreError::NotYet(text)) if text.contains("node n0")), "{outcome:?}");
    (0..3).for_each(|n| house.nodes.revive(n));
    assert!(has(&restored(&house, Wish::Newest).await.unwrap().0, "second").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_makes_up_neither_ends_a_gateway_nor_stops_a_restore() {
    let mut house = house().await;
    house.put("a", "1").await.ok();
    let made_up =
        AnchorId { generation: u64::MAX, revision: u64::MAX, at_unix_ms: u64::MAX, snapshot: u64::MAX };
    house.nodes.claim_anchor(0, made_up);
    back_up(&mut house).await;
    assert!(!house.core.backup.is_replaced().await);
    let (new, record) = restored(&house, Wish::Newest).await.unwrap();
    assert!(has(&new, "a").await && record.generation < u64::MAX);
    let now = house.core.context.surroundings.now_unix_ms();
    assert!(restored(&house, Wish::Until(now)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_stays_in_the_settings_restores_once() {
    let house = backed_up().await;
    let (mut new, record) = restored_by(&house, Wish::Newest, "newest").await.unwrap();
    assert_eq!(new.catalog.restored().await.unwrap(), Some(record));
    new.put("b", "2").await.ok();
    back_up(&mut new).await;
    let again = restored_by(&new, Wish::Newest, "newest").await;
    assert!(matches!(again.err(), Some(RestoreError::Again(words)) if words == "newest"));
    assert!(has(&restored_by(&new, Wish::Newest, "newest#2").await.unwrap().0, "b").await);
}
