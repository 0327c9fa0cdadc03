//! What a gateway counts that keeps the catalog together with others.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Counts of the group that keeps the catalog. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CatalogMetrics {
    members: Family<StateLabels, Gauge>,
    /// Whether this gateway leads.
    pub leads: Gauge,
    /// Changes of who leads, as this gateway saw them.
    pub leader_changes: Counter,
    /// Entries of the log that another member has in its rows, and this one not yet.
    pub lag: Gauge,
    /// Commits of this gateway that another one, which led, had agreed on.
    pub forwarded: Counter,
    /// Syncs of this gateway's copy of the log.
    pub syncs: Counter,
}

impl CatalogMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let members = "Gateways that keep the catalog together, by state";
        registry.register("catalog_members", members, self.members.clone());
        let leads = "Whether this gateway leads the others that keep the catalog with it";
        registry.register("catalog_leads", leads, self.leads.clone());
        let changes = "Changes of the gateway that leads the catalog";
        registry.register("catalog_leader_changes", changes, self.leader_changes.clone());
        let lag = "Entries that this gateway's copy of the catalog is behind";
        registry.register("catalog_lag_entries", lag, self.lag.clone());
        let forwarded = "Commits that were carried to the gateway that leads the catalog";
        registry.register("catalog_commits_forwarded", forwarded, self.forwarded.clone());
        let syncs =
            "Syncs of this gateway's copy of the catalog's log to its disk, each for one commit or more";
        registry.register("catalog_syncs", syncs, self.syncs.clone());
    }

    /// Sets how many members are in a state.
    pub fn members(&self, state: &'static str, count: usize) {
        let gauge = self.members.get_or_create_owned(&StateLabels { state });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
