//! Putting files, folders and their names on the disk.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{fdatasync, fsync};

type SyncFile = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;
type SyncDir = Arc<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;
type IndexSynced = Arc<dyn Fn() + Send + Sync>;
type Remove = Arc<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// How files and folders are put on the disk, and go; a test puts failing or watching ways in their place.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) file: SyncFile,
    pub(crate) dir: SyncDir,
    pub(crate) remove: Remove,
    pub(crate) index: IndexSynced,
}

impl Disk {
    /// The system's way.
    pub(crate) fn system() -> Self {
        Self {
            file: Arc::new(|file| Ok(fdatasync(file)?)),
            dir: Arc::new(|dir| Ok(fsync(File::open(dir)?)?)),
            remove: Arc::new(|file| std::fs::remove_file(file)),
            index: Arc::new(|| {}),
        }
    }

    /// Puts a file's content on the disk.
    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        (self.file)(file)
    }

    /// Puts the names in a folder on the disk: what is in a file is found after a power loss only if its name is.
    pub(crate) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.dir)(dir)
    }

    /// Removes a file. Whether its name is gone for good only the folder's next sync says.
    pub(crate) fn remove_file(&self, file: &Path) -> io::Result<()> {
        (self.remove)(file)
    }

    /// The index's own log was put on the disk, by the index itself.
    pub(crate) fn index_was_synced(&self) {
        (self.index)();
    }

    /// Makes a folder, and those above it that are missing, for its owner alone; on the disk when this returns.
    pub(crate) fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = std::path::absolute(dir)?;
        let missing: Vec<&Path> = dir.ancestors().take_while(|folder| !folder.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        // A folder's name stands in the folder above it.
        missing.iter().filter_map(|made| made.parent()).try_for_each(|above| self.sync_dir(above))
    }
}
