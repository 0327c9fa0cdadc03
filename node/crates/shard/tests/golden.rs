//! The segment headers that every later version must read, and the ids they must have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

use datamesh_shard::{
    ErasureProfile, HeaderError, SegmentHeader, SegmentId, ShardError, ShardIndex, ShardKey, leaf_hash,
};

/// Lines: profile, sealed bytes, id, encoded header.
const GOLDEN: &str = include_str!("golden/segment-header-v1.txt");
const CASES: [(u8, u8, u32); 5] =
    [(1, 1, 1), (4, 2, 200), (4, 2, 4_195_376), (10, 4, 65_600), (16, 8, 4_195_376)];

/// Shards of a small segment: shard i is 50 times the byte i.
fn payload(index: u8, bytes: usize) -> Vec<u8> {
    vec![index; bytes]
}

fn header((data, parity, sealed_bytes): (u8, u8, u32)) -> SegmentHeader {
    let profile = ErasureProfile::new(data, parity).unwrap();
    let shard_bytes = SegmentHeader::shard_bytes_of(profile, sealed_bytes as usize);
    let leaves = (0..data + parity).map(|index| leaf_hash(&payload(index, shard_bytes))).collect();
    SegmentHeader::new(profile, sealed_bytes, leaves).unwrap()
}

fn line(header: &SegmentHeader) -> String {
    format!(
        "{} {} {} {}\n",
        header.profile(),
        header.sealed_bytes(),
        header.id(),
        hex::encode(header.encode())
    )
}

#[test]
fn this_version_writes_the_golden_headers() {
    let made: String = CASES.into_iter().map(|case| line(&header(case))).collect();
    print!("{made}");
    assert_eq!(made, GOLDEN);
}

#[test]
fn the_golden_headers_read() {
    assert_eq!(GOLDEN.lines().count(), CASES.len());
    for (text, case) in GOLDEN.lines().zip(CASES) {
        let [profile, sealed_bytes, id, bytes] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let read = SegmentHeader::decode(&hex::decode(bytes).unwrap()).unwrap();
        assert_eq!(read, header(case));
        assert_eq!(
            (read.profile().to_string().as_str(), read.sealed_bytes().to_string().as_str()),
            (profile, sealed_bytes)
        );
        assert_eq!(read.id().to_string(), id);
    }
}

/// The id as its description says it, field by field.
#[test]
fn an_id_is_the_hash_of_what_its_description_says() {
    for case in CASES {
        let header = header(case);
        let mut hasher = blake3::Hasher::new_derive_key("datamesh.io 2026 segment id");
        hasher.update(&[1, 1, case.0, case.1]).update(&case.2.to_le_bytes());
        for index in 0..case.0 + case.1 {
            hasher.update(blake3::hash(&payload(index, header.shard_bytes())).as_bytes());
        }
        assert_eq!(header.id(), SegmentId(hasher.finalize().into()));
        assert_eq!(header.id().top(), u64::from_be_bytes(header.id().0[..8].try_into().unwrap()));
    }
}

#[test]
fn every_flipped_byte_is_refused_or_names_another_segment() {
    let header = header((4, 2, 200));
    let bytes = header.encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.to_vec();
            altered[at] ^= 1 << bit;
            match (at, SegmentHeader::decode(&altered)) {
                (0, read) => assert_eq!(read, Err(HeaderError::Version(altered[0]))),
                (1, read) => assert_eq!(read, Err(HeaderError::Code(altered[1]))),
                (2..4, read) => {
                    assert!(matches!(read, Err(HeaderError::Profile(_) | HeaderError::Length(_))))
                }
                (4..8, Err(error)) => assert!(matches!(error, HeaderError::SealedBytes(_))),
                (_, read) => assert_ne!(read.unwrap().id(), header.id(), "byte {at} bit {bit}"),
            }
        }
    }
    for len in (0..bytes.len()).chain([bytes.len() + 1]) {
        let cut: Vec<u8> = bytes.iter().copied().chain([0]).take(len).collect();
        assert_eq!(SegmentHeader::decode(&cut), Err(HeaderError::Length(len)));
    }
}

#[test]
fn a_shard_is_proven_in_its_place_only() {
    let (one, other) = (header((4, 2, 200)), header((4, 2, 199)));
    let key = |segment, index| ShardKey { segment, index: ShardIndex(index) };
    let good = payload(3, 50);
    assert_eq!(one.verify(key(one.id(), 3), &good), Ok(()));
    assert_eq!(one.verify(key(other.id(), 3), &good), Err(ShardError::Segment(one.id())));
    assert_eq!(one.verify(key(one.id(), 2), &good), Err(ShardError::Leaf));
    assert_eq!(one.verify(key(one.id(), 6), &good), Err(ShardError::Index(ShardIndex(6))));
    assert_eq!(one.verify(key(one.id(), 3), &good[1..]), Err(ShardError::Length(49, 50)));
    assert_eq!(one.verify(key(one.id(), 3), &[&good[..], &[3]].concat()), Err(ShardError::Length(51, 50)));
    for at in 0..good.len() {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert_eq!(one.verify(key(one.id(), 3), &altered), Err(ShardError::Leaf), "byte {at}");
    }
}
