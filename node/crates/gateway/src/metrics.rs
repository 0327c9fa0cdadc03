//! What the gateway counts, for `/metrics`.

mod backup;
mod cache;
mod catalog;
mod copies;
mod notifications;
mod profiles;
mod stages;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use datamesh_settings::admin::PoolScrub;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::pipeline::Budget;

pub use backup::BackupMetrics;
pub use cache::CacheMetrics;
pub use catalog::CatalogMetrics;
pub use copies::CopiesMetrics;
pub use notifications::NotificationMetrics;
pub use profiles::ProfileMetrics;
pub use stages::{Stage, Stages};

/// Upper bounds of the duration histogram, in seconds.
const DURATION_SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Which requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// Route pattern, never the path itself: that holds object names.
    pub route: String,
    /// HTTP method.
    pub method: String,
    /// HTTP status.
    pub status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurabilityLabels {
    pool: String,
    durability: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShardErrorLabels {
    pool: String,
    operation: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MemberLabels {
    pool: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AvoidedLabels {
    pool: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LatencyLabels {
    pool: String,
    node: String,
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// All counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    bytes: Family<DirectionLabels, Counter>,
    segments: Family<DurabilityLabels, Counter>,
    shard_errors: Family<ShardErrorLabels, Counter>,
    members: Family<MemberLabels, Gauge>,
    avoided: Family<AvoidedLabels, Gauge>,
    scrubs: Family<MemberLabels, Gauge>,
    latencies: Family<LatencyLabels, Gauge<f64, AtomicU64>>,
    hedged: Counter,
    expired: Family<KindLabels, Counter>,
    /// What pools have in which profile.
    pub profiles: ProfileMetrics,
    /// The group that keeps the catalog.
    pub catalog: CatalogMetrics,
    /// Its backups.
    pub backup: BackupMetrics,
    /// Copies of those elsewhere.
    pub copies: CopiesMetrics,
    /// Events of buckets.
    pub notifications: NotificationMetrics,
    /// The cache of hot segments.
    pub cache: CacheMetrics,
    /// CPU seconds by stage.
    pub stages: Stages,
}

/// How a segment came to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All k+m shards durable.
    Whole,
    /// Fewer, but enough for one more loss.
    Short,
    /// Not acknowledged.
    Failed,
}

impl Metrics {
    /// The counters and a registry that shows them, under the prefix `datamesh_gateway`.
    #[must_use]
    pub fn register(budget: Budget) -> (Self, Arc<Registry>) {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            bytes: Family::default(),
            segments: Family::default(),
            shard_errors: Family::default(),
            members: Family::default(),
            avoided: Family::default(),
            scrubs: Family::default(),
            latencies: Family::default(),
            hedged: Counter::default(),
            expired: Family::default(),
            profiles: ProfileMetrics::default(),
            catalog: CatalogMetrics::default(),
            backup: BackupMetrics::default(),
            copies: CopiesMetrics::default(),
            notifications: NotificationMetrics::default(),
            cache: CacheMetrics::default(),
            stages: Stages::default(),
        };
        let mut registry = Registry::with_prefix("datamesh_gateway");
        let m = &metrics;
        registry.register("http_requests", "Requests by route, method and status", m.requests.clone());
        registry.register("http_duration_seconds", "Time until the answer's head", m.durations.clone());
        registry.register("object_bytes", "Object bytes received and sent", m.bytes.clone());
        registry.register("segments_written", "Segments by how they were acknowledged", m.segments.clone());
        registry.register("shard_errors", "Shard requests that failed, by reason", m.shard_errors.clone());
        registry.register("pool_members", "Members of a pool by state", m.members.clone());
        let avoided = "Members of a pool that are avoided, by reason";
        registry.register("pool_members_avoided", avoided, m.avoided.clone());
        let scrubs =
            "Members of a pool whose scrub is paused, or overdue: not all read within twice its period";
        registry.register("pool_members_not_scrubbed", scrubs, m.scrubs.clone());
        let latency = "Mean time a member lately took for a shard, failures reckoned as 2 s";
        registry.register("shard_latency_seconds", latency, m.latencies.clone());
        registry.register("reads_with_parity", "Segments read with the help of parity", m.hedged.clone());
        registry.register("expired", "What rules of buckets ended, by kind", m.expired.clone());
        m.profiles.register(&mut registry);
        m.catalog.register(&mut registry);
        m.backup.register(&mut registry);
        m.copies.register(&mut registry);
        m.notifications.register(&mut registry);
        m.cache.register(&mut registry);
        m.stages.register(&mut registry);
        registry.register_collector(Box::new(BudgetGauges(budget)));
        (metrics, Arc::new(registry))
    }

    /// Counts a request that was answered.
    pub fn request(&self, labels: RequestLabels, took: Duration) {
        let route = RouteLabels { route: labels.route.clone(), method: labels.method.clone() };
        self.durations.get_or_create(&route).observe(took.as_secs_f64());
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts object bytes taken from clients.
    pub fn received(&self, bytes: u64) {
        self.bytes.get_or_create(&DirectionLabels { direction: "in" }).inc_by(bytes);
    }

    /// Counts object bytes given to clients.
    pub fn sent(&self, bytes: u64) {
        self.bytes.get_or_create(&DirectionLabels { direction: "out" }).inc_by(bytes);
    }

    /// Counts a written segment.
    pub fn segment(&self, pool: &str, written: Written) {
        let durability = match written {
            Written::Whole => "whole",
            Written::Short => "short",
            Written::Failed => "failed",
        };
        self.segments.get_or_create(&DurabilityLabels { pool: pool.into(), durability }).inc();
    }

    /// Counts a shard request that failed.
    pub fn shard_error(&self, pool: &str, operation: &'static str, reason: &'static str) {
        self.shard_errors.get_or_create(&ShardErrorLabels { pool: pool.into(), operation, reason }).inc();
    }

    /// Counts a segment that was read with the help of parity.
    pub fn rebuilt(&self) {
        self.hedged.inc();
    }

    /// Counts what rules of a bucket ended.
    pub fn expired(&self, kind: &'static str, count: u64) {
        self.expired.get_or_create(&KindLabels { kind }).inc_by(count);
    }

    /// Sets how many members of a pool are in a state.
    pub fn members(&self, pool: &str, state: &'static str, count: usize) {
        let gauge = self.members.get_or_create_owned(&MemberLabels { pool: pool.into(), state });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets how many members of a pool are not scrubbed as they should be.
    pub fn scrub(&self, pool: &str, scrub: &PoolScrub) {
        for (state, count) in [("paused", scrub.paused_members), ("overdue", scrub.overdue_members)] {
            let gauge = self.scrubs.get_or_create_owned(&MemberLabels { pool: pool.into(), state });
            gauge.set(i64::from(count));
        }
    }

    /// Sets how many members of a pool are avoided for a reason.
    pub fn avoided(&self, pool: &str, reason: &'static str, count: usize) {
        let gauge = self.avoided.get_or_create_owned(&AvoidedLabels { pool: pool.into(), reason });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Forgets all latencies.
    pub fn forget_latencies(&self) {
        self.latencies.clear();
    }

    /// Sets how long a member takes for an operation.
    pub fn latency(&self, (pool, node): (&str, &str), operation: &'static str, took: Duration) {
        let labels = LatencyLabels { pool: pool.into(), node: node.into(), operation };
        self.latencies.get_or_create_owned(&labels).set(took.as_secs_f64());
    }
}

/// Shows the budget as it is at the moment of asking.
#[derive(Debug)]
struct BudgetGauges(Budget);

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Budget({} of {} bytes used)", self.used_bytes(), self.bytes())
    }
}

impl Collector for BudgetGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauges = [
            ("buffer_budget_bytes", "Bytes of segment buffers all transfers share", self.0.bytes()),
            ("buffer_used_bytes", "Bytes of segment buffers in use", self.0.used_bytes()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::<u64>::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

/// A counter of seconds.
pub(crate) type SecondsCounter = Counter<f64, AtomicU64>;
