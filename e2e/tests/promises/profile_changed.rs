//! The erasure profile changes while files are written and read: no put and no get fails, what is there is coded anew once that is
//! asked for, the status says how far that is, and afterwards any two nodes may be lost. Then back again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::{Cluster, Door, NAMESPACE, POOL};
use datamesh_e2e::traffic::{Traffic, Written, clear, verify};
use datamesh_e2e::{samples, wait};
use datamesh_settings::admin::{RecodeState, RecodeStatus};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

const PUTS_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_TIMEOUT: Duration = Duration::from_secs(90);
/// Some dozens of MiB, half of the time at rest, behind what is written meanwhile.
const RECODED_TIMEOUT: Duration = Duration::from_secs(240);
/// As many may be lost as before: what the other promises hold for goes on to hold.
const OTHER: (u8, u8) = (2, 2);
const USUAL: (u8, u8) = (4, 2);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let seed = samples::seed()?;
    eprintln!("seed {seed}");
    let door = cluster.gateway().await?;
    let mut traffic = Traffic::start_with_reads(&door.gateway, "recoded", seed);
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    want(cluster, OTHER, false).await?;
    until_told(cluster, "the data of the earlier profile is told, and that it stays", |status| {
        status["profiles"][0]["profile"] == "2+2"
            && status["profiles"][1]["bytes"].as_i64() > Some(0)
            && status["recode"]["state"] == "Off"
    })
    .await?;
    traffic.go_on(6, PUTS_TIMEOUT).await?;

    want(cluster, OTHER, true).await?;
    let (recoded, going_on) = tokio::join!(until_recoded(&door), traffic.go_on(6, RECODED_TIMEOUT));
    going_on?;
    recoded?;
    let written = traffic.finish().await?;
    without_two(cluster, &door, &written).await?;

    want(cluster, USUAL, true).await?;
    until_told(cluster, "the usual profile is back", |status| status["profiles"][0]["profile"] == "4+2")
        .await?;
    until_recoded(&door).await?;
    verify(&door.gateway, &written).await?;
    want(cluster, USUAL, false).await?;
    clear(&door.gateway, &written).await
}

/// As an administrator does it.
async fn want(cluster: &Cluster, (data, parity): (u8, u8), recode: bool) -> anyhow::Result<()> {
    let spec =
        json!({"erasure": {"dataShards": data, "parityShards": parity}, "recode": {"enabled": recode}});
    let patch = Patch::Merge(json!({ "spec": spec }));
    cluster.pools(NAMESPACE).patch(POOL, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn until_told(cluster: &Cluster, what: &str, is_told: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let told = |pool: Option<&DynamicObject>| {
        pool.is_some_and(|pool| wait::up_to_date(pool) && pool.data.get("status").is_some_and(&is_told))
    };
    wait::object_until(&cluster.pools(NAMESPACE), POOL, what, SAID_TIMEOUT, told).await?;
    Ok(())
}

/// Nothing that is in use is in another profile. What is kept of the old segments for readers, and what other promises deleted, goes
/// with its retention.
async fn until_recoded(door: &Door) -> anyhow::Result<()> {
    wait::until("all is coded anew", RECODED_TIMEOUT, async || {
        let status = door.gateway.status().await?;
        let pool = status.pools.first().context("there is no pool")?;
        ensure!(pool.profiles.first().is_some_and(|present| present.erasure == pool.erasure), "not begun");
        let is_over = |recode: &RecodeStatus| recode.left_bytes == 0 || recode.state == RecodeState::Ending;
        ensure!(pool.recode.as_ref().is_none_or(is_over), "not over: {:?}", pool.recode);
        Ok(())
    })
    .await
}

async fn without_two(cluster: &Cluster, door: &Door, written: &[Written]) -> anyhow::Result<()> {
    cluster.until_whole().await?;
    let one_each = cluster.one_of_each_zone().await?;
    cluster.lose(one_each.get(..2).context("the test needs two zones")?).await?;
    verify(&door.gateway, written).await?;
    cluster.settle().await
}
