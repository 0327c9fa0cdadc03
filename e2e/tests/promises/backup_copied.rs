//! Backups of the catalog are copied to another S3, here that of the example cluster. A Secret that is missing stops copies alone. With
//! the only gateway's volume lost, the catalog comes back out of a copy, at the time that is asked for.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE};
use datamesh_e2e::gateway::{Gateway, S3Key};
use datamesh_e2e::restoring::now_unix_ms;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::S3_PORT;
use datamesh_settings::admin::CopiesStatus;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

const SPACE: &str = "datamesh-e2e-backup-copied";
const SECRET: &str = "offsite";
const BUCKET: &str = "catalog-copies";
const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const TOLD_TIMEOUT: Duration = Duration::from_secs(60);
/// The kubelet brings a new Secret into a pod that runs within two minutes; a copy follows a backup within one.
const COPIED_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let made =
        cluster.datamesh(&["--output", "json", "keys", "create", "copies", "--permission", "admin"]).await?;
    let key: S3Key = serde_json::from_str(&made)?;
    let outcome = copy_and_restore(cluster, &key).await;
    cluster.datamesh(&["keys", "delete", &key.id]).await?;
    cluster.leave_second(SPACE, "backup_copied", outcome).await
}

async fn copy_and_restore(cluster: &Cluster, key: &S3Key) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    cluster.gateway().await?.gateway.make_bucket(BUCKET).await?;
    cluster.make_second_with(SPACE, json!({"gateway": {"backupCopies": place()}}), json!({})).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let kept = traffic.finish().await?;
    let acknowledged_ms = now_unix_ms()?;
    wait::until("the missing key is told of", COPIED_TIMEOUT, async || {
        let error = copies(&door.gateway).await?.error.context("no try has failed yet")?;
        ensure!(error.contains("accessKeyId"), "{error}");
        Ok(())
    })
    .await?;
    give_key(cluster, key).await?;
    let copied_ms = wait::until("a copy of all of it", COPIED_TIMEOUT, async || {
        let last = copies(&door.gateway).await?.last_unix_ms.context("there is none yet")?;
        ensure!(last > acknowledged_ms, "the last one is of {last}");
        Ok(last)
    })
    .await?;
    let what = "the condition says that it is copied";
    wait::object_until(&cluster.clusters(SPACE), SECOND, what, TOLD_TIMEOUT, |object| {
        object.is_some_and(|object| wait::is(object, "BackupCopies", "True"))
    })
    .await?;

    let restored = cluster.lose_and_restore(SPACE, (&time(copied_ms)?, "Copies")).await?;
    ensure!(restored.until_unix_ms > acknowledged_ms, "an older copy was restored: {restored:?}");
    ensure!(restored.until_unix_ms <= copied_ms, "it is later than was asked for: {restored:?}");
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    verify(&door.gateway, &kept).await?;
    ensure!(restored.deletion_held, "it deletes before anybody has looked");
    door.gateway.confirm_restored().await?;
    let restored = door.gateway.backup().await?.restored.context("it is another one")?;
    ensure!(!restored.deletion_held, "it deletes nothing though that was confirmed");
    let mut traffic = Traffic::start(&door.gateway, "after", seed);
    traffic.go_on(3, PUTS_TIMEOUT).await?;
    verify(&door.gateway, &traffic.finish().await?).await?;
    // It is the user's: only they take it away.
    cluster.api::<Secret>(SPACE).delete(SECRET, &DeleteParams::default()).await?;
    cluster.destroy_second(SPACE).await
}

/// The example cluster's own S3, by the name in its certificate.
fn place() -> serde_json::Value {
    json!({
        "endpoint": format!("https://{CLUSTER}-gateway.{NAMESPACE}.svc:{S3_PORT}"), "bucket": BUCKET, "prefix": "second/",
        "pathStyle": true, "secretRef": {"name": SECRET}, "keep": "24h",
    })
}

async fn give_key(cluster: &Cluster, key: &S3Key) -> anyhow::Result<()> {
    let ca = cluster.secret(NAMESPACE, &format!("{CLUSTER}-gateway-tls"), "ca.crt").await?;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET},
        "stringData": {
            "accessKeyId": key.id, "secretAccessKey": key.secret, "ca.crt": String::from_utf8(ca)?,
        },
    }))?;
    let secrets: Api<Secret> = cluster.api(SPACE);
    secrets.create(&PostParams::default(), &secret).await?;
    Ok(())
}

async fn copies(gateway: &Gateway) -> anyhow::Result<CopiesStatus> {
    gateway.backup().await?.copies.context("the gateway says nothing of copies")
}

fn time(unix_ms: u64) -> anyhow::Result<String> {
    Ok(jiff::Timestamp::from_millisecond(i64::try_from(unix_ms)?)?.to_string())
}
