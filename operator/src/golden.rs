//! Golden files: built objects as they are in the repository. `UPDATE=1` writes them anew; read the difference before
//! you commit it, since it is what every user's cluster will see.

use std::path::Path;

use serde::Serialize;

/// Compares `object` with `tests/golden/<file>`.
pub(crate) fn golden(file: &str, object: &impl Serialize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let built = serde_yaml::to_string(object).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &built).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(built == expected, "{} differs from what is built now:\n{built}", path.display());
}
