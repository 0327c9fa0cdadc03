//! Names of files and folders: a power loss takes those that were not synced, and what is in them too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::*;

/// The names in each folder at its last sync.
#[derive(Clone, Default)]
struct Synced(Arc<Mutex<BTreeMap<PathBuf, BTreeSet<OsString>>>>);

fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

impl Synced {
    fn disk(&self) -> Disk {
        let synced = self.clone();
        let dir = Arc::new(move |dir: &Path| {
            // Read first: what is made while the sync runs may miss it.
            let found = names(dir);
            Disk::system().sync_dir(dir)?;
            synced.0.lock().insert(dir.to_path_buf(), found);
            Ok(())
        });
        Disk { dir, ..Disk::system() }
    }

    /// Names a power loss would take.
    fn lost(&self, folders: &[&Path]) -> Vec<PathBuf> {
        let synced = self.0.lock();
        let nothing = BTreeSet::new();
        let lost_in = |folder: &&Path| {
            let kept = synced.get(*folder).unwrap_or(&nothing);
            names(folder).difference(kept).map(|name| folder.join(name)).collect::<Vec<_>>()
        };
        folders.iter().flat_map(lost_in).collect()
    }
}

#[tokio::test]
async fn every_name_is_on_the_disk_before_the_first_answer() {
    let root = tempfile::tempdir().unwrap();
    let (above, dir) = (root.path().join("above"), root.path().join("above/store"));
    let logs = dir.join("logs");
    let synced = Synced::default();
    let store = open(&dir, synced.disk());
    store.node_key(|| vec![1]).unwrap();
    let folders = [root.path(), &above, &dir, &logs];
    assert_eq!(synced.lost(&folders), Vec::<PathBuf>::new(), "before the node's key is told");
    put(&store, 1).await.unwrap();
    assert_eq!(synced.lost(&folders), Vec::<PathBuf>::new(), "before a put is answered");
    // That a name which is not synced is found at all:
    File::create(logs.join("new")).unwrap();
    assert_eq!(synced.lost(&folders), [logs.join("new")]);
}

#[tokio::test]
async fn a_new_log_files_name_is_on_the_disk_before_what_is_in_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let synced = Synced::default();
    let options = StoreOptions { log_bytes_max: 2000, ..StoreOptions::new(1 << 40, 0) };
    let store = Store::open_with(dir.path(), options, synced.disk()).unwrap();
    for byte in 0..5 {
        put(&store, byte).await.unwrap();
        assert_eq!(synced.lost(&[&logs]), Vec::<PathBuf>::new(), "shard {byte}");
    }
    assert!(names(&logs).len() > 1, "one file held them all");
}

/// The process that made them may have ended before it synced them.
#[tokio::test]
async fn names_that_an_earlier_opening_made_are_synced_anew() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let store = open(dir.path(), Disk::system());
    put(&store, 1).await.unwrap();
    store.close().await.unwrap();
    let synced = Synced::default();
    let store = open(dir.path(), synced.disk());
    put(&store, 2).await.unwrap();
    assert_eq!(synced.lost(&[dir.path(), &logs]), Vec::<PathBuf>::new());
}

#[test]
fn a_folder_whose_names_cannot_be_synced_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let failing = Disk { dir: Arc::new(|_| Err(io::Error::from_raw_os_error(5))), ..Disk::system() };
    let opened = Store::open_with(&dir.path().join("store"), StoreOptions::new(1 << 40, 0), failing);
    assert!(opened.is_err());
    assert!(Store::open(&dir.path().join("store"), StoreOptions::new(1 << 40, 0)).is_ok());
}
