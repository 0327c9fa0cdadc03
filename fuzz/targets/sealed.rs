//! Sealed segments, under random and derived keys, their frames, records, and marks of customers' keys. What opens is what the golden files were
//! sealed from: nothing else was ever sealed under these keys. Each input is also given with its checks made good, so that
//! mutants reach what lies behind them.
#![no_main]

use std::sync::LazyLock;

use datamesh_fuzz as _;
use datamesh_seal::{
    BucketSecret, KeyMark, Prepared, SealHeader, SegmentKey, open_derived_segment, open_frame, open_record,
    open_segment, sealed_bytes_of,
};
use datamesh_shard::Cipher;

/// As in `node/crates/seal/tests/golden.rs`, whose golden file is where the corpus begins.
const KEY: [u8; 32] = *b"a segment key of thirty-two byte";
const BUCKET: [u8; 32] = *b"bucket secret of thirty-two byte";
const BUCKET_VERSION: u32 = 2;
const RECORD_ID: [u8; 16] = [5; 16];

static SECRET: LazyLock<BucketSecret> = LazyLock::new(|| BucketSecret::from_bytes(BUCKET_VERSION, BUCKET));
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| b"any k of k+m shards bring the data back. ".repeat(20));
/// The golden file's key, and the two that are derived from its text.
static KEYS: LazyLock<Vec<SegmentKey>> = LazyLock::new(|| {
    let derived = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305].map(|cipher| {
        let mut out = vec![0; sealed_bytes_of(TEXT.len())];
        let prepared = Prepared::new(cipher, &TEXT, None, &mut out).expect("a text of some hundred bytes");
        prepared.derive(&SECRET).expect("prepared").key().clone()
    });
    [SegmentKey::from_bytes(KEY)].into_iter().chain(derived).collect()
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for key in KEYS.iter() {
        segment(key, input);
        segment(key, &with_good_header(key, input));
    }
    if let Ok(mark) = KeyMark::decode(input) {
        assert_eq!(mark.encode()[..], input[..], "one mark, one encoding");
    }
    record(input);
    record(&with_good_head(input));
});

fn segment(key: &SegmentKey, sealed: &[u8]) {
    if let Ok(header) = SealHeader::decode(sealed) {
        assert_eq!(header.encode(), sealed[..48], "one header, one encoding");
        for frame in 0..header.frames() {
            if let Some(bytes) = sealed.get(header.frame_range(frame)) {
                let _ = open_frame(key, &header, frame, &mut bytes.to_vec());
            }
        }
    }
    let mut plain = Vec::new();
    if open_segment(key, &mut sealed.to_vec(), &mut plain).is_ok() {
        assert!(plain == b"hello" || plain == *TEXT, "opened without having been sealed");
    }
    if open_derived_segment(&SECRET, key, &mut sealed.to_vec(), &mut plain).is_ok() {
        assert!(plain == *TEXT, "opened without having been sealed");
    }
}

/// The header with the check of its fields and the commitment to `key` that belong there.
fn with_good_header(key: &SegmentKey, sealed: &[u8]) -> Vec<u8> {
    let mut sealed = sealed.to_vec();
    if let Some(header) = sealed.first_chunk_mut::<48>() {
        let (fields, rest) = header.split_at_mut(12);
        let commitment = [key.as_bytes(), &fields[..]].concat();
        let commitment = blake3::derive_key("datamesh.io 2026 segment key commitment v1", &commitment);
        rest[..32].copy_from_slice(&commitment);
        rest[32..].copy_from_slice(&blake3::hash(fields).as_bytes()[..4]);
    }
    sealed
}

fn record(sealed: &[u8]) {
    if let Ok(plain) = open_record(&SECRET, &RECORD_ID, b"bucket 1, page 2", sealed) {
        assert_eq!(*plain, b"a page", "opened without having been sealed");
    }
}

/// The record's head with the versions and the commitment that belong to its salt.
fn with_good_head(sealed: &[u8]) -> Vec<u8> {
    let mut sealed = sealed.to_vec();
    if let Some(head) = sealed.first_chunk_mut::<54>() {
        let version = BUCKET_VERSION.to_le_bytes();
        head[..2].copy_from_slice(&[1, 1]);
        head[2..6].copy_from_slice(&version);
        let commitment = [&BUCKET[..], &version, &RECORD_ID, &head[6..22]].concat();
        let commitment = blake3::derive_key("datamesh.io 2026 record key commitment v1", &commitment);
        head[22..].copy_from_slice(&commitment);
    }
    sealed
}
