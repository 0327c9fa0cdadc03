//! What is done when a pool is deleted: its pods go, its volumes stay.

use std::collections::BTreeSet;
use std::fmt::Debug;

use datamesh_crds::{StoragePool, label};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Error;
use super::namesakes::namesakes;
use crate::cluster::delete;
use crate::context::Context;
use crate::names;

/// Removes what was made for the pool, but no volume.
pub(super) async fn clean_up(pool: &StoragePool, context: &Context) -> Result<Action, Error> {
    let (name, namespace, cluster) =
        (pool.name_any(), pool.namespace().unwrap_or_default(), &pool.spec.cluster_ref);
    let ours = ListParams::default().labels(&format!("{}={cluster},{}={name}", label::CLUSTER, label::POOL));
    let claims: Api<PersistentVolumeClaim> = context.api(&namespace);
    let volumes = claims.list_metadata(&ours).await?.items;
    let sets: Api<StatefulSet> = context.api(&namespace);
    let with_set = sets.list_metadata(&ours).await?.items.into_iter().map(|set| set.name_any());
    // One that was leaving has lost its StatefulSet first.
    let with_volume =
        volumes.iter().filter_map(|claim| names::claimant(&claim.name_any()).map(str::to_owned));
    for node in with_set.chain(with_volume).collect::<BTreeSet<String>>() {
        // The StatefulSet last: what is left after a failure is found by it again.
        delete_named::<ConfigMap>(context, &namespace, &names::settings(&node)).await?;
        delete_named::<Secret>(context, &namespace, &names::join(&node)).await?;
        delete(&sets, &node).await?;
    }
    let volumes = volumes.len();
    let pools = context.api::<StoragePool>(&namespace).list(&ListParams::default()).await?.items;
    // The budget of a pool that was refused for its names is the other one's.
    if namesakes(pool, &pools).next().is_none() {
        delete_named::<PodDisruptionBudget>(context, &namespace, &names::pool(cluster, &name)).await?;
    }
    let note = format!(
        "Kept {volumes} volumes: apply the same pool again to go on with the data. To remove them for good: \
         kubectl -n {namespace} delete pvc -l {}={cluster},{}={name}",
        label::CLUSTER,
        label::POOL
    );
    context.tell(pool, true, "DataKept", &note).await;
    for type_ in super::update_status::CONDITIONS {
        context.health.metrics.forget("StoragePool", (&namespace, &name), type_);
    }
    Ok(Action::await_change())
}

async fn delete_named<K>(context: &Context, namespace: &str, name: &str) -> kube::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    delete(&context.api::<K>(namespace), name).await
}
