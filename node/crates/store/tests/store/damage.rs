//! Damage inside logs whose index is lost or behind: it costs what it hit and nothing behind it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use datamesh_shard::Generation;
use datamesh_store::format::{LogNumber, RecordHead, RecordKind, body_crc};
use datamesh_store::{OpenError, Recovery, Store};

use crate::sample::{Sample, copy_dir, memory_dir, open, options, sample};

pub(crate) const FILE_HEAD: u64 = 32;
pub(crate) const HEAD: usize = 64;
/// Bytes of the payloads of [`Case`], and of its records.
const PAYLOAD: usize = 40;
const RECORD: u64 = 176;

pub(crate) fn log(dir: &Path, number: u32) -> PathBuf {
    dir.join("logs").join(LogNumber(number).file_name())
}

fn read(path: &Path, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    OpenOptions::new().read(true).open(path).unwrap().read_exact_at(&mut bytes, at).unwrap();
    bytes
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Turns over every bit of `len` bytes.
pub(crate) fn damage(path: &Path, at: u64, len: usize) {
    let bytes: Vec<u8> = read(path, at, len).iter().map(|byte| !byte).collect();
    write(path, at, &bytes);
}

/// A copy to spoil.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = memory_dir();
    copy_dir(dir, copy.path());
    copy
}

/// Five shards in one log; in the folder `behind` the index knows only the first, in `lost` there is none.
struct Case {
    dir: tempfile::TempDir,
    shards: [Sample; 5],
}

impl Case {
    async fn new() -> Self {
        let dir = memory_dir();
        let made = dir.path().join("made");
        let shards = [1, 2, 3, 4, 5].map(|number| sample(number, PAYLOAD));
        let store = open(&made);
        shards[0].put(&store, 0).await;
        store.close().await.unwrap();
        copy_dir(&made.join("index"), &dir.path().join("behind/index"));
        let store = open(&made);
        for shard in &shards[1..] {
            shard.put(&store, 0).await;
        }
        store.close().await.unwrap();
        copy_dir(&made.join("logs"), &dir.path().join("behind/logs"));
        copy_dir(&made.join("logs"), &dir.path().join("lost/logs"));
        assert_eq!(std::fs::metadata(log(&made, 1)).unwrap().len(), Self::at(5));
        Self { dir, shards }
    }

    /// Where the record of a shard begins.
    const fn at(shard: u64) -> u64 {
        FILE_HEAD + shard * RECORD
    }

    fn copy(&self, which: &str) -> tempfile::TempDir {
        copy_of(&self.dir.path().join(which))
    }

    /// Which of the shards are there.
    async fn there(&self, store: &Store) -> Vec<usize> {
        let mut there = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.is_whole(store).await {
                there.push(number);
            }
        }
        there
    }
}

#[tokio::test]
async fn a_damaged_head_costs_its_record_and_none_behind_it() {
    let case = Case::new().await;
    for (which, known) in [("behind", 1), ("lost", 0)] {
        // The control: undamaged, all are found and nothing is mended.
        let dir = case.copy(which);
        let store = open(dir.path());
        assert_eq!(store.recovery(), Recovery { indexed_records: 5 - known, ..Recovery::default() });
        assert_eq!(case.there(&store).await, [0, 1, 2, 3, 4]);
        for byte in 0..HEAD as u64 {
            let dir = case.copy(which);
            damage(&log(dir.path(), 1), Case::at(2) + byte, 1);
            let store = open(dir.path());
            let mended = Recovery { indexed_records: 4 - known, damaged_records: 1, ..Recovery::default() };
            assert_eq!(store.recovery(), mended, "{which}, byte {byte}");
            assert_eq!(case.there(&store).await, [0, 1, 3, 4], "{which}, byte {byte}");
            assert_eq!(store.usage().shards, 4);
            // And it goes on behind the last one (tried for some, since each reopening takes its time).
            if byte % 16 > 0 {
                continue;
            }
            case.shards[2].put(&store, 0).await;
            drop(store);
            let store = open(dir.path());
            assert_eq!(store.recovery(), Recovery::default(), "{which}, byte {byte}");
            assert_eq!(case.there(&store).await, [0, 1, 2, 3, 4], "{which}, byte {byte}");
        }
    }
}

