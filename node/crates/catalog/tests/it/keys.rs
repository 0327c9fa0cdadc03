//! The order of keys' bytes is the order of tuples, and every key reads back.

use datamesh_catalog::keys::{KeyError, KeyReader, KeyWriter, Table};
use datamesh_catalog::keyspace::KeyRange;

use crate::support::Dice;

const ALPHABET: &[u8] = &[0, 0, 1, 2, b'/', 254, 255, 255];

#[test]
fn order_and_reading() {
    let mut dice = Dice::new("order_and_reading");
    let tuple =
        |dice: &mut Dice| (dice.next() % 3, dice.bytes(ALPHABET, 5), dice.bytes(ALPHABET, 3), dice.below(3));
    let encode = |(a, b, c, d): &(u64, Vec<u8>, Vec<u8>, usize)| {
        KeyWriter::new(Table::Object).u64(*a).bytes(b).bytes(c).u32(u32::try_from(*d).unwrap()).finish()
    };
    for _ in 0..20_000 {
        let (one, other) = (tuple(&mut dice), tuple(&mut dice));
        let (one_key, other_key) = (encode(&one), encode(&other));
        assert_eq!(one.cmp(&other), one_key.cmp(&other_key), "{one:?} {other:?}");
        let mut reader = KeyReader::new(&one_key, Table::Object).unwrap();
        let read =
            (reader.u64().unwrap(), reader.bytes().unwrap(), reader.bytes().unwrap(), reader.u32().unwrap());
        assert_eq!((read.0, read.1, read.2, usize::try_from(read.3).unwrap()), one);
        reader.end().unwrap();
    }
}

#[test]
fn a_prefix_range_has_exactly_the_keys_that_begin_so() {
    let mut dice = Dice::new("a_prefix_range_has_exactly_the_keys_that_begin_so");
    for _ in 0..20_000 {
        let (prefix, name) = (dice.bytes(ALPHABET, 3), dice.bytes(ALPHABET, 5));
        let range = KeyRange::prefix(KeyWriter::new(Table::Object).u64(1).bytes_prefix(&prefix).finish());
        let key = KeyWriter::new(Table::Object).u64(1).bytes(&name).finish();
        assert_eq!(range.contains(&key), name.starts_with(&prefix), "{prefix:?} {name:?}");
        let elsewhere = KeyWriter::new(Table::Object).u64(2).bytes(&name).finish();
        assert!(!range.contains(&elsewhere));
    }
}

#[test]
fn hostile_keys_are_refused() {
    let good = KeyWriter::new(Table::Object).u64(1).bytes(b"a\0b").finish();
    let read = |key: &[u8]| {
        let mut reader = KeyReader::new(key, Table::Object)?;
        let columns = (reader.u64()?, reader.bytes()?);
        reader.end()?;
        Ok(columns)
    };
    assert_eq!(read(&good), Ok((1, b"a\0b".to_vec())));
    for len in 0..good.len() {
        assert!(read(&good[..len]).is_err(), "cut at {len}");
    }
    assert_eq!(read(&[&good[..], &[9]].concat()), Err(KeyError::Long));
    assert_eq!(read(&[&[2], &good[1..]].concat()), Err(KeyError::Table));
    assert_eq!(read(&[&good[..10], &[0, 7, 0, 1]].concat()), Err(KeyError::Escape));
    assert!(KeyReader::new(&good, Table::Upload).is_err());
}
