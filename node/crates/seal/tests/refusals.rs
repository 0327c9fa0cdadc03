//! Every way to alter a sealed thing is refused, and the error names the part that is wrong.
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
    BucketSecret, OpenError, Prepared, SealError, SealHeader, SealHeaderError, SegmentKey, ZSTD_LEVEL,
    open_derived_segment, open_frame, open_segment, seal_segment, sealed_bytes_of,
};
use datamesh_shard::Cipher;
use datamesh_shard::limits::{FRAME_BYTES, SEGMENT_BYTES_MAX, TAG_BYTES};
use dice::Dice;

const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;
const LAST_BYTES: usize = 40;

struct Sealed {
    key: SegmentKey,
    plain: Vec<u8>,
    bytes: Vec<u8>,
}

/// Two whole frames and one of 40 bytes.
fn sealed(dice: &mut Dice, cipher: Cipher) -> Sealed {
    let plain = dice.bytes(2 * FRAME_BYTES + LAST_BYTES);
    let key = SegmentKey::from_bytes(dice.array());
    let mut bytes = vec![0; sealed_bytes_of(plain.len())];
    seal_segment(&key, cipher, &plain, false, &mut bytes).unwrap();
    Sealed { key, plain, bytes }
}

/// Opens; on an error nothing of the plaintext may be left in either buffer.
fn open(key: &SegmentKey, plain: &[u8], mut bytes: Vec<u8>) -> Result<(), OpenError> {
    let mut out = vec![9; 9];
    let opened = open_segment(key, &mut bytes, &mut out);
    match opened {
        Ok(()) => assert!(out == plain),
        Err(_) => {
            assert!(out.is_empty());
            let leaked = |probe: &[u8]| bytes.windows(16).any(|window| window == probe);
            assert!(!leaked(&plain[..16]) && !leaked(&plain[FRAME_BYTES..][..16]), "plaintext left behind");
        }
    }
    opened
}

/// What the flip of a bit at `at` must be called.
fn name_of(at: usize) -> &'static str {
    let frame = |at: usize| (at - 48) / SEALED_FRAME;
    match at {
        0 => "version",
        1..12 | 44..48 => "header check",
        12..44 => "commitment",
        _ => ["frame 0", "frame 1", "frame 2"][frame(at)],
    }
}

fn called(error: OpenError) -> &'static str {
    match error {
        OpenError::Header(SealHeaderError::Version(_)) => "version",
        OpenError::Header(SealHeaderError::Check) => "header check",
        OpenError::Commitment => "commitment",
        OpenError::Frame { frame } => ["frame 0", "frame 1", "frame 2"][frame as usize],
        _ => "something else",
    }
}

#[test]
fn every_flipped_byte_is_refused_and_named() {
    let mut dice = Dice::printed("every_flipped_byte");
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
        let Sealed { key, plain, bytes } = sealed(&mut dice, cipher);
        let edges = [48, 48 + FRAME_BYTES, 48 + SEALED_FRAME, 48 + 2 * SEALED_FRAME - TAG_BYTES];
        let mut places: Vec<usize> = (0..48).collect();
        for edge in edges {
            places.extend(edge..edge + TAG_BYTES);
        }
        places.extend((0..40).map(|_| 48 + dice.below(2 * SEALED_FRAME)));
        places.extend(48 + 2 * SEALED_FRAME..bytes.len());
        for at in places {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << dice.below(8);
            let error = open(&key, &plain, altered).expect_err("an altered byte was believed");
            assert_eq!(called(error), name_of(at), "byte {at}: {error}");
        }
        open(&key, &plain, bytes).expect("the control: unaltered, it opens");
    }
}

