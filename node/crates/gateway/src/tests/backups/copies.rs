//! Copies of backups at another S3, and a catalog out of them when the mesh is gone as well.

use std::collections::BTreeMap;

use super::*;
use crate::backup::copies::{CopyBackups, Place};
use crate::restore::Source;
use crate::tests::fake::bucket::{Bucket, Fault};
use crate::tests::house::ADMIN;

/// Whoever copies what this house backs up from now on.
pub(super) fn copier(house: &House, bucket: &Bucket) -> CopyBackups {
    let of = (Arc::clone(&house.secret), names().0);
    let place = Arc::new(Place::of(&bucket.settings()).unwrap());
    CopyBackups::new(Arc::clone(&house.core.context), of, (place, house.core.backup.newest()))
}

/// Backs up and copies, and gives the time of what was backed up.
pub(super) async fn copy(house: &mut House, copier: &mut CopyBackups) -> u64 {
    back_up(house).await;
    copier.work().await;
    let noted = house.catalog.copies().await.unwrap();
    assert_eq!(noted.error, "");
    let last = house.status().await["catalog"]["backup"]["lastUnixMs"].as_u64();
    assert_eq!(noted.newest.map(|newest| newest.at_unix_ms), last);
    last.unwrap()
}

/// What the last try came to.
pub(super) async fn error(house: &House, copier: &mut CopyBackups) -> (String, Duration) {
    let Next::Wait(pause) = copier.work().await else { panic!("it is busy") };
    (house.catalog.copies().await.unwrap().error, pause)
}

/// The catalog on another volume out of the copies, with nodes that answer or none.
pub(super) async fn out_of(
    (house, bucket): (&House, &Bucket),
    wish: Wish,
    with_nodes: bool,
) -> Result<(House, RestoredRecord), RestoreError> {
    let dir = tempfile::tempdir().unwrap();
    let mut restoring = restoring(house, dir.path(), wish, "newest#copies");
    restoring.source = Source::Copies(Arc::new(Place::of(&bucket.settings()).unwrap()));
    let told = match with_nodes {
        true => restoring.ask((0..NODES).map(peer).collect()).await,
        false => BTreeMap::new(),
    };
    let record = restoring.restore(&told).await?;
    drop(restoring);
    let (nodes, secret) = (Arc::clone(&house.nodes), Arc::clone(&house.secret));
    Ok((House::on(dir, (nodes, secret), BUFFERS, RETENTION_MS).await, record))
}

