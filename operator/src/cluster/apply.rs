//! Step 4: makes the objects exist, in the order they need each other.

use datamesh_crds::DataMeshCluster;
use datamesh_seal::ClusterSecret;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};

use super::build::{Objects, secret};
use super::validate::ValidCluster;
use crate::context::Context;
use crate::volume::Growth;

/// Keeps a new cluster key before anything is sealed with it. Says `false` when another one came into being meanwhile.
pub(super) async fn keep_new_key(
    cluster: &DataMeshCluster,
    valid: &ValidCluster,
    key: &ClusterSecret,
    context: &Context,
) -> kube::Result<bool> {
    let made = context.create_once(&secret::cluster_key(valid, key)).await?;
    if made {
        let note = format!(
            "Made the cluster key {}. Everything stored hangs on it: keep a copy with `datamesh admin key export`.",
            key.fingerprint()
        );
        context.tell(cluster, true, "KeyMade", &note).await;
    }
    Ok(made)
}

/// Makes all of it exist.
pub(super) async fn apply(objects: &Objects, context: &Context) -> kube::Result<()> {
    if let Some(tokens) = &objects.tokens {
        context.create_once(tokens).await?;
    }
    for certificate in &objects.certificates {
        context.apply(certificate).await?;
    }
    context.apply(&objects.settings).await?;
    for service in &objects.services {
        context.apply(service).await?;
    }
    for policy in &objects.network_policies {
        context.apply(policy).await?;
    }
    context.apply(&objects.budget).await?;
    grow(objects.growth.as_ref(), &objects.namespace, context).await?;
    context.apply(&objects.gateway).await
}

/// Asks for a larger volume.
pub(crate) async fn grow(growth: Option<&Growth>, namespace: &str, context: &Context) -> kube::Result<()> {
    let Some(growth) = growth else { return Ok(()) };
    let claims = context.api::<PersistentVolumeClaim>(namespace);
    let params = PatchParams { field_manager: Some(context.field_manager.into()), ..PatchParams::default() };
    claims.patch(&growth.claim, &params, &Patch::Merge(growth.patch())).await.map(|_| ())
}
