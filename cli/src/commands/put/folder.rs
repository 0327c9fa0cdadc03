//! What a folder holds that can be stored, and what not.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A file that is to be stored.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) key: String,
    /// What it had when it was found: for how long all will take, and nothing else.
    pub(super) bytes: u64,
}

/// The contents of a folder.
pub(super) struct Contents {
    /// All regular files, in order of path.
    pub(super) files: Vec<File>,
    /// All else, and what it is.
    pub(super) skipped: Vec<(PathBuf, &'static str)>,
}

/// Walks `top`; the keys of its files begin with `prefix`.
pub(super) fn contents(top: &Path, prefix: &str) -> Result<Contents, Failure> {
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Failure::file(&folder))? {
            let entry = entry.map_err(Failure::file(&folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(Failure::file(&path))?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let key = key(top, prefix, &path)?;
                let bytes = entry.metadata().map_err(Failure::file(&path))?.len();
                files.push(File { path, key, bytes });
            } else {
                skipped.push((path, describe(kind)));
            }
        }
    }
    files.sort();
    skipped.sort();
    Ok(Contents { files, skipped })
}

fn key(top: &Path, prefix: &str, path: &Path) -> Result<String, Failure> {
    let below = path.strip_prefix(top).unwrap_or(path);
    let below = below.to_str().ok_or_else(|| Failure::Usage(format!("{} is not UTF-8", path.display())))?;
    Ok(format!("{prefix}/{below}").trim_start_matches('/').to_owned())
}

/// What something is that is neither file nor folder.
pub(crate) fn describe(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_get_keys_and_the_rest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir_all(top.join("sub")).unwrap();
        std::fs::write(top.join("a"), "").unwrap();
        std::fs::write(top.join("sub/b"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", top.join("sub/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(top.join("socket")).unwrap();
        let keys = |prefix| {
            let files = contents(&top, prefix).unwrap().files;
            files.into_iter().map(|file| file.key).collect::<Vec<_>>()
        };
        assert_eq!(keys("top"), ["top/a", "top/sub/b"]);
        assert_eq!(keys(""), ["a", "sub/b"]);
        let skipped = contents(&top, "").unwrap().skipped;
        assert_eq!(skipped, [(top.join("socket"), "a socket"), (top.join("sub/link"), "a symbolic link")]);
    }
}
