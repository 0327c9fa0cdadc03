//! Any order of puts, deletes, rot, compaction and reopenings against a plain map.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use datamesh_shard::Generation;
use datamesh_store::{GetError, Store, StoreOptions};
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::sample::{Sample, memory_dir, options, sample};

const KEYS: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u64),
    Delete(u64, u64),
    /// Several puts at once: they meet in one batch.
    Burst(u64, u64),
    /// A byte of the shard changes on the disk, wherever a copy of it lies.
    Rot(u64),
    /// Compaction has its way.
    Compact,
    Close,
    Drop,
    LoseIndex,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Put(key, generation)),
        4 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Delete(key, generation)),
        2 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Burst(key, generation)),
        1 => (0..KEYS).prop_map(Step::Rot),
        3 => Just(Step::Compact),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
        1 => Just(Step::LoseIndex),
    ]
}

fn shard(key: u64) -> Sample {
    sample(key, usize::try_from(300 + key * 211).unwrap())
}

/// What a map that rots would hold.
#[derive(Default)]
struct Model {
    /// Key and generation.
    shards: BTreeMap<u64, u64>,
    rotten: BTreeSet<u64>,
}

impl Model {
    /// A put writes anew what is known to be rotten; so whoever puts finds out first.
    async fn put(&mut self, store: &Store, key: u64, generation: u64) {
        if self.rotten.remove(&key) {
            let error = store.get(shard(key).key).await.unwrap_err();
            assert!(matches!(error, GetError::Corrupt { .. }), "{error}");
        }
        self.shards.entry(key).and_modify(|known| *known = generation.max(*known)).or_insert(generation);
    }

    fn rot(&mut self, dir: &Path, key: u64) {
        if self.shards.contains_key(&key) && self.rotten.insert(key) {
            rot(dir, &shard(key));
        }
    }

    fn delete(&mut self, key: u64, generation: u64) -> bool {
        let deletes = self.shards.get(&key).is_some_and(|known| *known <= generation);
        if deletes {
            self.shards.remove(&key);
            self.rotten.remove(&key);
        }
        deletes
    }

    async fn check(&self, store: &Store) {
        assert_eq!(store.usage().shards, self.shards.len() as u64);
        let bytes: u64 = self.shards.keys().map(|key| shard(*key).payload.len() as u64).sum();
        assert_eq!(store.usage().shard_bytes, bytes);
        // Not read here, so that compaction comes by some of them first.
        assert!(store.usage().corrupt_shards <= self.rotten.len() as u64);
        for key in (0..KEYS).filter(|key| !self.rotten.contains(key)) {
            let expected = self.shards.get(&key).map(|generation| shard(key).stored(*generation));
            assert_eq!(store.get(shard(key).key).await.unwrap(), expected, "key {key}");
            let found = store.locate(shard(key).key.segment).await.unwrap();
            assert_eq!(found.len(), usize::from(expected.is_some()));
        }
    }

    /// What rotted is never forgotten, whatever was moved.
    async fn check_rotten(&self, store: &Store) {
        for key in &self.rotten {
            let error = store.get(shard(*key).key).await.unwrap_err();
            assert!(matches!(error, GetError::Corrupt { .. }), "{error}");
        }
        // Behind the notes of these reads.
        store.delete(shard(KEYS).key, Generation(0)).await.unwrap();
        assert_eq!(store.usage().corrupt_shards, self.rotten.len() as u64);
    }
}

/// Turns over a byte in every copy of a shard.
fn rot(dir: &Path, shard: &Sample) {
    for file in std::fs::read_dir(dir.join("logs")).unwrap() {
        let path = file.unwrap().path();
        // A file may go at any time.
        let Ok(mut bytes) = std::fs::read(&path) else { continue };
        let places: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&shard.payload)).collect();
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        for place in places {
            bytes[place] = !bytes[place];
            file.write_all_at(&bytes[place..=place], place as u64).unwrap();
        }
    }
}

/// How many files were compacted on the way.
async fn run(steps: Vec<Step>, log_bytes_max: u64, may_lose_index: bool) -> u64 {
    let dir = memory_dir();
    let open = || Store::open(dir.path(), StoreOptions { log_bytes_max, ..options() }).unwrap();
    let mut store = open();
    let mut model = Model::default();
    let mut compacted = 0;
    for step in steps {
        match step {
            Step::Put(key, generation) => {
                model.put(&store, key, generation).await;
                shard(key).put(&store, generation).await;
            }
            Step::Burst(key, generation) => {
                let (one, other) = (shard(key), shard((key + 1) % KEYS));
                model.put(&store, key, generation + 1).await;
                model.put(&store, (key + 1) % KEYS, generation).await;
                tokio::join!(
                    one.put(&store, generation),
                    one.put(&store, generation + 1),
                    other.put(&store, generation)
                );
            }
            Step::Delete(key, generation) => {
                let deleted = store.delete(shard(key).key, Generation(generation)).await.unwrap();
                assert_eq!(deleted, model.delete(key, generation));
            }
            Step::Rot(key) if !may_lose_index => {
                // Settled, so that no copy is on its way.
                store.compacted().await;
                model.rot(dir.path(), key);
            }
            // Without the index a rotten shard is damage, and forgotten.
            Step::Rot(_) => {}
            Step::Compact => {
                store.compacted().await;
                compacted += store.counters().compacted_logs;
            }
            Step::Close => {
                store.close().await.unwrap();
                store = open();
            }
            Step::Drop => {
                drop(store);
                store = open();
            }
            Step::LoseIndex => {
                drop(store);
                if may_lose_index {
                    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
                }
                store = open();
            }
        }
        model.check(&store).await;
    }
    model.check_rotten(&store).await;
    compacted
}

fn check_all(cases: u32, log_bytes_max: u64, may_lose_index: bool) {
    let seed: [u8; 32] = match std::env::var("STORE_MODEL_SEED") {
        Ok(seed) => *blake3::hash(seed.as_bytes()).as_bytes(),
        Err(_) => {
            let nanos =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
            println!("run again with STORE_MODEL_SEED={nanos}");
            *blake3::hash(nanos.to_string().as_bytes()).as_bytes()
        }
    };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let steps = proptest::collection::vec(step(), 1..40);
    let compacted = AtomicU64::new(0);
    let outcome = runner.run(&steps, |steps| {
        compacted.fetch_add(runtime.block_on(run(steps, log_bytes_max, may_lose_index)), Ordering::Relaxed);
        Ok(())
    });
    outcome.unwrap();
    // Files that are never full are never compacted.
    let files_are_small = log_bytes_max < 1 << 20;
    assert_eq!(compacted.into_inner() > 0, files_are_small);
}

#[test]
fn behaves_as_a_map_with_one_large_log() {
    check_all(12, 1 << 30, true);
}

#[test]
fn behaves_as_a_map_with_many_small_logs() {
    // Without losing the index: a lost one brings back what was deleted in a file that is gone (see `recover`).
    check_all(40, 2000, false);
}
