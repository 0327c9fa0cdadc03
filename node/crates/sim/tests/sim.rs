//! Seeds of the simulation, and what they must find. `SEEDS=a..b` runs others, `BUG` plants that one alone; a failing seed is replayed by
//! `make sim SEEDS=<seed>`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of it is for tests")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datamesh_sim::{Bug, Counts, Options, Report, run};

/// Operations of a run.
const OPERATIONS: usize = 220;
/// `make test-long` runs thousands.
const SEEDS: Range<u64> = 0..500;
/// A planted bug is found within so many.
const SEEDS_OF_BUG: Range<u64> = 0..500;

/// Runs seeds on all cores until `enough` of a report says so.
fn runs(seeds: Range<u64>, bug: Option<Bug>, enough: impl Fn(u64, &Report) -> bool + Sync) -> Counts {
    let (next, over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        let mut counts = Counts::default();
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let report = run(Options { seed, operations: OPERATIONS, bug });
            counts.add(&report.counts);
            if enough(seed, &report) {
                over.store(true, Ordering::Relaxed);
            }
        }
        counts
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut sum = Counts::default();
        workers.into_iter().for_each(|worker| sum.add(&worker.join().unwrap()));
        sum
    })
}

fn seeds() -> Range<u64> {
    let Ok(wanted) = std::env::var("SEEDS") else { return SEEDS };
    let (from, to) = wanted.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_is_reported_better_than_it_is() {
    let seeds = seeds();
    let number = seeds.end - seeds.start;
    let counts = runs(seeds, None, |seed, report| {
        assert!(report.failure.is_none(), "seed {seed}: {}", report.failure.as_deref().unwrap_or_default());
        // Of each run, so that not one of them is a quiet one.
        let operations = report.counts.operations();
        assert!(operations >= 200 && report.counts.faults >= 20, "seed {seed}: {:?}", report.counts);
        assert!(report.counts.epochs >= 1, "seed {seed}: no layout changed");
        false
    });
    println!("{number} seeds: {counts:#?}");
    for (what, count, at_least) in [
        ("short puts", counts.short_puts, 5),
        ("hits of the cache", counts.cache_hits, 2),
        ("crashes", counts.crashes, 10),
        ("writes to disks cut off", counts.torn, 1),
        ("commits cut off", counts.cut_commits, 1),
        ("disks lost", counts.disks_lost, 1),
        ("nodes lost for good, in twenty", counts.given_up * 20, 1),
        ("given-up volumes that came back, in twenty", counts.came_back * 20, 1),
        ("rotten shards found", counts.rot_found, 1),
        ("shards rebuilt", counts.rebuilt, 5),
        ("shards gone home", counts.sent_home, 5),
        ("deletes of segments", counts.segments_deleted, 50),
        ("nodes drained, in twenty", counts.drains * 20, 1),
        ("times partitions were split, in twenty", counts.splits * 20, 1),
        ("changes of the profile, in ten", counts.profiles * 10, 1),
        ("KiB coded anew", counts.recoded_bytes >> 10, 1),
        ("backups of the catalog", counts.backups, 5),
        ("catalogs lost and restored, in ten", counts.restored * 10, 1),
        ("keys that a restore set back, in fifty", counts.set_back * 50, 1),
        ("drains called off, in a hundred", counts.undrains * 100, 1),
        ("stewards told of damage", counts.looks, 5),
        ("messages lost", counts.lost, 10),
        ("looks at avoided members", counts.avoided, 1),
        ("objects shredded", counts.shreds, 1),
        ("shards changed in memory", counts.lies, 1),
        ("segments put again while they were deleted, in two", counts.put_again * 2, 1),
    ] {
        assert!(count >= at_least * number, "{what}: {count} in {number} runs");
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..20 {
        let options = Options { seed, operations: OPERATIONS, bug: None };
        let (first, second) = (run(options), run(options));
        assert_eq!((first.trace, first.counts), (second.trace, second.counts), "seed {seed}");
    }
    let other = run(Options { seed: 20, operations: OPERATIONS, bug: None });
    assert_ne!(other.trace, run(Options { seed: 21, operations: OPERATIONS, bug: None }).trace);
}

#[test]
fn planted_bugs_are_found() {
    let wanted = std::env::var("BUG").ok();
    for bug in
        Bug::ALL.into_iter().filter(|bug| wanted.as_ref().is_none_or(|name| *name == format!("{bug:?}")))
    {
        let found = AtomicU64::new(u64::MAX);
        runs(SEEDS_OF_BUG, Some(bug), |seed, report| {
            if let Some(failure) = &report.failure {
                println!("{bug:?}: seed {seed}: {failure}");
                found.fetch_min(seed, Ordering::Relaxed);
            }
            report.failure.is_some()
        });
        assert!(found.load(Ordering::Relaxed) < SEEDS_OF_BUG.end, "{bug:?} is not found");
    }
}
