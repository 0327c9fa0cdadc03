//! A cluster whose gateway keeps the catalog gets a PostgreSQL while files are written and read, and then has its catalog back, on three
//! gateways: what was acknowledged is there, whoever keeps it, and a spec that would leave the catalog behind is refused.

use std::time::Duration;

use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::database::Database;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

const SPACE: &str = "datamesh-e2e-moved";
const SECRET: &str = "catalog";
/// The gateway restarts within it, before and after the move.
const PUTS_TIMEOUT: Duration = Duration::from_secs(150);
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// In one go with the way back.
const GATEWAYS: usize = 3;
/// It restarts, copies, and restarts with what it has moved to alone.
const MOVED_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = there_and_back(cluster).await;
    cluster.leave_second(SPACE, "catalog_moved", outcome).await
}

async fn there_and_back(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let database = Database::start(cluster).await?;
    cluster.make_second(SPACE, json!({})).await?;
    database.make_secret(cluster, SPACE, SECRET).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let mut traffic = Traffic::start_that_tries_again(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    let postgres = json!({"secretRef": {"name": SECRET}, "port": database.port()});
    set_catalog(cluster, json!({"postgres": postgres.clone()})).await?;
    until_kept_by(cluster, "Postgres").await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    set_catalog(cluster, Value::Null).await?;
    until_refused(cluster).await?;
    let back =
        json!({"catalog": {"postgres": postgres, "keptBy": "Gateways"}, "gateway": {"replicas": GATEWAYS}});
    set(cluster, back).await?;
    until_kept_by(cluster, "Gateways").await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    set_catalog(cluster, Value::Null).await?;
    drop(database);
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    verify(&door.gateway, &written).await?;
    // It is the user's: only they take it away.
    cluster.api::<Secret>(SPACE).delete(SECRET, &DeleteParams::default()).await?;
    cluster.destroy_second(SPACE).await
}

/// A spec that names the database no more, while that keeps the catalog, changes nothing and says why.
async fn until_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let said = |object: Option<&DynamicObject>| {
        let ready = object.and_then(|object| wait::condition(object, "Ready"));
        ready.is_some_and(|ready| {
            ready.reason == "InvalidSpec" && ready.message.contains("PostgreSQL keeps the catalog")
        })
    };
    let what = "the catalog that would be left behind is named";
    wait::object_until(&cluster.clusters(SPACE), SECOND, what, SAID_TIMEOUT, said).await?;
    Ok(())
}

/// Until the gateway says so, runs with that alone, and serves.
async fn until_kept_by(cluster: &Cluster, keeper: &str) -> anyhow::Result<()> {
    let kept = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            let by = object.data.pointer("/status/catalogKeptBy").and_then(Value::as_str);
            by == Some(keeper)
                && wait::is(object, "Ready", "True")
                && wait::is(object, "Progressing", "False")
                && wait::up_to_date(object)
        })
    };
    let what = format!("the catalog is kept by {keeper}");
    wait::object_until(&cluster.clusters(SPACE), SECOND, &what, MOVED_TIMEOUT, kept).await?;
    Ok(())
}

async fn set_catalog(cluster: &Cluster, catalog: Value) -> anyhow::Result<()> {
    set(cluster, json!({"catalog": catalog})).await
}

async fn set(cluster: &Cluster, spec: Value) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    cluster.clusters(SPACE).patch(SECOND, &PatchParams::default(), &patch).await?;
    Ok(())
}
