//! What is remembered of a restore, beside the catalog that came of it.

use std::path::Path;

use datamesh_settings::admin::RestoredStatus;
use serde::{Deserialize, Serialize};

use crate::server::write_synced;

const FILE: &str = "restored.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    #[serde(flatten)]
    restored: RestoredStatus,
}

/// Writes it. Blocking.
pub(super) fn write(dir: &Path, restored: &RestoredStatus) -> std::io::Result<()> {
    let mark = Mark { version: VERSION, restored: restored.clone() };
    write_synced(&dir.join(FILE), &serde_json::to_vec(&mark).map_err(std::io::Error::other)?)
}

/// What there is of it. It is for people alone: one that cannot be read is none. Blocking.
pub(crate) fn read(dir: &Path) -> Option<RestoredStatus> {
    let bytes = std::fs::read(dir.join(FILE)).ok()?;
    match serde_json::from_slice::<Mark>(&bytes) {
        Ok(mark) if mark.version == VERSION => Some(mark.restored),
        _ => {
            tracing::warn!("what this catalog was restored from cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_after_a_restart_unless_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        let restored = RestoredStatus { until_unix_ms: 5, at_unix_ms: 9, revision: 7 };
        write(dir.path(), &restored).unwrap();
        assert_eq!(read(dir.path()), Some(restored));
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
