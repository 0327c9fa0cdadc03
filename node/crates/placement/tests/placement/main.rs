//! Tests of the placement crate, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed and figures"
)]

mod assign;
mod follow;
mod golden;
mod pools;
mod profiles;
mod random;
mod solver;
mod table;
