//! Which paths can be on both sides. What cannot is left alone and told, never given another name.

use std::collections::BTreeSet;

use crate::commands::get::is_unfinished;

/// Bytes of one part of a path that file systems take.
const PART_BYTES_MAX: usize = 255;
/// Bytes of a path below the folder: Linux takes 4,096 with the folder itself.
const PATH_BYTES_MAX: usize = 3072;

/// Why a name is left alone that looks like what is there of a download.
pub(super) const UNFINISHED: &str = "it is named as an unfinished download is";

/// Why a key cannot be a file below the folder.
pub(crate) fn refusal(path: &str) -> Option<&'static str> {
    let parts = || path.split('/');
    if path.len() > PATH_BYTES_MAX || parts().any(|part| part.len() > PART_BYTES_MAX) {
        Some("its name is too long for a file")
    } else if parts().any(|part| matches!(part, "." | "..")) {
        Some("its name would lead out of the folder")
    } else if parts().any(str::is_empty) {
        Some("its name has an empty part")
    } else if path.contains('\0') {
        Some("its name has a zero byte")
    } else if parts().any(is_unfinished) {
        Some(UNFINISHED)
    } else {
        None
    }
}

/// Files among `paths` that stand where another one's folder would be, and what is below them. `taken`: what is neither a file nor
/// a folder, such as a symbolic link; what is below it would be written to where it leads.
pub(crate) fn clashes(paths: &BTreeSet<&str>, taken: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in paths {
        if taken.contains(*path) {
            found.insert((*path).to_owned());
        }
        for folder in path.match_indices('/').map(|(at, _)| &path[..at]) {
            if taken.contains(folder) {
                found.insert((*path).to_owned());
            } else if paths.contains(folder) {
                found.extend([(*path).to_owned(), folder.to_owned()]);
            }
        }
    }
    found
}

/// The name of the copy that a conflict leaves: `name (conflict HOST DATE).ext`; from the second on with its number.
pub(crate) fn copy_of(path: &str, host: &str, date: &str, number: u32) -> String {
    let (folder, name) =
        path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
    // A name that begins with its only dot has no ending.
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() < 32 => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    let nth = if number > 1 { format!(" {number}") } else { String::new() };
    let marked = format!(" (conflict {host} {date}{nth}){ending}");
    let mut room = PART_BYTES_MAX.saturating_sub(marked.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    format!("{folder}{}{marked}", &stem[..room])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_no_files_below_the_folder_are_refused() {
        let long = "x".repeat(256);
        for bad in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "a/",
            "",
            ".",
            "a/./b",
            "a\0b",
            &long,
            "x.datamesh-part",
            "x.datamesh-part/b",
            "a/x.datamesh-part-etag/b",
        ] {
            assert!(refusal(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "...", "a/b c/ä", "..a", "a\nb", "a\\b", &long[1..]] {
            assert_eq!(refusal(good), None, "{good:?}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_left_alone_with_what_is_below() {
        let clashes = |paths: &[&str], taken: &[&str]| {
            let taken = taken.iter().map(|path| (*path).to_owned()).collect();
            clashes(&paths.iter().copied().collect(), &taken).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(clashes(&["a", "a/b", "a/c/d", "ab", "b/c"], &[]), ["a", "a/b", "a/c/d"]);
        assert_eq!(clashes(&["link", "link/x", "other", "linked"], &["link"]), ["link", "link/x"]);
        assert_eq!(clashes(&["a/b", "a/c"], &[]), Vec::<String>::new());
    }

    #[test]
    fn copies_keep_their_folder_and_ending() {
        let copy = |path: &str, number| copy_of(path, "desk", "2026-11-30", number);
        assert_eq!(copy("a/b.txt", 1), "a/b (conflict desk 2026-11-30).txt");
        assert_eq!(copy("b", 2), "b (conflict desk 2026-11-30 2)");
        assert_eq!(copy("a.d/.bashrc", 1), "a.d/.bashrc (conflict desk 2026-11-30)");
        let long = copy(&format!("{}.txt", "ä".repeat(125)), 1);
        assert!(long.len() <= PART_BYTES_MAX && long.ends_with(").txt") && refusal(&long).is_none());
    }
}
