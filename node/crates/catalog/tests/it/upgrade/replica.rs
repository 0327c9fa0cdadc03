//! The volume of a replica, which is a group of one and was killed: its log begins behind what was purged, and ends with what its rows do
//! not have yet.

use std::path::Path;
use std::sync::Arc;

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::engine::raft::record::{AppliedRecord, VolumeRecord};
use datamesh_catalog::engine::raft::{OpenError, RaftKeyspace};
use datamesh_catalog::engine::row;
use datamesh_catalog::keyspace::{KeyRange, Keyspace, RESERVED_FIRST_BYTE, RangeLimits, Row, View};
use datamesh_catalog::record::{self, RecordError};
use rocksdb::{BoundColumnFamily, DB, IteratorMode, Options};
use tempfile::TempDir;

use super::{LATER, REPLICA, catalog_on, checked, copied};
use crate::replica_volumes::Nobody;
use crate::replicas::{Replicas, quick};

const VOLUME_KEY: &[u8] = b"volume";
const APPLIED_KEY: &[u8] = &[RESERVED_FIRST_BYTE, b'a'];

async fn alone() -> Replicas {
    let replicas = Replicas::of_folder(1, copied(REPLICA), quick()).await;
    replicas.leader().await;
    replicas
}

async fn of_three() -> Replicas {
    let mut replicas = alone().await;
    for id in [2, 3] {
        replicas.add(id).await;
        replicas.at(1).add_learner(id).await.unwrap();
    }
    replicas.at(1).change_members([1, 2, 3].into()).await.unwrap();
    replicas
}

async fn opened() -> (Replicas, EmbeddedCatalog) {
    let replicas = alone().await;
    let catalog = catalog_on(replicas.at(1)).await;
    (replicas, catalog)
}

checked!(opened);

/// By a replica that never had the golden volume.
mod joined {
    use super::{EmbeddedCatalog, Replicas, catalog_on, checked, of_three};

    async fn opened() -> (Replicas, EmbeddedCatalog) {
        let replicas = of_three().await;
        let catalog = catalog_on(replicas.at(3)).await;
        (replicas, catalog)
    }

    checked!(opened);
}

async fn rows(replica: &RaftKeyspace) -> Vec<Row> {
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    replica.view().await.unwrap().range(&KeyRange::prefix(b""), all).await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_join_hold_the_same() {
    let replicas = alone().await;
    let before = rows(&replicas.at(1)).await;
    assert!(before.len() > 100, "{}", before.len());
    drop(replicas);
    let replicas = of_three().await;
    for id in [1, 2, 3] {
        assert!(rows(&replicas.at(id)).await == before, "replica {id} holds something else");
    }
}

/// A replica's database that no replica has open.
struct AtRest(DB);

impl AtRest {
    fn open(dir: &Path) -> Self {
        let options = Options::default();
        Self(DB::open_cf(&options, dir, DB::list_cf(&options, dir).unwrap()).unwrap())
    }

    fn volume(&self) -> VolumeRecord {
        record::decode(&self.0.get(VOLUME_KEY).unwrap().unwrap()).unwrap()
    }

    fn rows(&self) -> Arc<BoundColumnFamily<'_>> {
        self.0.cf_handle(&format!("rows-{}", self.volume().generation)).unwrap()
    }

    fn log(&self) -> Arc<BoundColumnFamily<'_>> {
        self.0.cf_handle("log").unwrap()
    }

    fn applied(&self) -> u64 {
        let stored = self.0.get_cf(&self.rows(), APPLIED_KEY).unwrap().unwrap();
        let applied: AppliedRecord = record::decode(row::decode(&stored).unwrap().1).unwrap();
        applied.at.unwrap().index
    }

    /// The first or the last number.
    fn entry(&self, mode: IteratorMode<'_>) -> u64 {
        let (key, _) = self.0.iterator_cf(&self.log(), mode).next().unwrap().unwrap();
        u64::from_be_bytes((&*key).try_into().unwrap())
    }

    fn make_later(&self, family: &Arc<BoundColumnFamily<'_>>, key: &[u8]) {
        let mut stored = self.0.get_cf(family, key).unwrap().unwrap();
        stored[0] = LATER;
        self.0.put_cf(family, key, stored).unwrap();
    }
}

/// Else the tests above would show less than they say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_rows_come_out_of_its_log() {
    let dir = copied(REPLICA);
    let at_rest = AtRest::open(dir.path());
    let (first, last) = (at_rest.entry(IteratorMode::Start), at_rest.entry(IteratorMode::End));
    let applied = at_rest.applied();
    assert!(1 < first && first + 3 < applied && applied < last, "{first}, {applied}, {last}");
    drop(at_rest);
    let replicas = Replicas::of_folder(1, dir, quick()).await;
    assert!(replicas.at(1).until(|status| status.applied > last).await);
}

async fn refused(dir: &TempDir) -> OpenError {
    let opened = RaftKeyspace::open(dir.path(), 1, &quick(), Arc::new(Nobody)).await;
    opened.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_of_a_later_version_does_not_open() {
    let dir = copied(REPLICA);
    let at_rest = AtRest::open(dir.path());
    at_rest.make_later(&at_rest.0.cf_handle("default").unwrap(), VOLUME_KEY);
    drop(at_rest);
    let refused = refused(&dir).await;
    let expected = RecordError::Version { record: "volume", version: LATER };
    assert!(matches!(&refused, OpenError::Damaged(error) if *error == expected), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_or_rows_of_a_later_version_do_not_open() {
    let dir = copied(REPLICA);
    let at_rest = AtRest::open(dir.path());
    let last = at_rest.entry(IteratorMode::End);
    at_rest.make_later(&at_rest.log(), &last.to_be_bytes());
    drop(at_rest);
    let said = refused(&dir).await.to_string();
    assert!(said.contains("version 200 of a log entry record is not known"), "{said}");

    let dir = copied(REPLICA);
    let at_rest = AtRest::open(dir.path());
    at_rest.make_later(&at_rest.rows(), row::REVISION_KEY);
    drop(at_rest);
    let said = refused(&dir).await.to_string();
    assert!(said.contains("its version is not known to this version"), "{said}");
}
