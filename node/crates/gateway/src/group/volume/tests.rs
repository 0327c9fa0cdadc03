use std::sync::Arc;

use datamesh_catalog::engine::raft::{PeerError, Peers, RaftKeyspace, ReplicaOptions};
use datamesh_catalog::engine::{RocksKeyspace, RocksOptions};
use datamesh_catalog::keyspace::{Batch, Keyspace};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { dir: dir.path().to_owned(), id: 7, node: "a".parse().unwrap() };
    (dir, folder)
}

struct Nobody;

impl Peers for Nobody {
    fn ask(&self, to: ReplicaId, _: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>> {
        std::future::ready(Err(PeerError::Unreachable(to))).boxed()
    }
}

/// What a gateway that is alone does with its catalog.
async fn write_alone(dir: &Path, value: &[u8]) {
    check_alone(dir).unwrap();
    let single = RocksKeyspace::open(&dir.join(CATALOG_DIR), RocksOptions::default()).unwrap();
    let mut batch = Batch::new();
    batch.put(b"k".to_vec(), value.to_vec());
    single.commit(batch).await.unwrap();
}

/// What the replica has.
async fn value(folder: &Folder) -> Vec<u8> {
    let options = ReplicaOptions { exists: true, ..ReplicaOptions::default() };
    let opened = RaftKeyspace::open(&folder.replica(), folder.id, &options, Arc::new(Nobody)).await.unwrap();
    let value = opened.get(b"k").await.unwrap().unwrap().value;
    opened.close().await;
    value
}

#[test]
fn what_counts_is_told_by_the_mark() {
    let (dir, folder) = folder();
    assert_eq!(folder.look().unwrap(), Found::Nothing);
    std::fs::create_dir(dir.path().join(CATALOG_DIR)).unwrap();
    assert_eq!(folder.look().unwrap(), Found::Alone);
    check_alone(dir.path()).unwrap();
    folder.set_aside().unwrap();
    folder.mark().unwrap();
    assert_eq!(folder.look().unwrap(), Found::Replica);
    assert!(check_alone(dir.path()).unwrap_err().to_string().contains("catalogMembers is empty"));
    std::fs::create_dir(dir.path().join(CATALOG_DIR)).unwrap();
    assert!(matches!(folder.look(), Err(GroupError::TwoHere(_))));
}

#[test]
fn a_mark_of_another_key_or_another_gateway_is_refused() {
    let (_dir, folder) = folder();
    folder.mark().unwrap();
    let other = Folder { id: 8, ..folder.clone() };
    assert!(matches!(other.look(), Err(GroupError::OtherReplica { found: 7, own: 8, .. })));
    let copy = Folder { node: "b".parse().unwrap(), ..folder };
    let refused = copy.look().unwrap_err().to_string();
    assert!(refused.contains("written by gateway a"), "{refused}");
}

/// One gateway, cut off while it became one of several, is one for a while longer: what it writes then comes along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_after_a_copy_that_was_cut_off_is_taken_over() {
    let (dir, folder) = folder();
    write_alone(dir.path(), b"before").await;
    folder.copy().await.unwrap();
    assert_eq!(folder.look().unwrap(), Found::Alone);
    write_alone(dir.path(), b"since").await;
    folder.take_over().await.unwrap();
    assert_eq!(value(&folder).await, b"since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_aside_is_not_begun_anew_without_a_mark() {
    let (dir, folder) = folder();
    write_alone(dir.path(), b"before").await;
    folder.take_over().await.unwrap();
    let refused = check_alone(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("name the gateways in catalogMembers again"), "{refused}");
    assert_eq!(folder.look().unwrap(), Found::Replica);
    assert_eq!(value(&folder).await, b"before");
    // Whoever goes back all the same, as the error says, loses nothing on the way there and here again.
    std::fs::rename(dir.path().join(TAKEN_DIR), dir.path().join(CATALOG_DIR)).unwrap();
    write_alone(dir.path(), b"since").await;
    assert_eq!(folder.look().unwrap(), Found::Alone);
    folder.take_over().await.unwrap();
    assert_eq!(value(&folder).await, b"since");
    // Nobody knows which of two is the newer.
    std::fs::create_dir(dir.path().join(CATALOG_DIR)).unwrap();
    assert!(matches!(folder.look(), Err(GroupError::TwoAlone { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_goes_after_the_mark() {
    let (dir, folder) = folder();
    write_alone(dir.path(), b"before").await;
    folder.take_over().await.unwrap();
    // The mark is written, and the process ends before the rest.
    let taken = dir.path().join(TAKEN_DIR);
    let kept = dir.path().join("kept");
    std::fs::rename(&taken, &kept).unwrap();
    folder.mark().unwrap();
    std::fs::rename(&kept, &taken).unwrap();
    assert_eq!(folder.look().unwrap(), Found::Replica);
    assert!(matches!(check_alone(dir.path()), Err(GroupError::NotAlone(_))));
    folder.mark().unwrap();
    assert!(!taken.exists());
    assert_eq!(value(&folder).await, b"before");
}

#[test]
fn golden_versions() {
    let (dir, folder) = folder();
    folder.mark().unwrap();
    let golden = include_bytes!("../../../tests/golden/catalog-replica-v2.json");
    assert_eq!(std::fs::read(dir.path().join(MARK_FILE)).unwrap(), golden.trim_ascii_end());
    let golden = include_bytes!("../../../tests/golden/catalog-replica-v1.json");
    std::fs::write(dir.path().join(MARK_FILE), golden).unwrap();
    assert_eq!(folder.look().unwrap(), Found::Replica, "which says of no gateway that it wrote it");
    let golden = include_bytes!("../../../tests/golden/incarnation-v1.json");
    std::fs::write(dir.path().join(INCARNATION_FILE), golden).unwrap();
    assert_eq!(next_incarnation(dir.path()).unwrap(), Incarnation(1 << 40 | 1), "though the clock is behind");
    std::fs::write(dir.path().join(INCARNATION_FILE), "{").unwrap();
    assert!(matches!(next_incarnation(dir.path()), Err(GroupError::Unread { .. })));
}

#[test]
fn incarnations_begin_above_what_anybody_counted_and_rise() {
    let (dir, _) = folder();
    let first = next_incarnation(dir.path()).unwrap();
    assert!(first > Incarnation(1_700_000_000));
    assert!(next_incarnation(dir.path()).unwrap() > first);
}
