//! What the writer makes of a move, whatever came in front of it; and readers of files that go.

use std::collections::BTreeSet;
use std::sync::Barrier;

use datamesh_shard::{ErasureProfile, Incarnation};
use tokio::sync::oneshot;

use super::chance::numbered;
use super::*;
use crate::batch::{Batch, Job, PutJob};
use crate::compact::Moving;
use crate::compact::choice::Space;
use crate::format::{LogNumber, Position, ShardRow, body_crc};
use crate::index::Index;
use crate::log::ActiveLog;
use crate::log_reader::LogReader;
use crate::table::{Changes, LogTable};

const FROM: Position = Position { log: LogNumber(9), offset: 32 };
const ROW: ShardRow = ShardRow {
    log: FROM.log,
    offset: FROM.offset,
    header_bytes: 72,
    payload_bytes: 1000,
    generation: Generation(1),
    corrupt: false,
    profile: PROFILE,
};
const PROFILE: ErasureProfile = match ErasureProfile::new(1, 1) {
    Ok(profile) => profile,
    Err(_) => panic!("1+1 is a profile"),
};
const ROOM: Space = space(100 << 20, 0);

const fn space(free_bytes: u64, reserve_bytes: u64) -> Space {
    Space { log_bytes: 0, free_bytes, reserve_bytes, index_bytes: 2 << 20 }
}

fn moving(from: Position) -> Job {
    let (key, header, payload) = numbered(1);
    let body_crc = body_crc(&header, &payload);
    Job::Move(Moving { key, from, header, payload, body_crc })
}

fn putting(generation: u64) -> Job {
    let (key, header, payload) = numbered(1);
    let body_crc = body_crc(&header, &payload);
    let (answer, _) = oneshot::channel();
    Job::Put(PutJob { key, generation: Generation(generation), header, payload, body_crc, answer })
}

fn deleting() -> Job {
    let (answer, _) = oneshot::channel();
    Job::Delete { key: numbered(1).0, generation: Generation(99), answer }
}

/// Bytes written anew, and generation and place of the shard in the end.
type End = (bool, Option<(u64, Position)>);

fn after(jobs: impl IntoIterator<Item = Job>, space: &Space) -> (End, bool) {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), Disk::system()).unwrap();
    let table = LogTable::default();
    let mut batch = Batch::new(Changes::new(&index, &table), FROM, space);
    jobs.into_iter().for_each(|job| batch.add(job));
    let row = batch.changes.current(numbered(1).0).unwrap();
    let place = row.map(|row| (row.generation.0, Position { log: row.log, offset: row.offset }));
    ((batch.moved.bytes > 0, place), batch.moved.lacked_room)
}

#[test]
fn a_move_counts_only_if_the_shard_still_lies_where_it_was_read() {
    let (key, header, payload) = numbered(1);
    let record = (64 + header.len() + payload.len()) as u64;
    let at = |offset: u64| Position { offset: FROM.offset + offset, ..FROM };
    let end = |jobs: Vec<Job>| after(jobs, &ROOM).0;
    assert_eq!(end(vec![putting(3), moving(FROM)]), (true, Some((3, at(record)))), "the control");
    let raised = vec![putting(3), putting(7), moving(FROM)];
    assert_eq!(end(raised), (true, Some((7, at(record + 64)))), "the note of the raise lies between");
    assert_eq!(end(vec![putting(3), deleting(), moving(FROM)]), (false, None), "deleted");
    let anew = vec![putting(3), deleting(), putting(4), moving(FROM)];
    assert_eq!(end(anew), (false, Some((4, at(record + 64)))), "deleted and put anew");
    let condemned = vec![putting(3), Job::Condemn { key, at: FROM }, moving(FROM)];
    assert_eq!(end(condemned), (false, Some((3, FROM))), "found corrupt meanwhile");
    let twice = vec![putting(3), moving(FROM), moving(FROM)];
    assert_eq!(end(twice), (true, Some((3, at(record)))), "moved already");
}

#[test]
fn a_move_leaves_room_for_the_notes_of_deletes() {
    let (_, header, payload) = numbered(1);
    let record = (64 + header.len() + payload.len()) as u64;
    let least = 2 * record + (1 << 20);
    assert_eq!(after([putting(3), moving(FROM)], &space(least - 1, 0)), ((false, Some((3, FROM))), true));
    assert!(!after([putting(3), moving(FROM)], &space(least, 0)).1, "the control");
}

#[test]
fn what_mends_a_corrupt_shard_may_use_the_reserve() {
    let (key, header, payload) = numbered(1);
    let record = (64 + header.len() + payload.len()) as u64;
    let condemned = || [putting(3), Job::Condemn { key, at: FROM }, putting(3)];
    // The first put leaves no more than the reserve.
    let reserve = 4 << 20;
    let mended = after(condemned(), &space(reserve + record, reserve)).0;
    assert_eq!(mended, (false, Some((3, Position { offset: FROM.offset + record, ..FROM }))));
    // Not to the last byte of it, and where there is none it is a put like any other.
    assert_eq!(after(condemned(), &space(2 * record - 1, 0)).0, (false, Some((3, FROM))));
    assert_ne!(after(condemned(), &space(2 * record, 0)).0, (false, Some((3, FROM))), "the control");
}

#[test]
fn what_lies_in_a_file_is_looked_up_a_part_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), Disk::system()).unwrap();
    let mut rows = index.rows().unwrap();
    for number in 0..10 {
        let row = ShardRow { log: LogNumber(number % 2), corrupt: number == 4, ..ROW };
        rows.shard(numbered(number as usize).0, Some(&row)).unwrap();
    }
    index.write(rows).unwrap();
    let part = |after| index.shards_in(LogNumber(0), after, 3, || true).unwrap();
    let first = part(None);
    let second = part(Some(first[2].0));
    assert_eq!((first.len(), second.len()), (3, 1));
    let found: BTreeSet<ShardKey> = first.iter().chain(&second).map(|(key, _)| *key).collect();
    assert_eq!(found, [0, 2, 6, 8].map(|number| numbered(number).0).into());
    assert!(part(Some(second[0].0)).is_empty());
}

/// A descriptor kept of a file that is gone would keep its space, too.
#[test]
fn no_file_stays_open_that_was_removed_while_it_was_opened() {
    const ROUNDS: u32 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let reader = LogReader::new(dir.path().to_path_buf());
    let barrier = Barrier::new(2);
    let mut met = 0;
    for number in (1..=ROUNDS).map(LogNumber) {
        ActiveLog::create(dir.path(), number, Incarnation(1), Disk::system()).unwrap();
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                barrier.wait();
                reader.read(number, 0, 32).is_ok()
            });
            barrier.wait();
            std::fs::remove_file(dir.path().join(number.file_name())).unwrap();
            reader.forget(number);
            reading.join().unwrap()
        });
        met += u32::from(read);
        assert_eq!(reader.open_files(), 0, "round {number}");
    }
    println!("{met} of {ROUNDS} files were opened before they were removed");
}
