//! The CRDs in `manifests/` are what the types say. `UPDATE=1` writes them anew.

// Clippy exempts tests, but not the functions beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use kube::CustomResourceExt;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds")
}

fn fresh(file: &str, expected: &str) {
    let path = folder().join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is stale: run `make generate`", path.display());
}

#[test]
fn cluster_definition_is_fresh() {
    fresh("datameshclusters.yaml", &datamesh_crds::to_yaml(&datamesh_crds::DataMeshCluster::crd()).unwrap());
}

#[test]
fn pool_definition_is_fresh() {
    fresh("storagepools.yaml", &datamesh_crds::to_yaml(&datamesh_crds::StoragePool::crd()).unwrap());
}
