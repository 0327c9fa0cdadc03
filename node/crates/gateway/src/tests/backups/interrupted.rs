//! Copies and restores that are cut off, held up, or made twice at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;

use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_settings::BackupCopies;
use tokio::sync::watch;
use tokio::time::Instant;

use super::copies::{copier, copy, error, out_of};
use super::*;
use crate::backup::copies::{CopyBackups, Place};
use crate::group::Leading;
use crate::group::leading::WhileLeading;
use crate::tests::fake::bucket::{Bucket, Fault};

/// Backs up so often that there are pieces enough to be cut off between.
async fn back_up_some(house: &mut House, keys: &[&str]) {
    for key in keys {
        house.put(key, "x").await.ok();
        back_up(house).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_that_copy_at_once_leave_what_can_be_read() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let (mut slow, mut quick) = (copier(&house, &bucket), copier(&house, &bucket));
    back_up_some(&mut house, &["a", "b", "c"]).await;
    bucket.fails(Fault::HangsAfter(1));
    let mut times = Vec::new();
    {
        let mut copying = pin!(slow.work());
        tokio::select! {
            _ = &mut copying => panic!("it is done"),
            () = bucket.hung() => {}
        }
        bucket.fails(Fault::None);
        // Meanwhile the other copies this, what comes then, and another chain.
        house.put("d", "x").await.ok();
        times.push(copy(&mut house, &mut quick).await);
        house.clock.move_on(Duration::from_secs(60));
        begin_anew(&mut house);
        let mut anew = copier(&house, &bucket);
        house.put("e", "x").await.ok();
        times.push(copy(&mut house, &mut anew).await);
        bucket.let_on();
        copying.await;
    }
    let noted = house.catalog.copies().await.unwrap();
    assert_eq!(noted.error, "");
    assert_eq!(noted.newest.unwrap().at_unix_ms, times[1], "the status goes back");
    let (new, record) = out_of((&house, &bucket), Wish::Newest, false).await.unwrap();
    assert_eq!(record.until_unix_ms, times[1], "who is late puts nothing in front of what is newer");
    assert!(has(&new, "a").await && has(&new, "e").await);
    let (new, _) = out_of((&house, &bucket), Wish::Until(times[0]), false).await.unwrap();
    assert!(has(&new, "d").await && !has(&new, "e").await);
    // Step by step, each ending what it takes for old.
    let (mut one, mut other) = (copier(&house, &bucket), copier(&house, &bucket));
    for round in 0..4_u8 {
        house.clock.move_on(Duration::from_secs(7 * 3600));
        begin_anew(&mut house);
        let newest = copier(&house, &bucket);
        (one, other) = if round % 2 == 0 { (newest, other) } else { (one, newest) };
        (one.tidied, other.tidied) = (None, None);
        house.put(&format!("r{round}"), "x").await.ok();
        back_up(&mut house).await;
        tokio::join!(one.work(), other.work());
        let (new, _) = out_of((&house, &bucket), Wish::Newest, false).await.unwrap();
        assert!(has(&new, "a").await && has(&new, &format!("r{round}")).await, "{round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_under_way_is_given_up_with_the_lead() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let (lead, held) = watch::channel(true);
    let mut first = WhileLeading::new(&Leading::WithLock(held), copier(&house, &bucket)).giving_up();
    back_up_some(&mut house, &["a", "b", "c", "d"]).await;
    bucket.fails(Fault::HangsAfter(2));
    let loses = async {
        bucket.hung().await;
        lead.send_replace(false);
    };
    let (next, ()) = tokio::join!(first.work(), loses);
    assert!(matches!(next, Next::Wait(_)) && bucket.names("/anchors/").is_empty());
    bucket.fails(Fault::None);
    first.work().await;
    assert!(bucket.names("/anchors/").is_empty(), "it copies without the lead");
    let mut second = copier(&house, &bucket);
    copy(&mut house, &mut second).await;
    // Once it leads again, it goes on.
    lead.send_replace(true);
    house.put("e", "x").await.ok();
    back_up(&mut house).await;
    first.work().await;
    assert!(has(&out_of((&house, &bucket), Wish::Newest, false).await.unwrap().0, "e").await);
}

/// On one thread, whose clock goes on when nothing else does.
#[tokio::test]
async fn an_endpoint_that_takes_connections_and_says_nothing_is_given_up_and_told_of() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let _taking = crate::owned::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            taken.push(connection);
        }
    });
    let place = Arc::new(Place::of(&BackupCopies { endpoint, ..bucket.settings() }).unwrap());
    let of = (Arc::clone(&house.secret), names().0);
    let mut copier =
        CopyBackups::new(Arc::clone(&house.core.context), of, (place, house.core.backup.newest()));
    house.put("a", "x").await.ok();
    back_up(&mut house).await;
    tokio::time::pause();
    let begun = Instant::now();
    let (told, pause) = error(&house, &mut copier).await;
    let waited = begun.elapsed();
    tokio::time::resume();
    assert_eq!(told, "it takes too long");
    // Four times two minutes, and what the clock jumps while the catalog's own thread works.
    assert!(waited > Duration::from_secs(400) && waited < Duration::from_secs(900), "{waited:?}");
    assert!(pause < Duration::from_secs(60), "{pause:?}");
    assert!(house.catalog.copies().await.unwrap().newest.is_none(), "nothing was copied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_that_are_named_and_cannot_be_read_stop_copies_and_nothing_else() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let settings = BackupCopies { ca_file: Some(ca.clone()), ..bucket.settings() };
    let of = (Arc::clone(&house.secret), names().0);
    let parts = (Arc::new(Place::of(&settings).unwrap()), house.core.backup.newest());
    let mut copier = CopyBackups::new(Arc::clone(&house.core.context), of, parts);
    house.put("a", "x").await.ok();
    for text in [None, Some(""), Some("no certificate")] {
        text.iter().for_each(|text| std::fs::write(&ca, text).unwrap());
        back_up(&mut house).await;
        let (told, _) = error(&house, &mut copier).await;
        assert!(told.contains(ca.to_str().unwrap()) && told.contains("field ca.crt"), "{told}");
    }
    assert!(bucket.names("").is_empty(), "the public authorities stand in");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(&ca, own).unwrap();
    copy(&mut house, &mut copier).await;
}

