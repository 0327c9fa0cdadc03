//! Whether a gateway that is alone runs what was applied. Pure.
//!
//! A ready pod alone says nothing after a change: it may still be the old one. So the StatefulSet must have carried the
//! present template before this pass, and its controller must have seen it, replaced the pod and found it ready.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use crate::outcome::Outcome;
use crate::pod::running::template_hash;

/// What is being waited for, from the StatefulSet as this pass found it and as it applied it.
pub(super) fn outcome(found: Option<&StatefulSet>, applied: &StatefulSet) -> Outcome {
    let (name, namespace) = (applied.name_any(), applied.namespace().unwrap_or_default());
    let underway = |reason, message| Outcome::Underway { reason, message };
    let Some(found) = found else {
        return underway("GatewayStarting", "Starting the gateway.".to_owned());
    };
    let status =
        found.status.as_ref().filter(|status| status.observed_generation == found.metadata.generation);
    let replaced = status.is_some_and(|status| status.updated_replicas.unwrap_or(0) >= 1);
    if template_hash(found) != template_hash(applied) || !replaced {
        let message = format!(
            "Pod {name}-0 is being replaced by one that runs what the spec says; puts and gets fail meanwhile."
        );
        return underway("GatewayRestarting", message);
    }
    if status.is_none_or(|status| status.ready_replicas.unwrap_or(0) < 1) {
        let message = format!(
            "Waiting for pod {name}-0 to be ready; see `kubectl -n {namespace} describe pod {name}-0`."
        );
        return underway("GatewayStarting", message);
    }
    Outcome::Applied
}

#[cfg(test)]
mod tests {
    use datamesh_crds::label;
    use k8s_openapi::api::apps::v1::StatefulSetStatus;

    use super::*;

    fn applied(template: &str) -> StatefulSet {
        let mut set = StatefulSet::default();
        set.metadata.name = Some("demo-gateway".into());
        set.metadata.annotations = Some([(label::TEMPLATE_HASH.to_owned(), template.to_owned())].into());
        set
    }

    /// A gateway of generation 2 that runs template `new`.
    fn running(observed: i64, updated: i32, ready: i32) -> StatefulSet {
        let mut set = applied("new");
        set.metadata.generation = Some(2);
        set.status = Some(StatefulSetStatus {
            observed_generation: Some(observed),
            updated_replicas: Some(updated),
            ready_replicas: Some(ready),
            ..StatefulSetStatus::default()
        });
        set
    }

    fn reason(found: Option<&StatefulSet>, template: &str) -> &'static str {
        match outcome(found, &applied(template)) {
            Outcome::Underway { reason, .. } => reason,
            _ => "",
        }
    }

    #[test]
    fn a_gateway_that_runs_what_was_applied_is_up_to_date() {
        assert_eq!(outcome(Some(&running(2, 1, 1)), &applied("new")), Outcome::Applied);
    }

    #[test]
    fn a_changed_template_is_underway_while_the_old_pod_is_still_ready() {
        assert_eq!(reason(Some(&running(2, 1, 1)), "newer"), "GatewayRestarting");
        assert_eq!(reason(Some(&running(1, 1, 1)), "new"), "GatewayRestarting", "not observed");
        assert_eq!(reason(Some(&running(2, 0, 1)), "new"), "GatewayRestarting", "not replaced");
        assert_eq!(reason(Some(&running(2, 1, 0)), "new"), "GatewayStarting", "not ready");
    }

    #[test]
    fn a_new_gateway_is_underway() {
        assert_eq!(reason(None, "new"), "GatewayStarting");
        assert_eq!(reason(Some(&applied("new")), "new"), "GatewayRestarting", "without a status");
    }
}
