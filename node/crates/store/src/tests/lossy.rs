//! A disk that loses power: what the store's folder may look like afterwards.
//!
//! * What was synced of a file is there. Of what was not, some beginning, or all of its length with sectors missing.
//! * A name made since the folder's last sync is there or not. One removed since is gone or back, with its file.
//! * The index's own log is cut anywhere behind its last sync. That RocksDB syncs its tables before its manifest names
//!   them, and its older logs before it writes such a table, is its own promise and taken for granted here.
//!
//! All hooks are called on the thread that writes, so the folder stands still while the picture is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use parking_lot::{Condvar, Mutex};

use super::chance::Chance;
use super::*;

const LOGS: &str = "logs";
const INDEX: &str = "index";

/// Which syncs do nothing, for the tests' own control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    Files,
    Names,
    Index,
}

/// Files and names as far as they are safe.
struct Known {
    /// Of each file, by its inode: bytes that were synced.
    bytes: BTreeMap<u64, u64>,
    /// The names in the folder of logs at its last sync.
    names: BTreeSet<OsString>,
    /// Of the index's own logs: bytes that were synced.
    index: BTreeMap<OsString, u64>,
    chance: Chance,
    /// Calls until the power is lost.
    calls_left: u64,
    lost: bool,
}

/// The disk under one opening of a store.
#[derive(Clone)]
pub(super) struct Lossy {
    dir: PathBuf,
    /// What a power loss leaves is put here.
    after: PathBuf,
    /// Removed files are kept here: their names may come back.
    removed: PathBuf,
    broken: Broken,
    known: Arc<Mutex<Known>>,
    /// While closed, what is to be done waits.
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Lossy {
    /// All there is in `root/dir` by now is safe. The power is lost at call number `calls`; `root/after` is what is left.
    pub(super) fn new(root: &Path, calls: u64, broken: Broken, chance: Chance) -> Self {
        let [dir, after, removed] = ["dir", "after", "removed"].map(|name| root.join(name));
        for folder in [&dir, &removed, &dir.join(LOGS), &dir.join(INDEX)] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let bytes = files(&dir.join(LOGS)).into_values().map(|meta| (meta.ino(), meta.len())).collect();
        let names = files(&dir.join(LOGS)).into_keys().collect();
        let index = index_logs(&dir);
        let known = Known { bytes, names, index, chance, calls_left: calls, lost: false };
        Self { dir, after, removed, broken, known: Arc::new(Mutex::new(known)), gate: Arc::default() }
    }

    pub(super) fn disk(&self) -> Disk {
        let [file, dir, remove, index] = [(); 4].map(|()| self.clone());
        Disk {
            file: Arc::new(move |synced| file.call(|known| file.sync_file(known, synced))),
            dir: Arc::new(move |folder| dir.call(|known| dir.sync_dir(known, folder))),
            remove: Arc::new(move |path| remove.call(|_| remove.remove_file(path))),
            index: Arc::new(move || drop(index.call(|known| index.sync_index(known)))),
        }
    }

    pub(super) fn has_lost_power(&self) -> bool {
        self.known.lock().lost
    }

    /// Lets the disk wait from here on, or go on: what comes in meanwhile meets in one batch.
    pub(super) fn hold(&self, holds: bool) {
        *self.gate.0.lock() = holds;
        self.gate.1.notify_all();
    }

    /// Loses the power now, if it was not before.
    pub(super) fn lose_power(&self) {
        let mut known = self.known.lock();
        if !known.lost {
            self.lose(&mut known);
        }
    }

    /// The power may be lost before or after what is to be done; then, and from then on, nothing is acknowledged.
    fn call(&self, act: impl FnOnce(&mut Known)) -> io::Result<()> {
        self.gate.1.wait_while(&mut self.gate.0.lock(), |holds| *holds);
        let mut known = self.known.lock();
        if known.lost {
            return Err(io::Error::from_raw_os_error(5));
        }
        known.calls_left = known.calls_left.saturating_sub(1);
        let is_last = known.calls_left == 0;
        if !is_last || known.chance.coin() {
            act(&mut known);
        }
        if is_last {
            self.lose(&mut known);
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn sync_file(&self, known: &mut Known, file: &File) {
        if self.broken != Broken::Files {
            let meta = file.metadata().unwrap();
            known.bytes.insert(meta.ino(), meta.len());
        }
    }

    fn sync_dir(&self, known: &mut Known, folder: &Path) {
        if folder == self.dir.join(LOGS) && self.broken != Broken::Names {
            known.names = files(folder).into_keys().collect();
        }
    }

    fn sync_index(&self, known: &mut Known) {
        if self.broken != Broken::Index {
            known.index = index_logs(&self.dir);
        }
    }

    fn remove_file(&self, path: &Path) {
        std::fs::rename(path, self.removed.join(path.file_name().unwrap())).unwrap();
    }

    fn lose(&self, known: &mut Known) {
        known.lost = true;
        for folder in [LOGS, INDEX] {
            std::fs::create_dir_all(self.after.join(folder)).unwrap();
        }
        self.lose_of_logs(known);
        self.lose_of_index(known);
    }

    fn lose_of_logs(&self, known: &mut Known) {
        let (now, gone) = (files(&self.dir.join(LOGS)), files(&self.removed));
        for (name, meta) in &now {
            if known.names.contains(name) || known.chance.coin() {
                self.leave(known, &self.dir.join(LOGS), name, meta);
            }
        }
        for (name, meta) in gone.iter().filter(|(name, _)| !now.contains_key(*name)) {
            if known.names.contains(name) && known.chance.coin() {
                self.leave(known, &self.removed, name, meta);
            }
        }
    }

    /// What is left of a file's content.
    fn leave(&self, known: &mut Known, from: &Path, name: &OsString, meta: &std::fs::Metadata) {
        let mut bytes = std::fs::read(from.join(name)).unwrap();
        let synced = known.bytes.get(&meta.ino()).copied().unwrap_or(0);
        let synced = usize::try_from(synced).unwrap().min(bytes.len());
        spoil(&mut bytes, synced, &mut known.chance);
        std::fs::write(self.after.join(LOGS).join(name), bytes).unwrap();
    }

    fn lose_of_index(&self, known: &mut Known) {
        let logs = index_logs(&self.dir);
        let newest = logs.last_key_value().map(|(name, _)| name.clone());
        for name in files(&self.dir.join(INDEX)).into_keys() {
            // RocksDB removes files it does not need any more at any time.
            let Ok(mut bytes) = std::fs::read(self.dir.join(INDEX).join(&name)) else { continue };
            if Some(&name) == newest.as_ref() {
                let synced = usize::try_from(known.index.get(&name).copied().unwrap_or(0)).unwrap();
                bytes.truncate(known.chance.between(synced.min(bytes.len()), bytes.len()));
            }
            std::fs::write(self.after.join(INDEX).join(name), bytes).unwrap();
        }
    }
}

/// Loses of what stands behind the first `synced` bytes.
fn spoil(bytes: &mut Vec<u8>, synced: usize, chance: &mut Chance) {
    let end = match chance.below(6) {
        0 => synced,
        1..=3 => bytes.len(),
        _ => chance.between(synced, bytes.len()),
    };
    bytes.truncate(end);
    if chance.below(4) == 0 {
        return;
    }
    // The file has its length already; not all sectors have their content.
    let (sector, one_in) = ([512, 512, 512, 4096][chance.below(4)], chance.between(2, 5));
    for from in (synced / sector * sector..end).step_by(sector) {
        if chance.below(one_in) == 0 {
            bytes[from.max(synced)..(from + sector).min(end)].fill(0);
        }
    }
}

fn files(folder: &Path) -> BTreeMap<OsString, std::fs::Metadata> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?))).collect()
}

/// RocksDB's own logs and their sizes.
fn index_logs(dir: &Path) -> BTreeMap<OsString, u64> {
    let files = files(&dir.join(INDEX)).into_iter();
    let logs = files.filter(|(name, _)| Path::new(name).extension().is_some_and(|end| end == "log"));
    logs.map(|(name, meta)| (name, meta.len())).collect()
}
