//! Many commits share one sync; the folder is locked; clones close it together.

use datamesh_catalog::engine::{EngineError, RocksKeyspace, RocksOptions};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Catalog, Condition, EmbeddedCatalog};

use crate::replicas::Replicas;
use crate::support::{BUCKET, OPTIONS, Rocks, catalog_on, inline, key, put, target};

const TASKS: u64 = 64;
const COMMITS: u64 = 25;

/// Commits of as many callers at the same time.
async fn commit_at_once<K: Keyspace>(keyspace: &K) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let keyspace = keyspace.clone();
        tasks.spawn(async move {
            for n in 0..COMMITS {
                put(&keyspace, format!("{task}/{n}").as_bytes(), b"value").await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_syncs() {
    let rocks = Rocks::new();
    commit_at_once(&rocks.keyspace).await;
    let stats = rocks.keyspace.stats();
    println!("{stats:?}");
    assert_eq!(stats.commits, TASKS * COMMITS);
    assert!(stats.syncs <= stats.commits / 8, "{stats:?}");
    for task in 0..TASKS {
        let last = format!("{task}/{}", COMMITS - 1);
        assert!(rocks.keyspace.get(last.as_bytes()).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_object_is_one_commit() {
    let rocks = Rocks::new();
    let catalog = catalog_on(rocks.keyspace.clone()).await;
    let before = rocks.keyspace.stats();
    catalog.put_inline(&target("a", 1), &inline("e", 0), &Condition::None).await.unwrap();
    let after = rocks.keyspace.stats();
    assert_eq!((after.commits - before.commits, after.syncs - before.syncs), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_syncs_of_each_replica() {
    let replicas = Replicas::of(3).await;
    let leader = replicas.leader().await;
    let before = replicas.at(leader).syncs();
    commit_at_once(&replicas.at(leader)).await;
    let syncs = replicas.at(leader).syncs() - before;
    // A term that began meanwhile has syncs of its own.
    assert!((1..=TASKS * COMMITS / 4).contains(&syncs), "{syncs}");
}

/// Every operation's future can move between threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creators_of_one_object_race() {
    let rocks = Rocks::new();
    let catalog: EmbeddedCatalog = catalog_on(rocks.any()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for creator in 1..=32_u64 {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            let etag = creator.to_string();
            let done =
                catalog.put_inline(&target("a", creator), &inline(&etag, 0), &Condition::IfAbsent).await;
            done.ok().map(|_| etag)
        });
    }
    let winners: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let object = catalog.object(BUCKET, &key("a")).await.unwrap().unwrap();
    assert_eq!(object.etag, winners[0]);
    assert_eq!(catalog.counters().await.unwrap().objects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_one_object_at_once_counts_right() {
    let rocks = Rocks::new();
    let catalog = catalog_on(rocks.keyspace.clone()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 1..=64_u64 {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            let draft = inline(&writer.to_string(), 0);
            catalog.put_inline(&target("a", writer), &draft, &Condition::None).await.unwrap().replaced
        });
    }
    let replaced = tasks.join_all().await.into_iter().filter(|replaced| *replaced).count();
    assert_eq!(replaced, 63, "all but the first one replace another");
    assert_eq!(catalog.counters().await.unwrap().objects, 1);
    let usage = catalog.bucket_usage(BUCKET).await.unwrap();
    assert_eq!((usage.objects, usage.plain_bytes), (1, 5));
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let rocks = Rocks::new();
    let again = RocksKeyspace::open(rocks.dir.path(), RocksOptions::default());
    assert!(matches!(again, Err(EngineError::Locked(_))), "{again:?}");
    let clone = rocks.keyspace.clone();
    let dir = rocks.dir;
    drop(rocks.keyspace);
    assert!(RocksKeyspace::open(dir.path(), RocksOptions::default()).is_err(), "a clone keeps it open");
    drop(clone);
    assert!(RocksKeyspace::open(dir.path(), RocksOptions::default()).is_ok());
}

#[tokio::test]
async fn each_open_raises_the_incarnation_and_the_fingerprint_stays() {
    let dir = tempfile::tempdir().unwrap();
    for expected in 1..=3 {
        let catalog = EmbeddedCatalog::open(dir.path(), "abc", OPTIONS).await.unwrap();
        assert_eq!(catalog.incarnation().0, expected);
    }
    let error = EmbeddedCatalog::open(dir.path(), "def", OPTIONS).await.unwrap_err().to_string();
    assert!(error.contains("abc") && error.contains("def"), "{error}");
    let catalog = Catalog::open(dir.path(), "abc", OPTIONS).await.unwrap();
    assert_eq!(catalog.incarnation().0, 4, "a refused open changes nothing");
}
