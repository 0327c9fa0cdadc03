//! What the cache of hot segments counts. Its hit ratio is hits over hits and misses.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts of the segment cache. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics {
    /// Segments, or ranges of one, read from memory.
    pub hits: Counter,
    /// Those that were not there.
    pub misses: Counter,
    /// Segments that made room for others.
    pub evictions: Counter,
    /// Bytes kept, with what belongs to them.
    pub used: Gauge,
    /// Bytes that may be.
    pub budget: Gauge,
}

impl CacheMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cache_hits", "Segments read from memory", self.hits.clone());
        registry.register("cache_misses", "Segments read from nodes with a cache on", self.misses.clone());
        registry.register("cache_evictions", "Segments that made room in memory", self.evictions.clone());
        registry.register("cache_used_bytes", "Bytes of segments kept in memory", self.used.clone());
        registry.register("cache_budget_bytes", "Bytes of memory for hot segments", self.budget.clone());
    }
}
