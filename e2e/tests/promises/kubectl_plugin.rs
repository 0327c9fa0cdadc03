//! `kubectl datamesh` says how the example is, finds nothing that is critical, and packs a bundle without any of its secrets.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE};
use serde_json::Value;

/// Exit code where something is not as it should be: one gateway alone keeps the catalog, which counts as that.
const NOT_WHOLE: i32 = 7;

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let status: Value = json(cluster, &["status"]).await?;
    ensure!(status["clusters"][0]["name"] == CLUSTER, "another cluster: {status}");
    ensure!(status["clusters"][0]["status"]["nodesUp"] == 6, "nodes are missing: {status}");
    let findings: Value = json(cluster, &["diagnose"]).await?;
    let all = findings.as_array().context("no list of findings")?;
    let single =
        |finding: &Value| finding["what"].as_str().is_some_and(|what| what.contains("CatalogSingleCopy"));
    let critical: Vec<_> =
        all.iter().filter(|finding| finding["severity"] == "critical" && !single(finding)).collect();
    ensure!(critical.is_empty(), "critical: {critical:?}");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bundle.tar.zst");
    let packed: Value = json(cluster, &[OsStr::new("bundle"), file.as_os_str()]).await?;
    ensure!(packed["files"].as_u64() > Some(10), "hardly anything is in it: {packed}");
    no_secret(cluster, &file).await
}

/// None of the cluster's secrets is in the archive, and a log is.
async fn no_secret(cluster: &Cluster, file: &Path) -> anyhow::Result<()> {
    let packed = tokio::fs::read(file).await?;
    let text = String::from_utf8_lossy(&zstd::decode_all(packed.as_slice())?).into_owned();
    ensure!(text.contains(&format!("logs/{CLUSTER}-main-0-0")), "no log of the first node is in it");
    for (secret, field) in [("tokens", "token"), ("tokens", "admin-token"), ("cluster-key", "secret")] {
        let value = cluster.secret(NAMESPACE, &format!("{CLUSTER}-{secret}"), field).await?;
        let value = String::from_utf8(value)?;
        ensure!(!value.trim().is_empty() && !text.contains(value.trim()), "{secret}/{field} is in it");
    }
    Ok(())
}

async fn json<S: AsRef<OsStr>>(cluster: &Cluster, args: &[S]) -> anyhow::Result<Value> {
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).chain(["-o", "json"].map(OsStr::new)).collect();
    let Output { status, stdout, stderr } = cluster.kubectl_datamesh(&args).await?;
    let done = matches!(status.code(), Some(0 | NOT_WHOLE));
    ensure!(done, "kubectl datamesh: {status}: {}", String::from_utf8_lossy(&stderr));
    Ok(serde_json::from_slice(&stdout)?)
}
