//! Tests of the catalog and its engines. Random ones print their seed; `DATAMESH_SEED` replays one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop, and prints"
)]

mod access_keys;
mod accounts;
mod audit;
mod backups;
mod between;
mod buckets;
mod check;
mod conformance;
mod crash;
mod expiry;
mod faults;
mod figures;
mod garbage;
mod gates;
mod given_groups;
mod groups;
mod identities;
mod keyed_requests;
mod keys;
mod listing;
mod locks;
mod members;
mod moving;
mod notifications;
mod objects;
mod postgres;
mod postgres_engine;
mod raft_storage;
mod random_catalog;
mod random_engine;
mod ranges;
mod recode;
#[path = "../../../../../e2e/src/register.rs"]
#[allow(unreachable_pub, reason = "a module of another crate")]
mod register;
mod replica_volumes;
mod replicas;
mod sealed;
mod shares;
mod sharing;
mod shreds;
mod support;
mod trash;
mod upgrade;
mod uploads;
mod versions;
