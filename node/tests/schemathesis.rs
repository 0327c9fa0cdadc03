//! The API is as `docs/openapi.json` says, by requests that schemathesis makes of it: right ones and wrong ones, to every route.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what was found"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "support/python.rs"]
mod python;

use std::path::Path;
use std::time::Duration;

use cluster::Cluster;
use tokio::process::Command;

/// The same requests in each run.
const SEED: &str = "20261130";
/// Requests made up for each route, besides those at the edges of its parameters.
const EXAMPLES: &str = "4";
/// Generous: it takes a minute on a machine that does nothing else, and five where others build on it.
const DEADLINE: Duration = Duration::from_secs(600);
/// What is left out. Pools: what is put afterwards could find another pool, that nobody can write. Analytics: 501 is what it shall say.
const LEFT_OUT: &str = "^/api/v1/(admin/pools/\\{pool\\}|monitoring/analytics)$";
/// Scenarios in which requests follow each other, and links that they follow, at least.
const SCENARIOS_MIN: u64 = 100;
const LINKS_MIN: u64 = 20;
/// Seeds with which these are looked for at most: with each it ends as soon as something answers otherwise than before, as it does where
/// others change what there is. That is after 50 to 140 scenarios, which follow 9 to 18 links.
const SEEDS_MAX: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_as_it_is_described() {
    let cluster = Cluster::start().await;
    let options = ["--seed", SEED, "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES];
    let told = told_of(&cluster, &options).await;
    assert!(told.contains("Test cases:"), "nothing was tried");
}

/// What one answer tells goes into the next request, along the links of the description and those that are inferred.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_follow_each_other_are_as_described() {
    let cluster = Cluster::start().await;
    let (mut scenarios, mut links) = (0, 0);
    for seed in 0..SEEDS_MAX {
        let told = told_of(&cluster, &["--seed", &seed.to_string(), "--phases", "stateful"]).await;
        let (more, followed) = stateful(&told).unwrap_or_else(|| panic!("no stateful phase is told of"));
        (scenarios, links) = (scenarios + more, links + followed);
        if scenarios >= SCENARIOS_MIN && links >= LINKS_MIN {
            return;
        }
    }
    panic!(
        "{scenarios} scenarios and {links} links of {SEEDS_MAX} seeds: hardly any request follows another one"
    );
}

/// What a run says that found nothing.
async fn told_of(cluster: &Cluster, options: &[&str]) -> String {
    let (folder, here) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let secrets = cluster.data().join("secrets");
    let token = std::fs::read_to_string(secrets.join("admin-token")).unwrap();
    let mut run = Command::new(python::folder().join("bin/schemathesis"));
    run.current_dir(folder.path())
        .env("HOME", folder.path())
        .env("PYTHONPATH", here.join("tests/schemathesis"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "media_types")
        .arg("--config-file")
        .arg(here.join("tests/schemathesis/schemathesis.toml"))
        .arg("run")
        .arg(here.join("../docs/openapi.json"))
        .args(["--url", &cluster.rest(), "--tls-verify"])
        .arg(secrets.join("ca.crt"))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim()), "--checks", "all"])
        // Who is refused before their body was read finds the connection closed while they send it.
        .args(["--exclude-path-regex", LEFT_OUT, "--request-retries", "3"])
        .args(options)
        .kill_on_drop(true);
    let ran = tokio::time::timeout(DEADLINE, run.output()).await.unwrap();
    let ran = ran.unwrap_or_else(|error| panic!("{error}: run `make deps`"));
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    println!("{told}");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    told
}

/// How many scenarios the stateful phase had, and how many links it followed.
fn stateful(told: &str) -> Option<(u64, u64)> {
    let (_, phase) = told.split_once("Stateful")?;
    let number = |field: &str| {
        let (_, rest) = phase.split_once(field)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some((number("Scenarios:")?, number("API Links:")?))
}

#[test]
fn a_stateful_phase_that_was_left_out_is_noticed() {
    let told = "  ✅  Stateful (in 9.31s)\n\n         Scenarios:    61\n         API Links:    \
                34 covered / 156 selected / 156 total (156 inferred)\n\n      ✅  61 passed\n";
    assert_eq!(stateful(told), Some((61, 34)));
    assert_eq!(stateful("  ✅  Fuzzing (in 9.31s)\n\n  ✅  120 passed\n"), None);
    assert_eq!(stateful("  ⏭   Stateful (not applicable)\n"), None);
}

/// A request that comes with a key may be answered 422, and no other.
#[test]
fn only_requests_with_a_key_may_be_unprocessable() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(here.join("../docs/openapi.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let settings = std::fs::read_to_string(here.join("tests/schemathesis/schemathesis.toml")).unwrap();
    let (_, rest) = settings.split_once("include-operation-id = [").unwrap();
    let (listed, rest) = rest.split_once(']').unwrap();
    let mut listed: Vec<_> = listed.split('"').skip(1).step_by(2).collect();
    let with_keys =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let with_keys = with_keys.filter(|operation| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"))
    });
    let mut with_keys: Vec<_> =
        with_keys.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    listed.sort_unstable();
    with_keys.sort_unstable();
    assert_eq!(listed, with_keys);
    assert_eq!(settings.matches("\"422\"").count(), 2, "of wrong requests, and of these");
    assert!(rest.lines().nth(1).unwrap().contains("\"422\""));
}
