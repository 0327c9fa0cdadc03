//! A killed process loses nothing it acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use datamesh_catalog::keyspace::Keyspace;
use tempfile::TempDir;

use crate::support::{Dice, open, put};

const CHILD_DIR: &str = "DATAMESH_CRASH_CHILD";

/// Runs only when the test below starts it: commits and reports for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let keyspace = datamesh_catalog::engine::RocksKeyspace::open(dir.as_ref(), Default::default()).unwrap();
    let run = keyspace.view().await.unwrap();
    let run = datamesh_catalog::keyspace::View::revision(&run).await.unwrap().0;
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
