//! A value read from files that others replace while the gateway runs: tokens, certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

/// What tells two states of a file apart: Kubernetes swaps a link, others rewrite in place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// The newest good value of some files.
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, LoadError> + Send + Sync>,
    seen: Mutex<Vec<Option<Stamp>>>,
    current: RwLock<Arc<T>>,
}

/// Why files could not be turned into a value; never shows their content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LoadError(pub(crate) String);

impl<T> Watched<T> {
    /// Loads the value for the first time. Blocking.
    pub(crate) fn open(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, LoadError> + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        let seen = stamps(&files);
        let current = load()?;
        Ok(Self {
            files,
            load: Box::new(load),
            seen: Mutex::new(seen),
            current: RwLock::new(Arc::new(current)),
        })
    }

    /// The newest good value.
    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read())
    }

    /// Loads it again if a file changed; says whether it did. A bad state keeps the old value, and is tried again
    /// when the files change once more. Blocking.
    pub(crate) fn refresh(&self) -> Result<bool, LoadError> {
        let mut seen = self.seen.lock();
        let now = stamps(&self.files);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let value = (self.load)()?;
        *self.current.write() = Arc::new(value);
        Ok(true)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(file).ok()?;
    Some(Stamp { modified: meta.modified().ok(), len: meta.len(), inode: meta.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_changes_and_keeps_the_last_good_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("value");
        std::fs::write(&file, "1").unwrap();
        let path = file.clone();
        let watched = Watched::open(vec![file.clone()], move || {
            let text = std::fs::read_to_string(&path).map_err(|e| LoadError(e.to_string()))?;
            text.parse::<u32>().map_err(|e| LoadError(e.to_string()))
        })
        .unwrap();
        assert!(!watched.refresh().unwrap());
        std::fs::write(&file, "22").unwrap();
        assert!(watched.refresh().unwrap());
        assert_eq!(*watched.current(), 22);
        std::fs::write(&file, "oops").unwrap();
        assert!(watched.refresh().is_err());
        assert_eq!(*watched.current(), 22);
    }
}
