//! Names of files in a zip: whoever unpacks it must not be led out of their folder, nor have one file overwrite another.

use std::collections::HashSet;

use super::super::shared::is_unsafe;

/// The names that were given.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The name of the object whose key is this behind the folder's prefix; `None` for what stands for the folder itself. Where two keys
    /// come to one name, the later one has a number. Case stays as it is.
    pub(super) fn name(&mut self, rest: &str) -> Option<String> {
        let path = path_of(rest)?;
        let mut name = path.clone();
        let mut number = 2;
        while self.0.contains(&name) {
            name = format!("{path}~{number}");
            number += 1;
        }
        self.0.insert(name.clone());
        Some(name)
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
        assert_eq!(names.0.len(), 5);
    }

    proptest::proptest! {
        #[test]
        fn any_keys_have_safe_names_of_their_own(keys in proptest::collection::vec("[./a\\\\]{0,6}|\\PC{0,20}", 0..40)) {
            let mut names = Names::default();
            let given: Vec<String> = keys.iter().filter_map(|key| names.name(key)).collect();
            let distinct: HashSet<&String> = given.iter().collect();
            proptest::prop_assert_eq!(distinct.len(), given.len());
            for name in &given {
                proptest::prop_assert!(!name.starts_with('/') && !name.ends_with('/'), "{}", name);
                proptest::prop_assert!(name.split('/').all(|part| !["", ".", ".."].contains(&part)), "{}", name);
            }
        }
    }
}
