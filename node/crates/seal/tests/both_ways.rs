//! Two implementations, one format: what either seals, the other opens.
#![cfg(not(feature = "unsealed-for-blindness-test"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "../../shard/tests/support/dice.rs"]
mod dice;
#[path = "support/oracle.rs"]
mod oracle;

use datamesh_seal::{
    BucketSecret, ClusterSecret, Compression, Prepared, SealHeader, SegmentKey, WrappedBucketSecret,
    ZSTD_LEVEL, open_derived_segment, open_frame, open_record, open_segment, record_bytes_of, seal_record,
    seal_segment, sealed_bytes_of,
};
use datamesh_shard::Cipher;
use datamesh_shard::limits::{FRAME_BYTES, SEALED_BYTES_MAX, SEGMENT_BYTES_MAX};
use dice::Dice;

const CIPHERS: [Cipher; 2] = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];
/// Around every edge: of the AES block, of the frame, of the segment.
const LENGTHS: [usize; 14] = [
    1,
    15,
    16,
    17,
    255,
    4097,
    FRAME_BYTES - 1,
    FRAME_BYTES,
    FRAME_BYTES + 1,
    2 * FRAME_BYTES,
    3 * FRAME_BYTES + 5,
    1_000_003,
    SEGMENT_BYTES_MAX - 1,
    SEGMENT_BYTES_MAX,
];

/// Text that shrinks, but not to nothing.
fn text(dice: &mut Dice, len: usize) -> Vec<u8> {
    let words: Vec<Vec<u8>> = (0..200).map(|_| dice.bytes(8)).collect();
    let mut text = Vec::new();
    while text.len() < len {
        let word = &words[dice.below(words.len())];
        text.extend(word);
    }
    text.truncate(len);
    text
}

#[test]
fn segments_both_ways() {
    let mut dice = Dice::printed("segments_both_ways");
    for cipher in CIPHERS {
        for len in LENGTHS {
            let (key, plain) = (dice.array(), dice.bytes(len));
            let ours = SegmentKey::from_bytes(key);
            let mut out = vec![0xee; sealed_bytes_of(len) + 3];
            let sealed_bytes = seal_segment(&ours, cipher, &plain, false, &mut out).unwrap();
            assert_eq!(sealed_bytes, sealed_bytes_of(len));
            assert_eq!(out.split_off(sealed_bytes), [0xee; 3], "nothing behind the segment is touched");
            assert_eq!(out, oracle::Segment::plain(cipher.code(), &plain).seal(&key), "{cipher:?} {len}");
            assert_eq!(oracle::open(&key, &out).unwrap(), plain);
            let mut opened = vec![1, 2, 3];
            open_segment(&ours, &mut out, &mut opened).unwrap();
            assert!(opened == plain, "{cipher:?} {len}");
        }
    }
    assert_eq!(sealed_bytes_of(SEGMENT_BYTES_MAX), SEALED_BYTES_MAX);
}

#[test]
fn compressed_segments_both_ways() {
    let mut dice = Dice::printed("compressed_segments_both_ways");
    for cipher in CIPHERS {
        for len in LENGTHS.into_iter().filter(|&len| len > 4096) {
            let (key, plain) = (dice.array(), text(&mut dice, len));
            let ours = SegmentKey::from_bytes(key);
            let mut out = vec![0xee; sealed_bytes_of(len)];
            let sealed_bytes = seal_segment(&ours, cipher, &plain, true, &mut out).unwrap();
            out.truncate(sealed_bytes);
            let header = SealHeader::decode(&out).unwrap();
            assert_eq!((header.compression(), header.plain_len()), (Compression::Zstd, len));
            assert!(header.stored_len() <= len - len / 16 && header.sealed_len() == sealed_bytes);
            let stored = oracle::open(&key, &out).unwrap();
            assert_eq!(stored.len(), header.stored_len());
            assert_eq!(zstd::bulk::decompress(&stored, len).unwrap(), plain);
            let plain_bytes = u32::try_from(len).unwrap();
            let other =
                oracle::Segment { suite: cipher.code(), compression: 1, flags: 0, plain_bytes, stored };
            assert_eq!(other.seal(&key), out);
            let mut opened = Vec::new();
            open_segment(&ours, &mut out, &mut opened).unwrap();
            assert!(opened == plain, "{cipher:?} {len}");
        }
    }
}

