//! boto3, unchanged, finds at the S3 port of the Service all that it finds at a gateway without Kubernetes, with a key pair that an
//! administrator made.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE, root};
use datamesh_e2e::gateway::S3Key;
use datamesh_settings::S3_PORT;
use tokio::process::Command;

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let made =
        cluster.datamesh(&["--output", "json", "keys", "create", "e2e", "--permission", "admin"]).await?;
    let key: S3Key = serde_json::from_str(&made)?;
    run(cluster, &key).await?;
    cluster.datamesh(&["keys", "delete", &key.id]).await?;
    Ok(())
}

async fn run(cluster: &Cluster, key: &S3Key) -> anyhow::Result<()> {
    let service = format!("{CLUSTER}-gateway");
    let (address, _forward) = cluster.reach(NAMESPACE, &service, S3_PORT).await?;
    // What its certificate is for; this machine does not know the name.
    let host = format!("{service}.{NAMESPACE}.svc");
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, cluster.secret(NAMESPACE, &format!("{CLUSTER}-gateway-tls"), "ca.crt").await?)?;
    let mut seed = [0; 4];
    getrandom::fill(&mut seed)?;
    let output = Command::new(venv()?.join("bin/python"))
        .arg(root().join("node/tests/s3/boto3_client.py"))
        .current_dir(folder.path())
        .env("SEED", u32::from_le_bytes(seed).to_string())
        .env("RESOLVE", format!("{host}={address}"))
        .env("AWS_ENDPOINT_URL_S3", format!("https://{host}:{S3_PORT}"))
        .env("AWS_CA_BUNDLE", &ca)
        .env("AWS_ACCESS_KEY_ID", &key.id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("KEY_ID", &key.id)
        .kill_on_drop(true)
        .output()
        .await
        .context("no Python clients of S3: `make deps` installs them")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "boto3, seed {}: {out}\n{err}", u32::from_le_bytes(seed));
    Ok(())
}

/// Where `scripts/install-deps.sh` puts the Python clients.
fn venv() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("DATAMESH_S3_VENV") {
        return Ok(given.into());
    }
    let home = std::env::var_os("HOME").context("no HOME")?;
    Ok(PathBuf::from(home).join(".cache/datamesh/venv"))
}
