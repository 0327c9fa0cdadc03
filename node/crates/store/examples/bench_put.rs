//! Durable puts with 8 writers: MB/s and CPU seconds per GB, hashing and checksums included; then reads.
//! `bench_put [folder] [seconds]`. Shards are made beforehand, so that making them is not measured.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datamesh_shard::{ErasureProfile, Generation, SegmentHeader, ShardIndex, ShardKey, leaf_hash};
use datamesh_store::{Store, StoreOptions};
use tokio::task::JoinSet;

const WRITERS: usize = 8;
/// Payload bytes made beforehand, which bounds a run.
const BYTES_MAX: usize = 2 << 30;

type Sample = (ShardKey, Bytes, Bytes);

fn make(number: u64, bytes: usize) -> Result<Sample, Box<dyn Error>> {
    let mut payload = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut payload);
    let leaves = vec![leaf_hash(&payload); 6];
    let sealed = u32::try_from(bytes * 4)?;
    let header = SegmentHeader::new(ErasureProfile::new(4, 2)?, sealed, leaves)?;
    let key = ShardKey { segment: header.id(), index: ShardIndex(0) };
    Ok((key, header.encode(), payload.into()))
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
    Ok(f64::from(ticks(11) + ticks(12)) / 100.0)
}

struct Run {
    dir: PathBuf,
    seconds: u64,
    bytes: usize,
}

async fn bench(run: Run) -> Result<String, Box<dyn Error>> {
    let count = BYTES_MAX / run.bytes;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); WRITERS];
    for number in 0..count {
        samples[number % WRITERS].push(make(number as u64, run.bytes)?);
    }
    let store = Store::open(&run.dir, StoreOptions::new(1 << 50, 0))?;
    let until = Instant::now() + Duration::from_secs(run.seconds);
    let (since, cpu) = (Instant::now(), cpu_seconds()?);
    let mut writers = JoinSet::new();
    for samples in samples {
        let store = store.clone();
        writers.spawn(async move {
            let mut stored = Vec::new();
            for (key, header, payload) in samples {
                if Instant::now() > until {
                    break;
                }
                store.put(key, Generation(1), header, payload).await?;
                stored.push(key);
            }
            Ok::<_, datamesh_store::PutError>(stored)
        });
    }
    let mut keys = Vec::new();
    for stored in writers.join_all().await {
        keys.extend(stored?);
    }
    let put = figures("put", &keys, run.bytes, since, cpu_seconds()? - cpu);
    let syncs = store.counters().syncs;
    let (since, cpu) = (Instant::now(), cpu_seconds()?);
    for key in &keys {
        store.get(*key).await?;
    }
    let get = figures("get, one reader", &keys, run.bytes, since, cpu_seconds()? - cpu);
    store.close().await?;
    Ok(format!("{put}, {syncs} syncs; {get}"))
}

fn figures(what: &str, keys: &[ShardKey], bytes: usize, since: Instant, cpu: f64) -> String {
    let seconds = since.elapsed().as_secs_f64();
    let gigabytes = (keys.len() * bytes) as f64 / 1e9;
    let (rate, cost, each) = (gigabytes * 1000.0 / seconds, cpu / gigabytes, keys.len() as f64 / seconds);
    format!("{what}: {} x {} KiB, {rate:.0} MB/s, {each:.0}/s, {cost:.2} CPU-s/GB", keys.len(), bytes >> 10)
}

#[allow(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let base = args.next().unwrap_or_else(|| "target/bench_put".into());
    let seconds = args.next().map_or(Ok(4), |seconds| seconds.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The first round warms up: memory that a virtual machine touches for the first time is dear.
    for bytes in [1 << 20, 1 << 20, 64 << 10, 4 << 10] {
        let dir = Path::new(&base).join(bytes.to_string());
        std::fs::create_dir_all(&dir)?;
        println!("{}", runtime.block_on(bench(Run { dir: dir.clone(), seconds, bytes }))?);
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}
