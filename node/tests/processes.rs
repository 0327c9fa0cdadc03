//! The whole store as real processes on loopback: it starts, keeps what it acknowledged through kills, and restarts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;

use std::path::PathBuf;

use cluster::{CAPACITY_BYTES, Cluster, files_with, new_seed, random};
use datamesh_settings::admin::{
    ClusterStatus, DesiredMember, DrainState, DrainStatus, MemberState, PoolSpec,
};
use datamesh_settings::mesh::{MeshStatus, Sight};
use reqwest::Method;

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

/// Whoever has the id that an answer bears finds the request in the log.
#[tokio::test(flavor = "multi_thread")]
async fn requests_stand_in_the_log_by_the_ids_of_their_answers() {
    let cluster = Cluster::start().await;
    let authority = std::fs::read(cluster.data().join("secrets/ca.crt")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
    let told = cluster.request(Method::GET, "/files/not-to-be-logged").send().await.unwrap();
    let refused = http.get(format!("{}/default/not-to-be-logged", cluster.s3())).send().await.unwrap();
    for (answer, name) in [(&told, "x-request-id"), (&refused, "x-amz-request-id")] {
        let status = answer.status().as_u16();
        let id = answer.headers()[name].to_str().unwrap();
        let log = std::fs::read_to_string(cluster.folder().join("log")).unwrap();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
        let says = |text: &str| lines.iter().any(|line| line.contains(text));
        assert!(says("answered") && says(&format!("status={status}")), "{name}: {id} in {lines:?}");
        assert!(!log.contains("not-to-be-logged"), "what somebody asks for is theirs to know");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_lost_its_volume_comes_back_out_of_the_mesh() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    for (n, bytes) in SIZES.into_iter().enumerate() {
        cluster.put(&format!("size/{bytes}"), random(seed + n as u64, bytes)).await.unwrap();
    }
    let stored = cluster.status().await.catalog.objects;
    let put_ms = now_unix_ms();
    let is_in = |status: &ClusterStatus| {
        let backup = status.catalog.backup.as_ref();
        backup.and_then(|backup| backup.last_unix_ms).is_some_and(|last| last > put_ms)
    };
    cluster.until("a backup of all that was stored", is_in).await;
    let before = cluster.status().await;
    let stopped = cluster.stop().await;
    let lose_volume = || std::fs::remove_dir_all(stopped.data().join("gateway")).unwrap();
    lose_volume();
    // An empty catalog does not take the place of the lost one unasked.
    stopped.start_until_said("start it once with `--restore newest`", &[]).await;
    lose_volume();
    let cluster = stopped.start(&["--restore", "newest"]).await;
    for (n, bytes) in SIZES.into_iter().enumerate() {
        let back = cluster.get(&format!("size/{bytes}")).await;
        assert!(back == random(seed + n as u64, bytes), "{bytes} differ");
    }
    let after = cluster.status().await;
    assert_eq!(after.catalog.objects, stored);
    assert!(after.catalog.incarnation > before.catalog.incarnation.next());
    assert_eq!(after.pools[0].epoch, before.pools[0].epoch, "the layout is that of the nodes");
    let restored = after.catalog.backup.as_ref().unwrap().restored.clone().unwrap();
    assert!(restored.until_unix_ms > put_ms && restored.at_unix_ms > restored.until_unix_ms);
    cluster.put("after", random(seed, 5 << 20)).await.unwrap();
    // Asked for once more it does nothing: there is a catalog.
    let cluster = cluster.stop().await.start(&["--restore", "newest"]).await;
    assert!(cluster.get("after").await == random(seed, 5 << 20));
}

/// The drill: power is cut while files are stored, and the disk with the only catalog does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_that_takes_the_catalog_costs_what_came_after_its_last_backup() {
    let (seed, bytes) = (new_seed(), 100_003);
    let cluster = Cluster::start().await;
    let key = |n: usize| format!("drill/{n}");
    let body = |n: usize| random(seed.wrapping_add(n as u64), bytes);
    let (mut acknowledged_ms, mut backed_up) = (Vec::new(), 0);
    // Until a backup was made while files came, and some more.
    while backed_up < 20 || acknowledged_ms.len() < backed_up + 20 {
        let n = acknowledged_ms.len();
        cluster.put(&key(n), body(n)).await.unwrap();
        acknowledged_ms.push(now_unix_ms());
        if backed_up < 20 {
            let backup = cluster.status().await.catalog.backup.unwrap();
            let last = backup.last_unix_ms.unwrap_or(0);
            backed_up = acknowledged_ms.iter().filter(|at| **at < last).count();
        }
    }
    let died_ms = now_unix_ms();
    let stopped = cluster.cut().await;
    std::fs::remove_dir_all(stopped.data().join("gateway")).unwrap();
    let cluster = stopped.start(&["--restore", "newest"]).await;
    let restored = cluster.status().await.catalog.backup.unwrap().restored.unwrap();
    let window_ms = died_ms.saturating_sub(restored.until_unix_ms);
    let (mut whole, mut lost) = (0, 0);
    for (n, at) in acknowledged_ms.iter().enumerate() {
        let answer = cluster.request(Method::GET, &format!("/files/{}", key(n))).send().await.unwrap();
        if *at >= restored.until_unix_ms && answer.status().as_u16() == 404 {
            lost += 1;
            continue;
        }
        assert!(answer.status().is_success(), "{}: {}", key(n), answer.status());
        assert!(answer.bytes().await.unwrap() == body(n), "{} differs", key(n));
        whole += 1;
    }
    println!("loss window: {window_ms} ms; {whole} files came back whole, {lost} were lost");
    assert!(whole >= backed_up && whole + lost == acknowledged_ms.len());
    // A part each half minute, some seconds to write it, and a machine that is busy.
    assert!(window_ms < 120_000, "{window_ms} ms were lost");
}

fn now_unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_killed_while_writing_lose_nothing_and_puts_go_on() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    cluster.until_async("all nodes to see one another", async || all_see_all(&cluster.mesh().await)).await;
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
    for name in ["node-1", "node-4"] {
        let told = |mesh: &MeshStatus| {
            mesh.findings.iter().any(|found| {
                found.message.starts_with(&format!("{name} (zone")) && found.message.contains("neither")
            })
        };
        cluster
            .until_async(&format!("{name} to be seen by nobody"), async || told(&cluster.mesh().await))
            .await;
    }
}

