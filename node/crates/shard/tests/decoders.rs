//! Whatever a disk or a peer hands in, every decoder of this crate answers or refuses; none panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "support/dice.rs"]
mod dice;

use std::time::{Duration, Instant};

use datamesh_shard::limits::SEALED_BYTES_MAX;
use datamesh_shard::{ErasureProfile, NodeName, PeerKey, SegmentHeader, SegmentId, ShardIndex, ShardKey};
use dice::Dice;

const INPUTS: u32 = 100_000;
const TIME_MAX: Duration = Duration::from_secs(5);

fn below(dice: &mut Dice, end: u8) -> u8 {
    u8::try_from(dice.below(end.into())).unwrap()
}

fn header(dice: &mut Dice) -> SegmentHeader {
    let profile = ErasureProfile::new(1 + below(dice, 16), 1 + below(dice, 8)).unwrap();
    let leaves = (0..profile.total()).map(|_| dice.array()).collect();
    SegmentHeader::new(profile, u32::try_from(1 + dice.below(SEALED_BYTES_MAX)).unwrap(), leaves).unwrap()
}

/// Feeds mutated inputs to `decode`, which says whether it read them (and may panic, which fails the test).
fn hammer(name: &str, valid: impl Fn(&mut Dice) -> Vec<u8>, decode: impl Fn(&mut Dice, &[u8]) -> bool) {
    let mut dice = Dice::printed(name);
    let start = Instant::now();
    let (mut inputs, mut read) = (0, 0);
    while inputs < INPUTS && start.elapsed() < TIME_MAX {
        let valid = valid(&mut dice);
        assert!(decode(&mut dice, &valid), "the control: what was encoded decodes");
        for _ in 0..20 {
            let len = dice.below(120);
            let input = if dice.one_in(20) { dice.bytes(len) } else { dice.mutate(&valid) };
            read += u32::from(decode(&mut dice, &input));
            inputs += 1;
        }
    }
    println!("{name}: {inputs} inputs, {read} read, {:?}", start.elapsed());
    assert!(inputs > 1000 && read > 0 && read < inputs, "{inputs} inputs, {read} read");
}

#[test]
fn segment_headers() {
    hammer(
        "segment_headers",
        |dice| {
            let header = header(dice);
            let bytes = header.encode();
            assert_eq!(bytes.len(), SegmentHeader::encoded_bytes(header.profile()));
            assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            bytes.to_vec()
        },
        |dice, input| {
            let Ok(read) = SegmentHeader::decode(input) else { return false };
            assert_eq!(read.encode(), input);
            assert_eq!(read.leaves().len(), read.profile().total());
            assert!(read.shard_bytes() * read.profile().k() >= read.sealed_bytes() as usize);
            let payload = dice.bytes(40);
            let key = ShardKey { segment: read.id(), index: ShardIndex(below(dice, 255)) };
            assert!(read.verify(key, &payload).is_err(), "random bytes were believed");
            true
        },
    );
}

#[test]
fn shard_keys_and_profiles() {
    hammer(
        "shard_keys_and_profiles",
        |dice| {
            let profile = ErasureProfile::new(1 + below(dice, 16), 1 + below(dice, 8)).unwrap();
            let key = ShardKey { segment: SegmentId(dice.array()), index: ShardIndex(below(dice, 24)) };
            let bytes = postcard::to_stdvec(&(key, profile)).unwrap();
            assert_eq!(postcard::from_bytes::<(ShardKey, ErasureProfile)>(&bytes).unwrap(), (key, profile));
            bytes
        },
        |_, input| {
            let Ok((key, profile)) = postcard::from_bytes::<(ShardKey, ErasureProfile)>(input) else {
                return false;
            };
            assert!((1..=16).contains(&profile.k()) && (1..=8).contains(&profile.m()));
            postcard::to_stdvec(&(key, profile)).unwrap() == input[..35]
        },
    );
}

#[test]
fn names_and_keys_as_text() {
    hammer(
        "names_and_keys_as_text",
        |dice| {
            if dice.one_in(2) {
                return PeerKey(dice.array()).to_string().into_bytes();
            }
            let letters: Vec<u8> = (0..1 + dice.below(63)).map(|_| b"abcxyz019"[dice.below(9)]).collect();
            NodeName::new(std::str::from_utf8(&letters).unwrap()).unwrap().as_str().into()
        },
        |_, input| {
            let text = String::from_utf8_lossy(input);
            let name = text.parse::<NodeName>();
            let key = text.parse::<PeerKey>();
            if let Ok(name) = &name {
                assert!(name.as_str() == text && (1..=63).contains(&text.len()));
                assert_eq!(
                    serde_json::from_str::<NodeName>(&serde_json::to_string(name).unwrap()).unwrap(),
                    *name
                );
            }
            if let Ok(key) = key {
                assert_eq!(key.to_string(), text.to_lowercase());
                assert_eq!(
                    serde_json::from_str::<PeerKey>(&serde_json::to_string(&key).unwrap()).unwrap(),
                    key
                );
            }
            if let Err(error) = &name {
                assert!(error.to_string().len() < 1000, "a hostile name fills no log");
            }
            name.is_ok() || key.is_ok()
        },
    );
}
