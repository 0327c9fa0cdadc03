//! Shards to store, each made from a number.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, ShardIndex, ShardKey, leaf_hash};
use datamesh_store::{Shard, Store, StoreOptions};

/// Bytes in front of a sample's payload in the log: the record's head and the header of a 1+1 segment.
pub(crate) const BEFORE_PAYLOAD: u64 = 64 + 72;

#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) key: ShardKey,
    pub(crate) header: Bytes,
    pub(crate) payload: Bytes,
}

/// The same number and size give the same shard.
pub(crate) fn sample(number: u64, bytes: usize) -> Sample {
    let mut payload = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut payload);
    let profile = ErasureProfile::new(1, 1).unwrap();
    let leaves = vec![leaf_hash(&payload), [0x5a; 32]];
    let header = SegmentHeader::new(profile, u32::try_from(bytes).unwrap(), leaves).unwrap();
    let key = ShardKey { segment: header.id(), index: ShardIndex(0) };
    Sample { key, header: header.encode(), payload: payload.into() }
}

impl Sample {
    pub(crate) async fn put(&self, store: &Store, generation: u64) {
        self.try_put(store, generation).await.unwrap();
    }

    pub(crate) async fn try_put(
        &self,
        store: &Store,
        generation: u64,
    ) -> Result<(), datamesh_store::PutError> {
        store.put(self.key, Generation(generation), self.header.clone(), self.payload.clone()).await
    }

    pub(crate) fn stored(&self, generation: u64) -> Shard {
        Shard {
            header: self.header.clone(),
            payload: self.payload.clone(),
            generation: Generation(generation),
        }
    }

    pub(crate) fn record_bytes(&self) -> u64 {
        BEFORE_PAYLOAD + self.payload.len() as u64
    }

    pub(crate) async fn is_whole(&self, store: &Store) -> bool {
        store.get(self.key).await.unwrap().is_some_and(|shard| shard.payload == self.payload)
    }
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions { lock_wait: Duration::from_secs(10), ..StoreOptions::new(1 << 40, 0) }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

/// A folder in memory where the system has one: for tests that open a store hundreds of times.
pub(crate) fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a folder of a closed store.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
