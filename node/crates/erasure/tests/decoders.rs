//! Whatever a peer sends, the coder answers or refuses; it never panics, and it touches no output that it refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "../../shard/tests/support/dice.rs"]
mod dice;

use std::time::{Duration, Instant};

use datamesh_erasure::{CodeError, Coder};
use datamesh_shard::limits::{SEALED_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{ErasureProfile, ShardIndex};
use dice::Dice;

const INPUTS: u32 = 100_000;
const TIME_MAX: Duration = Duration::from_secs(5);

/// One call of `rebuild` in which lengths, places, indices and outputs may each be wrong.
fn rebuild_something(dice: &mut Dice) -> bool {
    let profile = ErasureProfile::new(
        1 + u8::try_from(dice.below(16)).unwrap(),
        1 + u8::try_from(dice.below(8)).unwrap(),
    )
    .unwrap();
    let coder = Coder::new(profile);
    let shard_bytes = 1 + dice.below(80);
    let mut buffer = dice.bytes(shard_bytes * profile.total());
    coder.encode_in_place(&mut buffer, shard_bytes).unwrap();
    let mut shards: Vec<Vec<u8>> = buffer.chunks_exact(shard_bytes).map(<[u8]>::to_vec).collect();
    let truth = shards.clone();
    let mut right = true;
    if dice.one_in(8) {
        let at = dice.below(shards.len());
        shards[at] = dice.mutate(&truth[at]);
        right = false;
    }
    if dice.one_in(16) {
        shards.resize(dice.below(40), vec![0; shard_bytes]);
        right = false;
    }
    let lost = 1 + dice.below(8);
    let present: Vec<Option<&[u8]>> =
        shards.iter().map(|shard| (!dice.one_in(lost + 1)).then_some(shard.as_slice())).collect();
    let index_end = if dice.one_in(8) { 256 } else { profile.total() };
    let wanted: Vec<ShardIndex> =
        (0..dice.below(4)).map(|_| ShardIndex(u8::try_from(dice.below(index_end)).unwrap())).collect();
    let outputs = if dice.one_in(16) { dice.below(5) } else { wanted.len() };
    let mut out: Vec<Vec<u8>> = (0..outputs)
        .map(|_| vec![0xee; if dice.one_in(32) { dice.below(90) } else { shard_bytes }])
        .collect();
    let mut slices: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    match coder.rebuild(&present, &wanted, &mut slices) {
        Ok(()) if right => {
            for (index, out) in wanted.iter().zip(&out) {
                assert_eq!(*out, truth[index.at()], "{profile} {index}");
            }
            true
        }
        Ok(()) => true,
        Err(_) => {
            assert!(out.iter().flatten().all(|&byte| byte == 0xee), "refused, yet written");
            false
        }
    }
}

#[test]
fn rebuild_never_panics() {
    let mut dice = Dice::printed("rebuild_never_panics");
    let start = Instant::now();
    let (mut rebuilt, mut refused) = (0u32, 0u32);
    while rebuilt + refused < INPUTS && start.elapsed() < TIME_MAX {
        if rebuild_something(&mut dice) { rebuilt += 1 } else { refused += 1 }
    }
    println!("{rebuilt} rebuilt, {refused} refused in {:?}", start.elapsed());
    assert!(rebuilt > 500 && refused > 500);
}

#[test]
fn encode_refuses_what_does_not_fit() {
    let coder = Coder::new(ErasureProfile::new(4, 2).unwrap());
    let mut buffer = vec![0; 600];
    assert_eq!(coder.encode_in_place(&mut buffer, 0), Err(CodeError::ShardBytes(0)));
    assert_eq!(
        coder.encode_in_place(&mut buffer, SHARD_BYTES_MAX + 1),
        Err(CodeError::ShardBytes(SHARD_BYTES_MAX + 1))
    );
    assert_eq!(coder.encode_in_place(&mut buffer, 99), Err(CodeError::Buffer { expected: 594, got: 600 }));
    assert_eq!(coder.encode_in_place(&mut buffer, 100), Ok(()));
    assert_eq!(coder.encode_segment(&mut buffer, 0), Err(CodeError::SealedBytes(0)));
    assert_eq!(coder.encode_segment(&mut buffer, 401), Err(CodeError::Buffer { expected: 606, got: 600 }));
    assert_eq!(coder.encode_segment(&mut buffer, 400), Ok(100));
}

#[test]
fn a_segment_above_the_limit_is_refused_for_every_profile() {
    for k in [1, 4, 16] {
        let coder = Coder::new(ErasureProfile::new(k, 1).unwrap());
        let mut buffer = vec![0; SEALED_BYTES_MAX * 2 + 64];
        assert_eq!(
            coder.encode_segment(&mut buffer, SEALED_BYTES_MAX + 1),
            Err(CodeError::SealedBytes(SEALED_BYTES_MAX + 1))
        );
        assert!(coder.encode_segment(&mut buffer, SEALED_BYTES_MAX).is_ok());
    }
}
