//! The formats as they were first written; every later version reads these files.
//!
//! `UPDATE=1` writes them anew, which is right only together with a new version number.

use std::path::PathBuf;

use datamesh_shard::{ErasureProfile, Generation, Incarnation, SegmentId, ShardIndex, ShardKey};
use datamesh_store::format::{
    FILE_HEAD_BYTES, FileHead, LogNumber, LogRow, Position, RECORD_HEAD_BYTES, RecordHead, RecordKind,
    ShardRow, body_crc, decode_incarnation, decode_node_key, decode_shard_key, encode_incarnation,
    encode_node_key, encode_shard_key,
};

use crate::sample::{open, sample};

fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read(path).unwrap()
}

fn key() -> ShardKey {
    ShardKey {
        segment: SegmentId(std::array::from_fn(|at| 0xa0 ^ u8::try_from(at).unwrap())),
        index: ShardIndex(5),
    }
}

const HEADER: &[u8] = b"a segment header";
const PAYLOAD: &[u8] = b"the payload of a shard";

fn heads() -> [RecordHead; 3] {
    let shard = RecordHead {
        kind: RecordKind::Shard,
        key: key(),
        generation: Generation(0x0102_0304_0506_0708),
        header_bytes: u16::try_from(HEADER.len()).unwrap(),
        payload_bytes: u32::try_from(PAYLOAD.len()).unwrap(),
        log: LogNumber(0x1122_3344),
        body_crc: body_crc(HEADER, PAYLOAD),
    };
    let note = RecordHead { header_bytes: 0, payload_bytes: 0, body_crc: 0, ..shard };
    [shard, RecordHead { kind: RecordKind::Raise, ..note }, RecordHead { kind: RecordKind::Delete, ..note }]
}

#[test]
fn log_records_are_what_they_were() {
    let file = FileHead { log: LogNumber(0x1122_3344), incarnation: Incarnation(77) };
    let mut log = file.encode().to_vec();
    for head in heads() {
        log.extend(head.encode(log.len() as u64));
        if head.kind == RecordKind::Shard {
            log.extend([HEADER, PAYLOAD].concat());
        }
    }
    let golden = golden("log-v1.bin", &log);
    assert_eq!(golden, log);

    assert_eq!(FileHead::decode(&golden, file.log).unwrap(), file);
    let mut at = FILE_HEAD_BYTES;
    for expected in heads() {
        let head = RecordHead::decode(&golden[at..], file.log, at as u64).unwrap();
        assert_eq!(head, expected);
        at += RECORD_HEAD_BYTES;
        head.check_body(&golden[at..at + head.body_bytes()]).unwrap();
        at += head.body_bytes();
    }
    assert_eq!(at, golden.len());
}

#[test]
fn the_checksum_is_crc_32c() {
    // By the check value of the published catalogue, not by our own word.
    assert_eq!(body_crc(b"1234", b"56789"), 0xe306_9283);
    assert_eq!(body_crc(b"", b""), 0);
}

#[test]
fn index_rows_are_what_they_were() {
    let row = ShardRow {
        log: LogNumber(300),
        offset: 123_456_789_012,
        header_bytes: 200,
        payload_bytes: 1_048_576,
        generation: Generation(9),
        corrupt: true,
        profile: ErasureProfile::new(4, 2).unwrap(),
    };
    let log = LogRow {
        bytes: 1 << 28,
        live_bytes: 1 << 27,
        payload_bytes: 1 << 26,
        live_shards: 127,
        corrupt_shards: 2,
    };
    let position = Position { log: LogNumber(300), offset: 1 << 28 };
    let rows = [
        encode_shard_key(key()).to_vec(),
        row.encode().unwrap(),
        log.encode().unwrap(),
        position.encode().unwrap(),
        encode_incarnation(Incarnation(1000)).unwrap(),
        encode_node_key(b"a key"),
    ];
    let text: String = rows
        .iter()
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect();
    let golden = String::from_utf8(golden("index-rows-v2.hex", text.as_bytes())).unwrap();
    assert_eq!(golden, text);

    let lines: Vec<Vec<u8>> = golden.lines().map(bytes_of).collect();
    assert_eq!(decode_shard_key(&lines[0]).unwrap(), key());
    assert_eq!(ShardRow::decode(&lines[1]).unwrap(), row);
    assert_eq!(LogRow::decode(&lines[2]).unwrap(), log);
    assert_eq!(Position::decode(&lines[3]).unwrap(), position);
    assert_eq!(decode_incarnation(&lines[4]).unwrap(), Incarnation(1000));
    assert_eq!(decode_node_key(lines[5].clone()).unwrap(), b"a key");
    assert!(decode_node_key(vec![2, 1]).is_err() && decode_node_key(vec![]).is_err());
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn a_store_writes_what_the_golden_file_describes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = sample(1, 50);
    shard.put(&store, 3).await;
    store.delete(shard.key, Generation(4)).await.unwrap();
    let log = std::fs::read(dir.path().join("logs/0000000001.log")).unwrap();
    let number = LogNumber(1);
    assert_eq!(
        FileHead::decode(&log, number).unwrap(),
        FileHead { log: number, incarnation: store.incarnation() }
    );
    let head = RecordHead::decode(&log[32..], number, 32).unwrap();
    assert_eq!((head.kind, head.key, head.generation), (RecordKind::Shard, shard.key, Generation(3)));
    head.check_body(&log[96..96 + head.body_bytes()]).unwrap();
    let at = 32 + usize::try_from(head.record_bytes()).unwrap();
    let head = RecordHead::decode(&log[at..], number, at as u64).unwrap();
    assert_eq!((head.kind, head.key, head.generation), (RecordKind::Delete, shard.key, Generation(4)));
    assert_eq!(log.len(), at + RECORD_HEAD_BYTES);
}
