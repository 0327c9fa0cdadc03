//! What is in the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::names::UNFINISHED;
use crate::commands::get::is_unfinished;
use crate::commands::put::{Identity, describe};
use crate::failure::Failure;

/// A folder's files, and what is none.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: BTreeMap<String, Identity>,
    /// Neither files nor folders, and why they are left alone.
    pub(super) skipped: BTreeMap<String, &'static str>,
}

/// Walks the folder, or what is at one path below it; that may be nothing.
pub(super) fn scan(top: &Path, below: &str) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut waiting = vec![below.to_owned()];
    while let Some(name) = waiting.pop() {
        let path = if name.is_empty() { top.to_owned() } else { top.join(&name) };
        let meta = match std::fs::symlink_metadata(&path) {
            // Gone since its folder was read.
            Err(error) if is_gone(&error) && !name.is_empty() => continue,
            meta => meta.map_err(Failure::file(&path))?,
        };
        if meta.is_dir() {
            waiting.extend(entries(&path, &name, &mut found.skipped)?);
        } else if meta.is_file() {
            found.files.insert(name, Identity::of(&meta));
        } else {
            found.skipped.insert(name, describe(meta.file_type()));
        }
    }
    Ok(found)
}

fn entries(
    folder: &Path,
    name: &str,
    skipped: &mut BTreeMap<String, &'static str>,
) -> Result<Vec<String>, Failure> {
    let below = |entry: &str| if name.is_empty() { entry.to_owned() } else { format!("{name}/{entry}") };
    let mut names = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        // Gone since it was seen.
        Err(error) if is_gone(&error) && !name.is_empty() => return Ok(names),
        entries => entries.map_err(Failure::file(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(Failure::file(folder))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let entry = entry.file_name();
        match entry.to_str() {
            Some(entry) if is_unfinished(entry) && is_folder => {
                skipped.insert(below(entry), UNFINISHED);
            }
            Some(entry) if is_unfinished(entry) => {}
            Some(entry) => names.push(below(entry)),
            None => drop(skipped.insert(below(&entry.to_string_lossy()), "its name is not UTF-8")),
        }
    }
    Ok(names)
}

/// Nothing is there, or a file where a folder above it was.
pub(super) fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The paths of what is skipped.
pub(super) fn taken(skipped: &BTreeMap<String, &'static str>) -> BTreeSet<String> {
    skipped.keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn files_are_found_and_the_rest_is_told() {
        let top = tempfile::tempdir().unwrap();
        let at = |path: &str| top.path().join(path);
        std::fs::create_dir_all(at("deep/empty")).unwrap();
        std::fs::write(at("deep/a"), "abc").unwrap();
        std::fs::write(at("b.datamesh-part"), "half").unwrap();
        std::fs::create_dir(at("c.datamesh-part")).unwrap();
        std::fs::write(at("c.datamesh-part/d"), "").unwrap();
        std::os::unix::fs::symlink("deep", at("link")).unwrap();
        std::fs::write(top.path().join(OsStr::from_bytes(b"x\xff")), "").unwrap();
        let found = scan(top.path(), "").unwrap();
        let sizes: Vec<_> = found.files.iter().map(|(path, id)| (path.as_str(), id.size)).collect();
        assert_eq!(sizes, [("deep/a", 3)]);
        let skipped: Vec<_> = found.skipped.into_iter().collect();
        let expected = [
            ("c.datamesh-part", UNFINISHED),
            ("link", "a symbolic link"),
            ("x\u{fffd}", "its name is not UTF-8"),
        ];
        assert_eq!(skipped, expected.map(|(path, why)| (path.to_owned(), why)));
        assert!(scan(top.path(), "deep/a/below").unwrap().files.is_empty(), "a file is where its folder was");
        let names = |below: &str| scan(top.path(), below).unwrap().files.into_keys().collect::<Vec<_>>();
        assert_eq!(
            (names("deep"), names("deep/a"), names("gone")),
            (vec!["deep/a".to_owned()], vec!["deep/a".to_owned()], vec![])
        );
    }
}
