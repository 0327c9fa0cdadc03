//! What is done when a cluster is deleted. Derived objects go by their owner reference; this is about what holds data.

use datamesh_crds::{DataMeshCluster, DeletionPolicy, label};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::runtime::controller::Action;

use super::Error;
use crate::context::Context;
use crate::names;

/// Keeps volumes and key, or destroys them, and says so.
pub(super) async fn clean_up(cluster: &DataMeshCluster, context: &Context) -> Result<Action, Error> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let ours = ListParams::default().labels(&format!("{}={name}", label::CLUSTER));
    let claims: Api<PersistentVolumeClaim> = context.api(&namespace);
    let volumes = claims.list_metadata(&ours).await?.items;
    match cluster.spec.deletion_policy {
        DeletionPolicy::Retain => {
            context.tell(cluster, true, "DataKept", &kept(&name, &namespace, volumes.len())).await
        }
        DeletionPolicy::Destroy => {
            // StatefulSets first, or they would make the claims anew.
            let sets: Api<StatefulSet> = context.api(&namespace);
            for set in sets.list_metadata(&ours).await?.items {
                delete(&sets, &set.name_any()).await?;
            }
            for volume in &volumes {
                delete(&claims, &volume.name_any()).await?;
            }
            delete(&context.api::<Secret>(&namespace), &names::cluster_key(&name)).await?;
            let note = format!("Deleted {} volumes and the cluster key; the data is gone.", volumes.len());
            context.tell(cluster, true, "DataDestroyed", &note).await;
        }
    }
    for type_ in super::update_status::CONDITIONS {
        context.health.metrics.forget("DataMeshCluster", (&namespace, &name), type_);
    }
    Ok(Action::await_change())
}

fn kept(name: &str, namespace: &str, volumes: usize) -> String {
    let key = names::cluster_key(name);
    format!(
        "Kept {volumes} volumes and Secret {key}: apply the same objects again to go on with the data. To remove it for \
         good: kubectl -n {namespace} delete pvc -l {label}={name} && kubectl -n {namespace} delete secret {key}",
        label = label::CLUSTER,
    )
}

/// Deletes, and is content when it is gone already.
pub(crate) async fn delete<K>(api: &Api<K>, name: &str) -> kube::Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes the very object that was looked at, not one that was made under its name since.
pub(crate) async fn delete_this<K>(api: &Api<K>, object: &K, params: DeleteParams) -> kube::Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params =
        params.preconditions(Preconditions { uid: object.meta().uid.clone(), resource_version: None });
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
