//! Power losses: what was acknowledged is there, what was deleted stays away, and the store goes on.
//!
//! A history is several openings of one store. In each, puts, deletes, raises and compaction go on until the power is
//! lost at some sync or removal, also while the store is being opened. The next opening has what [`Lossy`] left.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::{Chance, numbered, seed};
use super::lossy::{Broken, Lossy};
use super::*;
use crate::OpenError;

const KEYS: usize = 24;
const LOSSES: usize = 4;
const STEPS_MAX: usize = 80;
const BURST_MAX: usize = 12;
/// Calls of the disk up to the loss.
const CALLS_OF_OPENING: usize = 7;
const CALLS_MAX: usize = 50;

/// What may be there of a shard: its generation, or nothing. Two answers are right where the power was lost before the
/// store gave its own.
type May = Vec<Option<u64>>;

#[derive(Default)]
struct Seen {
    losses: u64,
    at_opening: u64,
    compacted: u64,
    damaged: u64,
}

struct History {
    root: tempfile::TempDir,
    chance: Chance,
    broken: Broken,
    may: BTreeMap<usize, May>,
    seen: Seen,
}

impl History {
    fn new(seed: &str, broken: Broken) -> Self {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let may = (0..KEYS).map(|key| (key, vec![None])).collect();
        Self { root, chance: Chance::new(seed), broken, may, seen: Seen::default() }
    }

    async fn run(&mut self) -> Result<(), String> {
        for _ in 0..LOSSES {
            self.opening().await?;
            self.seen.losses += 1;
        }
        // After the last one nothing is lost any more.
        let store = self.open(u64::MAX).1.map_err(|error| error.to_string())?;
        self.check(&store).await
    }

    fn open(&mut self, calls: u64) -> (Lossy, Result<Store, OpenError>) {
        let dir = self.root.path().join("dir");
        let lossy = Lossy::new(self.root.path(), calls, self.broken, self.chance.branch());
        // Half of the time there is hardly any room, so that everything is worth compacting.
        let room = if self.chance.coin() { 1 << 30 } else { 60_000 };
        let reserve_bytes = 3 << 20;
        let capacity_bytes = (2 << 20) + reserve_bytes + room;
        let log_bytes_max = [4000, 12_000][self.chance.below(2)];
        let lock_wait = Duration::from_secs(10);
        let options =
            StoreOptions { log_bytes_max, lock_wait, ..StoreOptions::new(capacity_bytes, reserve_bytes) };
        (lossy.clone(), Store::open_with(&dir, options, lossy.disk()))
    }

    async fn opening(&mut self) -> Result<(), String> {
        let most = [CALLS_OF_OPENING, CALLS_MAX, CALLS_MAX, CALLS_MAX][self.chance.below(4)];
        let calls = self.chance.between(1, most);
        let (lossy, opened) = self.open(calls as u64);
        match opened {
            Ok(store) => {
                self.check(&store).await?;
                let steps = self.chance.below(STEPS_MAX);
                for _ in 0..steps {
                    if lossy.has_lost_power() {
                        break;
                    }
                    self.step(&store, &lossy).await?;
                }
                lossy.lose_power();
                self.seen.compacted += store.counters().compacted_logs;
            }
            Err(_) if lossy.has_lost_power() => self.seen.at_opening += 1,
            Err(error) => return Err(format!("it does not open: {error}")),
        }
        let dir = |name| self.root.path().join(name);
        std::fs::remove_dir_all(dir("dir")).unwrap();
        std::fs::remove_dir_all(dir("removed")).unwrap();
        std::fs::rename(dir("after"), dir("dir")).unwrap();
        Ok(())
    }

    /// Everything is what it may be, and is that from now on.
    async fn check(&mut self, store: &Store) -> Result<(), String> {
        let recovery = store.recovery();
        self.seen.damaged += recovery.damaged_records;
        if recovery.dropped_shards > 0 {
            return Err(format!("rows pointed at what is not there: {recovery:?}"));
        }
        let mut there = 0;
        for (key, may) in &mut self.may {
            let (shard, header, payload) = numbered(*key);
            let found = store.get(shard).await.map_err(|error| error.to_string())?;
            let generation = found.as_ref().map(|found| found.generation.0);
            if !may.contains(&generation) {
                return Err(format!("shard {key}: {generation:?}, not {may:?}"));
            }
            if found.is_some_and(|found| (found.header, found.payload) != (header, payload)) {
                return Err(format!("shard {key} is not what was put"));
            }
            there += u64::from(generation.is_some());
            *may = vec![generation];
        }
        let usage = store.usage();
        if (usage.shards, usage.corrupt_shards) != (there, 0) {
            return Err(format!("{there} shards are there: {usage:?}"));
        }
        Ok(())
    }

    async fn step(&mut self, store: &Store, lossy: &Lossy) -> Result<(), String> {
        match self.chance.below(10) {
            0 => {
                store.compacted().await;
                Ok(())
            }
            1..=4 => self.delete_some(store, lossy).await,
            _ => self.put_some(store, lossy).await,
        }
    }

