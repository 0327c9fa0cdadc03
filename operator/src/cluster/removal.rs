//! Step 4, for gateways that have left: removes what was theirs, pod first, volume last. A pass that breaks off is resumed by the next
//! one, since the volume, by which the gateway is found, goes last.

use datamesh_crds::DataMeshCluster;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::DeleteParams;

use super::leaving::{Leaving, Step};
use super::{delete, delete_this};
use crate::context::Context;
use crate::names;

/// Takes the next step of each.
pub(super) async fn remove(
    cluster: &DataMeshCluster,
    leaving: &[Leaving<'_>],
    context: &Context,
) -> kube::Result<()> {
    let namespace = cluster.namespace().unwrap_or_default();
    for gateway in leaving {
        match (gateway.step, gateway.set, gateway.claim) {
            (Step::RemovePod, Some(set), _) => {
                // In the foreground: the StatefulSet is gone only when its pod is, which ends what it does within its grace.
                let params = DeleteParams::foreground();
                delete_this(&context.api::<StatefulSet>(&namespace), set, params).await?;
            }
            (Step::RemoveVolume, _, Some(claim)) => {
                delete(&context.api::<ConfigMap>(&namespace), &names::settings(gateway.name)).await?;
                delete_this(&context.api(&namespace), claim, DeleteParams::background()).await?;
                let name = gateway.name;
                let note = format!(
                    "{name} has left: it has no part in the catalog any more. Its pod is gone, its volume deleted."
                );
                context.tell(cluster, true, "GatewayLeft", &note).await;
            }
            _ => {}
        }
    }
    Ok(())
}
