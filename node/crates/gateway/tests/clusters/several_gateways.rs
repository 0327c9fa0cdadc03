//! Three gateways that keep one catalog: they form a group, survive the loss of any one of them, and take in what a single one had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::cluster::noise;
use crate::support::gateways::Gateways;
use datamesh_settings::admin::CatalogMemberState::{Away, Current};
use datamesh_settings::admin::ClusterStatus;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outlive_the_leader_and_a_gateways_volume() {
    let mut three = Gateways::start().await;
    three.put_pool(0).await;
    // Gateways that were not told of the pool find it in the catalog.
    let is_known =
        |status: &ClusterStatus| !status.pools.is_empty() && status.pools.iter().all(|pool| pool.writable);
    three.until(|status| status.catalog.replicas == 3 && is_known(status)).await;
    // What one gateway was given, each of the others gives.
    for at in 0..3 {
        three.put(at, &format!("from-{at}"), &noise(u8::try_from(at).unwrap(), 3 << 20)).await.unwrap();
    }
    for (at, of) in [(0, 1), (1, 2), (2, 0)] {
        let bytes = three.get(at, &format!("from-{of}")).await.unwrap();
        assert!(bytes == noise(u8::try_from(of).unwrap(), 3 << 20), "{of} through {at}");
    }

    let leader = three.leader().await;
    let (stop, client) = (Arc::new(AtomicBool::new(false)), three.client());
    let left: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let (stopped, through) = (Arc::clone(&stop), left.clone());
    let (count, mut counted) = watch::channel(0);
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let mut written = Vec::new();
        // Goes on for a while after the leader is gone.
        for number in 0.. {
            let (key, bytes) = (format!("during-{number}"), noise(9, 100 + number));
            client.put_until_done(&through, &key, &bytes).await;
            written.push((key, bytes));
            count.send_replace(written.len());
            if stopped.load(Ordering::Relaxed) {
                return written;
            }
        }
        unreachable!("numbers do not end")
    });
    counted.wait_for(|puts| *puts > 0).await.unwrap();
    three.kill(leader).await;
    let before = *counted.borrow();
    let away = |status: &ClusterStatus| {
        let state = |wanted| status.catalog.members.iter().filter(|member| member.state == wanted).count();
        state(Away) == 1 && state(Current) == 2 && status.catalog.members.iter().any(|member| member.leads)
    };
    three.until_at(left[0], away).await;
    assert_eq!(three.status(left[0]).await.unwrap().catalog.replicas, 2);
    // One that was begun before may end after.
    counted.wait_for(|puts| *puts > before + 1).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writing.join_next().await.unwrap().unwrap();
    for (key, bytes) in &written {
        assert!(three.get(left[1], key).await.unwrap() == *bytes, "{key}");
    }

    three.restart(leader).await;
    three.until(|status| status.catalog.replicas == 3).await;
    assert!(three.get(leader, &written[0].0).await.unwrap() == written[0].1, "through the one that was away");

    // A volume is lost: what comes in its place is another replica.
    let leader = three.leader().await;
    let follower = (leader + 1) % 3;
    three.kill(follower).await;
    three.lose_volume(follower);
    three.restart(follower).await;
    three.until(|status| status.catalog.replicas == 3).await;
    three.put(follower, "after", b"after").await.unwrap();
    for at in 0..3 {
        assert_eq!(three.get(at, "after").await.unwrap(), b"after");
        assert!(three.get(at, "from-0").await.unwrap() == noise(0, 3 << 20));
    }
    three.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_of_one_gateway_becomes_that_of_three() {
    let mut three = Gateways::start_alone().await;
    three.put_pool(0).await;
    three.until_at(0, |status| status.pools.iter().all(|pool| pool.writable)).await;
    for (key, bytes) in [("large", noise(1, 6 << 20)), ("small", noise(2, 100))] {
        three.put(0, key, &bytes).await.unwrap();
    }
    three.kill(0).await;
    three.start_all().await;
    three.until(|status| status.catalog.replicas == 3 && status.catalog.objects == 2).await;
    assert!(!three.dir(0).join("catalog").exists() && !three.dir(0).join("catalog.taken").exists());
    for at in 0..3 {
        assert!(three.get(at, "large").await.unwrap() == noise(1, 6 << 20), "through {at}");
        assert!(three.get(at, "small").await.unwrap() == noise(2, 100));
        three.put(at, &format!("new-{at}"), b"new").await.unwrap();
    }
    // There is no way back: alone it would begin with nothing.
    three.kill(0).await;
    let refused = three.start_one_alone(0).await.unwrap_err().to_string();
    assert!(refused.contains("catalogMembers is empty"), "{refused}");
    three.end().await;
}
