//! The operator's metrics.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds: an idle pass takes tens of milliseconds, a slow gateway five seconds.
const DURATION_BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pass {
    controller: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfController {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCondition {
    kind: &'static str,
    namespace: String,
    name: String,
    condition: String,
}

/// All metrics and the registry that shows them.
pub(crate) struct Metrics {
    registry: Registry,
    passes: Family<Pass, Counter>,
    durations: Family<OfController, Histogram>,
    conditions: Family<OfCondition, Gauge>,
    leader: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("datamesh_operator");
        let passes = Family::default();
        registry.register("reconciles", "Passes over an object, by outcome", passes.clone());
        let durations =
            Family::new_with_constructor((|| Histogram::new(DURATION_BUCKETS)) as fn() -> Histogram);
        registry.register("reconcile_duration_seconds", "Time of one pass", durations.clone());
        let conditions = Family::default();
        registry.register("condition", "1 True, 0 False, -1 Unknown", conditions.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 while this process holds the lease", leader.clone());
        Self { registry, passes, durations, conditions, leader }
    }

    pub(crate) fn passed(&self, controller: &'static str, outcome: &'static str, took: Duration) {
        self.passes.get_or_create(&Pass { controller, outcome }).inc();
        self.durations.get_or_create(&OfController { controller }).observe(took.as_secs_f64());
    }

    pub(crate) fn condition(&self, kind: &'static str, object: (&str, &str), condition: &str, status: &str) {
        let (namespace, name) = (object.0.to_owned(), object.1.to_owned());
        let value = match status {
            "True" => 1,
            "False" => 0,
            _ => -1,
        };
        let labels = OfCondition { kind, namespace, name, condition: condition.to_owned() };
        self.conditions.get_or_create(&labels).set(value);
    }

    /// Drops a deleted object's conditions.
    pub(crate) fn forget(&self, kind: &'static str, object: (&str, &str), condition: &str) {
        let (namespace, name) = (object.0.to_owned(), object.1.to_owned());
        self.conditions.remove(&OfCondition { kind, namespace, name, condition: condition.to_owned() });
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// The text Prometheus reads.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_on_the_page() {
        let metrics = Metrics::new();
        metrics.passed("cluster", "ok", Duration::from_millis(20));
        metrics.condition("StoragePool", ("ns", "main"), "Ready", "Unknown");
        metrics.leads(true);
        let page = metrics.render().unwrap();
        for line in [
            "datamesh_operator_reconciles_total{controller=\"cluster\",outcome=\"ok\"} 1",
            "condition=\"Ready\"} -1",
            "datamesh_operator_leader 1",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
