//! The gateway's background work.

pub(crate) mod files;
pub(crate) mod layouts;
pub(crate) mod membership;
pub(crate) mod reclaim;
pub(crate) mod reports;

pub(crate) use datamesh_mesh::worker::{Next, Worker, run};

/// Milliseconds since 1970.
pub(crate) fn now_unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
