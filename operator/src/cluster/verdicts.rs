//! The conditions of a cluster, from what was found, what was done and what the gateway says. Pure.

use datamesh_crds::{DataMeshCluster, condition};
use datamesh_settings::admin::{ClusterStatus, PoolStatus};
use kube::ResourceExt;

use super::catalog_move;
use super::dereference::Found;
use super::key::Key;
use crate::conditions::Verdict;
use crate::gateway_api::GatewayError;
use crate::names;
use crate::outcome::Outcome;
use crate::report::{self, Keepers};

mod pools;
#[cfg(test)]
mod tests;

/// What a gateway said, if any did.
pub(super) type Answer = Result<ClusterStatus, GatewayError>;

/// All conditions.
pub(super) fn verdicts(
    cluster: &DataMeshCluster,
    found: &Found,
    key: &Key,
    outcome: &Outcome,
    answer: &Answer,
) -> Vec<Verdict> {
    let mut verdicts = vec![
        ready(cluster, found, outcome, answer),
        progressing(found, outcome, answer),
        key_missing(cluster, key),
    ];
    match answer {
        Ok(status) => {
            let known: Vec<&PoolStatus> = status.pools.iter().collect();
            let degraded = pools::with_idle(report::degraded(&known), &found.pools, status);
            verdicts.push(report::catalog::with_gateways(degraded, &status.catalog));
            verdicts.push(report::data_safe(&status.catalog, &known, &[]));
        }
        Err(error) => verdicts.extend(report::unasked(error, Keepers::of(Some(cluster)))),
    }
    verdicts.extend(copies(cluster, answer));
    verdicts
}

/// Of copies of backups, where there are to be any, or were.
fn copies(cluster: &DataMeshCluster, answer: &Answer) -> Option<Verdict> {
    if cluster.spec.gateway.backup_copies.is_some() {
        let told = |status: &'_ ClusterStatus| {
            status.catalog.backup.as_ref().and_then(|backup| backup.copies.clone())
        };
        let copies = answer.as_ref().map(told);
        return Some(report::copies::verdict(copies.as_ref().map(Option::as_ref).map_err(|error| *error)));
    }
    let conditions = &cluster.status.as_ref()?.conditions;
    let was_said = conditions.iter().any(|known| known.type_ == condition::BACKUP_COPIES);
    was_said.then(report::copies::not_wanted)
}

/// The cluster's own steps, and then pools that are on their way.
fn progressing(found: &Found, outcome: &Outcome, answer: &Answer) -> Verdict {
    match (outcome, answer) {
        (Outcome::Applied, Ok(status)) => catalog_move::underway(&status.catalog, found.gateways.len())
            .or_else(|| pools::joining(&found.pools, status))
            .unwrap_or(Outcome::Applied),
        (outcome, _) => outcome.clone(),
    }
    .progressing()
}

fn key_missing(cluster: &DataMeshCluster, key: &Key) -> Verdict {
    match key {
        Key::Missing { reason, message } => Verdict::yes(condition::KEY_MISSING, reason, message),
        Key::New(_) => Verdict::no(
            condition::KEY_MISSING,
            "NoKeyYet",
            "There are no volumes yet, and no key they would need.",
        ),
        Key::Present(secret) => {
            let (name, fingerprint) = (names::cluster_key(&cluster.name_any()), secret.fingerprint());
            let text = format!(
                "Secret {name} holds the key {fingerprint}. Keep a copy outside with `datamesh admin key export`."
            );
            Verdict::no(condition::KEY_MISSING, "KeyPresent", text)
        }
    }
}

/// Ready: the gateway serves, and the pool of the default bucket takes writes. How other pools are, Progressing and
/// Degraded say: puts and gets do not wait for them.
fn ready(cluster: &DataMeshCluster, found: &Found, outcome: &Outcome, answer: &Answer) -> Verdict {
    match outcome {
        Outcome::Invalid(message) => return Verdict::no(condition::READY, "InvalidSpec", message),
        Outcome::KeyMissing { reason, message } => return Verdict::no(condition::READY, reason, message),
        Outcome::Applied | Outcome::Underway { .. } | Outcome::Paused | Outcome::Failed(_) => {}
    }
    let status = match answer {
        Ok(status) => status,
        Err(error) => return gateway_away(cluster, found, error),
    };
    let Some(first) = found.pools.first() else {
        let text =
            format!("No StoragePool names this cluster: apply one with clusterRef: {}.", cluster.name_any());
        return Verdict::no(condition::READY, "NoPool", text);
    };
    let Some(default) = pools::default_pool(status) else {
        return Verdict::no(condition::READY, "PoolPending", pools::not_handed_over(&first.name_any()));
    };
    let verdict = report::pool_ready(default);
    if !verdict.is_good() {
        return Verdict { message: format!("Pool {}: {}", default.name, verdict.message), ..verdict };
    }
    let (up, all) =
        (status.pools.iter().map(report::up).sum::<usize>(), status.pools.iter().map(|p| p.members.len()));
    let place = match status.pools.len() {
        1 => String::new(),
        _ => format!(" in pool {}, which holds the default bucket", default.name),
    };
    let text = format!("Puts and gets work{place}; {up} of {} storage nodes are up.", all.sum::<usize>());
    Verdict::yes(condition::READY, "Serving", text)
}

/// The gateways the spec wants, by name.
pub(super) fn gateways(cluster: &DataMeshCluster) -> Vec<String> {
    let ordinals = 1..=u16::try_from(cluster.spec.gateway.replicas).unwrap_or(1);
    ordinals.map(|ordinal| names::nth_gateway(&cluster.name_any(), ordinal)).collect()
}

fn gateway_away(cluster: &DataMeshCluster, found: &Found, error: &GatewayError) -> Verdict {
    let (all, namespace) = (gateways(cluster), cluster.namespace().unwrap_or_default());
    let unready = all.iter().filter(|name| !found.gateway_is_ready(name));
    let pods: Vec<String> = unready.map(|name| names::pod(name)).collect();
    let needed = match Keepers::of(Some(cluster)) {
        Keepers::Postgres => 1,
        Keepers::OneGateway | Keepers::Gateways => report::catalog::majority(all.len()),
    };
    if all.len() - pods.len() >= needed {
        return Verdict::no(condition::READY, "GatewayUnreachable", error.to_string());
    }
    let text = match &pods[..] {
        [pod] => format!("Pod {pod} is not ready; see `kubectl -n {namespace} describe pod {pod}`."),
        _ => format!(
            "Pods {} are not ready, and {needed} of {} gateways are needed; see `kubectl -n {namespace} describe \
             pod {}`.",
            pods.join(", "),
            all.len(),
            pods.join(" "),
        ),
    };
    Verdict::no(condition::READY, "GatewayNotReady", text)
}
