//! Clusters within this process.

pub(crate) mod cluster;
pub(crate) mod gateways;
