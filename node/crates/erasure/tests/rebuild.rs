//! Any k of the k+m shards bring every other one back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

#[path = "../../shard/tests/support/dice.rs"]
mod dice;
#[path = "support/plain.rs"]
mod plain;

use datamesh_erasure::{CodeError, Coder};
use datamesh_shard::{ErasureProfile, ShardIndex};
use dice::Dice;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

fn profile(k: u8, m: u8) -> ErasureProfile {
    ErasureProfile::new(k, m).unwrap()
}

fn encoded(profile: ErasureProfile, shard_bytes: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut buffer = dice.bytes(shard_bytes * profile.total());
    Coder::new(profile).encode_in_place(&mut buffer, shard_bytes).unwrap();
    buffer.chunks_exact(shard_bytes).map(<[u8]>::to_vec).collect()
}

fn survivors(shards: &[Vec<u8>], lost: u32) -> Vec<Option<&[u8]>> {
    shards.iter().enumerate().map(|(i, shard)| (lost >> i & 1 == 0).then_some(shard.as_slice())).collect()
}

fn rebuild(profile: ErasureProfile, shards: &[Vec<u8>], lost: u32) -> Result<Vec<Vec<u8>>, CodeError> {
    let wanted: Vec<ShardIndex> =
        (0u8..).take(shards.len()).filter(|i| lost >> i & 1 == 1).map(ShardIndex).collect();
    let mut out = vec![vec![0xee; shards[0].len()]; wanted.len()];
    let mut slices: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    Coder::new(profile).rebuild(&survivors(shards, lost), &wanted, &mut slices)?;
    Ok(out)
}

/// Rebuilds what `lost` names, compares it with what was there, and returns whether k were left.
fn check(profile: ErasureProfile, shards: &[Vec<u8>], lost: u32) -> bool {
    let lost_shards = lost.count_ones() as usize;
    if lost_shards > profile.m() {
        let expected = CodeError::TooFew { have: profile.total() - lost_shards, need: profile.k() };
        assert_eq!(rebuild(profile, shards, lost), Err(expected), "{profile} lost {lost:b}");
        return false;
    }
    let back = rebuild(profile, shards, lost).unwrap();
    let gone: Vec<Vec<u8>> = shards
        .iter()
        .enumerate()
        .filter(|(i, _)| lost >> i & 1 == 1)
        .map(|(_, shard)| shard.clone())
        .collect();
    assert_eq!(back, gone, "{profile} lost {lost:b}");
    true
}

#[test]
fn every_loss_of_small_profiles() {
    let mut dice = Dice::printed("every_loss_of_small_profiles");
    let (mut rebuilt, mut refused) = (0, 0);
    for (k, m) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 2), (4, 3), (6, 3), (4, 8), (8, 4), (10, 4)] {
        let profile = profile(k, m);
        let shard_bytes = 33 + dice.below(100);
        let shards = encoded(profile, shard_bytes, &mut dice);
        for lost in 0..1 << profile.total() {
            if check(profile, &shards, lost) { rebuilt += 1 } else { refused += 1 }
        }
    }
    assert!(rebuilt > 3000 && refused > 3000, "{rebuilt} rebuilt, {refused} refused");
}

#[test]
fn every_submatrix_of_every_profile_that_loses_all_data_it_can() {
    let mut dice = Dice::printed("every_profile");
    for k in 1..=16 {
        for m in 1..=8 {
            let profile = profile(k, m);
            let shards = encoded(profile, 3, &mut dice);
            for _ in 0..40 {
                let mut lost = 0u32;
                while (lost.count_ones() as usize) < profile.m() {
                    lost |= 1 << dice.below(profile.total());
                }
                assert!(check(profile, &shards, lost));
            }
        }
    }
}

#[test]
fn every_small_length_and_odd_large_ones() {
    let mut dice = Dice::printed("lengths");
    for shard_bytes in (1..300).chain([4095, 4096, 4097, 65_535, 262_225]) {
        for (k, m) in [(1, 1), (4, 2), (10, 4)] {
            let profile = profile(k, m);
            let shards = encoded(profile, shard_bytes, &mut dice);
            if shard_bytes < 300 {
                assert_eq!(shards[profile.k()..], plain::parity(&shards[..profile.k()], profile.m()));
            }
            assert!(check(profile, &shards, (1 << profile.m()) - 1));
        }
    }
}

#[test]
fn the_textbook_solves_what_the_engine_made() {
    let mut dice = Dice::printed("textbook");
    for (k, m) in [(1, 1), (4, 2), (10, 4), (16, 8)] {
        let profile = profile(k, m);
        let shards = encoded(profile, 19, &mut dice);
        let left: Vec<(usize, Vec<u8>)> = shards.iter().cloned().enumerate().skip(profile.m()).collect();
        assert_eq!(plain::solve(profile.k(), &left), shards[..profile.k()], "{profile}");
    }
}

#[test]
fn a_wrong_survivor_gives_a_wrong_shard() {
    // The positive control of the comparisons above, and the reason why survivors are checked against leaves first.
    let mut dice = Dice::printed("wrong survivor");
    let profile = profile(4, 2);
    let mut shards = encoded(profile, 100, &mut dice);
    let truth = shards[0].clone();
    shards[5][99] ^= 1;
    assert_ne!(rebuild(profile, &shards, 0b01_0001).unwrap()[0], truth);
}

#[test]
fn a_segment_is_padded_with_zeroes_whatever_the_buffer_held() {
    let profile = profile(4, 2);
    let coder = Coder::new(profile);
    for sealed_bytes in 1..60 {
        let sealed = Dice::of("padding").bytes(sealed_bytes);
        let made = |filler: u8| {
            let mut buffer = vec![filler; 200];
            buffer[..sealed_bytes].copy_from_slice(&sealed);
            let shard_bytes = coder.encode_segment(&mut buffer, sealed_bytes).unwrap();
            assert_eq!(shard_bytes, sealed_bytes.div_ceil(4));
            assert!(
                buffer[shard_bytes * 6..].iter().all(|&b| b == filler),
                "nothing behind the shards is touched"
            );
            buffer.truncate(shard_bytes * 6);
            buffer
        };
        let clean = made(0);
        assert_eq!(clean, made(0xff));
        assert_eq!(clean[..sealed_bytes], sealed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_k_of_any_profile_suffice(k in 1u8..=16, m in 1u8..=8, len in 1usize..700, seed in any::<u64>()) {
        let profile = profile(k, m);
        let mut dice = Dice::of(&seed.to_string());
        let shards = encoded(profile, len, &mut dice);
        let losses = dice.below(profile.m() + 1);
        let mut lost = 0u32;
        while (lost.count_ones() as usize) < losses {
            lost |= 1 << dice.below(profile.total());
        }
        prop_assert_eq!(check(profile, &shards, lost), true);
    }
}
