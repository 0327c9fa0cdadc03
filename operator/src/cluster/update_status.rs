//! Step 5: what is, in conditions.

use datamesh_crds::{DataMeshCluster, DataMeshClusterStatus, condition};
use datamesh_settings::HTTPS_PORT;
use datamesh_settings::admin::{ClusterStatus, PoolStatus};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::dereference::Found;
use super::key::Key;
use crate::conditions::{self, Verdict};
use crate::context::Context;
use crate::gateway_api::{Door, GatewayError};
use crate::names;
use crate::outcome::Outcome;
use crate::report;

/// Condition types of a cluster.
pub(super) const CONDITIONS: [&str; 5] = [
    condition::READY,
    condition::PROGRESSING,
    condition::DEGRADED,
    condition::DATA_SAFE,
    condition::KEY_MISSING,
];

/// Asks the gateway, writes the status if it changed, tells of transitions. Says whether all is well.
pub(super) async fn update_status(
    cluster: &DataMeshCluster,
    found: &Found,
    key: &Key,
    outcome: &Outcome,
    context: &Context,
) -> kube::Result<bool> {
    let answer = ask(cluster, found).await;
    let verdicts = verdicts(cluster, found, key, outcome, &answer);
    let mut status = cluster.status.clone().unwrap_or_default();
    let changed = conditions::set(&mut status.conditions, &verdicts, cluster.metadata.generation);
    fill(&mut status, cluster, found, key, &answer);
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

async fn ask(cluster: &DataMeshCluster, found: &Found) -> Result<ClusterStatus, GatewayError> {
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
    answer: &Result<ClusterStatus, GatewayError>,
) {
    let host =
        names::service_host(&names::gateway(&cluster.name_any()), &cluster.namespace().unwrap_or_default());
    status.observed_generation = cluster.metadata.generation;
    status.endpoint = Some(format!("https://{host}:{HTTPS_PORT}"));
    status.nodes = Some(found.pools.iter().map(|pool| pool.spec.replicas).sum());
    status.nodes_up =
        answer.as_ref().ok().and_then(|a| i32::try_from(a.pools.iter().map(report::up).sum::<usize>()).ok());
    // Kept while the key is missing, so that a wrong one is recognised.
    if let Some(fingerprint) = key.fingerprint() {
        status.key_fingerprint = Some(fingerprint);
    }
}

/// All conditions. Pure.
fn verdicts(
    cluster: &DataMeshCluster,
    found: &Found,
    key: &Key,
    outcome: &Outcome,
    answer: &Result<ClusterStatus, GatewayError>,
) -> Vec<Verdict> {
    let mut verdicts =
        vec![ready(cluster, found, outcome, answer), outcome.progressing(), key_missing(cluster, key)];
    match answer {
        Ok(status) => {
            let pools: Vec<&PoolStatus> = status.pools.iter().collect();
            verdicts.push(report::degraded(&pools));
            verdicts.push(report::data_safe(&status.catalog, &pools, &[]));
        }
        Err(error) => verdicts.extend(report::unknown(&error.to_string())),
    }
    verdicts
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

fn ready(
    cluster: &DataMeshCluster,
    found: &Found,
    outcome: &Outcome,
    answer: &Result<ClusterStatus, GatewayError>,
) -> Verdict {
    match outcome {
        Outcome::Invalid(message) => return Verdict::no(condition::READY, "InvalidSpec", message),
        Outcome::KeyMissing { reason, message } => return Verdict::no(condition::READY, reason, message),
        Outcome::Applied | Outcome::Underway { .. } | Outcome::Paused | Outcome::Failed(_) => {}
    }
    let status = match answer {
        Ok(status) => status,
        Err(error) => return gateway_away(cluster, found, error),
    };
    if found.pools.is_empty() {
        let text =
            format!("No StoragePool names this cluster: apply one with clusterRef: {}.", cluster.name_any());
        return Verdict::no(condition::READY, "NoPool", text);
    }
    for pool in &found.pools {
        let name = pool.name_any();
        let Some(known) = status.pools.iter().find(|known| known.name.as_str() == name) else {
            let text =
                format!("StoragePool {name} has not been handed to the gateway yet; see its own conditions.");
            return Verdict::no(condition::READY, "PoolPending", text);
        };
        let verdict = report::pool_ready(known);
        if !verdict.is_good() {
            return Verdict { message: format!("Pool {name}: {}", verdict.message), ..verdict };
        }
    }
    let (up, all) =
        (status.pools.iter().map(report::up).sum::<usize>(), status.pools.iter().map(|p| p.members.len()));
    let text = format!("Puts and gets work; {up} of {} storage nodes are up.", all.sum::<usize>());
    Verdict::yes(condition::READY, "Serving", text)
}

fn gateway_away(cluster: &DataMeshCluster, found: &Found, error: &GatewayError) -> Verdict {
    if found.gateway_is_ready() {
        return Verdict::no(condition::READY, "GatewayUnreachable", error.to_string());
    }
    let (pod, namespace) = (names::gateway(&cluster.name_any()), cluster.namespace().unwrap_or_default());
    let text = format!("Pod {pod}-0 is not ready; see `kubectl -n {namespace} describe pod {pod}-0`.");
    Verdict::no(condition::READY, "GatewayNotReady", text)
}

#[cfg(test)]
mod tests {
    use datamesh_seal::ClusterSecret;
    use datamesh_settings::admin::MemberState;
    use k8s_controller::conditions::ConditionStatus;

    use super::*;
    use crate::cluster::validate::tests::cluster;

    fn answer(states: &[MemberState]) -> Result<ClusterStatus, GatewayError> {
        Ok(ClusterStatus {
            cluster: "datamesh.demo".parse().unwrap(),
            gateway: "demo-gateway".parse().unwrap(),
            version: "0.1.0".into(),
            key_fingerprint: "0".into(),
            catalog: report::tests::catalog(1),
            pools: vec![report::tests::pool(states)],
        })
    }

    fn found() -> Found {
        let pool = serde_yaml::from_str(include_str!("../../tests/fixtures/pool.yaml")).unwrap();
        Found { pools: vec![pool], ..Found::default() }
    }

    fn of(verdicts: &[Verdict], type_: &str) -> (ConditionStatus, &'static str) {
        let verdict = verdicts.iter().find(|v| v.type_ == type_).unwrap();
        (verdict.status, verdict.reason)
    }

    #[test]
    fn a_serving_cluster_is_ready_and_honest_about_its_catalog() {
        let key = Key::Present(ClusterSecret::generate());
        let all = verdicts(&cluster(), &found(), &key, &Outcome::Applied, &answer(&[MemberState::Up; 6]));
        assert_eq!(all.len(), CONDITIONS.len());
        assert_eq!(of(&all, "Ready"), (ConditionStatus::True, "Serving"));
        assert_eq!(of(&all, "DataSafe"), (ConditionStatus::False, "CatalogSingleCopy"));
        assert_eq!(of(&all, "Degraded"), (ConditionStatus::False, "AllUp"));
        assert_eq!(of(&all, "KeyMissing"), (ConditionStatus::False, "KeyPresent"));
        assert_eq!(of(&all, "Progressing"), (ConditionStatus::False, "UpToDate"));
    }

    #[test]
    fn without_the_gateway_nothing_is_guessed() {
        let key = Key::Present(ClusterSecret::generate());
        let away = Err(GatewayError::NoDoor("demo-tokens".into()));
        let all = verdicts(&cluster(), &found(), &key, &Outcome::Applied, &away);
        assert_eq!(of(&all, "Ready"), (ConditionStatus::False, "GatewayNotReady"));
        for type_ in ["DataSafe", "Degraded"] {
            assert_eq!(of(&all, type_), (ConditionStatus::Unknown, "GatewayUnreachable"));
        }
    }

    #[test]
    fn invalid_paused_and_keyless_say_so() {
        let key = Key::Present(ClusterSecret::generate());
        let up = answer(&[MemberState::Up; 6]);
        let invalid = verdicts(&cluster(), &found(), &key, &Outcome::Invalid("x: do y".into()), &up);
        assert_eq!(of(&invalid, "Ready"), (ConditionStatus::False, "InvalidSpec"));
        let paused = verdicts(&cluster(), &found(), &key, &Outcome::Paused, &up);
        assert_eq!(of(&paused, "Progressing"), (ConditionStatus::False, "Paused"));
        assert_eq!(of(&paused, "Ready"), (ConditionStatus::True, "Serving"));
        let missing = Key::Missing { reason: "KeySecretMissing", message: "restore it".into() };
        let outcome = Outcome::KeyMissing { reason: "KeySecretMissing", message: "restore it".into() };
        let keyless = verdicts(&cluster(), &found(), &missing, &outcome, &up);
        assert_eq!(of(&keyless, "KeyMissing"), (ConditionStatus::True, "KeySecretMissing"));
        assert_eq!(of(&keyless, "Ready"), (ConditionStatus::False, "KeySecretMissing"));
    }

    #[test]
    fn a_cluster_without_a_pool_says_what_to_apply() {
        let key = Key::Present(ClusterSecret::generate());
        let no_pool = Found::default();
        let all = verdicts(&cluster(), &no_pool, &key, &Outcome::Applied, &answer(&[MemberState::Up; 6]));
        assert_eq!(of(&all, "Ready"), (ConditionStatus::False, "NoPool"));
    }
}
