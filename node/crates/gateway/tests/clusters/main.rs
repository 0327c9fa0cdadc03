//! Whole clusters in one process: gateways and storage nodes with real disks, connections and databases. One program, for each that
//! links a gateway takes minutes to compile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of it is for tests")]

mod catalog_moves;
mod fewer_gateways;
mod on_postgres;
#[path = "../../../catalog/tests/it/postgres.rs"]
#[allow(dead_code, reason = "the catalog's own tests use the rest")]
mod postgres;
mod real_nodes;
mod repair;
mod several_gateways;
mod support;
