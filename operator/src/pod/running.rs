//! Whether the one pod of a StatefulSet runs what was applied. Pure.

use datamesh_crds::label;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use crate::names;

/// Why a pod is not ready, or not yet what its StatefulSet says. `None` when it is.
pub(crate) fn unready(set: &StatefulSet) -> Option<String> {
    let (pod, namespace) = (names::pod(&set.name_any()), set.namespace().unwrap_or_default());
    let ready = set.status.as_ref().is_some_and(|status| status.ready_replicas.unwrap_or(0) >= 1);
    let waits = || format!("its pod is not ready: see `kubectl -n {namespace} describe pod {pod}`");
    replaced(set).or_else(|| (!ready).then(waits))
}

/// Why a pod is not what its StatefulSet says yet. `None` when it is, ready or not.
pub(crate) fn replaced(set: &StatefulSet) -> Option<String> {
    let status = set.status.as_ref().filter(|status| status.observed_generation == set.metadata.generation);
    let Some(status) = status else {
        return Some("Kubernetes has not looked at its StatefulSet yet".into());
    };
    let is_old = status.updated_replicas.unwrap_or(0) < 1;
    is_old.then(|| format!("pod {} is being replaced", names::pod(&set.name_any())))
}

/// What says whether two StatefulSets have the same pod.
pub(crate) fn template_hash(set: &StatefulSet) -> Option<&String> {
    set.annotations().get(label::TEMPLATE_HASH)
}
