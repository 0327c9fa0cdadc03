use bytes::Bytes;
use datamesh_shard::{Generation, ShardIndex, ShardKey};
use datamesh_store::{GetError, PutError, Store, StoreOptions};

use crate::sample::{open, options, sample};

#[tokio::test]
async fn a_put_of_what_is_there_writes_nothing_and_raises_the_generation_only_upwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = sample(1, 1000);
    shard.put(&store, 5).await;
    let written = store.counters().appended_bytes;
    shard.put(&store, 5).await;
    shard.put(&store, 3).await;
    assert_eq!(store.counters().appended_bytes, written);
    assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(5));
    shard.put(&store, 9).await;
    assert_eq!(store.counters().appended_bytes, written + 64, "a note, not the shard");
    assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(9));
    assert_eq!(store.usage().shards, 1);
    drop(store);
    assert_eq!(open(dir.path()).get(shard.key).await.unwrap().unwrap(), shard.stored(9));
}

#[tokio::test]
async fn a_delete_of_an_older_generation_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = sample(1, 1000);
    assert!(!store.delete(shard.key, Generation(u64::MAX)).await.unwrap(), "nothing there yet");
    shard.put(&store, 5).await;
    assert!(!store.delete(shard.key, Generation(4)).await.unwrap());
    assert!(shard.is_whole(&store).await);
    assert!(store.delete(shard.key, Generation(5)).await.unwrap());
    assert!(store.get(shard.key).await.unwrap().is_none());
    assert!(!store.delete(shard.key, Generation(5)).await.unwrap());
    shard.put(&store, 6).await;
    shard.put(&store, 8).await;
    assert!(!store.delete(shard.key, Generation(7)).await.unwrap(), "the raised one counts");
    assert!(store.delete(shard.key, Generation(9)).await.unwrap());
    drop(store);
    let store = open(dir.path());
    assert!(store.get(shard.key).await.unwrap().is_none());
    assert_eq!(store.usage().shards, 0);
}

#[tokio::test]
async fn what_does_not_prove_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (one, other) = (sample(1, 40_000), sample(2, 40_000));
    let generation = Generation(0);
    let put =
        |key, header: &Bytes, payload: &Bytes| store.put(key, generation, header.clone(), payload.clone());
    assert!(matches!(put(one.key, &one.header, &other.payload).await, Err(PutError::Shard(_))));
    assert!(matches!(put(one.key, &other.header, &other.payload).await, Err(PutError::Shard(_))));
    assert!(matches!(put(one.key, &one.header.slice(1..), &one.payload).await, Err(PutError::Header(_))));
    assert!(matches!(put(one.key, &one.header, &one.payload.slice(1..)).await, Err(PutError::Shard(_))));
    let beyond = ShardKey { index: ShardIndex(2), ..one.key };
    assert!(matches!(put(beyond, &one.header, &one.payload).await, Err(PutError::Shard(_))));
    assert_eq!(store.usage().shards, 0);
    // The control.
    one.put(&store, 0).await;
    assert!(one.is_whole(&store).await);
}

#[tokio::test]
async fn ranges_within_the_payload_are_read_and_others_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = sample(1, 200_000);
    shard.put(&store, 0).await;
    for (offset, len) in [(0, 200_000), (0, 0), (1, 65_552), (199_999, 1), (200_000, 0)] {
        let part = store.get_range(shard.key, offset, len).await.unwrap().unwrap();
        assert_eq!(part, shard.payload.slice(offset as usize..(offset + len) as usize));
    }
    for (offset, len) in [(0, 200_001), (200_000, 1), (u32::MAX, 2)] {
        let error = store.get_range(shard.key, offset, len).await.unwrap_err();
        assert!(matches!(error, GetError::Range { payload_bytes: 200_000, .. }), "{error}");
    }
    assert!(store.get_range(sample(2, 10).key, 0, 1).await.unwrap().is_none());
}

#[tokio::test]
async fn below_the_reserve_puts_are_refused_while_reads_and_deletes_go_on() {
    const SHARD: usize = 256 << 10;
    let dir = tempfile::tempdir().unwrap();
    // 2 MiB of the capacity are set aside for the index.
    let tight = StoreOptions { capacity_bytes: 12 << 20, reserve_bytes: 4 << 20, ..options() };
    let store = Store::open(dir.path(), tight).unwrap();
    assert!(store.usage().accepting);
    let mut stored = Vec::new();
    let refused = loop {
        let shard = sample(stored.len() as u64, SHARD);
        match shard.try_put(&store, 0).await {
            Ok(()) => stored.push(shard),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PutError::Full { reserve_bytes: 4_194_304, .. }), "{refused}");
    assert_eq!(stored.len(), 23, "6 MiB are between capacity and reserve");
    assert!(!store.usage().accepting);
    assert!(store.usage().free_bytes >= 4 << 20);
    // What is there is taken again, read, and deleted.
    stored[0].put(&store, 1).await;
    assert!(stored[0].is_whole(&store).await);
    for shard in &stored {
        assert!(store.delete(shard.key, Generation(1)).await.unwrap());
    }
    // Everything in the file is dead: its space comes back, and puts go on. The writer answers before it removes files,
    // so this waits for it with one more delete, of nothing.
    store.compacted().await;
    assert!(!store.delete(sample(98, SHARD).key, Generation(1)).await.unwrap());
    let logs = std::fs::read_dir(dir.path().join("logs")).unwrap().count();
    assert_eq!(logs, 1);
    sample(99, SHARD).put(&store, 0).await;
    assert!(store.usage().accepting);
}

#[tokio::test]
async fn files_in_which_nothing_lives_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreOptions { log_bytes_max: 40_000, ..options() };
    let store = Store::open(dir.path(), small.clone()).unwrap();
    let shards: Vec<_> = (0..20).map(|number| sample(number, 10_000)).collect();
    for shard in &shards {
        shard.put(&store, 0).await;
    }
    let count = || std::fs::read_dir(dir.path().join("logs")).unwrap().count();
    let full = count();
    assert!(full >= 6, "{full} files");
    for shard in &shards[..15] {
        store.delete(shard.key, Generation(0)).await.unwrap();
    }
    assert!(count() <= full - 4, "{} of {full} files are left", count());
    drop(store);
    let store = Store::open(dir.path(), small).unwrap();
    assert_eq!(store.recovery(), datamesh_store::Recovery::default());
    for shard in &shards[..15] {
        assert!(store.get(shard.key).await.unwrap().is_none());
    }
    for shard in &shards[15..] {
        assert!(shard.is_whole(&store).await);
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let clone = store.clone();
    sample(1, 10).put(&store, 0).await;
    store.close().await.unwrap();
    assert!(matches!(sample(2, 10).try_put(&clone, 0).await, Err(PutError::Closed)));
    assert!(sample(1, 10).is_whole(&clone).await, "reads go on");
    assert!(clone.close().await.is_err());
}
