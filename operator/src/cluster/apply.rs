//! Step 4: makes the objects exist, in the order they need each other.

use std::collections::BTreeSet;

use datamesh_crds::DataMeshCluster;
use datamesh_seal::ClusterSecret;

use super::build::{Objects, secret};
use super::validate::ValidCluster;
use crate::context::Context;

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

/// Makes all of it exist, but for the gateways that are `held` back. Says which volumes could not grow.
pub(super) async fn apply(
    objects: &Objects,
    held: &BTreeSet<String>,
    context: &Context,
) -> kube::Result<Vec<String>> {
    if let Some(tokens) = &objects.tokens {
        context.create_once(tokens).await?;
    }
    for certificate in &objects.certificates {
        context.apply(certificate).await?;
    }
    for service in &objects.services {
        context.apply(service).await?;
    }
    for policy in &objects.network_policies {
        context.apply(policy).await?;
    }
    context.apply(&objects.budget).await?;
    let mut refused = Vec::new();
    for gateway in &objects.gateways {
        // With its settings: one that dies while it is held back starts again as what it was.
        if !held.contains(&gateway.name()) {
            context.apply(&gateway.settings).await?;
            context.apply(&gateway.stateful_set).await?;
        }
        if let Some(growth) = &gateway.growth {
            refused.extend(growth.ask(&objects.namespace, context).await?);
        }
    }
    Ok(refused)
}
