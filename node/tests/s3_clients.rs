//! Clients of S3, unchanged, against a real gateway with real storage nodes. Each must be there: `make deps` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "s3/by_name.rs"]
mod by_name;
#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/python.rs"]
mod python;
#[path = "s3/restarts.rs"]
mod restarts;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::{Cluster, new_seed, random};

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
    let (seed, folder) = (new_seed(), tempfile::tempdir().unwrap());
    let (cluster, port) = Cluster::start_telling().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/boto3_client.py");
    let (id, _) = cluster.s3_key();
    let mut python = client(&python::folder().join("bin/python"), &cluster, folder.path());
    python.arg(script).env("SEED", seed.to_string()).env("KEY_ID", id).env("NOTIFY_PORT", port.to_string());
    println!("{}", run(&mut python));
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/duckdb_client.py");
    let mut python = client(&python::folder().join("bin/python"), &cluster, folder.path());
    println!("{}", run(python.arg(script).env("SEED", seed.to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_sdk() {
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().unwrap());
    let script = npm::script("sdk.mjs", folder.path());
    let (id, secret) = cluster.s3_key();
    let mut node = client(Path::new("node"), &cluster, folder.path());
    node.env("NODE_EXTRA_CA_CERTS", cluster.data().join("secrets/ca.crt"))
        .env("KEY_ID", id)
        .env("KEY_SECRET", secret);
    println!("{}", run(node.arg(script)));
}

/// Files of every kind that tools meet, below a folder.
fn files(folder: &Path, seed: u64) {
    let sizes = [0, 1, 4096, 100_000, 9_000_001];
    for (n, (name, bytes)) in
        ["empty", "a/one", "a/b/page", "with blank", "ä/großes"].into_iter().zip(sizes).enumerate()
    {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, random(seed + n as u64, bytes)).unwrap();
    }
}

/// That two folders have the same files with the same bytes.
fn same(one: &Path, other: &Path) {
    let mut diff = Command::new("diff");
    run(diff.arg("-r").arg(one).arg(other));
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_cli() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let (source, back) = (folder.path().join("source"), folder.path().join("back"));
    files(&source, seed);
    let aws = |arguments: &[&str]| {
        let program = python::folder().join("bin/aws");
        run(client(&program, &cluster, folder.path()).args(arguments))
    };
    aws(&["s3", "mb", "s3://photos"]);
    aws(&["s3", "sync", "source", "s3://photos/copy"]);
    assert!(!aws(&["s3", "sync", "source", "s3://photos/copy"]).contains("upload"), "nothing has changed");
    aws(&["s3", "sync", "s3://photos/copy", "back"]);
    same(&source, &back);
    aws(&["s3", "cp", "s3://photos/copy/a/one", "s3://photos/moved"]);
    assert!(aws(&["s3", "ls", "s3://photos/", "--recursive"]).contains("moved"));
    assert!(aws(&["s3", "ls", "s3://photos/"]).contains("PRE copy/"));
    let key = "a key of a customer, of 32 bytes";
    let sse_c = ["--sse-c", "AES256", "--sse-c-key", key];
    let sealed = |from: &str, to: &str, key: &[&str]| aws(&[&["s3", "cp", from, to], key].concat());
    sealed("source/ä/großes", "s3://photos/sealed", &sse_c);
    sealed("s3://photos/sealed", "opened", &sse_c);
    let bytes = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    assert!(bytes("opened") == bytes("source/ä/großes"));
    let without = client(&python::folder().join("bin/aws"), &cluster, folder.path())
        .args(["s3", "cp", "s3://photos/sealed", "never"])
        .output();
    assert!(!without.unwrap().status.success(), "it opens with its key alone");
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
        "Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/inbox/*"}]}"#;
    aws(&["s3api", "put-bucket-policy", "--bucket", "photos", "--policy", policy]);
    aws(&["s3", "cp", "source/ä/großes", "s3://photos/inbox/a", "--no-sign-request"]);
    aws(&["s3", "cp", "s3://photos/inbox/a", "theirs"]);
    assert!(bytes("theirs") == bytes("source/ä/großes"), "what a stranger put");
    aws(&["s3", "rm", "s3://photos", "--recursive"]);
    aws(&["s3", "rb", "s3://photos"]);
    assert_eq!(aws(&["s3", "ls"]), "");
}

