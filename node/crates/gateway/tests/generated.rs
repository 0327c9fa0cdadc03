//! `docs/openapi.json` is what the routes and their types say. `UPDATE=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::path::Path;

#[test]
fn openapi_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/openapi.json");
    let expected = serde_json::to_string_pretty(&datamesh_gateway::openapi_document()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is stale: run `make generate`", path.display());
}
