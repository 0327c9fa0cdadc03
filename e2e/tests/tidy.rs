//! Rules of the house that a machine can hold: sizes, names, who may start tasks, golden files, licences, paths.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test through and through

use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const LINES_AIM: usize = 300;
const NAMES_FORBIDDEN: &[&str] = &["util", "utils", "helper", "helpers", "common", "manager"];
/// Folders that hold nothing written by hand.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "artifacts"];
/// Endings of what is read; a script may also have none.
const TEXT: &[&str] = &["rs", "go", "sh", "toml", "md", "yaml", "yml", "json", "c", "h", "py", "proto"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// All files of the repository, as paths below its root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").filter_map(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path.strip_prefix(&root).expect("below the root").to_path_buf());
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "only {} files were found: the walk is wrong", found.len());
    found
}

fn with_ending(ending: &str) -> Vec<PathBuf> {
    files().into_iter().filter(|file| file.extension().is_some_and(|e| e == ending)).collect()
}

fn text_of(file: &Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_default()
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

fn stem(part: &Path) -> &str {
    part.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

#[test]
fn files_are_short() {
    let sources = ["rs", "go", "sh", "c"].into_iter().flat_map(with_ending);
    let mut long: Vec<(usize, PathBuf)> =
        sources.map(|file| (text_of(&file).lines().count(), file)).collect();
    long.retain(|(lines, _)| *lines > LINES_AIM);
    long.sort();
    for (lines, file) in &long {
        println!("{lines:>5} lines  {}", file.display());
    }
    let too_long: Vec<_> = long.iter().filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(too_long.is_empty(), "past {LINES_MAX} lines: {too_long:?}");
}

#[test]
fn names_say_what_is_inside() {
    for file in with_ending("rs") {
        assert!(!file.ends_with("mod.rs"), "{}: write foo.rs beside foo/", file.display());
        for part in file.components() {
            let name = stem(Path::new(part.as_os_str()));
            assert!(!NAMES_FORBIDDEN.contains(&name), "{}: {name} says nothing", file.display());
        }
    }
}

/// Lines that start a task and drop its handle, where the line before does not say why that is right.
fn detached(text: &str) -> Vec<&str> {
    let spawn = concat!("tokio", "::spawn(");
    let starts = [spawn.to_owned(), format!("let _ = {spawn}"), concat!("task", "::spawn(").to_owned()];
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.iter().enumerate().map(|(n, line)| (if n > 0 { lines[n - 1] } else { "" }, *line));
    let unexplained = pairs.filter(|(before, _)| !before.contains("clippy::disallowed_methods, reason"));
    unexplained
        .map(|(_, line)| line)
        .filter(|line| starts.iter().any(|start| line.starts_with(start.as_str())))
        .collect()
}

#[test]
fn every_task_has_an_owner() {
    assert_eq!(detached("  tokio::spawn(async {});\nlet task = tokio::spawn(async {});").len(), 1);
    for file in with_ending("rs").iter().filter(|file| !is_test(file)) {
        let text = text_of(file);
        let lines = detached(&text);
        assert!(lines.is_empty(), "{}: keep the handle, best in a JoinSet: {lines:?}", file.display());
    }
}

/// The folder of the crate a file belongs to.
fn crate_of(file: &Path) -> PathBuf {
    let holds = |folder: &&Path| root().join(folder).join("Cargo.toml").is_file();
    file.ancestors().skip(1).find(holds).map(Path::to_path_buf).unwrap_or_default()
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let all = files();
    let golden: Vec<&PathBuf> =
        all.iter().filter(|f| f.parent().is_some_and(|p| stem(p) == "golden")).collect();
    assert!(!golden.is_empty(), "no golden files were found");
    for file in golden {
        let folder = crate_of(file);
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let sources =
            all.iter().filter(|s| s.starts_with(&folder) && s.extension().is_some_and(|e| e == "rs"));
        // By its name, or by one that is put together from its stem.
        let read = sources.map(|source| text_of(source)).any(|text| {
            text.contains("golden")
                && (text.contains(name) || text.contains(stem(file)) || text.contains("read_dir"))
        });
        assert!(read, "{}: no test reads it", file.display());
    }
}

#[test]
fn the_licence_is_stated() {
    let licence = text_of(Path::new("LICENSE"));
    assert!(licence.contains("Apache License") && licence.contains("Version 2.0"), "LICENSE");
    for manifest in with_ending("toml").iter().filter(|f| f.ends_with("Cargo.toml")) {
        let text = text_of(manifest);
        let stated = text.contains("license.workspace = true") || text.contains("license = \"Apache-2.0\"");
        assert!(stated || !text.contains("[package]"), "{}: license.workspace = true", manifest.display());
    }
}

/// The first place of one machine that a text names.
fn machine_path(text: &str) -> Option<String> {
    // Put together, or this file would find itself.
    let places = [["/ro", "ot/"], ["/wo", "rk/"], ["/home", "/user"]].map(|parts| parts.concat());
    let begins = |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"_-.}/*".contains(c))
    };
    places.into_iter().find(|place| text.match_indices(place.as_str()).any(|(at, _)| begins(at)))
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    assert!(machine_path(&["cd /wo", "rk/main"].concat()).is_some());
    assert!(machine_path(&["src/wo", "rk/queue.rs"].concat()).is_none());
    for file in files() {
        let read = file.extension().is_none_or(|e| TEXT.iter().any(|ending| e == *ending));
        if read && let Some(place) = machine_path(&text_of(&file)) {
            panic!("{} names {place}", file.display());
        }
    }
}

/// What stands between `before` and `after`, wherever they follow one another.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

#[test]
fn every_package_that_is_installed_is_explained() {
    let listed = text_of(Path::new("CONTRIBUTING.md"));
    let script = text_of(Path::new("scripts/install-deps.sh"));
    let arrays =
        between(&script, "\nTO_", ")").into_iter().filter_map(|array| Some(array.split_once("=(")?.1));
    let packages: Vec<&str> = arrays.flat_map(str::split_whitespace).collect();
    assert!(packages.len() > 10, "only {packages:?} were found");
    for package in packages {
        assert!(
            listed.contains(&format!("`{package}`")),
            "CONTRIBUTING.md does not say what {package} is for"
        );
    }
}

#[test]
fn the_image_is_compiled_by_the_pinned_rust() {
    let (pinned, image) = (text_of(Path::new("rust-toolchain.toml")), text_of(Path::new("Dockerfile")));
    assert_eq!(between(&pinned, "channel = \"", "\"").first(), between(&image, "ARG RUST=", "\n").first());
    assert_eq!(between(&image, "ARG RUST=", "\n").len(), 1);
}
