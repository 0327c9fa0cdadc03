//! Uploads of tus against built programs: by clients of other makers, unchanged, and through deaths of the gateway. Each must be there:
//! `make deps` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/python.rs"]
mod python;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cluster::{Cluster, new_seed, random};
use futures::{StreamExt as _, stream};
use reqwest::{Body, Method, Response};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

/// Generous: a loaded machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(300);

/// A program of a client, told where the gateway is and with which token.
fn client(program: &Path, cluster: &Cluster, folder: &Path) -> Command {
    let secrets = cluster.data().join("secrets");
    let (ca, token) = (secrets.join("ca.crt"), std::fs::read_to_string(secrets.join("token")).unwrap());
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("REST", cluster.rest())
        .env("TOKEN", token.trim())
        .env("NODE_EXTRA_CA_CERTS", &ca)
        .env("REQUESTS_CA_BUNDLE", &ca)
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_and_a_gateway_that_dies() {
    let (cluster, folder) = (Cluster::start_restarting().await, tempfile::tempdir().unwrap());
    let script = npm::script("tus.mjs", folder.path());
    let mut node = client(Path::new("node"), &cluster, folder.path());
    node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().unwrap_or_else(|error| panic!("{error}: run `make deps`"));
    let (mut says, mut hears) =
        (BufReader::new(node.stdout.take().unwrap()).lines(), node.stdin.take().unwrap());
    let told = async {
        while let Some(line) = says.next_line().await.unwrap() {
            println!("{line}");
            if line == "kill the gateway" {
                cluster.kill("gateway-0");
                hears.write_all(b"it is dead\n").await.unwrap();
            }
        }
        node.wait().await.unwrap()
    };
    let ended = tokio::time::timeout(DEADLINE, told).await.unwrap();
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy() {
    let (seed, cluster, folder) = (new_seed(), Cluster::start().await, tempfile::tempdir().unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tus/tuspy_client.py");
    let mut python = client(&python::folder().join("bin/python"), &cluster, folder.path());
    let ran = python.arg(script).env("SEED", seed.to_string()).output();
    let ran = tokio::time::timeout(DEADLINE, ran).await.unwrap();
    let ran = ran.unwrap_or_else(|error| panic!("{error}: run `make deps`"));
    println!("{}", String::from_utf8_lossy(&ran.stdout));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

async fn append(cluster: &Cluster, path: &str, offset: u64, body: Body) -> reqwest::Result<Response> {
    let asked = cluster.request(Method::PATCH, path).header("tus-resumable", "1.0.0");
    let asked = asked.header("content-type", "application/offset+octet-stream");
    asked.header("upload-offset", offset.to_string()).body(body).send().await
}

/// How far an upload is, if anybody answers.
async fn at(cluster: &Cluster, path: &str) -> Option<u64> {
    let asked = cluster.request(Method::HEAD, path).header("tus-resumable", "1.0.0").send().await.ok()?;
    asked.headers().get("upload-offset")?.to_str().ok()?.parse().ok()
}

/// One request that takes its time, and a gateway that is killed under it: what was told to be there is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_to_be_there_outlives_the_gateway() {
    let (seed, cluster) = (new_seed(), Cluster::start_restarting().await);
    let text = random(seed, 20 << 20);
    let begun = cluster.request(Method::POST, "/tus").header("tus-resumable", "1.0.0");
    let begun =
        begun.header("upload-length", text.len().to_string()).header("upload-metadata", "key ZGllcw==");
    let begun = begun.send().await.unwrap().error_for_status().unwrap();
    let path = begun.headers()["location"].to_str().unwrap().strip_prefix("/api/v1").unwrap().to_owned();
    let (feed, pieces) = mpsc::unbounded_channel();
    let pieces = stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    let body = Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
    feed.send(text[..10 << 20].to_vec()).unwrap();
    let killed = async {
        cluster
            .until_async("two segments are there", async || at(&cluster, &path).await == Some(8 << 20))
            .await;
        cluster.kill("gateway-0");
    };
    let (broken, ()) = tokio::join!(append(&cluster, &path, 0, body), killed);
    assert!(broken.is_err(), "{broken:?}");
    cluster.until_async("it is back", async || at(&cluster, &path).await.is_some()).await;
    let from = at(&cluster, &path).await.unwrap();
    assert!((8 << 20..=10 << 20).contains(&from), "{from}");
    let rest = text[usize::try_from(from).unwrap()..].to_vec();
    let last = append(&cluster, &path, from, rest.into()).await.unwrap();
    assert_eq!((last.status().as_u16(), at(&cluster, &path).await), (204, Some(20 << 20)));
    assert!(cluster.get("dies").await == text);
}
