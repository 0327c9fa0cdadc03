//! Files through a whole cluster, with nodes dead and the gateway restarted.

use crate::support::cluster::{Cluster, noise, start_gateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_survive_dead_nodes_and_a_restarted_gateway() {
    let mut cluster = Cluster::start().await;
    cluster.put_pool().await;
    cluster.status_until(|status| status.pools.iter().all(|pool| pool.writable)).await;
    let first = noise(1, 20 << 20);
    assert_eq!(cluster.put("first", &first).await, "whole");
    assert!(cluster.get("first").await == first);

    cluster.kill(0).await;
    cluster.kill(3).await;
    assert!(cluster.get("first").await == first, "with two nodes dead");
    let second = noise(2, 20 << 20);
    cluster.put("second", &second).await;
    assert!(cluster.get("second").await == second);

    cluster.gateway.take().unwrap().end().await;
    let (gateway, addresses) = start_gateway(cluster.dir.path(), &cluster.secret).await;
    (cluster.gateway, cluster.addresses) = (Some(gateway), addresses);
    assert!(cluster.get("first").await == first, "the address book outlives the gateway");
    assert!(cluster.get("second").await == second);

    for n in [0, 3] {
        let running = cluster.start_node(n).await;
        cluster.nodes[usize::from(n)] = Some(running);
    }
    cluster.status_until(|status| status.pools[0].problems.is_empty()).await;
    assert_eq!(cluster.put("third", &first).await, "whole");
    cluster.end().await;
}
