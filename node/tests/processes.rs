//! The whole store as real processes on loopback: it starts, keeps what it acknowledged through kills, and restarts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
mod cluster;

use std::path::PathBuf;

use cluster::{Cluster, files_with, new_seed, random};
use datamesh_settings::admin::MemberState;

/// Sizes around every edge: empty, inline, one frame, one segment, several.
const SIZES: [usize; 9] = [0, 1, 4096, 4097, 65_536, 65_537, (4 << 20) - 1, (4 << 20) + 1, 9_000_001];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_comes_back_after_a_restart_and_after_a_crash() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    for (n, bytes) in SIZES.into_iter().enumerate() {
        assert_eq!(
            cluster.put(&format!("size/{bytes}"), random(seed + n as u64, bytes)).await.unwrap(),
            "whole"
        );
    }
    let check = async |cluster: &Cluster| {
        for (n, bytes) in SIZES.into_iter().enumerate() {
            assert!(
                cluster.get(&format!("size/{bytes}")).await == random(seed + n as u64, bytes),
                "{bytes} differ"
            );
        }
    };
    check(&cluster).await;
    let before = cluster.status().await;
    let cluster = cluster.restart().await;
    check(&cluster).await;
    let cluster = cluster.crash().await;
    check(&cluster).await;
    let after = cluster.status().await;
    assert!(
        after.catalog.incarnation >= before.catalog.incarnation.next().next(),
        "two openings, two incarnations"
    );
    assert_eq!(after.pools[0].epoch, before.pools[0].epoch, "restarting changes no layout");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_killed_while_writing_lose_nothing_and_puts_go_on() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    let bytes = 5 << 20;
    let mut acknowledged = Vec::new();
    for n in 0..20_u64 {
        if n == 5 {
            cluster.kill("node-1");
        }
        if n == 10 {
            cluster.kill("node-4");
        }
        let key = format!("kill/{n}");
        let durability = cluster.put(&key, random(seed + n, bytes)).await;
        durability.unwrap_or_else(|refusal| panic!("put {n} refused: {refusal}"));
        acknowledged.push(n);
    }
    for &n in &acknowledged {
        assert!(cluster.get(&format!("kill/{n}")).await == random(seed + n, bytes), "object {n} differs");
    }
    let status = cluster.status().await;
    let down = status.pools[0].members.iter().filter(|member| member.state == MemberState::Down);
    assert_eq!(down.map(|member| member.node.to_string()).collect::<Vec<_>>(), ["node-1", "node-4"]);
    assert!(!status.pools[0].problems.is_empty(), "two nodes down is a problem worth a sentence");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_see_neither_contents_nor_names() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    let canary = random(seed, 9 << 20);
    let name = format!("canary-name-{seed:016x}");
    assert_eq!(cluster.put(&name, canary.clone()).await.unwrap(), "whole");
    cluster.put(&format!("{name}-small"), canary[..3000].to_vec()).await.unwrap();
    let cluster = cluster.restart().await;
    // Any 32 bytes in a row of what was stored, from every region of it; and the name.
    let regions = [0, 1, 65_536, 1 << 20, 4 << 20, (9 << 20) - 32];
    let needles: Vec<&[u8]> =
        regions.iter().map(|&at| &canary[at..at + 32]).chain([name.as_bytes()]).collect();
    let on_nodes =
        |needle: &[u8]| cluster.volumes().iter().flat_map(|v| files_with(v, needle)).collect::<Vec<_>>();
    // With sealing switched off, the same search over the same disks must find every region of the contents.
    let (name_needle, content) = needles.split_last().unwrap();
    assert_eq!(on_nodes(name_needle), Vec::<PathBuf>::new(), "a node's disk holds a name");
    for needle in content {
        let found = on_nodes(needle);
        assert_eq!(
            !found.is_empty(),
            cfg!(feature = "unsealed-for-blindness-test"),
            "on nodes' disks: {found:?}"
        );
    }
    // The search itself finds what is there: shards of the object, and the name where it may be.
    assert!(
        cluster.volumes().iter().all(|volume| folder_bytes(volume) > 2 << 20),
        "every node holds a shard"
    );
    assert!(
        !files_with(&cluster.data().join("gateway"), name.as_bytes()).is_empty(),
        "the catalog knows names"
    );
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| match entry.metadata().unwrap() {
        meta if meta.is_dir() => folder_bytes(&entry.path()),
        meta => meta.len(),
    });
    sizes.sum()
}
