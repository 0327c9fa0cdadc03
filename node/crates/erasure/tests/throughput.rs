//! How fast this machine encodes and rebuilds: `cargo test -p datamesh-erasure --test throughput -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may stop, and prints")]

use std::time::{Duration, Instant};

use datamesh_erasure::Coder;
use datamesh_shard::limits::SEALED_BYTES_MAX;
use datamesh_shard::{ErasureProfile, SegmentHeader, ShardIndex};

/// GB of segment per second, the best of several rounds.
fn gb_per_s(segment_bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    segment_bytes as f64 / best.as_secs_f64() / 1e9
}

#[test]
#[ignore = "a measurement"]
fn encode_and_rebuild() {
    for (k, m) in [(1, 1), (2, 1), (4, 2), (8, 4), (10, 4), (16, 8)] {
        for sealed in [SEALED_BYTES_MAX, 256 << 10, 8 << 10] {
            let profile = ErasureProfile::new(k, m).unwrap();
            let coder = Coder::new(profile);
            let shard_bytes = SegmentHeader::shard_bytes_of(profile, sealed);
            let mut buffer = vec![0x5a; shard_bytes * profile.total()];
            let encode = gb_per_s(sealed, || {
                coder.encode_segment(&mut buffer, sealed).unwrap();
            });
            let lost = usize::from(m.min(k));
            let shards: Vec<&[u8]> = buffer.chunks_exact(shard_bytes).collect();
            let present: Vec<Option<&[u8]>> =
                (0..).zip(&shards).map(|(i, s)| (i >= lost).then_some(*s)).collect();
            let wanted: Vec<ShardIndex> = (0..m.min(k)).map(ShardIndex).collect();
            let mut out = vec![vec![0; shard_bytes]; lost];
            let mut out: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
            let rebuild = gb_per_s(sealed, || coder.rebuild(&present, &wanted, &mut out).unwrap());
            println!(
                "{profile:>6} {} {:>5} KiB: encode {encode:5.1} GB/s, rebuild of {lost} data shards {rebuild:5.1} GB/s",
                coder.kernel(),
                sealed >> 10,
            );
        }
    }
}
