//! What must hold before anything is deleted: the folder is still the one that was named, and what is missing on one side is not missing
//! because its volume is away.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::plan::Step;
use crate::failure::Failure;

/// The folder as it was when the command began. A volume that is unmounted, or a folder that is moved away, leaves another one or none.
#[derive(Debug)]
pub(super) struct Top {
    path: PathBuf,
    identity: (u64, u64),
}

impl Top {
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        Ok(Self { path: path.to_owned(), identity: identity(path).map_err(Failure::file(path))? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a link is above a path: what is there is elsewhere.
    pub(super) fn leads_out(&self, path: &str) -> bool {
        let is_link = |folder: &str| {
            std::fs::symlink_metadata(self.path.join(folder)).is_ok_and(|meta| meta.is_symlink())
        };
        path.match_indices('/').any(|(at, _)| is_link(&path[..at]))
    }

    /// # Errors
    /// [`Failure::Gone`] when something else is at its path, or nothing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match identity(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(Failure::Gone(self.path.clone())),
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Files of both sides, as many as were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) local: usize,
    pub(super) remote: usize,
}

/// What would be lost if one side is only seemingly without what the other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MassDeletion {
    /// So many objects.
    Objects(usize),
    /// So many files.
    Files(usize),
}

/// Whether more than half of a side would be deleted, or all of it for an empty one. A volume that is not mounted looks like a
/// folder whose files were all deleted, even if a file is at its mount point; a mistyped prefix or a bucket that was made anew like one
/// that was emptied.
pub(super) fn mass_deletion(steps: &[Step], counts: Counts) -> Option<MassDeletion> {
    let objects = steps.iter().filter(|step| matches!(step, Step::DeleteRemote { .. })).count();
    let files = steps.iter().filter(|step| matches!(step, Step::DeleteLocal { .. })).count();
    let is_much =
        |deleted: usize, of: usize, lead: usize| deleted > 0 && (lead == 0 || deleted.saturating_mul(2) > of);
    if is_much(objects, counts.remote, counts.local) {
        Some(MassDeletion::Objects(objects))
    } else if is_much(files, counts.local, counts.remote) {
        Some(MassDeletion::Files(files))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::put::Identity;

    fn steps(objects: usize, files: usize) -> Vec<Step> {
        let object = |number| Step::DeleteRemote { path: format!("o{number}"), etag: String::new() };
        let was = Identity { size: 1, modified_ns: 1 };
        let file = |number| Step::DeleteLocal { path: format!("f{number}"), was };
        (0..objects).map(object).chain((0..files).map(file)).collect()
    }

    #[test]
    fn a_side_that_seems_empty_does_not_empty_the_other() {
        let judged =
            |objects, files, local, remote| mass_deletion(&steps(objects, files), Counts { local, remote });
        assert_eq!(judged(1, 0, 0, 1), Some(MassDeletion::Objects(1)), "a volume that is away");
        assert_eq!(judged(1, 0, 0, 100), Some(MassDeletion::Objects(1)));
        assert_eq!(judged(9, 0, 1, 9), Some(MassDeletion::Objects(9)), "a mount point with a file in it");
        assert_eq!(judged(0, 5, 5, 0), Some(MassDeletion::Files(5)), "a mistyped prefix");
        assert_eq!(judged(0, 5, 5, 1), Some(MassDeletion::Files(5)), "a bucket that was made anew");
        assert_eq!(judged(1, 1, 2, 2), None);
        assert_eq!(judged(0, 0, 0, 9), None, "nothing is deleted");
        assert_eq!(judged(5, 0, 5, 10), None);
        assert_eq!(judged(6, 0, 5, 10), Some(MassDeletion::Objects(6)));
    }

    #[test]
    fn another_folder_at_its_path_and_links_are_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("top");
        std::fs::create_dir(&path).unwrap();
        let top = Top::of(&path).unwrap();
        assert!(top.check().is_ok());
        std::fs::create_dir(path.join("real")).unwrap();
        std::os::unix::fs::symlink("real", path.join("link")).unwrap();
        assert_eq!(
            ["real/a", "link", "link/a", "link/a/b", "none/a"].map(|path| top.leads_out(path)),
            [false, false, true, true, false]
        );
        std::fs::rename(&path, home.path().join("moved")).unwrap();
        assert!(matches!(top.check(), Err(Failure::Gone(_))));
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(top.check(), Err(Failure::Gone(_))), "another one");
    }
}