#[test]
fn another_length_is_refused_and_named() {
    let mut dice = Dice::printed("another_length");
    let Sealed { key, plain, bytes } = sealed(&mut dice, Cipher::Aes256Gcm);
    let expected = bytes.len();
    for got in (0..60)
        .chain([48 + SEALED_FRAME - 1, 48 + SEALED_FRAME, 48 + 2 * SEALED_FRAME])
        .chain(expected - 60..expected)
    {
        let error = open(&key, &plain, bytes[..got].to_vec()).unwrap_err();
        match got {
            0..48 => assert_eq!(error, OpenError::Header(SealHeaderError::Length(got))),
            _ => assert_eq!(error, OpenError::Truncated { expected, got }),
        }
    }
    for more in [1, TAG_BYTES, SEALED_FRAME] {
        let longer = [&bytes[..], &bytes[48..48 + more]].concat();
        let got = longer.len();
        assert_eq!(open(&key, &plain, longer), Err(OpenError::Extended { expected, got }));
    }
}

/// Writes lengths into a header as an attacker would: the check is made good, the commitment cannot be.
fn with_lengths(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = u32::try_from(len).unwrap().to_le_bytes();
    bytes[4..8].copy_from_slice(&len);
    bytes[8..12].copy_from_slice(&len);
    with_check(bytes)
}

fn with_check(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = blake3::hash(&bytes[..12]);
    bytes[44..48].copy_from_slice(&check.as_bytes()[..4]);
    bytes
}

#[test]
fn a_forged_header_is_refused_and_named() {
    let mut dice = Dice::printed("a_forged_header");
    let Sealed { key, plain, bytes } = sealed(&mut dice, Cipher::Aes256Gcm);
    let truncated = with_lengths(&bytes[..48 + 2 * SEALED_FRAME], 2 * FRAME_BYTES);
    assert_eq!(open(&key, &plain, truncated), Err(OpenError::Commitment));
    let forged = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        open(&key, &plain, with_check(bytes)).unwrap_err()
    };
    assert_eq!(forged(1, 2), OpenError::Commitment, "another suite");
    assert_eq!(forged(1, 3), OpenError::Header(SealHeaderError::Suite(3)));
    assert_eq!(forged(2, 2), OpenError::Header(SealHeaderError::Compression(2)));
    assert_eq!(forged(3, 1), OpenError::DerivedKey);
    assert_eq!(
        forged(3, 0x80),
        OpenError::Header(SealHeaderError::Flags(0x80)),
        "a segment that is not sealed"
    );
    assert_eq!(forged(3, 2), OpenError::Header(SealHeaderError::Flags(2)));
    assert!(matches!(forged(2, 1), OpenError::Header(SealHeaderError::Lengths { .. })));
    assert!(matches!(forged(4, bytes[4] ^ 1), OpenError::Header(SealHeaderError::Lengths { .. })));
    for len in [0, SEGMENT_BYTES_MAX + 1, u32::MAX as usize] {
        let error = open(&key, &plain, with_lengths(&bytes, len)).unwrap_err();
        assert!(matches!(error, OpenError::Header(SealHeaderError::Lengths { .. })), "{error}");
    }
}

#[test]
fn frames_in_another_order_are_refused_and_named() {
    let mut dice = Dice::printed("frames_in_another_order");
    let Sealed { key, plain, bytes } = sealed(&mut dice, Cipher::Aes256Gcm);
    let (header, frames) = bytes.split_at(48);
    let (first, second, last) =
        (&frames[..SEALED_FRAME], &frames[SEALED_FRAME..2 * SEALED_FRAME], &frames[2 * SEALED_FRAME..]);
    for (order, wrong) in [([second, first], 0), ([first, first], 1), ([second, second], 0)] {
        let bytes = [header, order[0], order[1], last].concat();
        assert_eq!(open(&key, &plain, bytes), Err(OpenError::Frame { frame: wrong }));
    }
    assert_eq!(open(&key, &plain, [header, first, second, last].concat()), Ok(()));
}

