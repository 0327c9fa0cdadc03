//! What moving shards between two processes costs: CPU-seconds per GB, both ends together, over loopback.
//!
//! `cargo run --example bench_transport [GiB per transport]`. Shards of 1 MiB, four requests in flight. The figures of
//! docs/adr/0003-bulk-transport.md come from here.
#![allow(clippy::print_stdout, reason = "a program for people")]

#[path = "bench_transport/mesh.rs"]
mod mesh;
#[path = "bench_transport/plain.rs"]
mod plain;
#[path = "bench_transport/yamux.rs"]
mod yamux;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use datamesh_settings::BulkEncryption;

/// One shard of the usual profile.
const SHARD_BYTES: usize = 1 << 20;
/// Requests at a time.
const IN_FLIGHT: usize = 4;
/// The kernel counts CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let gib: usize = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let shards = gib * 1024;
    let shard = noise();
    println!("{:38} {:>6} {:>10}", "transport", "GB/s", "CPU-s/GB");
    // The first transfer warms memory up and is not shown.
    plain::put(&shard, 256).await?;
    report("plain TCP, put", shards, plain::put(&shard, shards)).await?;
    for (name, encryption) in
        [("everything", BulkEncryption::Everything), ("requests", BulkEncryption::Requests)]
    {
        report(&format!("bulk, {name}, put"), shards, mesh::put(&shard, shards, encryption)).await?;
        report(&format!("bulk, {name}, get"), shards, mesh::get(&shard, shards, encryption)).await?;
    }
    report("libp2p noise+yamux, put", shards, yamux::put(&shard, shards)).await?;
    Ok(())
}

/// A shard of bytes that do not compress.
fn noise() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..SHARD_BYTES).map(|_| next()).collect()
}

async fn report(
    name: &str,
    shards: usize,
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
    Box::pin(run).await.with_context(|| name.to_owned())?;
    let gigabytes = (shards * SHARD_BYTES) as f64 / 1e9;
    let rate = gigabytes / begin.elapsed().as_secs_f64();
    let cost = (cpu_seconds()? - cpu) / gigabytes;
    println!("{name:38} {rate:6.2} {cost:10.2}");
    Ok(())
}

/// User and system time of this process so far.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').context("no process name")?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || -> anyhow::Result<f64> { Ok(fields.next().context("too few fields")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// Runs `ask` for each of `shards`, [`IN_FLIGHT`] at a time.
async fn in_flight<F: Future<Output = anyhow::Result<()>>>(
    shards: usize,
    ask: impl Fn(usize) -> F,
) -> anyhow::Result<()> {
    use futures::TryStreamExt;
    futures::stream::iter((0..shards).map(|i| Ok(ask(i))))
        .try_buffer_unordered(IN_FLIGHT)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(())
}

/// Patience with one request.
const PATIENCE: Duration = Duration::from_secs(30);
