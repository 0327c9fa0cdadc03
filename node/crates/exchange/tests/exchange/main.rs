//! Tests of the exchange crate, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed and figures"
)]

mod dice;
mod digest;
mod get;
mod put;
mod put_rules;
mod put_world;
mod survey;
mod wire;
