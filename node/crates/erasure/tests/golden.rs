//! The parity bytes that every version of DataMesh must make, on every kind of processor.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

#[path = "../../shard/tests/support/dice.rs"]
mod dice;
#[path = "support/plain.rs"]
mod plain;

use datamesh_erasure::Coder;
use datamesh_shard::ErasureProfile;
use dice::Dice;

/// Lines: profile, shard bytes, BLAKE3 of all parity bytes, the first bytes of the first parity shard.
const GOLDEN: &str = include_str!("golden/parity-v1.txt");
const PROFILES: [(u8, u8); 6] = [(1, 1), (2, 1), (4, 2), (8, 4), (10, 4), (16, 8)];
const SHARD_BYTES: [usize; 5] = [1, 5, 37, 1024, 4099];

fn data(profile: ErasureProfile, shard_bytes: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::of(&format!("datamesh erasure golden {profile} {shard_bytes}"));
    (0..profile.k()).map(|_| dice.bytes(shard_bytes)).collect()
}

fn line(profile: ErasureProfile, shard_bytes: usize, parity: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let first = hex(&parity[..parity.len().min(shard_bytes).min(8)]);
    format!("{profile} {shard_bytes} {} {first}\n", blake3::hash(parity).to_hex())
}

fn lines(parity_of: impl Fn(ErasureProfile, &[Vec<u8>]) -> Vec<u8>) -> String {
    let mut text = String::new();
    for (k, m) in PROFILES {
        let profile = ErasureProfile::new(k, m).unwrap();
        for shard_bytes in SHARD_BYTES {
            text += &line(profile, shard_bytes, &parity_of(profile, &data(profile, shard_bytes)));
        }
    }
    text
}

#[test]
fn parity_is_the_golden_parity() {
    let made = lines(|profile, data| {
        let shard_bytes = data[0].len();
        let mut buffer = data.concat();
        buffer.resize(shard_bytes * profile.total(), 0xee);
        Coder::new(profile).encode_in_place(&mut buffer, shard_bytes).unwrap();
        assert_eq!(buffer[..shard_bytes * profile.k()], data.concat(), "data shards stay as they are");
        buffer.split_off(shard_bytes * profile.k())
    });
    assert_eq!(made, GOLDEN);
}

#[test]
fn the_textbook_makes_the_golden_parity() {
    assert_eq!(lines(|profile, data| plain::parity(data, profile.m()).concat()), GOLDEN);
}

#[test]
fn every_instruction_set_makes_the_golden_parity() {
    let mut tried = Vec::new();
    for name in ["scalar", "ssse3", "avx2", "gfni", "neon", "auto"] {
        let Some(kernels) = rusty_erasure::kernels_named(name) else { continue };
        tried.push(name);
        let made = lines(|profile, data| {
            let matrix = rusty_erasure::Matrix::cauchy(profile.k(), profile.m()).unwrap();
            let coder = rusty_erasure::Coder::with_kernels(matrix, kernels).unwrap();
            let from: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let mut parity = vec![vec![0; data[0].len()]; profile.m()];
            coder.encode(&from, &mut parity.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>()).unwrap();
            parity.concat()
        });
        assert_eq!(made, GOLDEN, "{name}");
    }
    assert!(tried.len() >= 2, "only {tried:?} could be tried");
}

#[test]
fn the_textbook_field_is_the_field_of_another_library() {
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(plain::mul(a, b), reed_solomon_erasure::galois_8::mul(a, b), "{a} x {b}");
        }
        assert!(a == 0 || plain::mul(a, plain::inverse(a)) == 1);
    }
}
