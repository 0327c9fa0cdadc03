//! Volumes run full: puts are refused with the reason and the remedy, what was acknowledged is read and deleted as ever, the
//! conditions name the nodes, and when the administrator makes room puts go on by themselves. (Deleted space comes back after
//! an hour, when no transfer reads it any more; tests of the gateway and the store show that.)

use std::time::Duration;

use anyhow::{bail, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::second::{EXTRA, SECOND};
use datamesh_e2e::{samples, wait};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;

const SPACE: &str = "datamesh-e2e-full";
/// Of 1 GiB: what is left for shards is full after some puts.
const RESERVE: &str = "924Mi";
const LESS_RESERVE: &str = "800Mi";
const OBJECT_BYTES: usize = 4 << 20;
/// More than there is room for.
const PUTS_MAX: u64 = 60;
const SAID_TIMEOUT: Duration = Duration::from_secs(60);
/// The nodes restart one after the other.
const ROOM_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = fill(cluster).await;
    cluster.leave_second(SPACE, "pool_full", outcome).await
}

async fn fill(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    cluster.make_second(SPACE, json!({"reserve": RESERVE})).await?;
    cluster.until_ready(SPACE, SECOND, EXTRA).await?;
    let door = cluster.gateway_of(SPACE, SECOND).await?;
    let gateway = &door.gateway;
    let written = until_refused(gateway, seed).await?;
    until_said(cluster).await?;
    for number in 0..written {
        ensure!(gateway.get(&key(number)).await? == body(seed, number), "object {number} differs");
    }
    gateway.delete(&key(0)).await?;
    ensure!(!gateway.exists(&key(0)).await?, "a deleted object is still there");
    let merge = Patch::Merge(json!({"spec": {"reserve": LESS_RESERVE}}));
    cluster.pools(SPACE).patch(EXTRA, &PatchParams::default(), &merge).await?;
    wait::until("there is room again", ROOM_TIMEOUT, async || {
        gateway.put("again", body(seed, PUTS_MAX)).await
    })
    .await?;
    for number in 1..written {
        ensure!(gateway.get(&key(number)).await? == body(seed, number), "object {number} differs");
    }
    ensure!(gateway.get("again").await? == body(seed, PUTS_MAX), "the last object differs");
    cluster.destroy_second(SPACE).await
}

fn key(number: u64) -> String {
    format!("full/{number:03}")
}

fn body(seed: u64, number: u64) -> bytes::Bytes {
    samples::random_bytes(seed, number, OBJECT_BYTES)
}

/// Puts until there is no room; how many were acknowledged.
async fn until_refused(gateway: &Gateway, seed: u64) -> anyhow::Result<u64> {
    for number in 0..PUTS_MAX {
        if let Err(refusal) = gateway.put(&key(number), body(seed, number)).await {
            let words = format!("{refusal:#}");
            ensure!(
                words.contains("507") && words.contains("pool-full") && words.contains("volumeSize"),
                "{words}"
            );
            ensure!(number > 2, "only {number} objects found room");
            ensure!(!gateway.exists(&key(number)).await?, "what was refused is there");
            return Ok(number);
        }
    }
    bail!("{PUTS_MAX} objects found room")
}

/// The pool's conditions name the full nodes.
async fn until_said(cluster: &Cluster) -> anyhow::Result<()> {
    let said = |pool: Option<&DynamicObject>| {
        let degraded = pool.and_then(|pool| wait::condition(pool, "Degraded"));
        degraded.is_some_and(|c| c.status == "True" && c.message.contains("Full, takes no new shards"))
    };
    wait::object_until(&cluster.pools(SPACE), EXTRA, "full nodes are named", SAID_TIMEOUT, said).await?;
    Ok(())
}
