use datamesh_store::{Durability, RecordsError};

use crate::sample::{open, sample};

const WRITERS: u64 = 64;
const PUTS_EACH: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_puts_share_syncs_and_all_are_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for put in 0..PUTS_EACH {
                sample(writer * PUTS_EACH + put, 4096).put(&store, 1).await;
            }
        });
    }
    writers.join_all().await;
    let counters = store.counters();
    assert_eq!(counters.puts, WRITERS * PUTS_EACH);
    assert!(counters.syncs > 0 && counters.syncs < counters.puts / 2, "{counters:?}");
    store.close().await.unwrap();

    let store = open(dir.path());
    assert_eq!(store.usage().shards, WRITERS * PUTS_EACH);
    assert_eq!(store.usage().shard_bytes, WRITERS * PUTS_EACH * 4096);
    for number in 0..WRITERS * PUTS_EACH {
        assert!(sample(number, 4096).is_whole(&store).await);
    }
}

#[tokio::test]
async fn one_writer_alone_syncs_for_each_put() {
    // The control of the test above: the count of syncs is one of real ones.
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..5 {
        sample(number, 4096).put(&store, 1).await;
    }
    assert_eq!(store.counters().syncs, 5);
}

#[tokio::test]
async fn many_shards_cost_less_than_three_percent_of_the_disk() {
    // Of 1 GiB stored as 4+2 each of six nodes holds twice as much; what the index takes at once is the same.
    const SHARD_BYTES: usize = 512 << 10;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..256 {
        sample(number, SHARD_BYTES).put(&store, 1).await;
    }
    let payload = 256 * SHARD_BYTES as u64;
    let used = allotted_bytes(dir.path());
    let percent = (used - payload) as f64 * 100.0 / payload as f64;
    println!("{used} bytes on the disk for {payload}: {percent:.2} % more");
    assert!(used >= payload && percent < 3.0, "{percent:.2} % more");
}

fn allotted_bytes(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => allotted_bytes(&entry.path()),
            false => entry.metadata().unwrap().blocks() * 512,
        })
        .sum()
}

#[tokio::test]
async fn small_records_are_kept_in_order_and_within_limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let records = store.records();
    for key in ["dht/b", "dht/a", "layout/1", "dhu"] {
        records.put(key.as_bytes(), key.to_uppercase().as_bytes(), Durability::Lazy).unwrap();
    }
    records.put(b"dht/c", b"", Durability::Synced).unwrap();
    records.delete(b"dht/a", Durability::Synced).unwrap();
    let too_large = records.put(&[0; 1025], b"", Durability::Lazy).unwrap_err();
    assert!(matches!(too_large, RecordsError::TooLarge { key_bytes: 1025, .. }));
    assert!(records.put(b"k", &vec![0; (1 << 20) + 1], Durability::Lazy).is_err());
    drop(records);
    store.close().await.unwrap();

    let store = open(dir.path());
    let records = store.records();
    let found: Vec<_> = records.iter(b"dht/").unwrap().map(|record| record.unwrap()).collect();
    let keys: Vec<&[u8]> = found.iter().map(|(key, _)| key.as_ref()).collect();
    assert_eq!(keys, [b"dht/b", b"dht/c"]);
    assert_eq!(records.get(b"layout/1").unwrap().unwrap(), b"LAYOUT/1");
    assert_eq!(records.get(b"dht/a").unwrap(), None);
    assert_eq!(records.iter(b"").unwrap().count(), 4);
}
