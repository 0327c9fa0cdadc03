//! Volumes grow, and their claim templates stay as they were.

use std::collections::BTreeMap;

use datamesh_crds::Size;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use crate::context::Context;
use crate::names;

/// Claim templates of a StatefulSet can never change: an existing one keeps its own, whatever size is wanted now.
pub(crate) fn keep_claim_template(mut built: StatefulSet, live: Option<&StatefulSet>) -> StatefulSet {
    let kept = live.and_then(|live| live.spec.as_ref()?.volume_claim_templates.clone());
    if let (Some(spec), Some(kept)) = (&mut built.spec, kept) {
        spec.volume_claim_templates = Some(kept);
    }
    built
}

/// The volume of `stateful_set`, if it is bound and asks for less than `wanted`. (One that is not bound cannot grow.)
pub(crate) fn to_grow(
    volumes: &[PersistentVolumeClaim],
    stateful_set: &str,
    wanted: &Size,
) -> Option<Growth> {
    let name = names::claim(stateful_set);
    let claim = volumes.iter().find(|claim| claim.name_any() == name)?;
    if claim.status.as_ref()?.phase.as_deref() != Some("Bound") {
        return None;
    }
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

    /// Asks for it. A storage class that refuses is said, but keeps nothing else from being done.
    pub(crate) async fn ask(&self, namespace: &str, context: &Context) -> kube::Result<Option<String>> {
        let claims = context.api::<PersistentVolumeClaim>(namespace);
        let params =
            PatchParams { field_manager: Some(context.field_manager.into()), ..PatchParams::default() };
        match claims.patch(&self.claim, &params, &Patch::Merge(self.patch())).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {
                let refusal = status.message.lines().next().unwrap_or_default();
                Ok(Some(format!("Volume {} cannot grow to {}: {refusal}", self.claim, self.size)))
            }
            Err(error) => Err(error),
        }
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
  status: {phase: Bound}
- metadata: {name: data-demo-main-1-0}
  spec: {resources: {requests: {storage: 10Gi}}}
  status: {phase: Pending}
";
        let volumes: Vec<PersistentVolumeClaim> = serde_yaml::from_str(text).unwrap();
        let growth = to_grow(&volumes, "demo-main-0", &Size::new("20Gi")).unwrap();
        assert_eq!(growth.patch()["spec"]["resources"]["requests"]["storage"], "20Gi");
        assert_eq!(growth.claim, "data-demo-main-0-0");
        assert_eq!(to_grow(&volumes, "demo-main-0", &Size::new("10240Mi")), None);
        assert_eq!(to_grow(&volumes, "demo-main-1", &Size::new("20Gi")), None);
    }
}
