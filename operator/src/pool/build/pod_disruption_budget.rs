//! A pool's disruption budget: one node of the whole pool at a time.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::stateful_set::{pool_labels, selecting_pool};
use crate::cluster::one_at_a_time;
use crate::names;
use crate::pool::validate::ValidPool;

/// The pool's.
pub(crate) fn pool(pool: &ValidPool) -> PodDisruptionBudget {
    let name = names::pool(&pool.family.cluster, pool.name.as_str());
    one_at_a_time(pool.family.owned(name, pool_labels(pool)), selecting_pool(pool))
}
