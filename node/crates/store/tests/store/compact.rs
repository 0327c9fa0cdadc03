//! What lives is moved out of files that are mostly dead, and nothing is lost, forgotten or brought back by it.

use std::path::Path;
use std::time::Duration;

use datamesh_shard::Generation;
use datamesh_store::format::LogNumber;
use datamesh_store::{Store, StoreOptions};

use crate::damage::{FILE_HEAD, HEAD, damage, log};
use crate::sample::{Sample, memory_dir, options, sample};
use crate::seed::Random;

const SHARD: usize = 64 << 10;
const LOG_BYTES_MAX: u64 = 4 << 20;

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions { log_bytes_max: LOG_BYTES_MAX, ..options() }).unwrap()
}

async fn put_all(store: &Store, shards: &[Sample]) {
    let puts = shards.iter().map(|shard| shard.put(store, 1));
    // In order: which shards share a file is part of the tests.
    for put in puts {
        put.await;
    }
}

async fn delete_all(store: &Store, shards: impl IntoIterator<Item = Sample>) {
    let mut deletes = tokio::task::JoinSet::new();
    for shard in shards {
        let store = store.clone();
        deletes.spawn(async move { store.delete(shard.key, Generation(9)).await.unwrap() });
    }
    assert!(deletes.join_all().await.into_iter().all(|deleted| deleted));
}

fn shards(count: u64, bytes: usize) -> Vec<Sample> {
    (0..count).map(|number| sample(number, bytes)).collect()
}

/// Bytes of all log files as the file system has them.
fn log_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("logs")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

