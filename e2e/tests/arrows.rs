//! Arrows between crates go from pure to I/O to binaries and never back, as Cargo itself sees them.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test through and through

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Know neither files nor network nor clocks.
const PURE: &[&str] = &["buffers", "shard", "erasure", "seal", "placement", "exchange", "settings"];
/// Do the input and output around them.
const IO: &[&str] = &["store", "mesh", "catalog", "gateway"];
/// Nobody builds on these; e2e may build on anything.
const TOPS: &[&str] = &["node", "operator", "cli", "e2e", "sim"];
/// Below `node/` for development only.
const DEV: &[&str] = &["sim"];
/// What a pure crate may not reach, at any distance.
const NOT_PURE: &[&str] =
    &["tokio", "mio", "rocksdb", "libp2p", "hyper", "axum", "reqwest", "rustls", "kube"];
/// What nothing under `node/` may reach.
const KUBERNETES: &[&str] = &["kube", "kube-client", "kube-core", "k8s-openapi", "datamesh-crds"];

/// The workspace's members and, for each, every package it is built from at any distance.
struct Arrows {
    members: BTreeMap<String, String>,
    reached: BTreeMap<String, BTreeSet<String>>,
}

impl Arrows {
    fn read() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(["--offline".to_owned()])
            .exec()
            .expect("cargo metadata");
        let graph = graph(&metadata);
        let names: BTreeMap<&PackageId, &str> =
            metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
        let root = &metadata.workspace_root;
        let mut arrows = Self { members: BTreeMap::new(), reached: BTreeMap::new() };
        for package in metadata.workspace_packages() {
            let folder = package.manifest_path.parent().and_then(|folder| folder.strip_prefix(root).ok());
            let name = package.name.to_string();
            arrows.members.insert(name.clone(), folder.expect("a member below the root").to_string());
            let reached = reach(&graph, &package.id).into_iter().map(|id| names[id].to_owned()).collect();
            arrows.reached.insert(name, reached);
        }
        arrows
    }

    fn reaches(&self, member: &str, others: &[&str]) -> Vec<String> {
        let reached = &self.reached[member];
        others.iter().filter(|other| reached.contains(**other)).map(|other| (*other).to_owned()).collect()
    }
}

/// What each package is built from, tests left out.
fn graph(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let built = |dependency: &&cargo_metadata::NodeDep| {
        dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
    };
    let of = |node: &'_ cargo_metadata::Node| {
        node.deps.iter().filter(built).map(|d| d.pkg.clone()).collect::<Vec<_>>()
    };
    let ids: BTreeMap<&PackageId, &PackageId> = resolve.nodes.iter().map(|n| (&n.id, &n.id)).collect();
    resolve.nodes.iter().map(|node| (&node.id, of(node).iter().map(|id| ids[id]).collect())).collect()
}

fn reach<'a>(
    graph: &BTreeMap<&'a PackageId, Vec<&'a PackageId>>,
    from: &PackageId,
) -> BTreeSet<&'a PackageId> {
    let mut reached = BTreeSet::new();
    let mut waiting = graph[from].clone();
    while let Some(next) = waiting.pop() {
        if reached.insert(next) {
            waiting.extend(&graph[next]);
        }
    }
    reached
}

fn full(short: &[&str]) -> Vec<String> {
    short.iter().map(|name| format!("datamesh-{name}")).collect()
}

#[test]
fn every_crate_below_node_is_classified() {
    let arrows = Arrows::read();
    let known = full(&[PURE, IO, DEV].concat());
    let found: Vec<&String> = arrows
        .members
        .iter()
        .filter(|(_, path)| path.starts_with("node/crates/"))
        .map(|(name, _)| name)
        .collect();
    assert!(found.len() >= known.len(), "only {found:?} are there");
    for name in found {
        assert!(known.contains(name), "{name}: say in this test whether it is pure or does I/O");
    }
}

#[test]
fn pure_crates_reach_no_io() {
    let arrows = Arrows::read();
    let io = full(IO);
    let io: Vec<&str> = io.iter().map(String::as_str).chain(NOT_PURE.iter().copied()).collect();
    for name in full(PURE) {
        assert_eq!(arrows.reaches(&name, &io), Vec::<String>::new(), "{name} is pure");
    }
    // That the search can find something at all:
    assert!(!arrows.reaches("datamesh-store", &io).is_empty(), "the store does no I/O?");
}

#[test]
fn nothing_below_node_knows_kubernetes() {
    let arrows = Arrows::read();
    for (name, path) in &arrows.members {
        if path == "node" || path.starts_with("node/") {
            assert_eq!(arrows.reaches(name, KUBERNETES), Vec::<String>::new(), "{name} lies below node/");
        }
    }
    assert!(!arrows.reaches("datamesh-operator", KUBERNETES).is_empty(), "the operator knows no Kubernetes?");
}

#[test]
fn crds_know_nothing_of_the_node() {
    let arrows = Arrows::read();
    let ours: Vec<&String> =
        arrows.reached["datamesh-crds"].iter().filter(|name| name.starts_with("datamesh-")).collect();
    // (That it uses no client of `kube` cannot be seen here: Cargo gives one set of features to the whole workspace.)
    assert_eq!(ours, Vec::<&String>::new());
}

#[test]
fn nobody_builds_on_the_tops() {
    let arrows = Arrows::read();
    let tops = full(TOPS);
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    for name in arrows.members.keys().filter(|name| *name != "datamesh-e2e") {
        assert_eq!(arrows.reaches(name, &tops), Vec::<String>::new(), "{name}");
    }
}
