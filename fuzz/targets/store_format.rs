//! Heads of log files and records, and rows of the index, as a store finds them on its disk. The module is compiled from
//! where it stands, without the rest of its crate: it is pure, and RocksDB is not built for fuzzing.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../node/crates/store/src"]
mod store {
    pub mod format;
}

use datamesh_fuzz as _;
use store::format::{
    FILE_HEAD_BYTES, FileHead, LogNumber, LogRow, Position, RECORD_HEAD_BYTES, RecordHead, ShardRow,
    body_crc, decode_incarnation, decode_node_key, decode_shard_key, encode_incarnation, encode_node_key,
    encode_shard_key,
};

const OFFSET: u64 = 32;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    rows(input);
    file_head(input);
    record(input);
    if let Some(log) = std::str::from_utf8(input).ok().and_then(LogNumber::from_file_name) {
        assert_eq!(log.file_name().as_bytes(), input);
    }
});

fn rows(input: &[u8]) {
    if let Ok(row) = ShardRow::decode(input) {
        assert!(row.end() > row.offset);
        assert_eq!(ShardRow::decode(&row.encode().unwrap()), Ok(row));
    }
    if let Ok(row) = LogRow::decode(input) {
        assert_eq!(LogRow::decode(&row.encode().unwrap()), Ok(row));
    }
    if let Ok(position) = Position::decode(input) {
        assert_eq!(Position::decode(&position.encode().unwrap()), Ok(position));
    }
    if let Ok(incarnation) = decode_incarnation(input) {
        assert_eq!(decode_incarnation(&encode_incarnation(incarnation).unwrap()), Ok(incarnation));
    }
    if let Ok(key) = decode_node_key(input.to_vec()) {
        assert_eq!(encode_node_key(&key), input);
    }
    if let Ok(key) = decode_shard_key(input) {
        assert_eq!(encode_shard_key(key), input);
    }
}

/// Chance finds no checksum: it is made right, so that what stands behind it is reached.
fn file_head(input: &[u8]) {
    let Some(mut head) = input.first_chunk::<FILE_HEAD_BYTES>().copied() else { return };
    let log = LogNumber(u32::from_le_bytes([head[8], head[9], head[10], head[11]]));
    let _ = FileHead::decode(&head, log);
    let crc = body_crc(&head[..28], &[]);
    head[28..].copy_from_slice(&crc.to_le_bytes());
    if let Ok(read) = FileHead::decode(&head, log) {
        assert_eq!(FileHead::decode(&read.encode(), log), Ok(read));
    }
}

fn record(input: &[u8]) {
    let Some((head, body)) = input.split_first_chunk::<RECORD_HEAD_BYTES>() else { return };
    let mut head = *head;
    let log = LogNumber(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
    let _ = RecordHead::decode(&head, log, OFFSET);
    head[56..60].copy_from_slice(&body_crc(body, &[]).to_le_bytes());
    let crc = body_crc(&head[..60], &OFFSET.to_le_bytes());
    head[60..].copy_from_slice(&crc.to_le_bytes());
    if let Ok(read) = RecordHead::decode(&head, log, OFFSET) {
        assert_eq!(read.encode(OFFSET), head);
        assert!(RecordHead::decode(&head, log, OFFSET + 1).is_err(), "a record elsewhere is no record");
        assert_eq!(read.check_body(body).is_ok(), body.len() == read.body_bytes());
    }
}
