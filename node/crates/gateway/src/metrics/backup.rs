//! What a gateway counts of the catalog's backups.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts of backups. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BackupMetrics {
    last: Gauge,
    bytes: Gauge,
    segments: Gauge,
    /// Tries that came to nothing.
    pub failures: Counter,
}

impl BackupMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let last = "Unix time by which all that was acknowledged is in the newest backup of the catalog; 0: none was made";
        registry.register("backup_last_timestamp_seconds", last, self.last.clone());
        let bytes = "Sealed bytes of the newest backup of the catalog, as it lies in the pool before coding";
        registry.register("backup_bytes", bytes, self.bytes.clone());
        registry.register(
            "backup_segments",
            "Segments of the newest backup of the catalog",
            self.segments.clone(),
        );
        let failures = "Tries to back the catalog up that failed";
        registry.register("backup_failures", failures, self.failures.clone());
    }

    /// Sets what the newest one is.
    pub fn kept(&self, at_unix_ms: u64, bytes: u64, segments: u64) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.last, at_unix_ms / 1000);
        set(&self.bytes, bytes);
        set(&self.segments, segments);
    }
}
