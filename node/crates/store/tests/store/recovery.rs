//! An index that is behind the logs, or lost, and logs that are lost.

use datamesh_shard::Generation;
use datamesh_store::{OpenError, Store, StoreOptions};

use crate::sample::{copy_dir, open, options, sample};

#[tokio::test]
async fn an_index_from_earlier_catches_up_with_puts_deletes_and_generations() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreOptions { log_bytes_max: 3000, ..options() };
    let open = || Store::open(dir.path(), small.clone()).unwrap();
    let shards: Vec<_> = (0..12).map(|number| sample(number, 500)).collect();
    let store = open();
    for shard in &shards[..6] {
        shard.put(&store, 1).await;
    }
    store.close().await.unwrap();
    copy_dir(&dir.path().join("index"), &dir.path().join("earlier"));

    let store = open();
    store.delete(shards[0].key, Generation(1)).await.unwrap();
    shards[1].put(&store, 4).await;
    for shard in &shards[6..] {
        shard.put(&store, 2).await;
    }
    store.delete(shards[7].key, Generation(2)).await.unwrap();
    let usage = store.usage();
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::rename(dir.path().join("earlier"), dir.path().join("index")).unwrap();

    let store = open();
    assert_eq!(store.recovery().indexed_records, 9);
    assert_eq!((store.recovery().dropped_shards, store.recovery().truncated_bytes), (0, 0));
    assert_eq!(store.usage().shards, usage.shards);
    assert_eq!(store.usage().shard_bytes, usage.shard_bytes);
    for (number, shard) in shards.iter().enumerate() {
        let expected = match number {
            0 | 7 => None,
            1 => Some(shard.stored(4)),
            2..=5 => Some(shard.stored(1)),
            _ => Some(shard.stored(2)),
        };
        assert_eq!(store.get(shard.key).await.unwrap(), expected, "shard {number}");
    }
}

#[tokio::test]
async fn a_lost_index_is_made_again_from_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..50 {
        sample(number, 3000).put(&store, number).await;
    }
    store.delete(sample(3, 3000).key, Generation(3)).await.unwrap();
    let usage = store.usage();
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open(dir.path());
    assert_eq!(store.recovery().indexed_records, 51);
    assert_eq!(store.usage().shards, usage.shards);
    assert_eq!(store.usage().log_bytes, usage.log_bytes);
    for number in (0..50).filter(|number| *number != 3) {
        let shard = sample(number, 3000);
        assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(number));
    }
    assert!(store.get(sample(3, 3000).key).await.unwrap().is_none());
}

#[tokio::test]
async fn shards_of_a_lost_log_are_dropped_and_counted_and_can_be_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreOptions { log_bytes_max: 20_000, ..options() };
    let store = Store::open(dir.path(), small.clone()).unwrap();
    let shards: Vec<_> = (0..10).map(|number| sample(number, 5000)).collect();
    for shard in &shards {
        shard.put(&store, 0).await;
    }
    // Missing while it runs: named, not served.
    std::fs::remove_file(dir.path().join("logs/0000000002.log")).unwrap();
    let error = store.get(shards[4].key).await.unwrap_err().to_string();
    assert!(error.contains("0000000002.log") && error.contains("missing"), "{error}");
    store.close().await.unwrap();

    let store = Store::open(dir.path(), small).unwrap();
    let lost = store.recovery().dropped_shards;
    assert!((2..=4).contains(&lost), "{lost} lost");
    assert_eq!(store.usage().shards, 10 - lost);
    for shard in &shards {
        shard.put(&store, 0).await;
        assert!(shard.is_whole(&store).await);
    }
    assert_eq!((store.usage().shards, store.usage().corrupt_shards), (10, 0));
}

#[tokio::test]
async fn a_log_of_a_later_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    sample(1, 10).put(&store, 0).await;
    store.close().await.unwrap();
    let path = dir.path().join("logs/0000000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4] = 2;
    let crc = crc_fast::crc32_iscsi(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let Err(error) = Store::open(dir.path(), options()) else { panic!("opened") };
    assert!(matches!(error, OpenError::Log { .. }), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_log_that_was_only_just_made_is_no_obstacle() {
    for bytes in [0, 1, 31] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        sample(1, 10).put(&store, 0).await;
        store.close().await.unwrap();
        std::fs::write(dir.path().join("logs/0000000002.log"), vec![0; bytes]).unwrap();
        let store = open(dir.path());
        assert!(sample(1, 10).is_whole(&store).await);
        sample(2, 10).put(&store, 0).await;
        drop(store);
        assert!(sample(2, 10).is_whole(&open(dir.path())).await);
    }
}
