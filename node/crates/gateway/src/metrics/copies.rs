//! What a gateway counts of the copies of backups.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts of copies. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CopiesMetrics {
    last: Gauge,
    /// Sealed bytes that were put.
    pub bytes: Counter,
    /// Tries that came to nothing.
    pub failures: Counter,
}

impl CopiesMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let last = "Unix time by which all that was acknowledged is in the newest whole copy of a backup that this gateway made; 0: none";
        registry.register("backup_copies_last_timestamp_seconds", last, self.last.clone());
        let bytes = "Sealed bytes that were put for copies of backups";
        registry.register("backup_copies_bytes", bytes, self.bytes.clone());
        let failures = "Tries to copy a backup that failed";
        registry.register("backup_copies_failures", failures, self.failures.clone());
    }

    /// A copy is whole.
    pub fn copied(&self, at_unix_ms: u64) {
        self.last.set(i64::try_from(at_unix_ms / 1000).unwrap_or(i64::MAX));
    }
}
