//! Step 4, for nodes that have left: removes what was theirs, pod first, volume last. A pass that breaks off is resumed by the
//! next one, since the volume, by which the node is found, goes last.

use datamesh_crds::StoragePool;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::DeleteParams;

use super::leaving::{Leaving, Step};
use crate::cluster::{delete, delete_this};
use crate::context::Context;
use crate::names;

/// Takes the next step of each.
pub(super) async fn remove(
    pool: &StoragePool,
    leaving: &[Leaving<'_>],
    context: &Context,
) -> kube::Result<()> {
    let namespace = pool.namespace().unwrap_or_default();
    for node in leaving {
        match (node.step, node.set, node.claim) {
            (Step::RemovePod, Some(set), _) => {
                // In the foreground: the StatefulSet is gone only when its pod is.
                let params = DeleteParams::foreground();
                delete_this(&context.api::<StatefulSet>(&namespace), set, params).await?;
            }
            (Step::RemoveVolume, _, Some(claim)) => remove_volume(pool, node, claim, context).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn remove_volume(
    pool: &StoragePool,
    leaving: &Leaving<'_>,
    claim: &PersistentVolumeClaim,
    context: &Context,
) -> kube::Result<()> {
    let (namespace, node) = (pool.namespace().unwrap_or_default(), leaving.identity.node.as_str());
    delete(&context.api::<ConfigMap>(&namespace), &names::settings(node)).await?;
    delete(&context.api::<Secret>(&namespace), &names::join(node)).await?;
    delete_this(&context.api(&namespace), claim, DeleteParams::background()).await?;
    let note = format!(
        "{node} has left: it was empty and in no layout any more. Its pod is gone, its volume deleted."
    );
    context.tell(pool, true, "NodeLeft", &note).await;
    Ok(())
}
