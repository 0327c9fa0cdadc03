//! Programs in JavaScript that tests run.

use std::path::{Path, PathBuf};

/// Where `scripts/install-deps.sh` puts what they need.
fn folder() -> PathBuf {
    let given = std::env::var_os("DATAMESH_NPM").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/datamesh/npm");
    given.unwrap_or_else(home)
}

/// One of the scripts of `tests/npm` in a folder where it finds its packages: a module looks for them in the folders above it.
pub(crate) fn script(name: &str, folder_of_test: &Path) -> PathBuf {
    let script = folder_of_test.join(name);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm").join(name), &script).unwrap();
    std::os::unix::fs::symlink(folder().join("node_modules"), folder_of_test.join("node_modules")).unwrap();
    script
}