fn of_copies<'a>(house: &House, bucket: &Bucket, dir: &'a Path, wish: Wish) -> Restoring<'a> {
    let source = Source::Copies(Arc::new(Place::of(&bucket.settings()).unwrap()));
    Restoring { source, ..restoring(house, dir, wish, "newest#cut") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_goes_on_where_it_was() {
    let (mut house, bucket) = (house().await, Bucket::start().await);
    let mut copier = copier(&house, &bucket);
    let mut times = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        house.put(key, "x").await.ok();
        times.push(copy(&mut house, &mut copier).await);
        house.clock.move_on(Duration::from_secs(60));
    }
    let (pieces, nobody) = (bucket.names("/pieces/").len(), BTreeMap::new());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        let before = bucket.reads();
        bucket.fails(Fault::HangsReading(3));
        let restoring = of_copies(&house, &bucket, dir.path(), Wish::Newest);
        tokio::select! {
            outcome = restoring.restore(&nobody) => panic!("{outcome:?}"),
            () = bucket.hung() => {}
        }
        assert_eq!(bucket.reads() - before, 4);
        bucket.fails(Fault::None);
    }
    let [whole, earlier] = dirs;
    let before = bucket.reads();
    of_copies(&house, &bucket, whole.path(), Wish::Newest).restore(&nobody).await.unwrap();
    assert_eq!(bucket.reads() - before, pieces - 3, "what is there is read again");
    // Another point is none of what is there.
    let until = of_copies(&house, &bucket, earlier.path(), Wish::Until(times[1]));
    let record = until.restore(&nobody).await.unwrap();
    assert!(record.until_unix_ms < times[2]);
    for (dir, last) in [(whole, "e"), (earlier, "b")] {
        let of = (Arc::clone(&house.nodes), Arc::clone(&house.secret));
        let new = House::on(dir, of, BUFFERS, RETENTION_MS).await;
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(has(&new, key).await, key <= last, "{key} of {last}");
        }
        let row = new.catalog.keyspace().get(&keys::only(Table::Restoring)).await.unwrap();
        assert!(row.is_none(), "a catalog that is whole says nothing of its restore");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_waits_for_nodes_reads_nothing_twice() {
    let mut house = house().await;
    back_up_some(&mut house, &["a", "b"]).await;
    let early = house.nodes.generations();
    back_up_some(&mut house, &["c", "d"]).await;
    let dir = tempfile::tempdir().unwrap();
    let restoring = restoring(&house, dir.path(), Wish::Newest, "newest");
    let told = restoring.ask((0..NODES).map(peer).collect()).await;
    // What comes last is away for now.
    let late: Vec<_> = house.nodes.generations().into_keys().filter(|id| !early.contains_key(id)).collect();
    let kept = house.nodes.take_away(&late);
    let outcome = restoring.restore(&told).await;
    assert!(matches!(outcome, Err(RestoreError::NotYet(_))), "{outcome:?}");
    house.nodes.put_back(kept);
    // And now what came first is.
    let early: Vec<_> = early.into_keys().collect();
    drop(house.nodes.take_away(&early));
    restoring.restore(&told).await.unwrap();
    drop(restoring);
    let of = (Arc::clone(&house.nodes), Arc::clone(&house.secret));
    assert!(has(&House::on(dir, of, BUFFERS, RETENTION_MS).await, "d").await);
}
