//! What a cluster's conditions say of its pools one by one.

use datamesh_crds::{StoragePool, condition};
use datamesh_settings::admin::{ClusterStatus, PoolStatus};
use datamesh_shard::PoolName;
use k8s_controller::conditions::{self as standard, ConditionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::conditions::Verdict;
use crate::outcome::Outcome;
use crate::report;

/// The pool that takes what is put without naming a bucket. A gateway that does not say it takes the first by name.
pub(super) fn default_pool(status: &ClusterStatus) -> Option<&PoolStatus> {
    let named = |name: &PoolName| status.pools.iter().find(|pool| pool.name == *name);
    status.default_pool.as_ref().and_then(named).or_else(|| status.pools.first())
}

pub(super) fn not_handed_over(pool: &str) -> String {
    format!("StoragePool {pool} has not been handed to the gateway yet; see its own conditions.")
}

/// A pool without a layout: it has never taken a shard.
struct Idle<'a> {
    pool: &'a StoragePool,
    known: Option<&'a PoolStatus>,
}

impl Idle<'_> {
    /// Why nothing is going on, if so: its own controller waits for somebody to do something.
    fn stuck(&self) -> Option<&Condition> {
        let conditions = &self.pool.status.as_ref()?.conditions;
        standard::find_observed(conditions, condition::PROGRESSING, self.pool.metadata.generation)
            .filter(|progressing| progressing.status == "False" && progressing.reason != "UpToDate")
    }

    fn waits_for(&self) -> String {
        let name = self.pool.name_any();
        match self.known {
            Some(known) => format!("Pool {name}: {}", report::pool_ready(known).message),
            None => not_handed_over(&name),
        }
    }
}

fn idle<'a>(pools: &'a [StoragePool], status: &'a ClusterStatus) -> impl Iterator<Item = Idle<'a>> {
    let kept = pools.iter().filter(|pool| pool.metadata.deletion_timestamp.is_none());
    kept.filter_map(|pool| {
        let known = status.pools.iter().find(|known| known.name.as_str() == pool.name_any());
        known.is_none_or(|known| known.epoch.is_none()).then_some(Idle { pool, known })
    })
}

/// Pools that are being brought into use.
pub(super) fn joining(pools: &[StoragePool], status: &ClusterStatus) -> Option<Outcome> {
    let waits: Vec<String> =
        idle(pools, status).filter(|idle| idle.stuck().is_none()).map(|idle| idle.waits_for()).collect();
    (!waits.is_empty()).then(|| Outcome::Underway { reason: "PoolsJoining", message: waits.join(" ") })
}

/// `degraded` with the pools that nobody is bringing into use.
pub(super) fn with_idle(degraded: Verdict, pools: &[StoragePool], status: &ClusterStatus) -> Verdict {
    let stuck = idle(pools, status).filter_map(|idle| {
        let name = idle.pool.name_any();
        idle.stuck().map(|why| format!("StoragePool {name} is not in use: {}", why.message))
    });
    let stuck: Vec<String> = stuck.collect();
    if stuck.is_empty() {
        return degraded;
    }
    let stuck = stuck.join(" ");
    match degraded.status {
        ConditionStatus::True => Verdict { message: format!("{} {stuck}", degraded.message), ..degraded },
        _ => Verdict::yes(condition::DEGRADED, "PoolNotInUse", stuck),
    }
}
