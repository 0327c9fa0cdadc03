//! What a replica does not take for its volume.

use std::sync::Arc;

use datamesh_catalog::engine::raft::{PeerError, Peers, RaftKeyspace, ReplicaId, ReplicaOptions};
use datamesh_catalog::keyspace::Keyspace;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::support::{Rocks, put};

struct Nobody;

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
