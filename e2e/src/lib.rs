//! The end-to-end harness: a DataMesh on any Kubernetes, seen as its users see it. The promises themselves stand in
//! `tests/promises`, one file each.

pub mod artifacts;
pub mod cli;
pub mod cluster;
pub mod database;
pub mod forward;
pub mod gateway;
pub mod history;
pub mod kubectl;
pub mod mail;
pub mod nodes;
pub mod partition;
pub mod promise;
pub mod register;
pub mod restoring;
pub mod samples;
pub mod second;
pub mod signed;
pub mod traffic;
pub mod wait;
