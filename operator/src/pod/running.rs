//! Whether the one pod of a StatefulSet runs what was applied. Pure.

use datamesh_crds::label;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use crate::names;

/// Why a pod is not ready, or not yet what its StatefulSet says. `None` when it is.
pub(crate) fn unready(set: &StatefulSet) -> Option<String> {
    let (name, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
    let pod = names::pod(&name);
    let status = set.status.as_ref().filter(|status| status.observed_generation == set.metadata.generation);
    let Some(status) = status else {
        return Some("Kubernetes has not looked at its StatefulSet yet".into());
    };
    if status.updated_replicas.unwrap_or(0) < 1 {
        return Some(format!("pod {pod} is being replaced"));
    }
    let ready = status.ready_replicas.unwrap_or(0) >= 1;
    (!ready).then(|| format!("its pod is not ready: see `kubectl -n {namespace} describe pod {pod}`"))
}

/// What says whether two StatefulSets have the same pod.
pub(crate) fn template_hash(set: &StatefulSet) -> Option<&String> {
    set.annotations().get(label::TEMPLATE_HASH)
}
