//! A whole cluster whose catalog is in PostgreSQL: files outlive its connections, and the gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "../../catalog/tests/it/postgres.rs"]
#[allow(dead_code, reason = "the catalog's own tests use the rest")]
mod postgres;

use cluster::{Cluster, noise, start_gateway};
use datamesh_settings::admin::CatalogEngine;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outlive_connections_and_the_gateway() {
    let server = postgres::server();
    let database = server.database().await;
    let mut cluster = Cluster::start_on(Some(&server.uri(&database))).await;
    cluster.put_pool().await;
    cluster.status_until(|status| status.pools.iter().all(|pool| pool.writable)).await;
    let (large, small) = (noise(1, 20 << 20), noise(2, 1000));
    assert_eq!(cluster.put("large", &large).await, "whole");
    cluster.put("small", &small).await;

    // As a failover of the database does.
    let end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    let ended = server.admin("postgres").await.query_one(end_all, &[&database]).await.unwrap();
    assert!(ended.get::<_, i64>(0) > 0, "the gateway had no connection");
    assert!(cluster.get("large").await == large);
    assert_eq!(cluster.put("after", &large).await, "whole");

    cluster.gateway.take().unwrap().end().await;
    assert!(!cluster.dir.path().join("gateway/catalog").exists(), "nothing of the catalog is on the volume");
    let (gateway, addresses) = start_gateway(cluster.dir.path(), &cluster.secret).await;
    (cluster.gateway, cluster.addresses) = (Some(gateway), addresses);
    for (key, bytes) in [("large", &large), ("small", &small), ("after", &large)] {
        assert!(cluster.get(key).await == *bytes, "{key}");
    }
    let engine = CatalogEngine::Postgres;
    cluster.status_until(|status| status.catalog.engine == engine && status.catalog.objects == 3).await;
    for running in cluster.nodes.drain(..).flatten() {
        running.end().await;
    }
    cluster.gateway.take().unwrap().end().await;
}