#[test]
fn derived_segments_both_ways() {
    let mut dice = Dice::printed("derived_segments_both_ways");
    for (cipher, level) in [(CIPHERS[0], None), (CIPHERS[1], Some(ZSTD_LEVEL))] {
        let (raw, plain) = (dice.array(), text(&mut dice, 3 * FRAME_BYTES));
        let secret = BucketSecret::from_bytes(7, raw);
        let mut out = vec![0; sealed_bytes_of(plain.len())];
        let derived = Prepared::new(cipher, &plain, level, &mut out).unwrap().derive(&secret).unwrap();
        let key = derived.key().clone();
        let sealed_bytes = derived.seal().unwrap();
        out.truncate(sealed_bytes);
        let header = SealHeader::decode(&out).unwrap();
        assert!(header.is_derived());
        let stored = oracle::open(key.as_bytes(), &out).unwrap();
        let other = oracle::Segment {
            suite: cipher.code(),
            compression: header.compression().code(),
            flags: 1,
            plain_bytes: u32::try_from(plain.len()).unwrap(),
            stored,
        };
        assert_eq!(other.derived_key(&raw, 7), *key.as_bytes());
        assert_eq!(other.seal(key.as_bytes()), out);
        let mut opened = Vec::new();
        open_derived_segment(&secret, &key, &mut out, &mut opened).unwrap();
        assert_eq!(opened, plain);
    }
}

#[test]
fn single_frames() {
    let mut dice = Dice::printed("single_frames");
    let plain = dice.bytes(2 * FRAME_BYTES + 77);
    let key = SegmentKey::random();
    let mut sealed = vec![0; sealed_bytes_of(plain.len())];
    seal_segment(&key, Cipher::Aes256Gcm, &plain, false, &mut sealed).unwrap();
    let header = SealHeader::decode(&sealed[..48]).unwrap();
    assert_eq!(header.frames(), 3);
    for (frame, content) in (0u32..).zip(plain.chunks(FRAME_BYTES)) {
        let range = header.frame_range(frame);
        let mut bytes = sealed[range].to_vec();
        let opened = open_frame(&key, &header, frame, &mut bytes).unwrap();
        assert_eq!(&bytes[..opened], content);
    }
    assert_eq!(header.frame_range(2).end, sealed.len());
    assert!(header.frame_range(3).is_empty() && header.frame_range(u32::MAX).is_empty());
}

#[test]
fn records_both_ways() {
    let mut dice = Dice::printed("records_both_ways");
    for len in [0, 1, 16, 4096, 100_000] {
        let (raw, id, aad, plain) = (dice.array(), dice.array(), dice.bytes(len % 100), dice.bytes(len));
        let secret = BucketSecret::from_bytes(3, raw);
        let sealed = seal_record(&secret, &id, &aad, &plain);
        assert_eq!(sealed.len(), record_bytes_of(len));
        assert_eq!(sealed, oracle::seal_record(&raw, 3, &id, &aad, &plain));
        assert_eq!(*open_record(&secret, &id, &aad, &sealed).unwrap(), plain);
    }
}

#[test]
fn wrapped_bucket_secrets() {
    let mut dice = Dice::printed("wrapped_bucket_secrets");
    let raw: [u8; 32] = dice.array();
    let cluster = ClusterSecret::from_hex(&hex::encode(raw)).unwrap();
    let (raw_secret, salt) = (dice.array(), dice.array());
    let secret = BucketSecret::from_bytes(9, raw_secret);
    let made = WrappedBucketSecret { version: 9, bytes: oracle::wrap(&raw, &raw_secret, 9, 42, &salt) };
    assert_eq!(cluster.unwrap_bucket(&made, 42).unwrap(), secret);
    let wrapped = cluster.wrap_bucket(&secret, 42);
    assert_eq!(wrapped.bytes.len(), made.bytes.len());
    let salt = wrapped.bytes[10..42].try_into().unwrap();
    assert_eq!(oracle::wrap(&raw, &raw_secret, 9, 42, &salt), wrapped.bytes);
    assert_ne!(cluster.wrap_bucket(&secret, 42), wrapped, "every wrapping has a salt of its own");
}