#[tokio::test]
async fn damage_is_named_with_file_and_offset() {
    let case = Case::new().await;
    let dir = case.copy("lost");
    let said = dir.path().join("said");
    let writer = File::create(&said).unwrap();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    // As long as there is but one subscriber, a test on a thread without it that comes by a warning first would switch
    // the warning off for this one too.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().finish());
    // Two heads next to each other are one part, the broken body of the fourth another one.
    damage(&log(dir.path(), 1), Case::at(0), 2 * usize::try_from(RECORD).unwrap());
    damage(&log(dir.path(), 1), Case::at(4) - 1, 1);
    let store = tracing::subscriber::with_default(subscriber, || open(dir.path()));
    assert_eq!(store.recovery().damaged_records, 2);
    assert_eq!(case.there(&store).await, [2, 4]);
    let text = std::fs::read_to_string(said).unwrap();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{text}");
    for (warning, at, bytes) in [(warnings[0], 0, 2 * RECORD), (warnings[1], 3, RECORD)] {
        let path = log(dir.path(), 1).display().to_string();
        for named in [path, format!("offset={} ", Case::at(at)), format!("bytes={bytes}")] {
            assert!(warning.contains(&named), "{warning:?} does not name {named:?}");
        }
    }
}

/// The end of a log that holds five records.
struct Tail {
    name: &'static str,
    /// Bytes that are not what was written.
    damaged: &'static [u64],
    /// The file's length.
    bytes: u64,
    /// What is written behind the last record.
    appended: Vec<u8>,
    /// Whole records in front of it.
    left: u8,
}

fn tails() -> [Tail; 5] {
    const HEADS: [u64; 2] = [Case::at(3), Case::at(4) + 63];
    const BODIES: [u64; 2] = [Case::at(4) - 1, Case::at(5) - 1];
    let end = Case::at(5);
    let tail = |name, damaged, left| Tail { name, damaged, bytes: end, appended: Vec::new(), left };
    let noise = sample(9, 3 << 20).payload.to_vec();
    [
        tail("a head, then a body", &[HEADS[0], BODIES[1]], 3),
        tail("a body, then a head", &[BODIES[0], HEADS[1]], 3),
        Tail { bytes: end - 1, ..tail("a head, then half a record", &[HEADS[0]], 3) },
        Tail { appended: noise, ..tail("a head, then noise", &[HEADS[1]], 4) },
        Tail { appended: vec![0; 200_000], ..tail("zeros", &[], 5) },
    ]
}

#[tokio::test]
async fn a_tail_without_a_whole_record_is_cut_whatever_it_consists_of() {
    let case = Case::new().await;
    for Tail { name, damaged, bytes, appended, left } in tails() {
        let dir = case.copy("behind");
        let path = log(dir.path(), 1);
        damaged.iter().for_each(|at| damage(&path, *at, 1));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        write(&path, bytes, &appended);
        let store = open(dir.path());
        let truncated_bytes = bytes + appended.len() as u64 - Case::at(left.into());
        let indexed_records = u64::from(left) - 1;
        let mended = Recovery { indexed_records, truncated_bytes, ..Recovery::default() };
        assert_eq!(store.recovery(), mended, "{name}");
        assert_eq!(case.there(&store).await, (0..left.into()).collect::<Vec<_>>(), "{name}");
        case.shards[4].put(&store, 0).await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.recovery(), Recovery::default(), "{name}");
        assert!(case.shards[4].is_whole(&store).await, "{name}");
    }
}

