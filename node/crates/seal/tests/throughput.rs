//! How fast this machine seals and opens: `cargo test -p datamesh-seal --test throughput -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may stop, and prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use datamesh_seal::{
    BucketSecret, Prepared, SealHeader, SegmentKey, ZSTD_LEVEL, open_frame, open_segment, pays_to_compress,
    seal_segment, sealed_bytes_of,
};
use datamesh_shard::Cipher;
use datamesh_shard::limits::SEGMENT_BYTES_MAX;

fn best_of(rounds: u32, mut work: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| work()).min().unwrap()
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn report(name: &str, bytes: usize, best: Duration) {
    println!("{name:<44} {:7.2} GB/s  {best:?}", bytes as f64 / best.as_secs_f64() / 1e9);
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let words: Vec<String> =
        (0..5000u32).map(|i| format!("{:x} ", i.wrapping_mul(2_654_435_761) >> (i % 20))).collect();
    let mut picks = random(len).into_iter().map(usize::from);
    let mut text = String::new();
    while text.len() < len {
        let (a, b) = (picks.next().unwrap(), picks.next().unwrap());
        text.push_str(&words[(a * 256 + b) % words.len()]);
    }
    text.truncate(len);
    text.into_bytes()
}

#[test]
#[ignore = "a measurement"]
fn seal_and_open() {
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        for (kind, plain, compress) in [
            ("random", random(SEGMENT_BYTES_MAX), false),
            ("text, zstd", text(SEGMENT_BYTES_MAX), true),
            ("4 KiB", random(4096), false),
        ] {
            let key = SegmentKey::random();
            let mut out = vec![0; sealed_bytes_of(plain.len())];
            let mut sealed_bytes = 0;
            let seal = best_of(30, || {
                timed(|| sealed_bytes = seal_segment(&key, cipher, &plain, compress, &mut out).unwrap())
            });
            report(&format!("{cipher:?} {kind}: seal"), plain.len(), seal);
            let mut opened = Vec::with_capacity(plain.len());
            let open = best_of(30, || {
                let mut sealed = out[..sealed_bytes].to_vec();
                timed(|| open_segment(&key, &mut sealed, &mut opened).unwrap())
            });
            report(&format!("{cipher:?} {kind}: open"), plain.len(), open);
        }
    }
}

/// The bound: the engine alone, over frames that already lie where they are sealed.
#[test]
#[ignore = "a measurement"]
fn the_engine_alone() {
    use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    for algorithm in [&AES_256_GCM, &CHACHA20_POLY1305] {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32]).unwrap());
        let mut bytes = random(SEGMENT_BYTES_MAX);
        let seal = best_of(30, || {
            timed(|| {
                for frame in bytes.chunks_mut(65_536) {
                    let nonce = Nonce::assume_unique_for_key([0; 12]);
                    let _ =
                        black_box(key.seal_in_place_separate_tag(nonce, Aad::from([0; 48]), frame).unwrap());
                }
            })
        });
        report(&format!("{algorithm:?} alone, in place"), bytes.len(), seal);
    }
}

#[test]
#[ignore = "a measurement"]
fn what_else_costs() {
    let plain = random(SEGMENT_BYTES_MAX);
    let secret = BucketSecret::generate(1);
    let mut out = vec![0; sealed_bytes_of(plain.len())];
    let derive = best_of(30, || {
        timed(|| {
            drop(Prepared::new(Cipher::Aes256Gcm, &plain, None, &mut out).unwrap().derive(&secret).unwrap())
        })
    });
    report("deriving a segment's key from its content", plain.len(), derive);
    let text = text(SEGMENT_BYTES_MAX);
    for (kind, text) in [("random", &plain), ("text", &text)] {
        let sample = best_of(30, || {
            timed(|| {
                black_box(pays_to_compress(text));
            })
        });
        report(&format!("pays_to_compress, {kind}"), text.len(), sample);
        let level = best_of(5, || {
            timed(|| {
                black_box(Prepared::new(Cipher::Aes256Gcm, text, Some(ZSTD_LEVEL), &mut out).unwrap());
            })
        });
        report(&format!("zstd {ZSTD_LEVEL}, {kind}"), text.len(), level);
    }
    let key = SegmentKey::random();
    seal_segment(&key, Cipher::Aes256Gcm, &plain, false, &mut out).unwrap();
    let header = SealHeader::decode(&out).unwrap();
    let frame = best_of(30, || {
        let mut bytes = out[header.frame_range(7)].to_vec();
        timed(|| {
            open_frame(&key, &header, 7, &mut bytes).unwrap();
        })
    });
    report("open_frame", 65_536, frame);
}
