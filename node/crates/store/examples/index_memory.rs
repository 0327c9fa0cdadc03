//! Memory of a store with the index of a terabyte: as many shards as that is, each of one byte, since the index keeps as much
//! of a shard whatever its size. `index_memory [folder] [shards]`; 1,048,576 are 1 TiB in shards of 1 MiB, 16,777,216 in
//! shards of 64 KiB. Takes some 260 bytes of disk for each.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, ShardIndex, ShardKey, leaf_hash};
use datamesh_store::{Store, StoreOptions};
use futures::{StreamExt, stream};

/// Puts under way at the same time: whole batches.
const AT_ONCE: usize = 512;
/// Reads measured afterwards, spread over all shards.
const READS: u64 = 10_000;

fn header_of(number: u64) -> Result<(ShardKey, Bytes, Bytes), Box<dyn Error>> {
    let payload = Bytes::from_static(&[0]);
    // The other leaves make every segment another one; they are not looked at.
    let other = *blake3::hash(&number.to_le_bytes()).as_bytes();
    let leaves = [vec![leaf_hash(&payload)], vec![other; 5]].concat();
    let header = SegmentHeader::new(ErasureProfile::new(4, 2)?, 4, leaves)?;
    Ok((ShardKey { segment: header.id(), index: ShardIndex(0) }, header.encode(), payload))
}

/// MiB of this process by /proc/self/status: now, or at most so far.
fn memory(which: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(which)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? >> 10)
}

#[allow(clippy::print_stdout, reason = "a bench tells its figures")]
async fn measure(dir: &Path, shards: u64) -> Result<(), Box<dyn Error>> {
    let store = Store::open(dir, StoreOptions::new(1 << 50, 0))?;
    println!("empty: {} MiB", memory("VmRSS")?);
    let begun = Instant::now();
    let mut putting = stream::iter(0..shards)
        .map(|number| {
            let store = store.clone();
            async move {
                let (key, header, payload) = header_of(number).map_err(|error| error.to_string())?;
                store.put(key, Generation(1), header, payload).await.map_err(|error| error.to_string())
            }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(put) = putting.next().await {
        put?;
    }
    drop(putting);
    println!(
        "{shards} shards put in {:.0} s: {} MiB, at most {}",
        begun.elapsed().as_secs_f64(),
        memory("VmRSS")?,
        memory("VmHWM")?
    );
    store.close().await?;

    let begun = Instant::now();
    let store = Store::open(dir, StoreOptions::new(1 << 50, 0))?;
    println!("opened again in {:.1} s: {} MiB", begun.elapsed().as_secs_f64(), memory("VmRSS")?);
    let begun = Instant::now();
    for read in 0..READS {
        let (key, ..) = header_of(read.wrapping_mul(0x9e37_79b9_7f4a_7c15) % shards)?;
        store.get(key).await?.ok_or("a shard is not there")?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / READS as f64;
    println!("{READS} reads, {each:.0} us each: {} MiB, at most {}", memory("VmRSS")?, memory("VmHWM")?);
    Ok(store.close().await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "target/index_memory".into());
    let shards = args.next().map_or(Ok(1 << 20), |shards| shards.parse())?;
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(Path::new(&dir), shards))?;
    Ok(std::fs::remove_dir_all(dir)?)
}
