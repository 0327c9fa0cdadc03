//! A single gateway's volume.

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::engine::row::REVISION_KEY;
use datamesh_catalog::engine::{EngineError, RocksKeyspace, RocksOptions};
use datamesh_catalog::keyspace::ReadError;
use rocksdb::{DB, Options};
use tempfile::TempDir;

use super::{LATER, VOLUME, catalog_on, checked, copied};

async fn opened() -> (TempDir, EmbeddedCatalog) {
    let dir = copied(VOLUME);
    let catalog = catalog_on(crate::support::open(&dir)).await;
    (dir, catalog)
}

checked!(opened);

/// A volume names no version of its own: each row does, and one of them is read first.
#[test]
fn rows_of_a_later_version_do_not_open() {
    let dir = copied(VOLUME);
    let db = DB::open(&Options::default(), dir.path()).unwrap();
    let mut newest = db.get(REVISION_KEY).unwrap().unwrap();
    newest[0] = LATER;
    db.put(REVISION_KEY, newest).unwrap();
    drop(db);
    let refused = RocksKeyspace::open(dir.path(), RocksOptions::default()).unwrap_err();
    assert!(matches!(refused, EngineError::Read(ReadError::Damaged { .. })), "{refused:?}");
    assert!(refused.to_string().contains("its version is not known to this version"), "{refused}");
}
