//! Copies of the catalog's backups at real S3 servers: another cluster of ours, and one that is not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "support/python.rs"]
mod python;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cluster::{Cluster, Stopped, new_seed, random};
use datamesh_settings::BackupCopies;
use datamesh_settings::admin::CopiesStatus;
use reqwest::Method;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// One that is in a row of the catalog, and one in segments.
const SIZES: [usize; 2] = [1000, 5_000_000];
const BUCKET: &str = "catalog-copies";

/// Where copies go, and the files that say so.
struct Place {
    dir: TempDir,
}

impl Place {
    fn at(endpoint: String, (id, secret): (&str, &str), ca: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("id"), id).unwrap();
        std::fs::write(file("key"), secret).unwrap();
        let copies = BackupCopies {
            endpoint,
            region: "us-east-1".into(),
            bucket: BUCKET.into(),
            prefix: "drill".into(),
            path_style: true,
            access_key_id_file: file("id"),
            secret_access_key_file: file("key"),
            ca_file: ca.map(Path::to_path_buf),
            keep_seconds: 24 * 3600,
        };
        std::fs::write(file("copies.yaml"), serde_yaml::to_string(&copies).unwrap()).unwrap();
        Self { dir }
    }

    fn file(&self) -> String {
        self.dir.path().join("copies.yaml").to_str().unwrap().to_owned()
    }
}

async fn copies(cluster: &Cluster) -> CopiesStatus {
    cluster.status().await.catalog.backup.unwrap().copies.unwrap()
}

fn now_unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Copies are made there, and a catalog comes back out of them: first with nothing else left, then with the nodes' volumes, which have what
/// its names stand for.
async fn lose_and_restore(place: &Place) {
    let (seed, file) = (new_seed(), place.file());
    let cluster = Cluster::start_so(&["--backup-copies", &file]).await;
    for (n, bytes) in SIZES.into_iter().enumerate() {
        cluster.put(&format!("size/{bytes}"), random(seed + n as u64, bytes)).await.unwrap();
    }
    let put_ms = now_unix_ms();
    let is_copied = async || copies(&cluster).await.last_unix_ms.is_some_and(|last| last > put_ms);
    cluster.until_async("a copy of all that was stored", is_copied).await;
    let told = copies(&cluster).await;
    assert_eq!(told.error, None);
    let stopped = cluster.stop().await;
    lose_gateway(&stopped);
    let nodes: Vec<_> = (0..6).map(|n| stopped.data().join(format!("node-{n}"))).collect();
    let away = |node: &Path| node.with_extension("away");
    nodes.iter().for_each(|node| std::fs::rename(node, away(node)).unwrap());
    let at = jiff_text(told.last_unix_ms.unwrap());
    let options = ["--backup-copies", &file, "--restore", &at, "--restore-from", "copies"];
    stopped.start_until_said("the catalog was restored from a backup", &options).await;
    for node in &nodes {
        let _ = std::fs::remove_dir_all(node);
        std::fs::rename(away(node), node).unwrap();
    }
    lose_gateway(&stopped);
    let cluster = stopped.start(&options).await;
    for (n, bytes) in SIZES.into_iter().enumerate() {
        let back = cluster.get(&format!("size/{bytes}")).await;
        assert!(back == random(seed + n as u64, bytes), "{bytes} differ");
    }
    let restored = cluster.status().await.catalog.backup.unwrap().restored.unwrap();
    assert!(restored.until_unix_ms > put_ms && restored.deletion_held);
    let confirmed = cluster.admin(Method::POST, "/restored/confirm").send().await.unwrap();
    assert!(confirmed.status().is_success());
    assert!(!cluster.status().await.catalog.backup.unwrap().restored.unwrap().deletion_held);
    let restored_ms = now_unix_ms();
    let goes_on = async || copies(&cluster).await.last_unix_ms.is_some_and(|last| last > restored_ms);
    cluster.until_async("a copy of the restored catalog", goes_on).await;
}

fn jiff_text(unix_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap()).unwrap().to_string()
}

fn lose_gateway(stopped: &Stopped) {
    std::fs::remove_dir_all(stopped.data().join("gateway")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_another_cluster_of_ours() {
    let other = Cluster::start().await;
    let made = other.request(Method::PUT, &format!("/buckets/{BUCKET}")).send();
    let made = made.await.unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let (id, secret) = other.s3_key();
    let ca = other.data().join("secrets/ca.crt");
    let place = Place::at(other.s3(), (&id, &secret), Some(&ca));
    lose_and_restore(&place).await;
}

/// A server of S3 that is not ours, for as long as this lives.
struct Moto {
    _process: Child,
    endpoint: String,
}

impl Moto {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(python::folder().join("bin/moto_server"));
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.kill_on_drop(true).spawn();
        let process = process.unwrap_or_else(|error| panic!("moto: {error}: run `make deps`"));
        let endpoint = format!("http://127.0.0.1:{port}");
        let bucket = format!("{endpoint}/{BUCKET}");
        let begun = tokio::time::Instant::now();
        // The cluster of another test may not have done so yet.
        let _ = rustls::crypto::ring::default_provider().install_default();
        while !reqwest::Client::new().put(&bucket).send().await.is_ok_and(|made| made.status().is_success()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "moto does not answer");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Self { _process: process, endpoint }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_server_that_is_not_ours() {
    let moto = Moto::start().await;
    let place = Place::at(moto.endpoint.clone(), ("AKIDEXAMPLE", "secret"), None);
    lose_and_restore(&place).await;
}
