//! A whole cluster whose catalog is in PostgreSQL: files outlive its connections, and the gateway.

use crate::support::cluster::{Cluster, noise, start_gateway};
use datamesh_settings::admin::{CatalogEngine, ClusterStatus, RecodeState};
use datamesh_shard::ErasureProfile;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outlive_connections_and_the_gateway() {
    let server = crate::postgres::server();
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
    cluster.end().await;
}

/// Each answers for all that the other acknowledged, learns its layouts, and goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_a_database() {
    let server = crate::postgres::server();
    let database = server.database().await;
    let mut cluster = Cluster::start_among(Some(&server.uri(&database)), &["gateway-2"]).await;
    let first = cluster.addresses;
    let (second, addresses) = cluster.others.remove(0);
    cluster.put_pool().await;
    let writable = |status: &ClusterStatus| status.pools.iter().any(|pool| pool.writable);
    cluster.status_until(writable).await;
    let (one, other) = (noise(1, 9 << 20), noise(2, 1000));
    for key in ["one", "kept"] {
        assert_eq!(cluster.put(key, &one).await, "whole");
    }

    cluster.addresses = addresses;
    let status = cluster.status_until(writable).await;
    assert_eq!((status.gateway.as_str(), status.catalog.objects), ("gateway-2", 2));
    assert!(cluster.get("one").await == one, "its layout was learned");
    assert_eq!(cluster.put("one", &other).await, "whole");
    cluster.addresses = first;
    assert!(cluster.get("one").await == other, "what was replaced by way of the other is not given any more");

    // The one that did for all what one does is gone; the pool's next layout comes by way of the other.
    cluster.gateway.take().unwrap().end().await;
    cluster.addresses = addresses;
    cluster.put_pool_as(ErasureProfile::new(3, 2).unwrap(), true).await;
    // What was replaced is kept for readers.
    let coded_anew = |status: &ClusterStatus| {
        status.pools[0].recode.as_ref().is_some_and(|recode| recode.state == RecodeState::Ending)
    };
    cluster.status_until(coded_anew).await;
    assert_eq!(cluster.put("two", &one).await, "whole");
    for (key, bytes) in [("one", &other), ("two", &one), ("kept", &one)] {
        assert!(cluster.get(key).await == *bytes, "{key}");
    }
    cluster.end().await;
    second.end().await;
}
