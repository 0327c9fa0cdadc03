//! Decoders on bytes that are almost right: never a panic, never a value that is not written the same way again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; the lints spare only the test functions"
)]

use datamesh_shard::{ErasureProfile, Generation, Incarnation, SegmentId, ShardIndex, ShardKey};
use datamesh_store::format::{
    FileHead, LogNumber, LogRow, Position, RecordHead, RecordKind, ShardRow, decode_incarnation,
    decode_shard_key, encode_incarnation, encode_shard_key,
};

const ROUNDS: usize = 40_000;
const OFFSET: u64 = 4096;
const LOG: LogNumber = LogNumber(7);

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// One to three small changes.
fn mutate(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let byte = random.next().to_le_bytes()[0];
        match random.below(5) {
            0 if !out.is_empty() => out.truncate(random.below(out.len())),
            1 => out.push(byte),
            2 if !out.is_empty() => out.insert(random.below(out.len()), byte),
            3 if !out.is_empty() => {
                let at = random.below(out.len());
                out[at] ^= 1 << random.below(8);
            }
            _ if !out.is_empty() => {
                let at = random.below(out.len());
                out[at] = byte;
            }
            _ => {}
        }
    }
    out
}

fn seed() -> u64 {
    let seed = std::env::var("DECODER_SEED").map_or_else(
        |_| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        |seed| seed.parse().unwrap(),
    );
    println!("run again with DECODER_SEED={seed}");
    seed
}

fn record() -> RecordHead {
    RecordHead {
        kind: RecordKind::Shard,
        key: ShardKey { segment: SegmentId([9; 32]), index: ShardIndex(3) },
        generation: Generation(1 << 40),
        header_bytes: 200,
        payload_bytes: 1 << 20,
        log: LOG,
        body_crc: 0xdead_beef,
    }
}

#[test]
fn changed_heads_are_refused() {
    let mut random = Random(seed());
    let (record, file) =
        (record().encode(OFFSET), FileHead { log: LOG, incarnation: Incarnation(5) }.encode());
    // The control: unchanged they are read.
    RecordHead::decode(&record, LOG, OFFSET).unwrap();
    FileHead::decode(&file, LOG).unwrap();
    assert!(RecordHead::decode(&record, LOG, OFFSET + 1).is_err(), "a record elsewhere is no record");
    assert!(RecordHead::decode(&record, LogNumber(8), OFFSET).is_err(), "nor is one in another file");
    for _ in 0..ROUNDS {
        let changed = mutate(&mut random, &record);
        if changed.get(..record.len()) != Some(&record[..]) {
            RecordHead::decode(&changed, LOG, OFFSET).unwrap_err();
        }
        let changed = mutate(&mut random, &file);
        if changed.get(..file.len()) != Some(&file[..]) {
            FileHead::decode(&changed, LOG).unwrap_err();
        }
    }
}

#[test]
fn heads_with_right_checksums_and_wrong_values_are_refused() {
    let good = record();
    let refused = |head: RecordHead| RecordHead::decode(&head.encode(OFFSET), LOG, OFFSET).unwrap_err();
    refused(RecordHead { header_bytes: 777, ..good });
    refused(RecordHead { payload_bytes: (4 << 20) + (2 << 10), ..good });
    refused(RecordHead { kind: RecordKind::Delete, ..good });
    refused(RecordHead { log: LogNumber(8), ..good });
}

#[test]
fn changed_rows_are_refused_or_read_as_what_they_say() {
    let mut random = Random(seed());
    let profile = ErasureProfile::new(4, 2).unwrap();
    let shard = ShardRow::of(&record(), OFFSET, profile).encode().unwrap();
    let log = LogRow { bytes: 1 << 28, live_bytes: 5, payload_bytes: 300, live_shards: 1, corrupt_shards: 0 };
    let log = log.encode().unwrap();
    let position = Position { log: LOG, offset: OFFSET }.encode().unwrap();
    let incarnation = encode_incarnation(Incarnation(u64::MAX)).unwrap();
    let key = encode_shard_key(record().key);
    let mut read = 0;
    for _ in 0..ROUNDS {
        if let Ok(row) = ShardRow::decode(&mutate(&mut random, &shard)) {
            assert!(row.record_bytes() < 5 << 20 && row.end() > row.offset);
            assert_eq!(ShardRow::decode(&row.encode().unwrap()).unwrap(), row);
            read += 1;
        }
        if let Ok(row) = LogRow::decode(&mutate(&mut random, &log)) {
            assert_eq!(LogRow::decode(&row.encode().unwrap()).unwrap(), row);
        }
        if let Ok(row) = Position::decode(&mutate(&mut random, &position)) {
            assert_eq!(Position::decode(&row.encode().unwrap()).unwrap(), row);
        }
        if let Ok(row) = decode_incarnation(&mutate(&mut random, &incarnation)) {
            assert_eq!(decode_incarnation(&encode_incarnation(row).unwrap()).unwrap(), row);
        }
        let changed = mutate(&mut random, &key);
        if let Ok(key) = decode_shard_key(&changed) {
            assert_eq!(encode_shard_key(key)[..], changed);
        }
    }
    assert!(read > 0, "no changed row was read: the mutations are too coarse to test anything");
}
