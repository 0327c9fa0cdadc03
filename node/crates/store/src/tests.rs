//! What only the inside can bring about: a disk that fails, or is watched.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; the lints spare only the test functions"
)]

mod chance;
mod lossy;
mod moves;
mod names;
mod power;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, ShardIndex, ShardKey, leaf_hash};

use crate::disk::Disk;
use crate::error::{DeleteError, PutError};
use crate::{Store, StoreOptions};

fn shard(byte: u8) -> (ShardKey, Bytes, Bytes) {
    let payload = Bytes::from(vec![byte; 1000]);
    let profile = ErasureProfile::new(1, 1).unwrap();
    let header = SegmentHeader::new(profile, 1000, vec![leaf_hash(&payload), [0; 32]]).unwrap();
    (ShardKey { segment: header.id(), index: ShardIndex(0) }, header.encode(), payload)
}

async fn put(store: &Store, byte: u8) -> Result<(), PutError> {
    let (key, header, payload) = shard(byte);
    store.put(key, Generation(0), header, payload).await
}

async fn is_there(store: &Store, byte: u8) -> bool {
    store.get(shard(byte).0).await.unwrap().is_some()
}

fn open(dir: &Path, disk: Disk) -> Store {
    Store::open_with(dir, StoreOptions::new(1 << 40, 0), disk).unwrap()
}

/// Syncs, until told to fail.
fn failing() -> (Disk, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let system = Disk::system();
    let file = Arc::new(move |file: &File| match told.load(Ordering::SeqCst) {
        true => Err(io::Error::from_raw_os_error(5)),
        false => system.sync_file(file),
    });
    (Disk { file, ..Disk::system() }, fails)
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_stored_until_a_restart_and_nothing_of_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, fails) = failing();
    let store = open(dir.path(), disk);
    put(&store, 1).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    let first = put(&store, 2).await.unwrap_err();
    assert!(matches!(first, PutError::Failed { .. }), "{first}");
    assert!(first.to_string().contains("cannot be synced"), "{first}");

    // The disk is well again, yet what it would say proves nothing.
    fails.store(false, Ordering::SeqCst);
    let later = put(&store, 3).await.unwrap_err();
    assert_eq!(later.to_string(), first.to_string());
    assert!(put(&store, 1).await.is_err(), "even what is there");
    assert!(matches!(store.delete(shard(1).0, Generation(0)).await, Err(DeleteError::Failed { .. })));
    assert!(!store.usage().accepting);
    assert!(store.failure().is_some());
    assert!(is_there(&store, 1).await, "reads go on");
    assert!(!is_there(&store, 2).await);
    drop(store);

    let store = open(dir.path(), Disk::system());
    assert!(is_there(&store, 1).await);
    assert!(!is_there(&store, 2).await, "never acknowledged, perhaps never on the disk");
    assert!(store.usage().accepting);
    put(&store, 2).await.unwrap();
    assert!(is_there(&store, 2).await);
}

#[tokio::test]
async fn opening_fails_if_the_log_cannot_be_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Disk::system());
    put(&store, 1).await.unwrap();
    store.close().await.unwrap();
    let (disk, fails) = failing();
    fails.store(true, Ordering::SeqCst);
    assert!(Store::open_with(dir.path(), StoreOptions::new(1 << 40, 0), disk).is_err());
}

#[tokio::test]
async fn a_put_is_answered_after_its_sync_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, synced) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let opened = parking_lot::Mutex::new(opened);
    let closed = Arc::new(AtomicBool::new(false));
    let (b, s, c) = (Arc::clone(&begun), Arc::clone(&synced), Arc::clone(&closed));
    let file = Arc::new(move |file: &File| {
        if c.load(Ordering::SeqCst) {
            b.fetch_add(1, Ordering::SeqCst);
            opened.lock().recv().map_err(|_| io::Error::from_raw_os_error(5))?;
        }
        s.fetch_add(1, Ordering::SeqCst);
        Disk::system().sync_file(file)
    });
    let store = open(dir.path(), Disk { file, ..Disk::system() });
    closed.store(true, Ordering::SeqCst);
    let before = synced.load(Ordering::SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    let putting = store.clone();
    let task = tasks.spawn(async move { put(&putting, 1).await });
    // As long as the sync is held up there is no answer, and no row that points at the data.
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished());
    assert!(!is_there(&store, 1).await);
    gate.send(()).unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(synced.load(Ordering::SeqCst), before + 1);
    assert!(is_there(&store, 1).await);
}