#[test]
fn a_splice_of_two_segments_is_refused_and_named() {
    let mut dice = Dice::printed("a_splice");
    let one = sealed(&mut dice, Cipher::Aes256Gcm);
    let two = sealed(&mut dice, Cipher::Aes256Gcm);
    let splice = |range: std::ops::Range<usize>| {
        let mut bytes = one.bytes.clone();
        bytes[range.clone()].copy_from_slice(&two.bytes[range]);
        open(&one.key, &one.plain, bytes)
    };
    assert_eq!(splice(12..44), Err(OpenError::Commitment));
    assert_eq!(splice(0..48), Err(OpenError::Commitment), "a whole header");
    for frame in 0..3 {
        let start = 48 + SEALED_FRAME * frame as usize;
        let end = (start + SEALED_FRAME).min(one.bytes.len());
        assert_eq!(splice(start..end), Err(OpenError::Frame { frame }));
        assert_eq!(splice(end - TAG_BYTES..end), Err(OpenError::Frame { frame }), "a tag alone");
    }
    assert_eq!(
        open(&two.key, &one.plain, one.bytes.clone()),
        Err(OpenError::Commitment),
        "another object's key"
    );
    assert_eq!(open(&one.key, &one.plain, two.bytes), Err(OpenError::Commitment), "another object's segment");
    assert_eq!(open(&one.key, &one.plain, one.bytes), Ok(()));
}

#[test]
fn a_single_frame_is_refused_out_of_place() {
    let mut dice = Dice::printed("a_single_frame");
    let one = sealed(&mut dice, Cipher::ChaCha20Poly1305);
    let two = sealed(&mut dice, Cipher::ChaCha20Poly1305);
    let (header, other) = (SealHeader::decode(&one.bytes).unwrap(), SealHeader::decode(&two.bytes).unwrap());
    let open =
        |key: &SegmentKey, header: &SealHeader, frame: u32, from: &[u8], range: std::ops::Range<usize>| {
            open_frame(key, header, frame, &mut from[range].to_vec())
        };
    let (key, range) = (&one.key, header.frame_range(1));
    assert_eq!(open(key, &header, 1, &one.bytes, range.clone()), Ok(FRAME_BYTES));
    assert_eq!(open(key, &header, 0, &one.bytes, range.clone()), Err(OpenError::Frame { frame: 0 }));
    assert_eq!(open(key, &header, 1, &two.bytes, range.clone()), Err(OpenError::Frame { frame: 1 }));
    assert_eq!(open(key, &other, 1, &one.bytes, range.clone()), Err(OpenError::Commitment));
    assert_eq!(open(&two.key, &header, 1, &one.bytes, range.clone()), Err(OpenError::Commitment));
    assert_eq!(
        open(key, &header, 3, &one.bytes, range.clone()),
        Err(OpenError::NoSuchFrame { frame: 3, frames: 3 })
    );
    let (expected, got) = (SEALED_FRAME, SEALED_FRAME - 1);
    let short = range.start..range.end - 1;
    assert_eq!(open(key, &header, 1, &one.bytes, short), Err(OpenError::Truncated { expected, got }));
    let (long, got) = (range.start..range.end + 1, SEALED_FRAME + 1);
    assert_eq!(open(key, &header, 1, &one.bytes, long), Err(OpenError::Extended { expected, got }));
}

