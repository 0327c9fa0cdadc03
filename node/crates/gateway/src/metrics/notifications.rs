//! What a gateway counts of events that it tells. One gateway tells them for all: only its counts move.

use datamesh_shard::TargetName;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

impl From<&TargetName> for TargetLabels {
    fn from(name: &TargetName) -> Self {
        Self { target: name.as_str().to_owned() }
    }
}

/// Counts of events by target. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct NotificationMetrics {
    pending: Family<TargetLabels, Gauge>,
    delivered: Family<TargetLabels, Counter>,
    failed: Family<TargetLabels, Counter>,
    dropped: Family<TargetLabels, Counter>,
}

impl NotificationMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let pending = "Events that wait for their target, as the gateway sees it that tells them";
        registry.register("notifications_pending", pending, self.pending.clone());
        registry.register("notifications_delivered", "Events that targets took", self.delivered.clone());
        let failed = "Messages that a target did not take: they are sent again";
        registry.register("notifications_failed", failed, self.failed.clone());
        let dropped = "Events that were given up, as too many waited for their target";
        registry.register("notifications_dropped", dropped, self.dropped.clone());
    }

    /// Sets how many events wait for a target.
    pub fn pending(&self, target: &TargetName, events: u64) {
        self.pending.get_or_create_owned(&target.into()).set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    /// Counts events that a target took.
    pub fn delivered(&self, target: &TargetName, events: usize) {
        self.delivered.get_or_create(&target.into()).inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// Counts a message that a target did not take.
    pub fn failed(&self, target: &TargetName) {
        self.failed.get_or_create(&target.into()).inc();
    }

    /// Counts events that were given up.
    pub fn dropped(&self, target: &TargetName, events: u64) {
        self.dropped.get_or_create(&target.into()).inc_by(events);
    }
}
