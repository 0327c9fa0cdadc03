//! What a replica does not take for its volume.

use std::sync::Arc;

use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::engine::raft::{
    ImportError, PeerError, Peers, RaftKeyspace, ReplicaId, ReplicaOptions, import,
};
use datamesh_catalog::keyspace::{Keyspace, Revision};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::support::{Rocks, put};

pub(crate) struct Nobody;

impl Peers for Nobody {
    fn ask(&self, to: ReplicaId, _: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, PeerError>> {
        std::future::ready(Err(PeerError::Unreachable(to))).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_not_replicated_stays_as_it_is() {
    let rocks = Rocks::new();
    put(&rocks.keyspace, b"a", b"1").await.unwrap();
    let Rocks { keyspace, dir } = rocks;
    drop(keyspace);
    let opened = RaftKeyspace::open(dir.path(), 1, &ReplicaOptions::default(), Arc::new(Nobody)).await;
    let refused = opened.err().unwrap().to_string();
    assert!(refused.contains("not replicated"), "{refused}");
    let still = crate::support::open(&dir);
    assert_eq!(still.get(b"a").await.unwrap().unwrap().value, b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_forgot_everything_does_not_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = ReplicaOptions { exists: true, ..ReplicaOptions::default() };
    let refused = RaftKeyspace::open(dir.path(), 7, &options, Arc::new(Nobody)).await.err().unwrap();
    assert!(refused.to_string().contains("replica 7 has taken part before"), "{refused}");
    let first = RaftKeyspace::open(dir.path(), 7, &ReplicaOptions::default(), Arc::new(Nobody)).await;
    first.unwrap().close().await;
    RaftKeyspace::open(dir.path(), 7, &options, Arc::new(Nobody)).await.unwrap().close().await;
}

/// Whoever joins later is sent the rows that were there before the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_of_a_single_volume_becomes_a_groups() {
    let rocks = Rocks::new();
    for (key, value) in [(b"a", b"1"), (b"b", b"2")] {
        put(&rocks.keyspace, key, value).await.unwrap();
    }
    let Rocks { keyspace, dir } = rocks;
    drop(keyspace);
    let mut replicas = crate::replicas::Replicas::imported(1, dir.path()).await;
    assert_eq!(replicas.at(1).get(b"b").await.unwrap().unwrap().version, Revision(2));
    assert_eq!(put(&replicas.at(1), b"b", b"3").await, Ok(Revision(3)));
    for id in [2, 3] {
        replicas.add(id).await;
        replicas.at(1).add_learner(id).await.unwrap();
    }
    replicas.at(1).change_members([1, 2, 3].into()).await.unwrap();
    // What it came from may be there still, and does not come over what was written since, nor is it taken for that.
    replicas.close(1).await;
    let again = replicas.import(1, dir.path()).await.unwrap_err();
    assert!(matches!(again, ImportError::NotBlank(1)), "{again}");
    replicas.open(1).await;
    for (key, value) in [(b"a", b"1"), (b"b", b"3")] {
        assert_eq!(replicas.at(3).get(key).await.unwrap().unwrap().value, value);
    }
    replicas.leader_of(&[1, 2, 3]).await;
    assert_eq!(crate::support::open(&dir).get(b"b").await.unwrap().unwrap().value, b"2");
}

/// Nothing counts before all of it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_nothing_leaves_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let held = crate::support::open(&from);
    let refused = import(from.path(), to.path(), 1, RocksOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("open elsewhere"));
    let replica =
        RaftKeyspace::open(to.path(), 1, &ReplicaOptions::default(), Arc::new(Nobody)).await.unwrap();
    assert!(replica.status().voters.is_empty());
    drop(held);
}
