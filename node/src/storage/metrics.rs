//! What a storage node tells Prometheus: read from the store when asked, so that nothing is counted twice.

use datamesh_store::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// A registry that reads the store at each scrape.
pub(super) fn registry(store: Store) -> Registry {
    let mut registry = Registry::with_prefix("datamesh_store");
    registry.register_collector(Box::new(StoreCollector(store)));
    registry
}

struct StoreCollector(Store);

impl std::fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreCollector")
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (usage, counters) = (self.0.usage(), self.0.counters());
        let gauges = [
            ("shards", "Shards held", usage.shards),
            ("shard_bytes", "Payload bytes of the shards held", usage.shard_bytes),
            ("log_bytes", "Bytes of all log files, deleted shards included", usage.log_bytes),
            ("live_bytes", "Bytes of them that live; the rest is given back by compaction", usage.live_bytes),
            ("capacity_bytes", "Bytes the node may use", usage.capacity_bytes),
            ("free_bytes", "Bytes the node may still use", usage.free_bytes),
            ("accepting", "1 while new shards are taken", u64::from(usage.accepting)),
            ("corrupt_shards", "Shards found corrupt and not written anew since", usage.corrupt_shards),
            ("incarnation", "Rises each time the store is opened", self.0.incarnation().0),
            (
                "failed",
                "1 after a sync failed: nothing is written until restart",
                u64::from(self.0.failure().is_some()),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let totals = [
            ("puts", "Shards written", counters.puts),
            ("deletes", "Shards deleted", counters.deletes),
            ("syncs", "fdatasync calls of the shard log", counters.syncs),
            ("appended_bytes", "Bytes appended to the shard log", counters.appended_bytes),
            ("corrupt_reads", "Reads that found a shard corrupt", counters.corrupt_reads),
            ("moved_bytes", "Bytes that compaction wrote anew", counters.moved_bytes),
            ("compacted_logs", "Log files that compaction emptied", counters.compacted_logs),
            ("removed_bytes", "Bytes of log files removed", counters.removed_bytes),
        ];
        for (name, help, value) in totals {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
