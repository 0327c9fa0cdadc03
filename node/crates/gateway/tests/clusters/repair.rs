//! A cluster makes itself whole again: shards that stood in go home, lost ones are rebuilt, and the status says it only
//! when it is true.

use crate::support::cluster::{Cluster, NODES, node, noise, open_store};
use datamesh_settings::admin::{ClusterStatus, PoolSafety};
use datamesh_shard::{ErasureProfile, SegmentId, ShardKey};

fn safety(status: &ClusterStatus) -> PoolSafety {
    status.pools[0].safety.clone().unwrap_or_default()
}

fn short(safety: &PoolSafety) -> u64 {
    safety.segments.iter().rev().skip(1).sum()
}

async fn started() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.put_pool().await;
    cluster.status_until(|status| status.pools.iter().all(|pool| pool.writable)).await;
    cluster
}

/// Every pair of nodes may go: that is what whole means.
async fn reads_without_any_two(cluster: &mut Cluster, key: &str, text: &[u8]) {
    for (a, b) in [(1, 2), (0, 4), (3, 5)] {
        cluster.kill(a).await;
        cluster.kill(b).await;
        assert!(cluster.get(key).await == text, "without {a} and {b}");
        for n in [a, b] {
            let running = cluster.start_node(n).await;
            cluster.nodes[usize::from(n)] = Some(running);
        }
        cluster.status_until(|status| status.pools[0].problems.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_stood_in_go_home() {
    let mut cluster = started().await;
    cluster.kill(0).await;
    cluster.kill(3).await;
    let text = noise(1, 20 << 20);
    assert_eq!(cluster.put("x", &text).await, "short; durable=6; of=6", "two nodes have two each");
    // The control: it is seen that shards are away and that less than m is survived.
    let before = cluster.status_until(|status| short(&safety(status)) > 0).await;
    assert!(safety(&before).away > 0, "{before:?}");
    for n in [0, 3] {
        let running = cluster.start_node(n).await;
        cluster.nodes[usize::from(n)] = Some(running);
    }
    let after = safety(&cluster.status_until(|status| safety(status).is_settled()).await);
    assert_eq!((after.segments.clone(), after.counted_partitions), (vec![0, 0, 5], after.partitions));
    reads_without_any_two(&mut cluster, "x", &text).await;
    cluster.end().await;
}

/// Takes every shard from a stopped node; gives how many there were.
async fn empty(cluster: &Cluster, n: u8) -> u64 {
    let store = open_store(cluster.dir.path().join(node(n).as_str())).await;
    let held = store.held((SegmentId([0; 32]), None), None, usize::MAX).await.unwrap();
    let mut taken = 0;
    for held in held {
        for index in held.shards.iter() {
            let key = ShardKey { segment: held.segment, index };
            assert!(store.delete(key, held.generation).await.unwrap());
            taken += 1;
        }
    }
    store.close().await.unwrap();
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_shards_are_rebuilt() {
    let mut cluster = started().await;
    let text = noise(2, 40 << 20);
    assert_eq!(cluster.put("x", &text).await, "whole");
    cluster.status_until(|status| safety(status).is_settled()).await;
    let mut taken = 0;
    for n in [2, 5] {
        cluster.kill(n).await;
        taken += empty(&cluster, n).await;
    }
    assert_eq!(taken, 20, "each node has a shard of each of ten segments");
    for n in [2, 5] {
        let running = cluster.start_node(n).await;
        cluster.nodes[usize::from(n)] = Some(running);
    }
    // The control: the loss is seen. A grace longer than the gateway's polls leaves it to be seen.
    cluster.status_until(|status| short(&safety(status)) > 0).await;
    // Counts may be from before the loss for as long as they say: until all of it is rebuilt.
    let whole = |safety: PoolSafety| safety.is_settled() && safety.rebuilt_shards == taken;
    let after = safety(&cluster.status_until(|status| whole(safety(status))).await);
    assert_eq!((after.segments, after.failed_rebuilds), (vec![0, 0, 10], 0));
    let members = usize::from(NODES);
    assert_eq!(cluster.nodes.len(), members);
    reads_without_any_two(&mut cluster, "x", &text).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_of_two_profiles_are_counted_and_rebuilt_each_in_its_own_and_coded_anew() {
    let (mut cluster, narrow) = (started().await, ErasureProfile::new(2, 1).unwrap());
    let (old, new) = (noise(3, 12 << 20), noise(4, 8 << 20));
    assert_eq!(cluster.put("old", &old).await, "whole");
    cluster.put_pool_as(narrow, false).await;
    assert_eq!(cluster.put("new", &new).await, "whole");
    let counted = |safety: PoolSafety| (safety.segments, safety.short);
    let both = safety(&cluster.status_until(|status| safety(status).is_settled()).await);
    assert_eq!(counted(both), (vec![0, 2, 3], vec![0, 0, 0]), "two survive one loss and are whole");
    cluster.kill(1).await;
    let taken = empty(&cluster, 1).await;
    let running = cluster.start_node(1).await;
    cluster.nodes[1] = Some(running);
    // The control: the loss is seen.
    cluster.status_until(|status| safety(status).short.iter().sum::<u64>() > 0).await;
    let whole = |safety: PoolSafety| safety.is_settled() && safety.rebuilt_shards == taken;
    let after = safety(&cluster.status_until(|status| whole(safety(status))).await);
    assert_eq!(counted(after), (vec![0, 2, 3], vec![0, 0, 0]));

    cluster.put_pool_as(narrow, true).await;
    let left = |status: &ClusterStatus| status.pools[0].recode.as_ref().map(|recode| recode.left_bytes);
    cluster.status_until(|status| left(status) == Some(0)).await;
    // The old ones are kept for readers, and counted as long as they are there.
    let after = safety(&cluster.status_until(|status| safety(status).segments == [0, 5, 3]).await);
    assert_eq!(counted(after).1, vec![0, 0, 0]);
    cluster.kill(0).await;
    assert!(cluster.get("old").await == old && cluster.get("new").await == new, "any one may go");
    cluster.end().await;
}
