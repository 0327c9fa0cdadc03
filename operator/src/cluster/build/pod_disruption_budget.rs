//! The gateway's disruption budget.

use datamesh_crds::label;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::stateful_set::selecting;
use crate::cluster::validate::ValidCluster;
use crate::meta::{self, Labels};
use crate::names;

/// One pod of those `selected` may be evicted at a time. Never 0: that would only block the drain of a Kubernetes node
/// for ever, and never `minAvailable`, which would do the same with a single gateway.
pub(crate) fn one_at_a_time(metadata: ObjectMeta, selected: Labels) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(meta::selector(selected)),
            // A pod that is not ready serves nobody; keeping it would only block the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// The gateway's.
pub(super) fn gateway(cluster: &ValidCluster) -> PodDisruptionBudget {
    let family = &cluster.family;
    let labels = meta::and(family.labels(), label::COMPONENT, label::GATEWAY);
    one_at_a_time(family.owned(names::gateway(&family.cluster), labels), selecting(&family.cluster))
}
