//! Any order of puts, deletes and reopenings against a plain map.

use std::collections::BTreeMap;

use datamesh_shard::Generation;
use datamesh_store::{Store, StoreOptions};
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
    Close,
    Drop,
    LoseIndex,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Put(key, generation)),
        4 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Delete(key, generation)),
        2 => (0..KEYS, 0..4u64).prop_map(|(key, generation)| Step::Burst(key, generation)),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
        1 => Just(Step::LoseIndex),
    ]
}

fn shard(key: u64) -> Sample {
    sample(key, usize::try_from(300 + key * 211).unwrap())
}

fn put_model(model: &mut BTreeMap<u64, u64>, key: u64, generation: u64) {
    model.entry(key).and_modify(|known| *known = generation.max(*known)).or_insert(generation);
}

async fn run(steps: Vec<Step>, log_bytes_max: u64, may_lose_index: bool) {
    let dir = memory_dir();
    let open = || Store::open(dir.path(), StoreOptions { log_bytes_max, ..options() }).unwrap();
    let mut store = open();
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Put(key, generation) => {
                shard(key).put(&store, generation).await;
                put_model(&mut model, key, generation);
            }
            Step::Burst(key, generation) => {
                let (one, other) = (shard(key), shard((key + 1) % KEYS));
                tokio::join!(
                    one.put(&store, generation),
                    one.put(&store, generation + 1),
                    other.put(&store, generation)
                );
                put_model(&mut model, key, generation + 1);
                put_model(&mut model, (key + 1) % KEYS, generation);
            }
            Step::Delete(key, generation) => {
                let deleted = store.delete(shard(key).key, Generation(generation)).await.unwrap();
                let expected = model.get(&key).is_some_and(|known| *known <= generation);
                assert_eq!(deleted, expected);
                if expected {
                    model.remove(&key);
                }
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
        check(&store, &model).await;
    }
}

async fn check(store: &Store, model: &BTreeMap<u64, u64>) {
    assert_eq!(store.usage().shards, model.len() as u64);
    let bytes: u64 = model.keys().map(|key| shard(*key).payload.len() as u64).sum();
    assert_eq!(store.usage().shard_bytes, bytes);
    for key in 0..KEYS {
        let expected = model.get(&key).map(|generation| shard(key).stored(*generation));
        assert_eq!(store.get(shard(key).key).await.unwrap(), expected, "key {key}");
        let found = store.locate(shard(key).key.segment).await.unwrap();
        assert_eq!(found.len(), usize::from(expected.is_some()));
    }
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
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(run(steps, log_bytes_max, may_lose_index));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn behaves_as_a_map_with_one_large_log() {
    check_all(12, 1 << 30, true);
}

#[test]
fn behaves_as_a_map_with_many_small_logs() {
    // Without losing the index: a lost one brings back what was deleted in a file that is gone (see `recover`).
    check_all(12, 2000, false);
}
