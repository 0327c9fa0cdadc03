//! Runs seeds: `sim 0..2000`. A single one tells its story: `sim 17`. With a planted bug: `sim 17 RotUnseen`.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datamesh_sim::{Bug, Counts, Options, run, run_aloud};

/// Operations of a run.
const OPERATIONS: usize = 220;

fn options(seed: u64, bug: Option<Bug>) -> Options {
    Options { seed, operations: OPERATIONS, bug }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(seeds) = arguments.first().and_then(|argument| seeds(argument)) else {
        println!("usage: sim <seed> | sim <from>..<to>, and perhaps one of {:?}", Bug::ALL);
        return ExitCode::FAILURE;
    };
    let named = |name: &String| Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == *name);
    let bug = arguments.get(1).and_then(named);
    if seeds.end == seeds.start + 1 {
        let report = run_aloud(options(seeds.start, bug));
        println!("{report:#?}");
        return if report.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    if all(seeds, bug) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(argument: &str) -> Option<Range<u64>> {
    match argument.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => argument.parse().ok().map(|seed| seed..seed + 1),
    }
}

/// All seeds, on all cores; true if none failed.
fn all(seeds: Range<u64>, bug: Option<Bug>) -> bool {
    let (begun, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (counts, failed) = std::thread::scope(|scope| {
        let work = || {
            let (mut counts, mut failed) = (Counts::default(), 0_u64);
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return (counts, failed);
                }
                let report = run(options(seed, bug));
                counts.add(&report.counts);
                if let Some(failure) = report.failure {
                    failed += 1;
                    println!("seed {seed}: {failure}");
                }
            }
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut sum = (Counts::default(), 0);
        for worker in workers {
            if let Ok((counts, failed)) = worker.join() {
                sum.0.add(&counts);
                sum.1 += failed;
            } else {
                sum.1 += 1;
            }
        }
        sum
    });
    println!("{counts:#?}");
    println!("{failed} of {} seeds failed; {:.1} s", seeds.end - seeds.start, begun.elapsed().as_secs_f64());
    failed == 0
}
