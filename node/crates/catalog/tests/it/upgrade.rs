//! What an earlier build wrote is opened as it is, by each engine. `tests/golden/volume-2026-11` is the catalog of a gateway of
//! 30 November 2026, filled by boto3 and by REST: versions, parts, settings of buckets, accounts and their audit.
//! `replica-2026-11` and `postgres-2026-11.sql` were made of it (`writing`), so what is there is the same in all of them.

mod checks;
mod replica;
mod tables;
mod volume;
mod writing;

use std::path::{Path, PathBuf};

use datamesh_catalog::catalog::OpenError;
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::{Catalog, EmbeddedCatalog};
use tempfile::TempDir;

use crate::support::OPTIONS;

const VOLUME: &str = "volume-2026-11";
const REPLICA: &str = "replica-2026-11";
const TABLES: &str = "postgres-2026-11.sql";
/// A version that no format has come to yet.
const LATER: u8 = 200;

/// Runs all checks on what this opens: a catalog, behind what has to outlive it.
macro_rules! checked {
    ($opened:ident) => {
        crate::upgrade::checked!(
            $opened: everything_is_there,
            it_is_sound_and_goes_on,
            a_record_of_a_later_version_is_refused
        );
    };
    ($opened:ident: $($check:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let (_kept, catalog) = $opened().await;
            crate::upgrade::checks::$check(&catalog).await;
        })+
    };
}
use checked;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Copies the files of a folder that are to be copied.
fn copy(from: &Path, to: &Path, is_copied: impl Fn(&str) -> bool) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if is_copied(&name) {
            std::fs::copy(file.path(), to.join(name)).unwrap();
        }
    }
}

/// A golden folder, in one of its own.
fn copied(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&golden(name), dir.path(), |_| true);
    dir
}

/// Opened by the fingerprint that it has.
async fn catalog_on(keyspace: impl Into<AnyKeyspace>) -> EmbeddedCatalog {
    let keyspace = keyspace.into();
    let refused = Catalog::with_keyspace(keyspace.clone(), "another cluster's", OPTIONS).await;
    let Err(OpenError::OtherCluster { stored, .. }) = refused else { panic!("it belongs to its cluster") };
    Catalog::with_keyspace(keyspace, &stored, OPTIONS).await.unwrap()
}
