//! Volumes grow, and their claim templates stay as they were. Pure.

use std::collections::BTreeMap;

use datamesh_crds::Size;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::names;

/// Claim templates of a StatefulSet can never change: an existing one keeps its own, whatever size is wanted now.
pub(crate) fn keep_claim_template(mut built: StatefulSet, live: Option<&StatefulSet>) -> StatefulSet {
    let kept = live.and_then(|live| live.spec.as_ref()?.volume_claim_templates.clone());
    if let (Some(spec), Some(kept)) = (&mut built.spec, kept) {
        spec.volume_claim_templates = Some(kept);
    }
    built
}

/// The volume of `stateful_set`, if it exists and asks for less than `wanted`.
pub(crate) fn to_grow(
    volumes: &[PersistentVolumeClaim],
    stateful_set: &str,
    wanted: &Size,
) -> Option<Growth> {
    let name = names::claim(stateful_set);
    let claim = volumes.iter().find(|claim| claim.name_any() == name)?;
    let requests: &BTreeMap<_, _> = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    let asked = Size::new(&requests.get("storage")?.0).bytes().ok()?;
    (asked < wanted.bytes().ok()?).then(|| Growth { claim: name, size: wanted.clone() })
}

/// A volume that shall grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Name of its claim.
    pub(crate) claim: String,
    /// Its new size.
    pub(crate) size: Size,
}

impl Growth {
    /// The merge patch that asks for it.
    pub(crate) fn patch(&self) -> serde_json::Value {
        serde_json::json!({"spec": {"resources": {"requests": {"storage": self.size.as_str()}}}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_smaller_volume_grows() {
        let text = "
- metadata: {name: data-demo-main-0-0}
  spec: {resources: {requests: {storage: 10Gi}}}
";
        let volumes: Vec<PersistentVolumeClaim> = serde_yaml::from_str(text).unwrap();
        let growth = to_grow(&volumes, "demo-main-0", &Size::new("20Gi")).unwrap();
        assert_eq!(growth.patch()["spec"]["resources"]["requests"]["storage"], "20Gi");
        assert_eq!(growth.claim, "data-demo-main-0-0");
        assert_eq!(to_grow(&volumes, "demo-main-0", &Size::new("10240Mi")), None);
        assert_eq!(to_grow(&volumes, "demo-main-1", &Size::new("20Gi")), None);
    }
}