/// `rclone` with a remote `mesh`, which it takes for a store of this provider.
fn rclone_of(provider: &str, cluster: &Cluster, folder: &Path) -> Command {
    let (id, secret) = cluster.s3_key();
    let mut command = client(Path::new("rclone"), cluster, folder);
    command
        // It has its own way of naming the authority, and takes no other.
        .env_remove("AWS_CA_BUNDLE")
        .env("RCLONE_CONFIG_MESH_TYPE", "s3")
        .env("RCLONE_CONFIG_MESH_PROVIDER", provider)
        .env("RCLONE_CONFIG_MESH_ENDPOINT", cluster.s3())
        .env("RCLONE_CONFIG_MESH_ACCESS_KEY_ID", &id)
        .env("RCLONE_CONFIG_MESH_SECRET_ACCESS_KEY", &secret)
        .env("RCLONE_CONFIG_MESH_UPLOAD_CUTOFF", "5Mi")
        .env("RCLONE_CONFIG_MESH_CHUNK_SIZE", "5Mi")
        .arg("--ca-cert")
        .arg(cluster.data().join("secrets/ca.crt"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let (source, back) = (folder.path().join("source"), folder.path().join("back"));
    files(&source, seed);
    // As a store of no name, and as one of which it expects that tags of parts are what S3 makes of their MD5s.
    for provider in ["Other", "Minio"] {
        let rclone = |arguments: &[&str]| run(rclone_of(provider, &cluster, folder.path()).args(arguments));
        rclone(&["sync", "source", "mesh:files/copy", "--retries", "1"]);
        rclone(&["check", "source", "mesh:files/copy", "--download"]);
        rclone(&["check", "source", "mesh:files/copy"]);
        rclone(&["copy", "mesh:files/copy", "back", "--retries", "1"]);
        same(&source, &back);
        rclone(&["move", "mesh:files/copy/a", "mesh:files/moved"]);
        assert!(rclone(&["lsf", "-R", "mesh:files"]).contains("moved/b/page"));
        let key = [
            "--s3-sse-customer-algorithm",
            "AES256",
            "--s3-sse-customer-key",
            "a key of a customer, of 32 bytes",
        ];
        let sealed = |arguments: &[&str]| rclone(&[arguments, &key].concat());
        sealed(&["copy", "source", "mesh:files/sealed", "--retries", "1"]);
        sealed(&["check", "source", "mesh:files/sealed", "--download"]);
        rclone(&["purge", "mesh:files"]);
        std::fs::remove_dir_all(&back).unwrap();
    }
}

/// A folder that shows a bucket until it is dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("fusermount3").arg("-uz").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{:?} is still mounted", self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_mount() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let (source, shown) = (folder.path().join("source"), folder.path().join("shown"));
    files(&source, seed);
    std::fs::create_dir(&shown).unwrap();
    run(rclone_of("Other", &cluster, folder.path()).args(["sync", "source", "mesh:files", "--retries", "1"]));
    let mut mounting = rclone_of("Other", &cluster, folder.path());
    // It ends when programs may read, and what it leaves behind ends with the mount.
    run(mounting.args(["mount", "mesh:files", "shown", "--read-only", "--daemon"]));
    let _mount = Mount(shown.clone());
    same(&source, &shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3cmd() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let (source, back) = (folder.path().join("source"), folder.path().join("back"));
    files(&source, seed);
    std::fs::create_dir(&back).unwrap();
    let (id, secret) = cluster.s3_key();
    let host = cluster.s3().replace("https://", "");
    let s3cmd = |arguments: &[&str]| {
        let mut command = client(&python::folder().join("bin/s3cmd"), &cluster, folder.path());
        command
            .args(["--access_key", &id, "--secret_key", &secret, "--host", &host, "--host-bucket", &host])
            .arg("--ca-certs")
            .arg(cluster.data().join("secrets/ca.crt"))
            .args(["--region", "us-east-1", "--no-progress", "--multipart-chunk-size-mb=5"]);
        run(command.args(arguments))
    };
    s3cmd(&["mb", "s3://photos"]);
    s3cmd(&["sync", "source/", "s3://photos/copy/"]);
    s3cmd(&["sync", "s3://photos/copy/", "back/"]);
    same(&source, &back);
    assert!(s3cmd(&["ls", "-r", "s3://photos"]).contains("copy/a/b/page"));
    s3cmd(&["del", "-r", "--force", "s3://photos"]);
    s3cmd(&["rb", "s3://photos"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restic() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let (source, back) = (folder.path().join("source"), folder.path().join("back"));
    files(&source, seed);
    let restic = |arguments: &[&str]| {
        let mut command = client(Path::new("restic"), &cluster, folder.path());
        command
            .env("RESTIC_REPOSITORY", format!("s3:{}/backups", cluster.s3()))
            .env("RESTIC_PASSWORD", "a password")
            .arg("--cacert")
            .arg(cluster.data().join("secrets/ca.crt"));
        run(command.args(arguments))
    };
    restic(&["init"]);
    restic(&["backup", "source"]);
    restic(&["check", "--read-data"]);
    restic(&["restore", "latest", "--target", back.to_str().unwrap()]);
    same(&source, &back.join("source"));
    restic(&["forget", "latest", "--prune"]);
}
