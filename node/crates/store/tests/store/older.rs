//! Damage in a log that is not the newest, with the index lost: what is behind it is read, and the file is not removed
//! on the word of what is left of it.

use std::path::Path;

use datamesh_shard::Generation;
use datamesh_store::{Recovery, Store, StoreOptions};

use crate::damage::{FILE_HEAD, HEAD, damage, log};
use crate::sample::{Sample, memory_dir, options, sample};

/// Bytes of the records of [`shards`]: the first of a file, and the second, which is more than half of it. So moving it
/// does not pay.
const RECORD: u64 = 176;
const SECOND: u64 = 216;

fn shards() -> [Sample; 4] {
    [(1, 40), (2, 80), (3, 40), (4, 80)].map(|(number, bytes)| sample(number, bytes))
}

/// Two shards go into a file.
fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions { log_bytes_max: FILE_HEAD + RECORD + SECOND, ..options() }).unwrap()
}

/// Two files of two shards each, and no index.
async fn two_files() -> (tempfile::TempDir, [Sample; 4]) {
    let (dir, shards) = (memory_dir(), shards());
    let store = open(dir.path());
    for shard in &shards {
        shard.put(&store, 0).await;
    }
    store.close().await.unwrap();
    let bytes = |number| std::fs::metadata(log(dir.path(), number)).unwrap().len();
    assert_eq!([bytes(1), bytes(2)], [FILE_HEAD + RECORD + SECOND; 2]);
    lose_index(&dir);
    (dir, shards)
}

fn lose_index(dir: &tempfile::TempDir) {
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
}

#[tokio::test]
async fn a_record_behind_a_damaged_head_is_read_in_an_older_file_too() {
    for hit in 0..2 {
        let (dir, shards) = two_files().await;
        damage(&log(dir.path(), 1), FILE_HEAD + RECORD * hit, HEAD);
        let store = open(dir.path());
        let mended = Recovery { indexed_records: 3, damaged_records: 1, ..Recovery::default() };
        assert_eq!(store.recovery(), mended, "record {hit}");
        for (number, shard) in (0..).zip(&shards) {
            assert_eq!(shard.is_whole(&store).await, number != hit, "record {hit}, shard {number}");
        }
    }
}

/// A folder without an index whose older file holds two shards, and whose newer one says that both, or the first of them,
/// were deleted.
async fn deleted(both: bool) -> tempfile::TempDir {
    let (dir, shards) = (memory_dir(), shards());
    let store = open(dir.path());
    for shard in &shards[..3] {
        shard.put(&store, 0).await;
    }
    let older = std::fs::read(log(dir.path(), 1)).unwrap();
    for shard in &shards[..1 + usize::from(both)] {
        assert!(store.delete(shard.key, Generation(0)).await.unwrap());
    }
    store.close().await.unwrap();
    // The writer removes a file in which nothing lives at once.
    assert_eq!(log(dir.path(), 1).exists(), !both);
    std::fs::write(log(dir.path(), 1), older).unwrap();
    lose_index(&dir);
    dir
}

#[tokio::test]
async fn an_older_file_without_living_shards_is_removed_unless_it_is_damaged() {
    // The control: undamaged, it is known that nothing lives in it.
    let dir = deleted(true).await;
    assert_eq!(open(dir.path()).recovery().removed_logs, 1);
    assert!(!log(dir.path(), 1).exists());

    // The second shard was not deleted; with its record damaged, and then with all there is behind the file's head.
    for (from, bytes, records) in [(RECORD, HEAD, 4 - 1), (0, 392, 4 - 2), (2 * RECORD - 1, 1, 4 - 1)] {
        let dir = deleted(false).await;
        let path = log(dir.path(), 1);
        damage(&path, FILE_HEAD + from, bytes);
        let spoilt = std::fs::read(&path).unwrap();
        // Once it is known, the index remembers it: however often the store is opened.
        for mended in [
            Recovery { indexed_records: records, damaged_records: 1, ..Recovery::default() },
            Recovery::default(),
        ] {
            let store = open(dir.path());
            assert_eq!(store.recovery(), mended, "from {from}");
            assert_eq!(store.usage().shards, 1);
            assert!(shards()[2].is_whole(&store).await);
            store.close().await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), spoilt);
        }
        // A file that somebody took away is not remembered for the sake of its damage.
        std::fs::remove_file(&path).unwrap();
        let store = open(dir.path());
        assert_eq!(store.usage().log_bytes, std::fs::metadata(log(dir.path(), 2)).unwrap().len());
    }
}
