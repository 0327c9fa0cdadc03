//! Files that cannot be read for a while: compaction leaves them alone, condemns nothing, and comes back.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::compact::{all_whole, mostly_dead, open_small};
use crate::damage::log;
use crate::sample::memory_dir;

/// Puts a link to `instead` where the file is, which is kept.
fn hide(file: &Path, instead: &Path) {
    std::fs::rename(file, kept(file)).unwrap();
    symlink(instead, file).unwrap();
}

fn show(file: &Path) {
    std::fs::rename(kept(file), file).unwrap();
}

fn kept(file: &Path) -> PathBuf {
    file.parent().unwrap().with_file_name("kept")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_opened_has_its_turn_again_without_a_restart() {
    let dir = memory_dir();
    // A link to itself cannot be opened, no more than anything where descriptors are short.
    let (store, left) = mostly_dead(dir.path(), |log, _| hide(log, log)).await;
    assert_eq!((store.counters().moved_bytes, store.usage().corrupt_shards), (0, 0));
    let log = log(dir.path(), 1);
    show(&log);
    let gone = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    assert_eq!(store.counters().moved_bytes, 4 * 1136);
    all_whole(&store, &left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_condemns_nothing_because_the_disk_cannot_be_read() {
    let dir = memory_dir();
    // Nothing is mapped at the beginning of a process's memory: reading there fails as on a disk that is away.
    let (store, left) = mostly_dead(dir.path(), |log, _| hide(log, Path::new("/proc/self/mem"))).await;
    assert_eq!((store.counters().moved_bytes, store.usage().corrupt_shards), (0, 0));
    // The control: it is what a reader notes.
    let error = store.get(left[0].key).await.unwrap_err().to_string();
    assert!(error.contains("the disk cannot read it"), "{error}");
    store.close().await.unwrap();
    show(&log(dir.path(), 1));
    let store = open_small(dir.path());
    assert_eq!(store.usage().corrupt_shards, 1);
    left[0].put(&store, 1).await;
    store.compacted().await;
    assert!(!log(dir.path(), 1).exists());
    all_whole(&store, &left).await;
}
