//! The gateway's background work.

pub(crate) mod alarms;
pub(crate) mod expire;
pub(crate) mod files;
pub(crate) mod follow;
pub(crate) mod layouts;
pub(crate) mod membership;
pub(crate) mod notify;
pub(crate) mod reclaim;
pub(crate) mod recode;
pub(crate) mod reports;
pub(crate) mod shred;

pub(crate) use datamesh_mesh::worker::{Next, Worker, run};
