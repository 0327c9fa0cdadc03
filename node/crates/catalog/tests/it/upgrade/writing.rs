//! Makes the golden files of a replica and of tables from the volume's. Not over those that are there: every later build must open them. A
//! format that changes gets files of its own, by another name.

use std::process::Command;

use datamesh_catalog::engine::raft::{ReplicaOptions, import};
use datamesh_catalog::engine::{PostgresKeyspace, RocksOptions};
use datamesh_catalog::record::Keeper;
use datamesh_catalog::{Condition, EmbeddedCatalog, Target};

use super::checks::bucket;
use super::{REPLICA, TABLES, VOLUME, catalog_on, copied, copy, golden};
use crate::moving::{move_all, moves};
use crate::postgres::{programs, server};
use crate::replicas::{Replicas, quick};
use crate::support::{ALWAYS, inline, key, upload_id};

/// When the volume was filled.
const NOW: u64 = 1_796_000_000_000;
/// So few that what is written fills a log, and some of it is purged.
const ENTRIES_KEPT: u64 = 16;
/// Of an object that is put and deleted: all is as before then.
const PASSING: &str = "passing";

async fn put_and_delete(catalog: &EmbeddedCatalog, times: u64) {
    let bucket = bucket(catalog, "default").await.id;
    for time in 0..times {
        let target = Target { bucket, key: key(PASSING), upload: upload_id(NOW + time) };
        catalog.put_inline(&target, &inline("e", NOW), &Condition::None).await.unwrap();
        catalog.delete_object(bucket, &key(PASSING), &Condition::None, ALWAYS, NOW).await.unwrap();
    }
}

/// RocksDB opens without the others: they say how and where it ran.
fn is_kept(file: &str) -> bool {
    file != "LOG" && file != "LOCK" && !file.starts_with("LOG.old") && !file.starts_with("OPTIONS")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes a golden file that is not there"]
async fn write_a_replica() {
    // First: it fails where there is one.
    std::fs::create_dir(golden(REPLICA)).unwrap();
    let (volume, folder) = (copied(VOLUME), tempfile::tempdir().unwrap());
    import(volume.path(), folder.path(), 1, RocksOptions::default()).await.unwrap();
    let options = ReplicaOptions { log_entries_kept: ENTRIES_KEPT, ..quick() };
    let replicas = Replicas::of_folder(1, folder, options).await;
    put_and_delete(&catalog_on(replicas.at(1)).await, ENTRIES_KEPT).await;
    replicas.close(1).await;
    replicas.open(1).await;
    put_and_delete(&catalog_on(replicas.at(1)).await, 3).await;
    // While it runs, as a kill would leave it: the last entry is synced, and its rows are not.
    copy(replicas.folder(1), &golden(REPLICA), is_kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes a golden file that is not there"]
async fn write_tables() {
    let mut file = std::fs::File::create_new(golden(TABLES)).unwrap();
    let (volume, database) = (copied(VOLUME), server().database().await);
    let source = crate::support::open(&volume).into();
    let target = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    move_all(&moves(&source, &target.clone().into(), Keeper::Postgres), 1).await;
    put_and_delete(&catalog_on(target).await, 3).await;
    std::io::Write::write_all(&mut file, dumped(&database).await.as_bytes()).unwrap();
}

/// A dump has rows as they lie there: they are put in order first.
async fn dumped(database: &str) -> String {
    let admin = server().admin(database).await;
    for table in ["datamesh_rows", "datamesh_changes"] {
        let order = format!("CLUSTER {table} USING {table}_pkey; ALTER TABLE {table} SET WITHOUT CLUSTER");
        for statement in order.split(';') {
            admin.batch_execute(statement).await.unwrap();
        }
    }
    let mut dump = Command::new(programs().join("pg_dump"));
    dump.args(["--no-owner", "--no-privileges", "--rows-per-insert=100", "--dbname"]);
    let dump = dump.arg(server().uri(database)).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout).unwrap();
    dump.lines().filter(|line| is_statement(line)).map(|line| format!("{line}\n")).collect()
}

/// What else a dump has is for the session of the program that reads it, and some of it for servers of one version.
fn is_statement(line: &str) -> bool {
    let others = ["--", "\\", "SET ", "SELECT pg_catalog.set_config"];
    !line.is_empty() && !others.iter().any(|other| line.starts_with(other))
}
