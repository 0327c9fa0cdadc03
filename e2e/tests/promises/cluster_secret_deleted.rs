//! The cluster's key Secret is deleted: KeyMissing says how to restore it, nothing is touched and no new key is made;
//! the file `datamesh admin key export` wrote restores it.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use datamesh_e2e::cluster::{CLUSTER, Cluster, NAMESPACE};
use datamesh_e2e::nodes::ensure_untouched;
use datamesh_e2e::samples::random_bytes;
use datamesh_e2e::wait;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;

const SECRET: &str = "demo-cluster-key";
const SAID_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let door = cluster.gateway().await?;
    let body: Bytes = random_bytes(3, 3, 300_000);
    door.gateway.put("key/proof", body.clone()).await?;
    let before = cluster.members().await?;
    let key = cluster.secret(NAMESPACE, SECRET, "secret").await?;
    let folder = tempfile::tempdir()?;
    let export = folder.path().join("key.yaml");
    let to: &OsStr = export.as_ref();
    cluster.datamesh(&["admin".as_ref(), "key".as_ref(), "export".as_ref(), to]).await?;

    let secrets = cluster.api::<Secret>(NAMESPACE);
    secrets.delete(SECRET, &DeleteParams::default()).await?;
    let clusters = cluster.clusters(NAMESPACE);
    let said = wait::object_until(&clusters, CLUSTER, "KeyMissing is said", SAID_TIMEOUT, |object| {
        object.is_some_and(|o| wait::is(o, "KeyMissing", "True"))
    });
    let said = said.await?.and_then(|o| wait::condition(&o, "KeyMissing")).context("no condition")?;
    ensure!(
        said.message.contains(SECRET) && said.message.contains("kubectl apply"),
        "it does not help: {said:?}"
    );
    ensure!(secrets.get_opt(SECRET).await?.is_none(), "a new key was made");
    ensure_untouched(&before, &cluster.members().await?).context("while the key was missing")?;
    ensure!(door.gateway.get("key/proof").await? == body, "a running gateway must go on");

    cluster.kubectl.apply(&std::fs::read_to_string(&export)?).await?;
    wait::object_until(&clusters, CLUSTER, "KeyMissing ends", SAID_TIMEOUT, |object| {
        object.is_some_and(|o| wait::is(o, "KeyMissing", "False"))
    })
    .await?;
    ensure!(cluster.secret(NAMESPACE, SECRET, "secret").await? == key, "the export restored another key");
    cluster.settle().await?;
    ensure_untouched(&before, &cluster.members().await?).context("when the key came back")?;
    door.gateway.delete("key/proof").await
}
