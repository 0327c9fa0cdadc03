//! There and back while others write and read: registers and sets, by what each was told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datamesh_catalog::engine::{AnyKeyspace, MovingKeyspace, RocksOptions};
use datamesh_catalog::keyspace::{ChangesError, Keyspace};
use datamesh_catalog::moving::Step;
use datamesh_catalog::record::{Keeper, RestoredRecord};
use datamesh_catalog::{
    Body, BucketKind, Condition, DraftBody, EmbeddedCatalog, Locking, NewBucket, Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{NOW, copied, mover, moves, moving, opened, postgres, rocks, rocks_above, until};
use crate::postgres::server;
use crate::support::{ALWAYS, BUCKET, draft, inline, key, new_upload, one_page, target, upload_id};

const REGISTERS: u64 = 4;
/// Between two puts of a writer.
const PACE: std::time::Duration = std::time::Duration::from_millis(3);

/// A register, and what everybody may rely on: all up to `acknowledged` was, and nothing above `asked` can be there.
#[derive(Default)]
struct Register {
    asked: AtomicU64,
    acknowledged: AtomicU64,
}

/// A gateway's clients. Each of its registers is written by one, in order, and read by all.
#[derive(Clone)]
struct Work {
    catalog: EmbeddedCatalog,
    registers: Arc<Vec<Register>>,
    uploads: Arc<AtomicU64>,
    /// Of the move: its keys are its own.
    id: u8,
    stop: watch::Receiver<bool>,
}

impl Work {
    fn register(&self, number: usize) -> String {
        format!("register{}-{number}", self.id)
    }

    async fn write(self, number: usize) -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        let register = &self.registers[number];
        while !*self.stop.borrow() {
            let value = register.asked.fetch_add(1, Ordering::SeqCst) + 1;
            self.put(&self.register(number), value).await;
            register.acknowledged.store(value, Ordering::SeqCst);
            let element = format!("set/{}/{number}/{value}", self.id);
            self.put(&element, value).await;
            set.insert(element);
            // Of a source that is written to faster than the target takes it, nothing would be left but to wait.
            tokio::time::sleep(PACE).await;
        }
        set
    }

    async fn put(&self, name: &str, value: u64) {
        let upload = self.uploads.fetch_add(1, Ordering::SeqCst);
        let body = DraftBody::Inline { sealed: value.to_be_bytes().to_vec() };
        let draft = draft(body, 8, &format!("e{value}"), NOW);
        let put = self.catalog.put_inline(&target(name, upload), &draft, &Condition::None).await;
        put.expect("nobody is told of the move");
    }

    /// What a read gives is at least what was acknowledged before it, and at most what was asked for by its end.
    async fn read(self) -> u64 {
        let mut reads = 0;
        while !*self.stop.borrow() {
            for (number, register) in self.registers.iter().enumerate() {
                let least = register.acknowledged.load(Ordering::SeqCst);
                let read = value(&self.catalog, &self.register(number)).await.unwrap_or_default();
                let most = register.asked.load(Ordering::SeqCst);
                assert!((least..=most).contains(&read), "{read} is not within {least} and {most}");
                reads += 1;
                // The volume answers where it is asked: others have their turn.
                tokio::task::yield_now().await;
            }
        }
        reads
    }
}

async fn value(catalog: &EmbeddedCatalog, name: &str) -> Option<u64> {
    let Body::Inline { sealed } = catalog.object(BUCKET, &key(name)).await.unwrap()?.body else {
        panic!("it was put small")
    };
    Some(u64::from_be_bytes(sealed.try_into().unwrap()))
}

