//! Programs in Python that tests run.

use std::path::PathBuf;

/// Where `scripts/install-deps.sh` puts them.
pub(crate) fn folder() -> PathBuf {
    let given = std::env::var_os("DATAMESH_S3_VENV").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/datamesh/venv");
    given.unwrap_or_else(home)
}