#[tokio::test]
async fn the_next_record_is_found_wherever_it_begins() {
    // A search reads 16 KiB, then 32 from 63 bytes before the end of those, and so on: records that begin around the
    // ends of the first steps, and far behind.
    let around = |end: u64| end - 80..end + 5;
    let lengths: Vec<u64> = around(16 << 10).chain(around((48 << 10) - 62)).chain([5 << 20]).collect();
    let dir = memory_dir();
    let store = open(dir.path());
    let mut at = FILE_HEAD;
    let (mut lost, mut kept) = (Vec::new(), Vec::new());
    // Payloads have a limit, so the longest part is two records.
    let halves = |bytes: u64| if bytes > 1 << 20 { vec![bytes / 2; 2] } else { vec![bytes] };
    for (number, bytes) in (0..).zip(&lengths) {
        for (half, bytes) in (0..).zip(halves(*bytes)) {
            let shard = sample(1000 * half + number, usize::try_from(bytes - 136).unwrap());
            shard.put(&store, 0).await;
            lost.push(at);
            at += shard.record_bytes();
        }
        let shard = sample(9000 + number, 20);
        shard.put(&store, 0).await;
        at += shard.record_bytes();
        kept.push(shard);
    }
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    lost.iter().for_each(|at| damage(&log(dir.path(), 1), *at, HEAD));
    let store = open(dir.path());
    assert_eq!(store.recovery().damaged_records, lengths.len() as u64);
    assert_eq!(store.recovery().indexed_records, kept.len() as u64);
    for shard in &kept {
        assert!(shard.is_whole(&store).await);
    }
    assert_eq!(store.usage().shards, kept.len() as u64);
}

/// The head of a shard's record in `log`.
fn head_of(shard: &Sample, log: u32) -> RecordHead {
    RecordHead {
        kind: RecordKind::Shard,
        key: shard.key,
        generation: Generation(0),
        header_bytes: u16::try_from(shard.header.len()).unwrap(),
        payload_bytes: u32::try_from(shard.payload.len()).unwrap(),
        log: LogNumber(log),
        body_crc: body_crc(&shard.header, &shard.payload),
    }
}

#[tokio::test]
async fn a_record_of_another_place_is_none() {
    let made = memory_dir();
    let (before, hit, behind, stale) = (sample(1, 10), sample(2, 2000), sample(3, 10), sample(4, 40));
    let store = open(made.path());
    for shard in [&before, &hit, &behind] {
        shard.put(&store, 0).await;
    }
    store.close().await.unwrap();
    std::fs::remove_dir_all(made.path().join("index")).unwrap();
    let start = FILE_HEAD + before.record_bytes();
    let inside = start + 501;
    // The last is the control: a record that proves itself there is found.
    for (number, offset, is_found) in [(2, inside, false), (1, inside + 1, false), (1, inside, true)] {
        let dir = copy_of(made.path());
        let path = log(dir.path(), 1);
        damage(&path, start, HEAD);
        let head = head_of(&stale, number).encode(offset);
        write(&path, inside, &[&head[..], &stale.header, &stale.payload].concat());
        let store = open(dir.path());
        assert_eq!(stale.is_whole(&store).await, is_found, "log {number}, offset {offset}");
        assert_eq!(store.recovery().damaged_records, 1 + u64::from(is_found));
        assert!(before.is_whole(&store).await && behind.is_whole(&store).await);
        assert!(!hit.is_whole(&store).await);
    }
}

#[tokio::test]
async fn a_later_versions_record_behind_damage_is_refused_and_left_alone() {
    let case = Case::new().await;
    for (what, at, value) in [("version 2", 3, 2), ("kind 200", 4, 200)] {
        for checksum_holds in [true, false] {
            let dir = case.copy("lost");
            let path = log(dir.path(), 1);
            damage(&path, Case::at(2), 1);
            let mut head = read(&path, Case::at(3), HEAD);
            head[at] = value;
            if checksum_holds {
                let crc = crc_fast::crc32_iscsi(&[&head[..60], &Case::at(3).to_le_bytes()].concat());
                head[60..].copy_from_slice(&crc.to_le_bytes());
            }
            write(&path, Case::at(3), &head);
            let bytes = std::fs::read(&path).unwrap();
            match Store::open(dir.path(), options()) {
                Ok(store) => {
                    // The control: without its checksum it is damage like any other.
                    assert!(!checksum_holds, "{what} was opened");
                    assert_eq!(case.there(&store).await, [0, 1, 4]);
                }
                Err(error) => {
                    assert!(checksum_holds && matches!(error, OpenError::Log { .. }), "{error}");
                    assert!(error.to_string().contains(what), "{error}");
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
