//! openraft's own suite of what a log and a state machine must do, on ours.

use std::sync::Arc;

use datamesh_catalog::engine::RocksOptions;
use datamesh_catalog::engine::raft::{FlushOn, LogStore, StateMachine, Types, Volume};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

struct Builder;

impl StoreBuilder<Types, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::open(dir.path(), (0, false), RocksOptions::default(), FlushOn::Thread).unwrap();
        Ok((dir, LogStore::new(Arc::clone(&volume)), StateMachine::open(volume).unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storage_suite_of_openraft_passes() {
    Suite::test_all(Builder).await.unwrap();
}