    /// Puts of some shards at once, each of which may be there already: they meet in a batch, which may be torn.
    async fn put_some(&mut self, store: &Store, lossy: &Lossy) -> Result<(), String> {
        let mut puts = tokio::task::JoinSet::new();
        lossy.hold(true);
        for key in self.some_keys() {
            let (store, generation) = (store.clone(), self.chance.below(5) as u64);
            let (shard, header, payload) = numbered(key);
            puts.spawn(async move {
                (key, generation, store.put(shard, Generation(generation), header, payload).await)
            });
        }
        // The runtime has one thread: each put is queued by then.
        tokio::task::yield_now().await;
        lossy.hold(false);
        for (key, generation, stored) in puts.join_all().await {
            let may = self.may.get_mut(&key).unwrap();
            let after: May = may
                .iter()
                .map(|known| Some(known.map_or(generation, |known| known.max(generation))))
                .collect();
            match stored {
                Ok(()) => *may = after,
                Err(PutError::Failed { .. }) => may.extend(after),
                Err(PutError::Full { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    async fn delete_some(&mut self, store: &Store, lossy: &Lossy) -> Result<(), String> {
        let mut deletes = tokio::task::JoinSet::new();
        lossy.hold(true);
        for key in self.some_keys() {
            let (store, generation) = (store.clone(), self.chance.below(7) as u64);
            deletes.spawn(async move {
                (key, generation, store.delete(numbered(key).0, Generation(generation)).await)
            });
        }
        tokio::task::yield_now().await;
        lossy.hold(false);
        for (key, generation, deleted) in deletes.join_all().await {
            let may = self.may.get_mut(&key).unwrap();
            let after: May = may.iter().map(|known| known.filter(|known| *known > generation)).collect();
            match deleted {
                Ok(_) => *may = after,
                Err(DeleteError::Failed { .. }) => may.extend(after),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn some_keys(&mut self) -> std::ops::Range<usize> {
        let first = self.chance.below(KEYS);
        first..KEYS.min(first + self.chance.between(1, BURST_MAX))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn whatever_a_power_loss_takes_was_not_acknowledged() {
    const HISTORIES: usize = 200;
    let (seed, runtime) = (seed("STORE_POWER_SEED"), runtime());
    let mut seen = Seen::default();
    for number in 0..HISTORIES {
        let mut history = History::new(&format!("{seed}/{number}"), Broken::Nothing);
        let outcome = runtime.block_on(history.run());
        assert_eq!(outcome, Ok(()), "history {number}");
        seen.losses += history.seen.losses;
        seen.at_opening += history.seen.at_opening;
        seen.compacted += history.seen.compacted;
        seen.damaged += history.seen.damaged;
    }
    let Seen { losses, at_opening, compacted, damaged } = seen;
    println!(
        "{losses} power losses, {at_opening} while opening; {compacted} logs compacted; {damaged} torn records"
    );
    // What the histories are for did happen.
    assert!(at_opening > 0 && compacted > 0 && damaged > 0);
}

/// The log does not say what is corrupt: the index alone has to.
#[test]
fn what_is_known_to_be_corrupt_is_still_known_after_a_power_loss() {
    const TRIES: usize = 10;
    let (seed, runtime) = (seed("STORE_POWER_SEED"), runtime());
    for number in 0..TRIES {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("dir");
        let corrupt_shards = runtime.block_on(async {
            let store = super::open(&dir, Disk::system());
            put(&store, 1).await.unwrap();
            store.close().await.unwrap();
            let log = dir.join("logs/0000000001.log");
            let mut bytes = std::fs::read(&log).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&log, bytes).unwrap();

            let chance = Chance::new(&format!("{seed}/{number}"));
            let lossy = Lossy::new(root.path(), u64::MAX, Broken::Nothing, chance);
            let store = super::open(&dir, lossy.disk());
            store.get(shard(1).0).await.unwrap_err();
            // Its answer comes after what the read found was noted.
            store.delete(shard(2).0, Generation(0)).await.unwrap();
            lossy.lose_power();
            drop(store);
            super::open(&root.path().join("after"), Disk::system()).usage().corrupt_shards
        });
        assert_eq!(corrupt_shards, 1, "history {number}");
    }
}

/// The control: each kind of sync is needed, and its lack is found.
#[test]
fn a_sync_that_does_nothing_is_found() {
    const TRIES: usize = 20;
    let (seed, runtime) = (seed("STORE_POWER_SEED"), runtime());
    for broken in [Broken::Files, Broken::Names, Broken::Index] {
        let found = (0..TRIES).find_map(|number| {
            let outcome = runtime.block_on(History::new(&format!("{seed}/{number}"), broken).run());
            outcome.err().map(|error| (number, error))
        });
        println!("{broken:?}: {found:?}");
        assert!(found.is_some(), "{broken:?} went unnoticed {TRIES} times");
    }
}