async fn refused((house, bucket): (&House, &Bucket), wish: Wish) -> RestoreError {
    let Err(error) = out_of((house, bucket), wish, false).await else { panic!("it is restored") };
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_comes_back_out_of_copies_when_no_node_answers() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    assert!(matches!(copier.work().await, Next::Wait(_)), "there is no backup yet");
    house.put("paged", noise(1, 9 << 20)).await.ok();
    copy(&mut house, &mut copier).await;
    house.put("inline", "small").await.ok();
    let last = copy(&mut house, &mut copier).await;
    house.put("lost", "after the copy").await.ok();
    let (new, record) = out_of((&house, &bucket), Wish::Newest, false).await.unwrap();
    assert_eq!(record.until_unix_ms, last);
    assert_eq!(new.get("paged").await.ok().body, noise(1, 9 << 20));
    assert_eq!(new.get("inline").await.ok().body, "small");
    assert!(!has(&new, "lost").await);
    assert!(new.catalog.incarnation() > house.catalog.incarnation());
    // Nothing of what stands there can be read by who keeps it, and no name says anything.
    let needle = b"inline";
    bucket.change(|objects| {
        for (name, object) in objects {
            assert!(!object.windows(needle.len()).any(|some| some == needle), "{name}");
            assert!(name.starts_with("of/here/") && !name.contains("test"), "{name}");
        }
    });
    // The same words restore once.
    let mut new = new;
    new.catalog.let_delete().await.unwrap();
    let mut others = super::copies::copier(&new, &bucket);
    copy(&mut new, &mut others).await;
    assert!(matches!(refused((&new, &bucket), Wish::Newest).await, RestoreError::Again(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_not_put_again_and_one_anchor_of_a_chain_is_left() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut first = copier(&house, &bucket);
    for key in ["a", "b", "c"] {
        house.put(key, "x").await.ok();
        copy(&mut house, &mut first).await;
        house.clock.move_on(Duration::from_secs(60));
    }
    assert_eq!(bucket.names("/anchors/").len(), 1);
    let pieces = bucket.names("/pieces/");
    assert!(pieces.len() >= 3, "{pieces:?}");
    // A gateway that has just started, or got the lead.
    let mut second = copier(&house, &bucket);
    back_up(&mut house).await;
    second.work().await;
    assert!(bucket.names("/pieces/").iter().all(|name| bucket.puts(name) == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_in_the_middle_leaves_no_anchor_and_another_goes_on() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut first = copier(&house, &bucket);
    for key in ["a", "b", "c", "d"] {
        house.put(key, "x").await.ok();
        back_up(&mut house).await;
    }
    bucket.fails(Fault::HangsAfter(2));
    tokio::select! {
        _ = first.work() => panic!("it is done"),
        () = bucket.hung() => {}
    }
    drop(first);
    assert_eq!((bucket.names("/anchors/").len(), bucket.names("/pieces/").len()), (0, 2));
    assert!(matches!(
        refused((&house, &bucket), Wish::Newest).await,
        RestoreError::NoCopies { tried: 0, .. }
    ));
    bucket.fails(Fault::None);
    let mut second = copier(&house, &bucket);
    copy(&mut house, &mut second).await;
    assert!(bucket.names("/pieces/").iter().all(|name| bucket.puts(name) == 1));
    let (new, _) = out_of((&house, &bucket), Wish::Newest, false).await.unwrap();
    assert!(has(&new, "d").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_fails_is_told_of_and_stops_nothing_else() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    let faults = [
        (Fault::Refuses, "403 Forbidden (AccessDenied)"),
        (Fault::Full, "403 Forbidden (QuotaExceeded)"),
        (Fault::Redirects, "it redirects (307"),
        (Fault::ListsOthers, "it lists what was not asked for"),
        (Fault::Loses, "is missing; it is put there again"),
        (Fault::ListsForEver, "its list of objects has no end"),
    ];
    let mut longest = Duration::ZERO;
    for (fault, text) in faults {
        bucket.fails(fault);
        house.put("a", "x").await.ok();
        back_up(&mut house).await;
        let (told, pause) = error(&house, &mut copier).await;
        assert!(told.contains(text), "{fault:?}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("Signature"), "{told}");
        assert!(bucket.names("/anchors/").is_empty(), "{fault:?}");
        longest = longest.max(pause);
    }
    assert!(longest > Duration::from_secs(15) && longest <= Duration::from_secs(80), "{longest:?}");
    let status = house.status().await;
    assert!(status["catalog"]["backup"]["error"].is_null(), "the mesh's own backup is well: {status}");
    // Without its key.
    let key = bucket.settings().secret_access_key_file;
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    let (told, _) = error(&house, &mut copier).await;
    assert!(told.contains("secretAccessKey"), "{told}");
    std::fs::rename(key.with_extension("away"), &key).unwrap();
    // It may be busy for a moment.
    bucket.fails(Fault::Busy(2));
    copy(&mut house, &mut copier).await;
    assert!(has(&out_of((&house, &bucket), Wish::Newest, false).await.unwrap().0, "a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_is_not_what_was_put_is_put_again() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut first = copier(&house, &bucket);
    house.put("a", "x").await.ok();
    copy(&mut house, &mut first).await;
    let pieces = bucket.names("/pieces/");
    bucket.change(|objects| pieces.iter().for_each(|name| objects.get_mut(name).unwrap()[40] ^= 1));
    // Read back once it has not been for an hour, or after a start.
    let mut second = copier(&house, &bucket);
    back_up(&mut house).await;
    let (told, _) = error(&house, &mut second).await;
    let name = pieces.iter().find(|name| told.contains(*name)).unwrap();
    assert!(told.contains("is not what was put"), "{told}");
    assert_eq!(bucket.puts(name), 2);
    // Whatever was believed to be there is looked at again, though there is no newer backup.
    let anchor = bucket.names("/anchors/").pop().unwrap();
    let before = bucket.puts(&anchor);
    second.work().await;
    assert_eq!(bucket.puts(&anchor), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_part_of_a_copy_is_a_point_to_come_back_to_however_old() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    let mut times = Vec::new();
    for key in ["a", "b", "c"] {
        house.put(key, "x").await.ok();
        times.push(copy(&mut house, &mut copier).await);
        // Beyond what nodes can bring back.
        house.clock.move_on(Duration::from_millis(2 * RETENTION_MS));
    }
    for (at, keys) in [(times[0], 1), (times[1] - 1, 1), (times[1] + 5, 2), (times[2] + 1000, 3)] {
        let (new, record) = out_of((&house, &bucket), Wish::Until(at), true).await.unwrap();
        let mut there = Vec::new();
        for key in ["a", "b", "c"] {
            there.push(has(&new, key).await);
        }
        assert_eq!(there, [true, keys > 1, keys > 2], "{at}");
        assert!(record.until_unix_ms <= at);
    }
    let before_all = refused((&house, &bucket), Wish::Until(times[0] - 1000)).await;
    assert!(matches!(before_all, RestoreError::NoCopyThen { .. }), "{before_all}");
    let long_after = refused((&house, &bucket), Wish::Until(times[2] + 2 * 3_600_000)).await;
    assert!(matches!(long_after, RestoreError::FarBefore { .. }), "{long_after}");
}

/// What somebody may do to objects that they cannot read.
type Meddling = fn(&mut BTreeMap<String, Vec<u8>>, &[String]);

/// Of pieces: each ends with the second one.
const OF_PIECES: [(&str, Meddling, &str); 5] = [
    (
        "changed",
        |all, names| *all.get_mut(&names[1]).unwrap().last_mut().unwrap() ^= 1,
        "does not prove itself",
    ),
    ("missing", |all, names| drop(all.remove(&names[1])), "is missing"),
    ("cut", |all, names| assert!(all.get_mut(&names[1]).unwrap().pop().is_some()), "are expected"),
    ("emptied", |all, names| all.get_mut(&names[1]).unwrap().fill(0), "does not prove itself"),
    (
        "another one",
        |all, names| {
            let other = all[&names[0]].clone();
            let own = all.get_mut(&names[1]).unwrap();
            let bytes = own.len();
            *own = other.into_iter().chain(std::iter::repeat(0)).take(bytes).collect();
        },
        "does not prove itself",
    ),
];

/// The same of anchors.
const OF_ANCHORS: [(&str, Meddling, &str); 3] = [
    ("changed", |all, names| all.get_mut(&names[0]).unwrap()[20] ^= 1, "does not prove itself"),
    (
        "as if it were later",
        |all, names| {
            let sealed = all.remove(&names[0]).unwrap();
            all.insert(names[0].replacen("anchors/00", "anchors/01", 1), sealed);
        },
        "does not prove itself",
    ),
    ("long", |all, names| all.get_mut(&names[0]).unwrap().resize(600 << 10, 0), "longer than any"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_meddled_with_is_refused_by_its_name() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    for key in ["a", "b", "c"] {
        house.put(key, "x").await.ok();
        copy(&mut house, &mut copier).await;
    }
    let of_pieces = OF_PIECES.map(|meddling| ("/pieces/", meddling));
    let of_anchors = OF_ANCHORS.map(|meddling| ("/anchors/", meddling));
    for (folder, (what, meddle, problem)) in of_pieces.into_iter().chain(of_anchors) {
        let (before, names) = (bucket.change(|all| all.clone()), bucket.names(folder));
        bucket.change(|all| meddle(all, &names));
        let error = refused((&house, &bucket), Wish::Newest).await;
        let RestoreError::Copy(told) = &error else { panic!("{folder} {what}: {error}") };
        assert!(told.contains(problem) && told.contains(folder), "{what}: {told}");
        bucket.change(|all| *all = before);
    }
    // Of another cluster, under its own name: nobody looks at it.
    let (piece, anchor) = (bucket.names("/pieces/").remove(0), bucket.names("/anchors/").remove(0));
    bucket.change(|all| {
        all.insert(piece.replacen("of/here/", "of/here/0", 1), vec![0; 100]);
        all.insert(anchor.replacen("anchors/", "anchors/x", 1), vec![0; 100]);
    });
    assert!(out_of((&house, &bucket), Wish::Newest, false).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_cut_off_are_asked_for_again_and_a_bucket_that_is_away_is_waited_for() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    house.put("a", "x").await.ok();
    copy(&mut house, &mut copier).await;
    bucket.fails(Fault::Cuts(2));
    assert!(has(&out_of((&house, &bucket), Wish::Newest, false).await.unwrap().0, "a").await);
    bucket.fails(Fault::Refuses);
    let RestoreError::NotYet(reason) = refused((&house, &bucket), Wish::Newest).await else { panic!() };
    assert!(reason.contains("403 Forbidden (AccessDenied)"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_does_not_take_the_place_of_what_nodes_keep() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    house.put("a", "x").await.ok();
    let copied = copy(&mut house, &mut copier).await;
    house.put("b", "x").await.ok();
    house.clock.move_on(Duration::from_secs(60));
    back_up(&mut house).await;
    let outcome = out_of((&house, &bucket), Wish::Newest, true).await.map(drop);
    assert!(matches!(outcome, Err(RestoreError::NewerInMesh { .. })), "{outcome:?}");
    // Asked for by its time it does, and is of a later generation than all that nodes keep.
    let (mut new, record) = out_of((&house, &bucket), Wish::Until(copied), true).await.unwrap();
    assert!(has(&new, "a").await && !has(&new, "b").await);
    assert!(house.nodes.anchors(0).iter().all(|id| id.generation < record.generation));
    back_up(&mut new).await;
    assert!(house.core.backup.is_replaced().await && !new.core.backup.is_replaced().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_are_kept_as_long_as_is_said_and_the_newest_for_ever() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut chains = Vec::new();
    for key in ["a", "b", "c", "d"] {
        house.put(key, "x").await.ok();
        begin_anew(&mut house);
        let mut copier = copier(&house, &bucket);
        copy(&mut house, &mut copier).await;
        chains.push(bucket.names("/anchors/").pop().unwrap());
        house.clock.move_on(Duration::from_secs(10 * 3600));
    }
    // Of 40 h ago, 30, 20 and 10: the one of 30 leads to what was 24 hours before the last copy, which was made 10 h ago.
    assert_eq!(bucket.names("/anchors/"), chains[..4], "kept for 24 h, and the newest before that");
    house.put("e", "x").await.ok();
    begin_anew(&mut house);
    let mut copier = copier(&house, &bucket);
    copy(&mut house, &mut copier).await;
    assert_eq!(bucket.names("/anchors/")[..3], chains[1..]);
    // And no piece of the chain that went.
    let folders: std::collections::BTreeSet<String> =
        bucket.names("/pieces/").iter().map(|name| name.rsplit_once('/').unwrap().0.to_owned()).collect();
    assert_eq!(folders.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_out_of_copies_deletes_nothing_until_somebody_has_looked() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    house.put("a", noise(1, 5 << 20)).await.ok();
    copy(&mut house, &mut copier).await;
    let (mut new, _) = out_of((&house, &bucket), Wish::Newest, false).await.unwrap();
    assert_eq!(new.status().await["catalog"]["backup"]["restored"]["deletionHeld"], true);
    new.delete("a").await.ok();
    let before = new.nodes.all_shards();
    new.clock.move_on(Duration::from_millis(3 * RETENTION_MS));
    new.core.reclaim.work().await;
    assert_eq!(new.nodes.all_shards(), before);
    let json = [("content-type", "application/json")];
    let repair = (&json[..], axum::body::Body::from(r#"{"repair":true}"#));
    let refused = new.ask_as(Some(ADMIN), http::Method::POST, "/api/v1/admin/fsck", repair).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "it would delete what a later copy has");
    let confirm = (&[][..], axum::body::Body::empty());
    new.ask_as(Some(ADMIN), http::Method::POST, "/api/v1/admin/restored/confirm", confirm).await.ok();
    assert!(new.status().await["catalog"]["backup"]["restored"]["deletionHeld"].is_null());
    new.core.reclaim.work().await;
    new.core.reclaim.work().await;
    assert!(new.nodes.all_shards() < before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_catalog_copies_once_it_is_confirmed_and_the_old_one_no_more() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut old = copier(&house, &bucket);
    house.put("a", "x").await.ok();
    let copied = copy(&mut house, &mut old).await;
    let before = bucket.change(|all| all.clone());
    // Long after all that is there has passed its time.
    house.clock.move_on(Duration::from_secs(48 * 3600));
    let mut again = copier(&house, &bucket);
    back_up(&mut house).await;
    let (mut new, _) = out_of((&house, &bucket), Wish::Until(copied), false).await.unwrap();
    new.clock.move_on(Duration::from_secs(48 * 3600));
    let mut others = copier(&new, &bucket);
    back_up(&mut new).await;
    assert!(error(&new, &mut others).await.0.contains("fsck --confirm-restored"));
    assert!(bucket.change(|all| *all == before), "neither copied nor ended anything");
    assert!(
        out_of((&house, &bucket), Wish::Until(copied), false).await.is_ok(),
        "another point may be wanted"
    );
    new.catalog.let_delete().await.unwrap();
    copy(&mut new, &mut others).await;
    // The old one, which hears of nobody, does not take its place.
    let there = bucket.names("/anchors/");
    assert!(error(&house, &mut again).await.0.contains("a later catalog of this cluster copies here"));
    assert_eq!(bucket.names("/anchors/"), there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_nothing_leads_to_go_when_nothing_has_led_to_them_for_a_while() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    house.put("a", "x").await.ok();
    copy(&mut house, &mut copier).await;
    // Of an earlier chain, whose anchor may be on its way by another gateway.
    let piece = bucket.names("/pieces/").remove(0);
    let (head, segment) = piece.rsplit_once('/').unwrap();
    let stray =
        format!("{}{:016x}-{:016x}/{segment}", head.split_inclusive('/').take(4).collect::<String>(), 0, 1);
    bucket.change(|all| all.insert(stray.clone(), vec![1; 10]));
    for left in [1, 0] {
        copier.tidied = None;
        house.clock.move_on(Duration::from_secs(60));
        copy(&mut house, &mut copier).await;
        assert_eq!(bucket.names(&stray).len(), left);
    }
}
