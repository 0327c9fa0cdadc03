//! Three gateways keep their catalog in a PostgreSQL that is not the cluster's. What is missing of its Secret is told, and mended by
//! making it. While files are written, a gateway's pod is killed, and the database crashes and recovers: whatever was
//! acknowledged is there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::database::Database;
use datamesh_e2e::second::SECOND;
use datamesh_e2e::traffic::{Traffic, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::admin::CatalogEngine;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use serde_json::json;

const SPACE: &str = "datamesh-e2e-postgres";
const SECRET: &str = "catalog";
const GATEWAYS: usize = 3;
const GATEWAY_PODS: &str = "app.kubernetes.io/component=gateway";
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// More than one request that hangs in a connection to a pod that is gone.
const PUTS_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = lose_a_gateway_and_the_database(cluster).await;
    cluster.leave_second(SPACE, "catalog_in_postgres", outcome).await
}

async fn lose_a_gateway_and_the_database(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let mut database = Database::start(cluster).await?;
    let catalog = json!({"postgres": {"secretRef": {"name": SECRET}, "port": database.port()}});
    let spec = json!({"gateway": {"replicas": GATEWAYS}, "catalog": catalog});
    cluster.make_second_with(SPACE, spec, json!({})).await?;
    until_the_secret_is_missed(cluster).await?;
    database.make_secret(cluster, SPACE, SECRET).await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;

    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let status = door.gateway.status().await?.catalog;
    ensure!(status.engine == CatalogEngine::Postgres, "the catalog is kept by {:?}", status.engine);
    let mut traffic = Traffic::start_that_tries_again(&door.gateway, "kept", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;
    let pods = cluster.api::<Pod>(SPACE).list(&ListParams::default().labels(GATEWAY_PODS)).await?;
    let killed = pods.items.first().and_then(|pod| pod.metadata.name.clone()).context("no gateway")?;
    cluster.kill(SPACE, &killed).await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    database.crash_and_recover().await?;
    traffic.go_on(12, PUTS_TIMEOUT).await?;
    let written = traffic.finish().await?;
    cluster.until_gateways_whole(SPACE, GATEWAYS).await?;
    verify(&door.gateway, &written).await
}

async fn until_the_secret_is_missed(cluster: &Cluster) -> anyhow::Result<()> {
    let words = format!("Secret {SECRET} does not exist");
    let said = |object: Option<&DynamicObject>| {
        let ready = object.and_then(|object| wait::condition(object, "Ready"));
        ready.is_some_and(|ready| ready.reason == "InvalidSpec" && ready.message.contains(&words))
    };
    let what = "the missing Secret is told";
    wait::object_until(&cluster.clusters(SPACE), SECOND, what, SAID_TIMEOUT, said).await?;
    Ok(())
}