/// Whether every node answers and reaches every other, which all were measured.
fn all_see_all(mesh: &MeshStatus) -> bool {
    let reached = |sight: &Sight| sight.live && sight.rtt_micros.is_some();
    mesh.nodes.len() == 6
        && mesh.nodes.iter().all(|node| {
            let sees = node.sees.as_deref().unwrap_or_default();
            let version = node.version.as_deref() == Some(env!("CARGO_PKG_VERSION"));
            reached(&node.reached)
                && version
                && sees.len() == 5
                && sees.iter().all(|seen| reached(&seen.sight))
        })
}

/// How far a node's drain is.
fn drain_of<'a>(status: &'a ClusterStatus, node: &str) -> Option<&'a DrainStatus> {
    status.pools[0].members.iter().find(|member| member.node.as_str() == node).unwrap().drain.as_ref()
}

fn is_settled(status: &ClusterStatus) -> bool {
    status.pools[0].safety.as_ref().is_some_and(|safety| safety.is_settled() && safety.under_way == 0)
}

/// What the pool wants, without some nodes.
fn spec_without(status: &ClusterStatus, gone: &str) -> PoolSpec {
    let pool = &status.pools[0];
    let members = pool.members.iter().filter(|member| member.node.as_str() != gone);
    let desired = members.map(|member| DesiredMember {
        node: member.node.clone(),
        zone: member.zone.clone(),
        capacity_bytes: CAPACITY_BYTES,
    });
    PoolSpec {
        erasure: pool.erasure,
        cipher: Default::default(),
        ack_shards: None,
        members: desired.collect(),
        scrub: Default::default(),
        recode: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_may_be_thrown_away_and_reads_and_writes_go_on_meanwhile() {
    let seed = new_seed();
    let cluster = Cluster::start_with(7).await;
    let bytes = 3 << 20;
    let mut count = 0_u64;
    let store = async |n: u64| {
        cluster
            .put(&format!("drain/{n}"), random(seed + n, bytes))
            .await
            .unwrap_or_else(|refusal| panic!("{refusal}"))
    };
    let read = async |n: u64| {
        assert!(cluster.get(&format!("drain/{n}")).await == random(seed + n, bytes), "object {n} differs");
    };
    while count < 20 {
        store(count).await;
        count += 1;
    }
    let drain = async |method, node: &str| {
        cluster.admin(method, &format!("/pools/main/drains/{node}")).send().await.unwrap()
    };

    // Called off at once: it takes shards again, and everything comes to lie as before.
    assert!(drain(Method::PUT, "node-4").await.status().is_success());
    let too_many = drain(Method::PUT, "node-5").await;
    assert_eq!(too_many.status().as_u16(), 409);
    assert!(too_many.text().await.unwrap().contains("5 members would stay when 2 are drained"));
    assert!(drain(Method::DELETE, "node-4").await.status().is_success());
    cluster.until("undrained", |status| drain_of(status, "node-4").is_none() && is_settled(status)).await;

    let before = cluster.status().await;
    let held = before.pools[0].members.iter().find(|member| member.node.as_str() == "node-2").unwrap();
    assert!(held.report.as_ref().unwrap().shards > 0, "there is something to move");
    assert!(drain(Method::PUT, "node-2").await.status().is_success());
    let mut moved = false;
    loop {
        store(count).await;
        read(count / 2).await;
        count += 1;
        let status = cluster.status().await;
        let drain = drain_of(&status, "node-2").unwrap();
        moved |= drain.state == DrainState::Moving;
        if drain.state == DrainState::Drained {
            break;
        }
        assert!(count < 2000, "it does not end: {drain:?}");
    }
    assert!(moved, "it was drained before it moved anything");
    cluster.until("settled", is_settled).await;

    // It leaves for good, and two others are lost besides: what was whole survives that.
    let spec = spec_without(&before, "node-2");
    let put = cluster.admin(Method::PUT, "/pools/main").json(&spec).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    cluster.until("left", |status| status.pools[0].members.len() == 6).await;
    for name in ["node-2", "node-0", "node-5"] {
        cluster.kill(name);
    }
    std::fs::remove_dir_all(cluster.data().join("node-2")).unwrap();
    for n in 0..count {
        read(n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_volume_is_replaced_and_rebuilt() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    for n in 0..10 {
        cluster.put(&format!("lost/{n}"), random(seed + n, 3 << 20)).await.unwrap();
    }
    let replace = async |cluster: &Cluster| {
        cluster
            .admin(Method::POST, "/pools/main/nodes/node-3/replace")
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(replace(&cluster).await, 409, "it answers: its volume is not lost");
    let key_of = |status: &ClusterStatus| status.pools[0].members[3].peer;
    let before = key_of(&cluster.status().await);
    cluster.kill("node-3");
    std::fs::remove_dir_all(cluster.data().join("node-3")).unwrap();
    cluster.until("down", |status| status.pools[0].members[3].state == MemberState::Down).await;
    // It answered a moment ago: that it is gone for good is believed after a while only.
    cluster.until_async("given up", async || replace(&cluster).await == 200).await;
    let cluster = cluster.restart().await;
    let is_whole = |status: &ClusterStatus| is_settled(status) && key_of(status) != before;
    cluster.until("whole", is_whole).await;
    let status = cluster.status().await;
    assert!(status.pools[0].members[3].report.as_ref().unwrap().shards > 0, "its shards were rebuilt");
    for name in ["node-0", "node-1"] {
        cluster.kill(name);
    }
    for n in 0..10 {
        assert!(cluster.get(&format!("lost/{n}")).await == random(seed + n, 3 << 20), "object {n} differs");
    }
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
    // Backups of the catalog hold names, sealed: with sealing off they are found as soon as there is one.
    if cfg!(not(feature = "unsealed-for-blindness-test")) {
        assert_eq!(on_nodes(name_needle), Vec::<PathBuf>::new(), "a node's disk holds a name");
    }
    for needle in content {
        let found = on_nodes(needle);
        assert_eq!(
            !found.is_empty(),
            cfg!(feature = "unsealed-for-blindness-test"),
            "on nodes' disks: {found:?}"
        );
    }
    // The search itself finds what is there: shards of the object above, a name in a file that holds it. (The catalog's own
    // files are no control: their blocks share prefixes and are compressed in time.)
    assert!(
        cluster.volumes().iter().all(|volume| folder_bytes(volume) > 2 << 20),
        "every node holds a shard"
    );
    let control = cluster.data().join("control");
    std::fs::create_dir(&control).unwrap();
    std::fs::write(control.join("file"), [&canary[..5000], name.as_bytes(), &canary[..10]].concat()).unwrap();
    assert_eq!(files_with(&control, name.as_bytes()), [control.join("file")], "the search finds names");
}

/// 32 bytes out of the middle of each volume's largest log file.
fn samples(cluster: &Cluster) -> Vec<Vec<u8>> {
    let largest = |volume: &PathBuf| {
        let logs = std::fs::read_dir(volume.join("logs")).unwrap().map(|entry| entry.unwrap().path());
        logs.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
    };
    let middle = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes[bytes.len() / 2..][..32].to_vec()
    };
    cluster.volumes().iter().map(largest).map(middle).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shredded_leaves_the_disks_over_a_restart() {
    let seed = new_seed();
    let cluster = Cluster::start().await;
    cluster.put("gone", random(seed, 9 << 20)).await.unwrap();
    let samples = samples(&cluster);
    cluster.put("kept", random(seed + 1, 9 << 20)).await.unwrap();
    let on_nodes = |cluster: &Cluster| {
        let found = samples.iter().zip(cluster.volumes());
        found.filter(|(sample, volume)| !files_with(volume, sample).is_empty()).count()
    };
    assert_eq!(on_nodes(&cluster), samples.len(), "the control");
    let answer = cluster.request(Method::DELETE, "/files/gone?shred=true").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let begun: serde_json::Value = answer.json().await.unwrap();
    let place = format!("/shreds/{}", begun["id"].as_str().unwrap());
    // It is told, not necessarily begun.
    let cluster = cluster.restart().await;
    let is_over = async || match cluster.request(Method::GET, &place).send().await {
        Ok(answer) => answer.json::<serde_json::Value>().await.is_ok_and(|shred| shred["state"] == "over"),
        Err(_) => false,
    };
    cluster.until_async("the shredding to be over", is_over).await;
    assert_eq!(on_nodes(&cluster), 0);
    assert!(cluster.get("kept").await == random(seed + 1, 9 << 20));
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| match entry.metadata().unwrap() {
        meta if meta.is_dir() => folder_bytes(&entry.path()),
        meta => meta.len(),
    });
    sizes.sum()
}