pub(crate) async fn all_whole(store: &Store, shards: &[Sample]) {
    for shard in shards {
        assert_eq!(store.get(shard.key).await.unwrap().unwrap(), shard.stored(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn space_of_deleted_shards_comes_back() {
    let mut random = Random::new("STORE_COMPACT_SEED");
    let dir = memory_dir();
    let store = open(dir.path());
    let mut left = shards(1024, SHARD);
    put_all(&store, &left).await;
    let full = log_bytes(dir.path());
    random.shuffle(&mut left);
    delete_all(&store, left.drain(256..)).await;
    store.compacted().await;

    let (usage, counters) = (store.usage(), store.counters());
    let (live, used) = (left.iter().map(Sample::record_bytes).sum::<u64>(), log_bytes(dir.path()));
    println!("{full} bytes of logs; {live} live; {used} on the disk: {:.2} x", used as f64 / live as f64);
    println!("{usage:?}\n{counters:?}");
    assert!(used * 10 <= live * 16, "{used} bytes on the disk for {live}");
    assert_eq!((usage.log_bytes, usage.live_bytes, usage.shards), (used, live, 256));
    let written = counters.appended_bytes + files_made(dir.path()) * FILE_HEAD;
    assert_eq!(counters.removed_bytes, written - used);
    // It moved at most as much as came back.
    assert!(counters.moved_bytes > 0 && counters.moved_bytes * 2 <= counters.removed_bytes, "{counters:?}");
    assert!(counters.compacted_logs > 4, "{counters:?}");
    all_whole(&store, &left).await;
    store.close().await.unwrap();
    let store = open(dir.path());
    assert_eq!(store.recovery(), datamesh_store::Recovery::default());
    all_whole(&store, &left).await;
}

/// How many log files were ever made.
fn files_made(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("logs")).unwrap();
    let number = |name: &str| LogNumber::from_file_name(name).unwrap().0;
    files.map(|file| number(file.unwrap().file_name().to_str().unwrap())).max().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_takes_puts_again_once_something_was_deleted() {
    let mut random = Random::new("STORE_COMPACT_SEED");
    let dir = memory_dir();
    // 2 MiB of the capacity are set aside for the index.
    let tight = StoreOptions {
        capacity_bytes: 30 << 20,
        reserve_bytes: 4 << 20,
        log_bytes_max: 2 << 20,
        ..options()
    };
    let store = Store::open(dir.path(), tight).unwrap();
    let mut stored = Vec::new();
    fill(&store, &mut stored, 0).await;
    let full = stored.len();
    // A third of each file: with room to spare none of them would pay.
    random.shuffle(&mut stored);
    delete_all(&store, stored.drain(full * 2 / 3..)).await;
    store.compacted().await;
    let deleted = full - stored.len();
    let mut again = fill(&store, &mut stored, 1_000_000).await;
    assert!(again > 0, "{:?}", store.counters());
    // It makes room ahead of puts, not all at once: those here are faster than it is, and try again.
    for round in 2.. {
        store.compacted().await;
        match fill(&store, &mut stored, round * 1_000_000).await {
            0 => break,
            more => again += more,
        }
    }
    println!("{full} shards filled it, {deleted} were deleted, {again} taken again: {:?}", store.counters());
    assert!(again * 10 >= deleted * 9, "{again} of {deleted}");
    all_whole(&store, &stored).await;
}

/// Puts shards until the store is full; how many it took.
async fn fill(store: &Store, stored: &mut Vec<Sample>, from: u64) -> usize {
    for number in from.. {
        let shard = sample(number, SHARD);
        match shard.try_put(store, 1).await {
            Ok(()) => stored.push(shard),
            Err(datamesh_store::PutError::Full { .. }) => return usize::try_from(number - from).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a store without end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_a_move_it_waits_until_there_is_some() {
    let dir = memory_dir();
    // Nothing is kept in reserve: the store can be filled to less than a move needs.
    let tight = StoreOptions { capacity_bytes: 10 << 20, log_bytes_max: 1 << 20, ..options() };
    let store = Store::open(dir.path(), tight).unwrap();
    let mut stored = Vec::new();
    fill(&store, &mut stored, 0).await;
    // Most of each file but the first two, so that moving pays, if only there were room for it.
    let per_file = (1 << 20) / usize::try_from(stored[0].record_bytes()).unwrap();
    let chosen = |number: usize| !number.is_multiple_of(3) && number / per_file > 1;
    let deleted: Vec<Sample> =
        (0..).zip(&stored).filter(|(n, _)| chosen(*n)).map(|(_, s)| s.clone()).collect();
    delete_all(&store, deleted).await;
    store.compacted().await;
    assert_eq!(store.counters().moved_bytes, 0, "there was no room");
    assert!(stored[0].is_whole(&store).await);
    // The first two files go, and with them the lack of room.
    delete_all(&store, stored[..2 * per_file].to_vec()).await;
    wait_for(&store, |store| store.counters().moved_bytes > 0).await;
    store.compacted().await;
    assert!(sample(77_777, SHARD).try_put(&store, 0).await.is_ok());
    assert!(store.usage().accepting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_closed_file_fits_the_one_being_appended_to_is_closed_if_it_does() {
    let dir = memory_dir();
    // 2 MiB for the index, 4 for a file that is full, 3.5 for the next one. Half of the reserve is for moves.
    let tight = StoreOptions {
        capacity_bytes: (27 << 20) / 2,
        reserve_bytes: 4 << 20,
        log_bytes_max: 4 << 20,
        ..options()
    };
    let store = Store::open(dir.path(), tight).unwrap();
    let mut stored = Vec::new();
    fill(&store, &mut stored, 0).await;
    let per_file = (4 << 20) / usize::try_from(stored[0].record_bytes()).unwrap();
    assert!(stored.len() > per_file * 3 / 2 && !log(dir.path(), 3).exists());
    // A sixteenth of the first file: it pays, but 15 sixteenths of it do not fit.
    delete_all(&store, stored[..4].to_vec()).await;
    store.compacted().await;
    assert_eq!(store.counters().moved_bytes, 0);
    let (kept, gone): (Vec<_>, Vec<_>) =
        (0..).zip(&stored[per_file..]).partition(|(number, _)| number % 4 == 0);
    delete_all(&store, gone.into_iter().map(|(_, shard)| shard.clone())).await;
    store.compacted().await;
    assert!(store.counters().moved_bytes > 0 && !log(dir.path(), 2).exists(), "{:?}", store.counters());
    all_whole(&store, &kept.into_iter().map(|(_, shard)| shard.clone()).collect::<Vec<_>>()).await;
}

/// Each turn waits for the writer and the compactor, not for time.
async fn wait_for(store: &Store, is_so: impl Fn(&Store) -> bool) {
    let nothing = sample(999_999_999, 1).key;
    let waiting = async {
        while !is_so(store) {
            store.delete(nothing, Generation(0)).await.unwrap();
            store.compacted().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}

/// A store whose first file held eight shards; with the last delete half of them are left, which is when moving pays.
pub(crate) async fn mostly_dead(dir: &Path, spoil: impl FnOnce(&Path, &[Sample])) -> (Store, Vec<Sample>) {
    let all = shards(12, 1000);
    let store = open_small(dir);
    put_all(&store, &all).await;
    spoil(&log(dir, 1), &all);
    delete_all(&store, all[..4].to_vec()).await;
    store.compacted().await;
    (store, all[4..].to_vec())
}

/// Eight shards of 1000 bytes go into a file.
pub(crate) fn open_small(dir: &Path) -> Store {
    Store::open(dir, StoreOptions { log_bytes_max: FILE_HEAD + 8 * 1136, ..options() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_corrupt_is_condemned_and_not_copied_and_its_file_goes_once_it_is_mended() {
    let record = |number: u64| FILE_HEAD + number * 1136;
    // In the payload, and in the head, by which the record is not even met on the way through the file.
    // As soon as it is found the file is left alone: in its turn, or when all others were moved.
    for (at, moved, what) in [(record(6) + 500, 0, "payload"), (record(6) + 3, 3, "head")] {
        let dir = memory_dir();
        let (store, left) = mostly_dead(dir.path(), |log, _| damage(log, at, 1)).await;
        assert_eq!((store.usage().corrupt_shards, store.counters().corrupt_reads), (1, 1), "{what}");
        assert_eq!(store.counters().moved_bytes, moved * 1136, "{what}");
        assert!(log(dir.path(), 1).exists(), "{what}");
        let error = store.get(left[2].key).await.unwrap_err().to_string();
        assert!(error.contains("0000000001.log"), "{what}: {error}");
        assert!(store.locate(left[2].key.segment).await.unwrap().is_empty(), "{what}");
        assert_eq!(store.present(left[2].key.segment).await.unwrap().len(), 1, "{what}");
        store.close().await.unwrap();

        // Known, and kept, after a restart too; a put mends it, and the file goes.
        let store = open_small(dir.path());
        store.compacted().await;
        assert_eq!(store.usage().corrupt_shards, 1, "{what}");
        left[2].put(&store, 1).await;
        store.compacted().await;
        assert_eq!((store.usage().corrupt_shards, store.usage().shards), (0, 8), "{what}");
        wait_for(&store, |_| !log(dir.path(), 1).exists()).await;
        all_whole(&store, &left).await;
    }
    // The control: undamaged, all are moved and the file is gone.
    let dir = memory_dir();
    let (store, left) = mostly_dead(dir.path(), |_, _| {}).await;
    assert_eq!((store.usage().corrupt_shards, store.counters().moved_bytes), (0, 4 * 1136));
    assert_eq!(store.counters().compacted_logs, 1);
    assert!(!log(dir.path(), 1).exists());
    all_whole(&store, &left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_shard_known_to_be_corrupt_is_left_alone() {
    let dir = memory_dir();
    let all = shards(12, 1000);
    let store = open_small(dir.path());
    put_all(&store, &all).await;
    damage(&log(dir.path(), 1), FILE_HEAD + 6 * 1136 + 500, 1);
    store.get(all[6].key).await.unwrap_err();
    delete_all(&store, all[..4].to_vec()).await;
    store.compacted().await;
    assert_eq!((store.counters().moved_bytes, store.usage().corrupt_shards), (0, 1));
    // Deleting it does as well as mending it.
    delete_all(&store, all[6..7].to_vec()).await;
    store.compacted().await;
    assert_eq!((store.counters().moved_bytes, store.usage().corrupt_shards), (3 * 1136, 0));
    assert!(!log(dir.path(), 1).exists());
    all_whole(&store, &[&all[4..6], &all[7..]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_and_raises_in_the_middle_of_moves_see_every_shard() {
    const KEPT: usize = 160;
    let dir = memory_dir();
    let small = StoreOptions { log_bytes_max: 256 << 10, ..options() };
    let store = Store::open(dir.path(), small).unwrap();
    let all = shards(KEPT as u64 * 4, 8 << 10);
    put_all(&store, &all).await;
    let (gone, kept): (Vec<_>, Vec<_>) = (0..).zip(all).partition(|(number, _)| number % 4 > 0);
    let kept: Vec<Sample> = kept.into_iter().map(|(_, shard)| shard).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..4 {
        let (store, kept) = (store.clone(), kept.clone());
        tasks.spawn(async move {
            let mut last = false;
            // Once more after the last delete.
            while !std::mem::replace(&mut last, store.usage().shards == KEPT as u64) {
                for shard in kept.iter().skip(reader) {
                    let found = store.get(shard.key).await.unwrap().unwrap();
                    assert_eq!(found.payload, shard.payload);
                    let part = store.get_range(shard.key, 100, 50).await.unwrap().unwrap();
                    assert_eq!(part, shard.payload.slice(100..150));
                }
            }
        });
    }
    for (number, shard) in gone {
        store.delete(shard.key, Generation(1)).await.unwrap();
        let raised = &kept[number % KEPT];
        raised.put(&store, number as u64).await;
    }
    store.compacted().await;
    tasks.join_all().await;
    println!("{:?}", store.counters());
    assert!(store.counters().compacted_logs > 5);
    for (number, shard) in kept.iter().enumerate() {
        let generation = store.get(shard.key).await.unwrap().unwrap().generation.0;
        let most = (0..KEPT * 4).filter(|n| n % 4 > 0 && n % KEPT == number).max().unwrap_or(1).max(1);
        assert_eq!(generation, most as u64, "shard {number}");
    }
    assert_eq!(store.counters().corrupt_reads, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_the_middle_it_goes_on_at_the_next_opening() {
    let dir = memory_dir();
    let all = shards(1024, SHARD);
    // What is left of a file is two batches.
    let open = |dir: &Path| Store::open(dir, StoreOptions { log_bytes_max: 32 << 20, ..options() }).unwrap();
    let mut store = open(dir.path());
    put_all(&store, &all).await;
    let full = log_bytes(dir.path());
    let kept: Vec<Sample> = all.iter().step_by(4).cloned().collect();
    delete_all(&store, (0..).zip(all).filter(|(number, _)| number % 4 > 0).map(|(_, shard)| shard)).await;
    let mut openings = 0;
    // Dropped as soon as something was moved.
    let is_done = |store: &Store| store.usage().log_bytes < store.usage().live_bytes * 2;
    while !is_done(&store) {
        let nothing = sample(999_999_999, 1).key;
        while store.counters().moved_bytes == 0 && !is_done(&store) {
            store.delete(nothing, Generation(0)).await.unwrap();
        }
        drop(store);
        store = open(dir.path());
        openings += 1;
        assert_eq!(store.usage().shards, kept.len() as u64);
    }
    println!("{openings} openings");
    assert!(openings > 1 && log_bytes(dir.path()) * 2 < full);
    all_whole(&store, &kept).await;
}

/// A closed file in which nothing lives but a part was damaged when the index was made anew, in a store without room.
async fn spent(dir: &Path) -> (Store, Vec<u8>) {
    let all = shards(9, 1000);
    let store = open_small(dir);
    put_all(&store, &all).await;
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.join("index")).unwrap();
    let whole = std::fs::read(log(dir, 1)).unwrap();
    damage(&log(dir, 1), FILE_HEAD + 3 * 1136, HEAD);
    let store = open_small(dir);
    assert_eq!((store.recovery().damaged_records, store.usage().shards), (1, 8));
    let rest = all[..8].iter().enumerate().filter(|(number, _)| *number != 3);
    delete_all(&store, rest.map(|(_, shard)| shard.clone())).await;
    store.compacted().await;
    assert!(log(dir, 1).exists(), "with room to spare it stays");
    (store, whole)
}

async fn reopen_full(dir: &Path, store: Store) -> Store {
    let capacity_bytes = (2 << 20) + store.usage().log_bytes + (2 << 20);
    store.close().await.unwrap();
    let full = StoreOptions { capacity_bytes, reserve_bytes: 2 << 20, ..options() };
    let store = Store::open(dir, full).unwrap();
    store.compacted().await;
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_nothing_but_damage_goes_when_space_is_wanted_unless_it_can_be_read_again() {
    let dir = memory_dir();
    let (store, _) = spent(dir.path()).await;
    let store = reopen_full(dir.path(), store).await;
    assert!(!log(dir.path(), 1).exists());
    assert_eq!((store.usage().shards, store.usage().live_bytes), (1, 1136));
    drop(store);

    let dir = memory_dir();
    let (store, whole) = spent(dir.path()).await;
    std::fs::write(log(dir.path(), 1), &whole).unwrap();
    let store = reopen_full(dir.path(), store).await;
    assert!(log(dir.path(), 1).exists());
    store.close().await.unwrap();
    // An opening without the index finds what was in the part.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open_small(dir.path());
    assert!(sample(3, 1000).is_whole(&store).await);
}
