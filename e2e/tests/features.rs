//! Programs alone and programs with their tests ask the same features of every crate they share: otherwise the image
//! would compile half the dependencies a second time.

#![allow(clippy::unwrap_used)] // a test through and through

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Features by package, of builds with these kinds of dependencies.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            edges,
            "--prefix",
            "none",
            "--format",
            "{p}|{f}",
        ])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(tree.stdout).unwrap().lines() {
        let Some((package, features)) = line.split_once('|') else { continue };
        packages.entry(package.trim().into()).or_default().insert(features.replace("(*)", "").trim().into());
    }
    packages
}

#[test]
fn tests_ask_no_more_features_than_programs() {
    let (alone, with_tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(alone.len() > 100, "{} packages", alone.len());
    let differing: Vec<_> = alone
        .iter()
        .filter(|(package, features)| with_tests.get(*package) != Some(*features))
        .map(|(package, features)| format!("{package}: {features:?} or {:?}", with_tests.get(package)))
        .collect();
    assert!(
        differing.is_empty(),
        "name the test's dependency in e2e/Cargo.toml too:\n{}",
        differing.join("\n")
    );
}
