//! A process that is killed while it stores: everything it was told is stored must be there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use datamesh_store::StoreOptions;

use crate::sample::{open, options, sample};

const DIR: &str = "STORE_KILL_TEST_DIR";
const FROM: &str = "STORE_KILL_TEST_FROM";
const WRITERS: u64 = 8;
const STORED: &str = "stored ";

fn bytes_of(number: u64) -> usize {
    usize::try_from(1 + number * 7919 % 50_000).unwrap()
}

/// Runs in the child only: stores until it is killed, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_stores_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    // Small files: the kill hits rolling as well.
    let options = StoreOptions { log_bytes_max: 1 << 20, ..options() };
    let store = datamesh_store::Store::open(dir.as_ref(), options).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for number in (from + writer..).step_by(usize::try_from(WRITERS).unwrap()) {
                sample(number, bytes_of(number)).put(&store, 1).await;
                println!("{STORED}{number}");
            }
        });
    }
    writers.join_next().await;
}

/// Kills the child once it said `count` shards are stored; all it said.
fn store_and_kill(dir: &std::path::Path, from: u64, count: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child_that_stores_until_killed", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stored = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The test harness writes "test … " in front of the first line.
        let line = line.unwrap();
        if let Some((_, number)) = line.split_once(STORED) {
            stored.push(number.parse().unwrap());
        }
        if stored.len() == count {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(stored.len() >= count, "the child ended by itself after {} shards", stored.len());
    stored
}

#[tokio::test]
async fn everything_acknowledged_before_a_kill_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut stored = Vec::new();
    for (round, count) in [1, 30, 150, 77, 400].into_iter().enumerate() {
        stored.extend(store_and_kill(dir.path(), round as u64 * 1_000_000, count));
        let store = open(dir.path());
        assert_eq!(store.recovery().dropped_shards, 0);
        assert_eq!(store.recovery().damaged_records, 0);
        for number in &stored {
            assert!(
                sample(*number, bytes_of(*number)).is_whole(&store).await,
                "shard {number} of round {round}"
            );
        }
        assert!(store.usage().shards >= stored.len() as u64);
    }
}
