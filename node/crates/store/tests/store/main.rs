//! The store as its users see it: what is acknowledged stays, what is broken is named.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests; the lints spare only the test functions"
)]

mod compact;
mod damage;
mod flip;
mod golden;
mod group;
mod kill;
mod lock;
mod model;
mod older;
mod outage;
mod recovery;
mod rules;
mod sample;
mod seed;
mod shred;
mod torn;
