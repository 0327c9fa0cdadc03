//! What is counted of the group, from what each look at it finds.

use std::collections::BTreeMap;

use datamesh_catalog::engine::raft::{GroupStatus, RaftKeyspace, ReplicaId};
use datamesh_settings::admin::{CatalogMember, CatalogMemberState};
use datamesh_settings::mesh::CatalogStanding;
use datamesh_shard::NodeName;

use crate::metrics::CatalogMetrics;

/// Counts, and what they were at the last look.
pub(super) struct GroupMetrics {
    metrics: CatalogMetrics,
    leader: Option<ReplicaId>,
    forwarded: u64,
    syncs: u64,
}

impl GroupMetrics {
    pub(super) fn new(metrics: CatalogMetrics) -> Self {
        Self { metrics, leader: None, forwarded: 0, syncs: 0 }
    }

    pub(super) fn note(
        &mut self,
        replica: &RaftKeyspace,
        status: &GroupStatus,
        said: &BTreeMap<NodeName, CatalogStanding>,
    ) {
        if status.leader.is_some() && status.leader != self.leader {
            if self.leader.is_some() {
                self.metrics.leader_changes.inc();
            }
            self.leader = status.leader;
        }
        self.metrics.leads.set(i64::from(status.leader == Some(replica.id())));
        let newest = said.values().map(|said| said.applied).max().unwrap_or_default();
        let lag = newest.saturating_sub(status.applied);
        self.metrics.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        let forwarded = replica.forwarded();
        self.metrics.forwarded.inc_by(forwarded.saturating_sub(self.forwarded));
        self.forwarded = forwarded;
        let syncs = replica.syncs();
        self.metrics.syncs.inc_by(syncs.saturating_sub(self.syncs));
        self.syncs = syncs;
    }

    pub(super) fn members(&self, members: &[CatalogMember]) {
        for (state, label) in [
            (CatalogMemberState::Current, "current"),
            (CatalogMemberState::Behind, "behind"),
            (CatalogMemberState::Joining, "joining"),
            (CatalogMemberState::Away, "away"),
        ] {
            self.metrics.members(label, members.iter().filter(|member| member.state == state).count());
        }
    }
}
