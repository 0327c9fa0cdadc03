//! Step 1: reads what a pool refers to and what exists of it. Decides nothing.

use datamesh_crds::{DataMeshCluster, StoragePool, label};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::names;

/// What exists.
#[derive(Default)]
pub(crate) struct Found {
    /// The cluster the pool belongs to.
    pub(crate) cluster: Option<DataMeshCluster>,
    /// Its key.
    pub(crate) key: Option<Secret>,
    /// Its tokens.
    pub(crate) tokens: Option<Secret>,
    /// The certificate its gateway serves with.
    pub(crate) tls: Option<Secret>,
    /// The pool's StatefulSets.
    pub(crate) stateful_sets: Vec<StatefulSet>,
    /// The pool's volumes.
    pub(crate) volumes: Vec<PersistentVolumeClaim>,
    /// All other volumes of gateways and nodes in the namespace.
    pub(crate) other_volumes: Vec<PersistentVolumeClaim>,
    /// All pools in the namespace.
    pub(crate) pools: Vec<StoragePool>,
    /// Kubernetes' nodes, for their zones.
    pub(crate) nodes: Vec<Node>,
}

/// Reads all of it.
pub(crate) async fn dereference(pool: &StoragePool, context: &Context) -> kube::Result<Found> {
    let (namespace, cluster) = (pool.namespace().unwrap_or_default(), &pool.spec.cluster_ref);
    let clusters: Api<DataMeshCluster> = context.api(&namespace);
    let secrets: Api<Secret> = context.api(&namespace);
    let found = clusters.get_opt(cluster).await?;
    let tls = found.as_ref().and_then(|found| found.spec.tls.secret_name.clone());
    let ours = ListParams::default().labels(&format!(
        "{}={cluster},{}={}",
        label::CLUSTER,
        label::POOL,
        pool.name_any()
    ));
    let (volumes, other_volumes) = volumes(pool, context).await?;
    Ok(Found {
        cluster: found,
        key: secrets.get_opt(&names::cluster_key(cluster)).await?,
        tokens: secrets.get_opt(&names::tokens(cluster)).await?,
        tls: secrets.get_opt(&tls.unwrap_or_else(|| names::gateway_tls(cluster))).await?,
        stateful_sets: context.api::<StatefulSet>(&namespace).list(&ours).await?.items,
        volumes,
        other_volumes,
        pools: context.api::<StoragePool>(&namespace).list(&ListParams::default()).await?.items,
        nodes: Api::<Node>::all(context.client.clone()).list(&ListParams::default()).await?.items,
    })
}

/// The pool's volumes, and those of all others in its namespace.
async fn volumes(
    pool: &StoragePool,
    context: &Context,
) -> kube::Result<(Vec<PersistentVolumeClaim>, Vec<PersistentVolumeClaim>)> {
    let claims: Api<PersistentVolumeClaim> = context.api(&pool.namespace().unwrap_or_default());
    let made = ListParams::default().labels(&format!("{}={}", label::MANAGED_BY, label::OPERATOR));
    let (cluster, name) = (&pool.spec.cluster_ref, pool.name_any());
    let is_ours = |claim: &PersistentVolumeClaim| {
        let labels = claim.labels();
        labels.get(label::CLUSTER) == Some(cluster) && labels.get(label::POOL) == Some(&name)
    };
    Ok(claims.list(&made).await?.items.into_iter().partition(is_ours))
}
