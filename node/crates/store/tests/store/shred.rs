//! The bytes of what was shredded are in no file any more, and nothing else is lost by it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use datamesh_shard::Generation;
use datamesh_store::{Store, StoreOptions};

use crate::sample::{Sample, memory_dir, options, sample};

const SHARD: usize = 64 << 10;

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions { log_bytes_max: 4 << 20, ..options() }).unwrap()
}

/// Files of the store, of whatever kind, in which some of these bytes stand.
fn holding(dir: &Path, shard: &Sample) -> usize {
    let needle = &shard.payload[1000..1032];
    let mut found = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += holding(&path, shard);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found += usize::from(bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    found
}

async fn delete(store: &Store, shard: &Sample) {
    assert!(store.delete(shard.key, Generation(9)).await.unwrap());
}

fn segments(shards: &[&Sample]) -> Arc<BTreeSet<datamesh_shard::SegmentId>> {
    Arc::new(shards.iter().map(|shard| shard.key.segment).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_bytes_are_gone_from_closed_files_and_the_active_one_at_once() {
    let dir = memory_dir();
    let store = open(dir.path());
    let shards: Vec<Sample> = (0..200).map(|number| sample(number, SHARD)).collect();
    for shard in &shards {
        shard.put(&store, 1).await;
    }
    // One of a closed file, one of the file being appended to. Nearly all around them lives: by itself nothing is compacted.
    let (old, new) = (&shards[3], &shards[199]);
    for gone in [old, new] {
        delete(&store, gone).await;
    }
    store.compacted().await;
    for gone in [old, new] {
        assert_eq!(holding(dir.path(), gone), 1, "the control: it would be found");
    }
    let shredded = store.shred(segments(&[old, new])).await.unwrap();
    assert_eq!((shredded.found, shredded.left), (2, 0));
    for gone in [old, new] {
        assert_eq!(holding(dir.path(), gone), 0);
        assert_eq!(store.get(gone.key).await.unwrap(), None);
    }
    for (number, shard) in shards.iter().enumerate().filter(|(number, _)| ![3, 199].contains(number)) {
        assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(1), "{number}");
    }
    // Again, and of what was never here: there is nothing to do.
    assert_eq!(store.shred(segments(&[old, new])).await.unwrap().found, 0);
    assert_eq!(store.shred(segments(&[&sample(999, SHARD)])).await.unwrap().found, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_lives_is_moved_and_kept() {
    let dir = memory_dir();
    let store = open(dir.path());
    let (kept, gone) = (sample(1, SHARD), sample(2, SHARD));
    kept.put(&store, 1).await;
    gone.put(&store, 1).await;
    delete(&store, &gone).await;
    let shredded = store.shred(segments(&[&kept, &gone])).await.unwrap();
    assert_eq!((shredded.found, shredded.left), (1, 0));
    assert_eq!(store.get(kept.key).await.unwrap().unwrap(), kept.stored(1));
    assert_eq!((holding(dir.path(), &kept), holding(dir.path(), &gone)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_emptied_is_counted() {
    let dir = memory_dir();
    let store = open(dir.path());
    let shards: Vec<Sample> = (0..40).map(|number| sample(number, SHARD)).collect();
    for shard in &shards {
        shard.put(&store, 1).await;
    }
    // A shard of the same file is corrupt: the file cannot go.
    let path = dir.path().join("logs").read_dir().unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = &shards[7].payload[1000..1032];
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    store.get(shards[7].key).await.unwrap_err();
    delete(&store, &shards[3]).await;
    let shredded = store.shred(segments(&[&shards[3]])).await.unwrap();
    assert_eq!((shredded.found, shredded.left), (1, 1));
    assert_eq!(holding(dir.path(), &shards[3]), 1);
    // Mended: it goes then, without being asked again.
    shards[7].put(&store, 1).await;
    store.compacted().await;
    assert_eq!(holding(dir.path(), &shards[3]), 0);
}
