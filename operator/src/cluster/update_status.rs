//! Step 5: what is, in conditions.

use datamesh_crds::{DataMeshCluster, DataMeshClusterStatus, condition};
use datamesh_settings::HTTPS_PORT;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::catalog_move;
use super::dereference::Found;
use super::key::Key;
use super::verdicts::{self, Answer};
use crate::conditions;
use crate::context::Context;
use crate::gateway_api::{Door, GatewayError};
use crate::names;
use crate::outcome::Outcome;
use crate::report;

/// Condition types of a cluster.
pub(super) const CONDITIONS: [&str; 6] = [
    condition::READY,
    condition::PROGRESSING,
    condition::DEGRADED,
    condition::DATA_SAFE,
    condition::KEY_MISSING,
    condition::BACKUP_COPIES,
];

/// Writes the status if it changed, tells of transitions. Says whether all is well.
pub(super) async fn update_status(
    cluster: &DataMeshCluster,
    found: &Found,
    key: &Key,
    outcome: &Outcome,
    answer: &Answer,
    context: &Context,
) -> kube::Result<bool> {
    let verdicts = verdicts::verdicts(cluster, found, key, outcome, answer);
    let mut status = cluster.status.clone().unwrap_or_default();
    let changed = conditions::set(&mut status.conditions, &verdicts, cluster.metadata.generation);
    fill(&mut status, cluster, found, key, answer);
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    for verdict in &verdicts {
        let condition = (verdict.type_, verdict.status.as_str());
        context.health.metrics.condition("DataMeshCluster", (&namespace, &name), condition.0, condition.1);
    }
    if cluster.status.as_ref() != Some(&status) {
        let api = context.api::<DataMeshCluster>(&namespace);
        let patch = Patch::Apply(serde_json::json!({
            "apiVersion": format!("{}/{}", datamesh_crds::GROUP, datamesh_crds::VERSION),
            "kind": "DataMeshCluster",
            "metadata": {"name": name},
            "status": status,
        }));
        api.patch_status(&name, &PatchParams::apply(context.field_manager).force(), &patch).await?;
    }
    for verdict in &changed {
        context.tell_verdict(cluster, verdict).await;
    }
    Ok(verdicts.iter().all(|v| v.is_good() || v.reason == "CatalogSingleCopy"))
}

/// What the cluster knows of itself. Any gateway that is ready may answer: the Service leads to all of them.
pub(super) async fn ask(cluster: &DataMeshCluster, found: &Found) -> Answer {
    door(cluster, found)?.status().await
}

fn door(cluster: &DataMeshCluster, found: &Found) -> Result<Door, GatewayError> {
    let tls = if cluster.spec.tls.secret_name.is_some() { &found.given_tls } else { &found.tls };
    Door::of(cluster, found.tokens.as_ref(), tls.as_ref())
}

fn fill(
    status: &mut DataMeshClusterStatus,
    cluster: &DataMeshCluster,
    found: &Found,
    key: &Key,
    answer: &Answer,
) {
    let host =
        names::service_host(&names::gateway(&cluster.name_any()), &cluster.namespace().unwrap_or_default());
    status.observed_generation = cluster.metadata.generation;
    status.endpoint = Some(format!("https://{host}:{HTTPS_PORT}"));
    let gateways = verdicts::gateways(cluster);
    status.gateways = i32::try_from(gateways.len()).ok();
    status.gateways_ready =
        i32::try_from(gateways.iter().filter(|name| found.gateway_is_ready(name)).count()).ok();
    status.nodes = Some(found.pools.iter().map(|pool| pool.spec.replicas).sum());
    status.nodes_up =
        answer.as_ref().ok().and_then(|a| i32::try_from(a.pools.iter().map(report::up).sum::<usize>()).ok());
    if let Ok(said) = answer {
        status.catalog_kept_by = catalog_move::remembered(status.catalog_kept_by, &said.catalog);
    }
    // Kept while the key is missing, so that a wrong one is recognised.
    if let Some(fingerprint) = key.fingerprint() {
        status.key_fingerprint = Some(fingerprint);
    }
}