#[test]
fn a_derived_segment_opens_in_its_bucket_only() {
    let mut dice = Dice::printed("a_derived_segment");
    let plain = vec![b'a'; 100_000];
    let raw = dice.array();
    let buckets =
        [BucketSecret::from_bytes(1, raw), BucketSecret::from_bytes(2, raw), BucketSecret::generate(1)];
    let made: Vec<(SegmentKey, Vec<u8>)> = buckets
        .iter()
        .map(|secret| {
            let mut out = vec![0; sealed_bytes_of(plain.len())];
            let derived = Prepared::new(Cipher::Aes256Gcm, &plain, Some(ZSTD_LEVEL), &mut out).unwrap();
            let derived = derived.derive(secret).unwrap();
            let (key, sealed_bytes) = (derived.key().clone(), derived.seal().unwrap());
            (key, out[..sealed_bytes].to_vec())
        })
        .collect();
    for (s, secret) in buckets.iter().enumerate() {
        for (k, (key, _)) in made.iter().enumerate() {
            for (b, (_, bytes)) in made.iter().enumerate() {
                let mut out = Vec::new();
                let opened = open_derived_segment(secret, key, &mut bytes.clone(), &mut out);
                match (k == b, s == b) {
                    (true, true) => assert!(opened == Ok(()) && out == plain),
                    (true, false) => assert_eq!(opened, Err(OpenError::NotDerivedFromContent)),
                    (false, _) => assert_eq!(opened, Err(OpenError::Commitment)),
                }
                assert!(opened.is_ok() || out.is_empty());
            }
        }
    }
    let mut out = Vec::new();
    assert_eq!(open_segment(&made[0].0, &mut made[0].1.clone(), &mut out), Err(OpenError::DerivedKey));
    // Whoever was given the key of one segment cannot put other content in its place.
    let key = &made[0].0;
    let forged =
        oracle::Segment { flags: 1, ..oracle::Segment::plain(1, b"other content") }.seal(key.as_bytes());
    let opened = open_derived_segment(&buckets[0], key, &mut forged.clone(), &mut out);
    assert_eq!((opened, out.len()), (Err(OpenError::NotDerivedFromContent), 0));
    let random = oracle::Segment::plain(1, b"other content").seal(key.as_bytes());
    let opened = open_derived_segment(&buckets[0], key, &mut random.clone(), &mut out);
    assert_eq!(opened, Err(OpenError::NotDerivedFromContent));
}

#[test]
fn content_that_decompresses_to_something_else_is_refused() {
    let key = SegmentKey::random();
    let bomb = zstd::bulk::compress(&vec![0; 100 << 20], 1).unwrap();
    let fitting = zstd::bulk::compress(&[b'x'; 5000], 1).unwrap();
    let half = fitting[..fitting.len() / 2].to_vec();
    let cases = [(5000, fitting.clone(), Ok(())), (5001, fitting.clone(), Err(())), (4999, fitting, Err(()))];
    let broken = [(5000, half, Err(())), (5000, vec![7; 99], Err(())), (1 << 20, bomb, Err(()))];
    for (plain_bytes, stored, expected) in cases.into_iter().chain(broken) {
        let segment = oracle::Segment { suite: 2, compression: 1, flags: 0, plain_bytes, stored };
        let mut out = Vec::new();
        let opened = open_segment(&key, &mut segment.seal(key.as_bytes()), &mut out);
        assert_eq!(opened, expected.map_err(|()| OpenError::Decompress));
        assert!(out.capacity() <= 1 << 20, "no more is allocated than the header allows");
        assert_eq!(out.len(), if expected.is_ok() { 5000 } else { 0 });
    }
}

#[test]
fn what_cannot_be_sealed() {
    let key = SegmentKey::random();
    let mut out = vec![0; sealed_bytes_of(SEGMENT_BYTES_MAX + 1)];
    let mut seal =
        |plain: &[u8], room: usize| seal_segment(&key, Cipher::Aes256Gcm, plain, true, &mut out[..room]);
    assert_eq!(seal(&[], 1000), Err(SealError::PlainLength(0)));
    let long = vec![0; SEGMENT_BYTES_MAX + 1];
    assert_eq!(seal(&long, sealed_bytes_of(long.len())), Err(SealError::PlainLength(long.len())));
    for have in [0, 47, 48, 163] {
        assert_eq!(seal(&[1; 100], have), Err(SealError::Room { need: 164, have }));
    }
    assert_eq!(seal(&[1; 100], 164), Ok(164));
}
