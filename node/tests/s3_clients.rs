//! Clients of S3, unchanged, against a real gateway with real storage nodes. Each must be there: `make deps` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::{Cluster, new_seed};

/// Where `scripts/install-deps.sh` puts the Python clients.
fn venv() -> PathBuf {
    let given = std::env::var_os("DATAMESH_S3_VENV").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/datamesh/venv");
    given.unwrap_or_else(home)
}

/// A program of a client, told where the gateway is and with which key.
fn client(program: &Path, cluster: &Cluster, folder: &Path) -> Command {
    let secrets = cluster.data().join("secrets");
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("AWS_ENDPOINT_URL_S3", cluster.s3())
        .env("AWS_CA_BUNDLE", secrets.join("ca.crt"))
        .env("AWS_SHARED_CREDENTIALS_FILE", secrets.join("aws-credentials"))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Runs it to its end; what it wrote.
fn run(command: &mut Command) -> String {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make deps`"));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{out}\n{err}", ran.status);
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/boto3_client.py");
    let (id, _) = cluster.s3_key();
    let mut python = client(&venv().join("bin/python"), &cluster, folder.path());
    println!("{}", run(python.arg(script).env("SEED", seed.to_string()).env("KEY_ID", id)));
}
