use std::time::Duration;

use datamesh_store::{OpenError, Store, StoreOptions};

use crate::sample::{open, options, sample};

#[tokio::test]
async fn a_second_opening_waits_then_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let impatient = StoreOptions { lock_wait: Duration::from_millis(60), ..options() };
    let Err(error) = Store::open(dir.path(), impatient) else { panic!("opened twice") };
    assert!(matches!(error, OpenError::Locked { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("process {} on ", std::process::id())), "{text}");
    assert!(text.contains("incarnation 1"), "{text}");
    // The first goes on undisturbed.
    sample(1, 10).put(&first, 0).await;

    let path = dir.path().to_owned();
    let second = tokio::task::spawn_blocking(move || open(&path));
    drop(first);
    assert!(sample(1, 10).is_whole(&second.await.unwrap()).await);
}

#[tokio::test]
async fn each_opening_raises_the_incarnation_even_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..6 {
        let store = open(dir.path());
        assert!(store.incarnation().0 > last, "round {round}");
        last = store.incarnation().0;
        sample(round, 10).put(&store, 0).await;
        match round % 2 {
            0 => drop(store),
            _ => store.close().await.unwrap(),
        }
    }
    assert_eq!(last, 6);
    // With the index lost, the log files' own heads keep it from falling to the start; here all were made by the first.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert!(open(dir.path()).incarnation().0 >= 2);
}

#[tokio::test]
async fn the_nodes_key_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.node_key(Vec::new).is_err());
    assert_eq!(store.node_key(|| vec![1, 2, 3]).unwrap(), [1, 2, 3]);
    assert_eq!(store.node_key(|| vec![9]).unwrap(), [1, 2, 3]);
    drop(store);
    assert_eq!(open(dir.path()).node_key(|| vec![9]).unwrap(), [1, 2, 3]);
}
