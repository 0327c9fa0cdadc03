//! Names of files in a zip: whoever unpacks it must not be led out of their folder, nor have one file overwrite another.

use std::collections::{BTreeSet, HashMap};

use super::super::shared::is_unsafe;

/// The names that were given.
#[derive(Default)]
pub(super) struct Names {
    given: BTreeSet<String>,
    /// The last number behind a path that was taken; paths of folders end with `/`.
    numbers: HashMap<String, u32>,
}

impl Names {
    /// The name of the object whose key is this behind the folder's prefix; `None` for what stands for the folder itself. Where two keys
    /// come to one name, or one of them is a folder of the other's, the later one has a number. Case stays as it is.
    pub(super) fn name(&mut self, rest: &str) -> Option<String> {
        let path = path_of(rest)?;
        let (folders, file) =
            path.rsplit_once('/').map_or((None, &*path), |(above, file)| (Some(above), file));
        let mut whole = String::new();
        for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
            whole = self.folder(whole + folder) + "/";
        }
        Some(self.file(whole + file))
    }

    /// Both are legal keys, `a` and `a/b`, but nothing is a file and a folder.
    fn folder(&mut self, path: String) -> String {
        if !self.given.contains(&path) {
            return path;
        }
        let mut number = self.numbers.get(&format!("{path}/")).copied().unwrap_or(2);
        while self.given.contains(&format!("{path}~{number}")) {
            number += 1;
        }
        let name = format!("{path}~{number}");
        self.numbers.insert(path + "/", number);
        name
    }

    fn file(&mut self, path: String) -> String {
        let (mut name, mut number) = (path.clone(), self.numbers.get(&path).copied().unwrap_or(1));
        while self.is_taken(&name) {
            number += 1;
            name = format!("{path}~{number}");
        }
        if number > 1 {
            self.numbers.insert(path, number);
        }
        self.given.insert(name.clone());
        name
    }

    /// By a file, or by a folder that has some.
    fn is_taken(&self, name: &str) -> bool {
        let folder = format!("{name}/");
        let within = self.given.range(folder.clone()..).next();
        self.given.contains(name) || within.is_some_and(|within| within.starts_with(&folder))
    }
}

/// The parts of a key as those of a relative path.
fn path_of(rest: &str) -> Option<String> {
    if rest.is_empty() {
        return None;
    }
    let parts: Vec<String> = rest.split('/').filter(|part| !part.is_empty()).map(part_of).collect();
    // `a/` is an object, and no folder.
    let marks = rest.ends_with('/') || parts.is_empty();
    let path = parts.join("/");
    Some(match (marks, path.is_empty()) {
        (true, true) => "_".to_owned(),
        (true, false) => format!("{path}/_"),
        (false, _) => path,
    })
}

fn part_of(part: &str) -> String {
    if matches!(part, "." | "..") {
        return "_".to_owned();
    }
    part.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (rest, expected) in [
            ("a/b.txt", "a/b.txt"),
            ("../../etc/passwd", "_/_/etc/passwd"),
            ("/etc/passwd", "etc/passwd"),
            ("a//b", "a/b"),
            ("a/./b", "a/_/b"),
            ("C:\\x", "C__x"),
            ("a\n\u{202e}b", "a__b"),
            ("grüße", "grüße"),
            ("a/", "a/_"),
            ("/", "_"),
            ("//", "_"),
        ] {
            assert_eq!(Names::default().name(rest).as_deref(), Some(expected), "{rest:?}");
        }
        assert_eq!(Names::default().name(""), None);
    }

    #[test]
    fn no_two_have_the_same() {
        let mut names = Names::default();
        let given = ["a/b", "a//b", "/a/b", "A/B", "a/b~2"].map(|rest| names.name(rest).unwrap());
        assert_eq!(given, ["a/b", "a/b~2", "a/b~3", "A/B", "a/b~2~2"]);
        assert_eq!(names.given.len(), 5);
    }

    #[test]
    fn nothing_is_a_file_and_a_folder() {
        let named = |rests: &[&str]| {
            let mut names = Names::default();
            rests.iter().map(|rest| names.name(rest).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(named(&["a", "a/b", "a/c/d", "a/c/e"]), ["a", "a~2/b", "a~2/c/d", "a~2/c/e"]);
        assert_eq!(named(&["a:/x", "a?", "a?/y"]), ["a_/x", "a_~2", "a_/y"]);
        assert_eq!(named(&["a", "a~2", "a/b", "a/c"]), ["a", "a~2", "a~3/b", "a~3/c"]);
    }

    proptest::proptest! {
        #[test]
        fn any_keys_have_safe_names_of_their_own(keys in proptest::collection::vec("[./a\\\\]{0,6}|\\PC{0,20}", 0..40)) {
            let mut names = Names::default();
            let given: Vec<String> = keys.iter().filter_map(|key| names.name(key)).collect();
            let distinct: HashSet<&String> = given.iter().collect();
            proptest::prop_assert_eq!(distinct.len(), given.len());
            for (above, _) in given.iter().flat_map(|name| name.match_indices('/').map(|(at, _)| name.split_at(at))) {
                proptest::prop_assert!(!distinct.contains(&above.to_owned()), "{} is a file and a folder", above);
            }
            for name in &given {
                proptest::prop_assert!(!name.starts_with('/') && !name.ends_with('/'), "{}", name);
                proptest::prop_assert!(name.split('/').all(|part| !["", ".", ".."].contains(&part)), "{}", name);
            }
        }
    }
}