/// Two gateways that serve one catalog, which moves; each knows only what it finds out itself.
async fn move_under_work(source: &AnyKeyspace, there: &AnyKeyspace, to: Keeper, id: u8) -> u64 {
    let all = moves(source, there, to);
    let (one, _) = moving(source, there).await;
    let (other, found_out): (_, MovingKeyspace) = moving(source, there).await;
    let (stop, stopped) = watch::channel(false);
    let registers: Vec<Register> = (0..REGISTERS).map(|_| Register::default()).collect();
    let work = |catalog: &EmbeddedCatalog, registers: &Arc<Vec<Register>>, uploads: &Arc<AtomicU64>| Work {
        catalog: catalog.clone(),
        registers: Arc::clone(registers),
        uploads: Arc::clone(uploads),
        id,
        stop: stopped.clone(),
    };
    let (registers, uploads) = (Arc::new(registers), Arc::new(AtomicU64::new(u64::from(id) << 40)));
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for number in 0..usize::try_from(REGISTERS).unwrap() {
        let by = if number % 2 == 0 { &one } else { &other };
        writers.spawn(work(by, &registers, &uploads).write(number));
    }
    for by in [&one, &other] {
        readers.spawn(work(by, &registers, &uploads).read());
    }
    let acknowledged = || registers[0].acknowledged.load(Ordering::SeqCst);
    let mut mover = mover(all.clone(), id).await;
    until(&mut mover, &all, Step::Done).await;
    // Both go on behind it.
    let by_then = acknowledged();
    while acknowledged() < by_then + 20 {
        tokio::time::sleep(PACE).await;
    }
    stop.send_replace(true);
    let mut set = BTreeSet::new();
    while let Some(written) = writers.join_next().await {
        set.extend(written.unwrap());
    }
    let reads = readers.join_all().await.into_iter().sum();
    assert!(found_out.has_arrived(), "by its own requests");
    let arrived = opened(there.clone()).await;
    for element in set {
        assert!(value(&arrived, &element).await.is_some(), "{element} was acknowledged, and is gone");
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_a_catalog_moves_there_and_back() {
    let (dir, back_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = rocks(dir.path(), RocksOptions::default());
    let database = server().database().await;
    let there = postgres(&database).await;
    let first = fill(&source).await;
    let remembered = source.view().await.unwrap();
    let seen = datamesh_catalog::keyspace::View::revision(&remembered).await.unwrap();
    drop(remembered);
    assert!(move_under_work(&source, &there, Keeper::Postgres, 1).await > 0);
    check(&opened(there.clone()).await, first).await;
    // What somebody remembered of the source is older than all of the target.
    let forgotten = there.changes_since(seen, 10).await;
    assert!(matches!(forgotten, Err(ChangesError::Forgotten { .. })), "{forgotten:?}");

    let back = rocks_above(back_dir.path(), &there).await;
    move_under_work(&there, &back, Keeper::Gateways, 2).await;
    check(&opened(back.clone()).await, first).await;

    // The database may have it again, as what is left there is this very catalog's.
    let rows = copied(&back).await;
    let again = moves(&back, &there, Keeper::Postgres);
    until(&mut mover(again.clone(), 3).await, &again, Step::Done).await;
    assert!(copied(&there).await == rows);
    check(&opened(there).await, first).await;
}

/// Versions, locks, an upload, what backups write down.
async fn fill(keyspace: &AnyKeyspace) -> datamesh_catalog::BucketId {
    let catalog = opened(keyspace.clone()).await;
    let mut last = None;
    // The first is what the other tests write to.
    for (name, locking) in [("plain", None), ("vault", Some(Locking::default()))] {
        let (name, pool) = (BucketName::new(name).unwrap(), PoolName::new("fast").unwrap());
        let new = NewBucket { name, kind: BucketKind::Managed, pool, locking, created_unix_ms: 1 };
        let secret = |_| WrappedSecret { version: 1, bytes: vec![1] };
        last = catalog.create_bucket(new, secret).await.unwrap();
    }
    let bucket = last.unwrap();
    assert_ne!(bucket.id, BUCKET);
    for (upload, etag) in [(901, "one"), (902, "two")] {
        let target = datamesh_catalog::Target { bucket: bucket.id, ..target("kept", upload) };
        catalog.put_inline(&target, &inline(etag, NOW), &Condition::None).await.unwrap();
    }
    catalog.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    catalog.begin_upload(new_upload("paged", 903, NOW)).await.unwrap();
    catalog.commit_object(upload_id(903), &one_page(&[1, 2], "paged", NOW), &Condition::None).await.unwrap();
    catalog.delete_object(BUCKET, &key("paged"), &Condition::None, ALWAYS, NOW).await.unwrap();
    catalog.note_snapshot(NOW).await.unwrap();
    let restored =
        RestoredRecord { generation: 7, wish: "newest".into(), until_unix_ms: 1, at_unix_ms: 2, revision: 3 };
    catalog.begin_generation(&restored).await.unwrap();
    bucket.id
}

async fn check(catalog: &EmbeddedCatalog, vault: datamesh_catalog::BucketId) {
    let kept = catalog.object(vault, &key("kept")).await.unwrap().unwrap();
    assert_eq!(kept.etag, "two");
    assert!(catalog.object(BUCKET, &key("paged")).await.unwrap().is_none(), "a marker hides it");
    assert!(catalog.marker(BUCKET, &key("paged")).await.unwrap().is_some());
    assert_eq!(catalog.snapshots_begun().await.unwrap(), [NOW]);
    assert_eq!(catalog.restored().await.unwrap().unwrap().generation, 7);
}
