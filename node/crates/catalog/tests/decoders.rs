//! Every record decoder: golden files of version 1 read for ever, and hostile bytes are refused without harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

#[path = "decoders/samples.rs"]
mod samples;

use std::collections::BTreeMap;

use datamesh_catalog::Cursor;
use datamesh_catalog::engine::row;
use datamesh_catalog::record::{self, HeadRecord, Record, RecordError};
use samples::{Sample, keys, samples};

const RECORDS: &str = include_str!("golden/records-v1.txt");
const KEYS: &str = include_str!("golden/keys-v1.txt");

/// Lines of a name and hexadecimal bytes.
fn golden(text: &str) -> BTreeMap<String, Vec<u8>> {
    let line = |line: &str| {
        let (name, bytes) = line.split_once(' ').unwrap();
        (name.to_owned(), hex::decode(bytes).unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

#[test]
fn golden_records() {
    let golden = golden(RECORDS);
    let samples = samples();
    for Sample { name, bytes, .. } in &samples {
        println!("{name} {}", hex::encode(bytes));
    }
    for Sample { name, bytes, reads_as_itself, .. } in &samples {
        let stored = golden.get(*name).unwrap_or_else(|| panic!("{name} has no golden bytes"));
        assert!(reads_as_itself(stored), "{name}: the golden bytes read otherwise");
        assert_eq!(hex::encode(bytes), hex::encode(stored), "{name}: is written otherwise");
    }
    assert_eq!(golden.len(), samples.len(), "a golden record without a sample");
}

#[test]
fn golden_keys() {
    let golden = golden(KEYS);
    let keys = keys();
    for (name, key) in &keys {
        println!("{name} {}", hex::encode(key));
    }
    for (name, key) in &keys {
        assert_eq!(golden.get(*name).map(hex::encode), Some(hex::encode(key)), "{name}");
    }
    assert_eq!(golden.len(), keys.len());
}

#[test]
fn mutated_records_never_harm() {
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let given = std::env::var("DATAMESH_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = given.unwrap_or_else(|| u64::try_from(clock & u128::from(u64::MAX)).unwrap());
    println!("mutated_records_never_harm: DATAMESH_SEED={seed}");
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let (mut refused, mut read) = (0, 0);
    for Sample { bytes, decodes, .. } in samples() {
        for _ in 0..4000 {
            let mut hostile = bytes.clone();
            for _ in 0..1 + next() % 3 {
                let at = next() % (hostile.len() + 1);
                match next() % 4 {
                    0 => hostile.truncate(at),
                    1 => hostile.insert(at, u8::try_from(next() % 256).unwrap()),
                    2 => hostile.extend_from_slice(&[255; 5]),
                    _ if at < hostile.len() => hostile[at] = u8::try_from(next() % 256).unwrap(),
                    _ => {}
                }
            }
            let outcome = decodes(&hostile);
            refused += usize::from(!outcome);
            read += usize::from(outcome);
            drop((HeadRecord::decode(&hostile), row::decode(&hostile), Cursor::decode(&hostile)));
        }
    }
    println!("{refused} refused, {read} read");
    assert!(refused > 10_000 && read > 1000, "mutations must hit both: {refused} refused, {read} read");
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for Sample { name, bytes, decodes, .. } in samples() {
        assert!(decodes(&bytes), "{name}");
        for len in 0..bytes.len() {
            assert!(!decodes(&bytes[..len]), "{name} cut to {len}");
        }
        assert!(!decodes(&[&bytes[..], &[0]].concat()), "{name} with a byte more");
        for version in [0, 2, 255].into_iter().filter(|version| *version != bytes[0]) {
            let mut other = bytes.clone();
            other[0] = version;
            assert!(!decodes(&other), "{name} of version {version}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    type Bucket = record::BucketRecord;
    assert_eq!(record::decode::<Bucket>(&[]), Err(RecordError::Empty { record: Bucket::NAME }));
    let version = RecordError::Version { record: Bucket::NAME, version: 9 };
    assert_eq!(record::decode::<Bucket>(&[9, 1]), Err(version));
    let long = vec![1; 3 << 20];
    assert!(matches!(record::decode::<Bucket>(&long), Err(RecordError::Long { .. })));
    // A length of 2^35 is refused before anything of that size is allocated.
    let hostile = [1, 255, 255, 255, 255, 127];
    assert!(matches!(record::decode::<record::LayoutRecord>(&hostile), Err(RecordError::Malformed { .. })));
}
