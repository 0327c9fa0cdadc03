//! A killed process loses nothing it acknowledged; a torn log is cut off where it is torn.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use datamesh_catalog::keyspace::{Keyspace, View};
use tempfile::TempDir;

use crate::support::{Dice, open, put};

const CHILD_DIR: &str = "DATAMESH_CRASH_CHILD";

/// Runs only when the test below starts it: commits and reports for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let keyspace = datamesh_catalog::engine::RocksKeyspace::open(dir.as_ref(), Default::default()).unwrap();
    let run = keyspace.view().await.unwrap();
    let run = run.revision().await.unwrap().0;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16_u32 {
        let keyspace = keyspace.clone();
        tasks.spawn(async move {
            for n in 0_u64.. {
                let key = format!("k{run}/{task}/{n}");
                put(&keyspace, key.as_bytes(), key.as_bytes()).await.unwrap();
                // One write call per line: lines of different tasks do not mix.
                std::io::stdout().lock().write_all(format!("\nACK {key}\n").as_bytes()).unwrap();
            }
        });
    }
    tasks.join_all().await;
}

fn acknowledged_before_the_kill(dir: &TempDir, kill_after: usize) -> BTreeSet<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::crash_child", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ack = |line: String| line.strip_prefix("ACK ").map(str::to_owned);
    let mut acknowledged: BTreeSet<String> = lines.by_ref().filter_map(ack).take(kill_after).collect();
    child.kill().unwrap();
    // What it said before it died counts, too; a line cut short does not.
    let mut rest: Vec<String> = lines.collect();
    rest.pop();
    acknowledged.extend(rest.into_iter().filter_map(ack));
    child.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn killed_at_any_time_it_keeps_what_it_acknowledged() {
    let mut dice = Dice::new("killed_at_any_time_it_keeps_what_it_acknowledged");
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let kill_after = 50 + dice.below(1500);
        let new = acknowledged_before_the_kill(&dir, kill_after);
        assert!(new.len() >= kill_after, "round {round}: the child acknowledged only {}", new.len());
        acknowledged.extend(new);
        let keyspace = open(&dir);
        for key in &acknowledged {
            let row = keyspace.get(key.as_bytes()).await.unwrap();
            assert_eq!(
                row.map(|row| row.value).as_deref(),
                Some(key.as_bytes()),
                "round {round}: {key} is lost"
            );
        }
    }
    println!("{} acknowledged commits survived five kills", acknowledged.len());
}

/// The write-ahead log that is being written.
fn newest_log(dir: &TempDir) -> PathBuf {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    files.filter(is_log).max().unwrap()
}

async fn rows(dir: &TempDir) -> (u64, u8) {
    let keyspace = open(dir);
    let mut rows = 0;
    while keyspace.get(&[b'k', rows]).await.unwrap().is_some() {
        rows += 1;
    }
    (keyspace.view().await.unwrap().revision().await.unwrap().0, rows)
}

#[tokio::test]
async fn a_torn_log_loses_only_what_is_torn() {
    let torn = async |tear: fn(&mut Vec<u8>)| {
        let dir = tempfile::tempdir().unwrap();
        let keyspace = open(&dir);
        for n in 0..100_u8 {
            put(&keyspace, &[b'k', n], &[n; 100]).await.unwrap();
        }
        drop(keyspace);
        let log = newest_log(&dir);
        let mut bytes = std::fs::read(&log).unwrap();
        assert!(bytes.len() > 100 * 100, "the commits are in this log");
        tear(&mut bytes);
        std::fs::write(&log, bytes).unwrap();
        rows(&dir).await
    };
    assert_eq!(torn(|_| ()).await, (100, 100));
    assert_eq!(
        torn(|log| log.extend_from_slice(&[0xa5; 37])).await,
        (100, 100),
        "an unfinished write behind it"
    );
    assert_eq!(torn(|log| log.extend_from_slice(&[0; 5000])).await, (100, 100), "space without a write");
    assert_eq!(torn(|log| log.truncate(log.len() - 3)).await, (99, 99), "the last write cut short");
}
