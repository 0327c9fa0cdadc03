//! The build that seals nothing, for the positive control of the blindness test:
//! `cargo test -p datamesh-seal --features unsealed-for-blindness-test`. A build that seals refuses what it made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

use datamesh_seal::{
    SealHeader, SegmentKey, UNSEALED, open_frame, open_segment, seal_segment, sealed_bytes_of,
};
use datamesh_shard::Cipher;

const CANARY: &[u8] = b"a canary that sings where it can be heard";

#[test]
fn the_canary_is_found_when_and_only_when_nothing_is_sealed() {
    let key = SegmentKey::random();
    let plain = CANARY.repeat(4000);
    let mut sealed = vec![0; sealed_bytes_of(plain.len())];
    seal_segment(&key, Cipher::Aes256Gcm, &plain, false, &mut sealed).unwrap();
    assert_eq!(sealed.windows(CANARY.len()).any(|window| window == CANARY), UNSEALED);
    let header = SealHeader::decode(&sealed).unwrap();
    let mut frame = sealed[header.frame_range(1)].to_vec();
    let opened = open_frame(&key, &header, 1, &mut frame).unwrap();
    assert_eq!(frame[..opened], plain[65_536..131_072]);
    let mut opened = Vec::new();
    open_segment(&key, &mut sealed, &mut opened).unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn neither_build_reads_what_the_other_made() {
    let key = SegmentKey::random();
    let mut sealed = vec![0; sealed_bytes_of(5)];
    seal_segment(&key, Cipher::Aes256Gcm, b"hello", false, &mut sealed).unwrap();
    sealed[3] ^= 0x80;
    let check = blake3::hash(&sealed[..12]);
    sealed[44..48].copy_from_slice(&check.as_bytes()[..4]);
    let refused = SealHeader::decode(&sealed).expect_err("a segment of the other build was read");
    assert!(matches!(refused, datamesh_seal::SealHeaderError::Flags(_)), "{refused}");
}
