//! Step 5: what is, in conditions. Also where the gateway is asked and told.

use datamesh_crds::{PoolMember, StoragePool, StoragePoolStatus, condition, label};
use datamesh_settings::admin::{CatalogStatus, ClusterStatus, PoolStatus};
use datamesh_shard::PoolName;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::dereference::Found;
use super::validate::{InvalidPool, ValidPool};
use crate::conditions::{self, Verdict};
use crate::context::Context;
use crate::gateway_api::{Door, GatewayError};
use crate::outcome::Outcome;
use crate::report;

/// Condition types of a pool.
pub(super) const CONDITIONS: [&str; 4] =
    [condition::READY, condition::PROGRESSING, condition::DEGRADED, condition::DATA_SAFE];

/// What the gateway said, and the way to it.
pub(crate) struct Answer {
    door: Option<Door>,
    status: Result<ClusterStatus, GatewayError>,
}

/// Asks the gateway.
pub(crate) async fn ask(found: &Found) -> Answer {
    let door = match &found.cluster {
        Some(cluster) => Door::of(cluster, found.tokens.as_ref(), found.tls.as_ref()),
        None => Err(GatewayError::NoCluster),
    };
    match door {
        Ok(door) => Answer { status: door.status().await, door: Some(door) },
        Err(error) => Answer { door: None, status: Err(error) },
    }
}

impl Answer {
    /// The pool, as the gateway knows it.
    pub(crate) fn pool(&self, name: &PoolName) -> Option<&PoolStatus> {
        self.status.as_ref().ok()?.pools.iter().find(|pool| pool.name == *name)
    }

    /// Tells the gateway what is wanted. Says what went wrong.
    pub(crate) async fn submit(&self, pool: &ValidPool) -> Option<String> {
        let Some(door) = &self.door else {
            return self.status.as_ref().err().map(ToString::to_string);
        };
        door.put_pool(&pool.name, &pool.spec).await.err().map(|error| error.to_string())
    }
}

/// Writes the status if it changed and tells of transitions. Says whether all is well.
pub(super) async fn update_status(
    pool: &StoragePool,
    found: &Found,
    valid: &Result<ValidPool, InvalidPool>,
    outcome: &Outcome,
    answer: &Answer,
    context: &Context,
) -> kube::Result<bool> {
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    let valid = valid.as_ref().ok();
    let known = answer
        .status
        .as_ref()
        .map(|status| (&status.catalog, status.pools.iter().find(|known| known.name.as_str() == name)));
    let verdicts = verdicts(valid, outcome, known);
    let mut status = pool.status.clone().unwrap_or_default();
    let changed = conditions::set(&mut status.conditions, &verdicts, pool.metadata.generation);
    fill(&mut status, pool, found, valid, known.ok().and_then(|(_, pool)| pool));
    for verdict in &verdicts {
        context.health.metrics.condition(
            "StoragePool",
            (&namespace, &name),
            verdict.type_,
            verdict.status.as_str(),
        );
    }
    if pool.status.as_ref() != Some(&status) {
        let patch = Patch::Apply(serde_json::json!({
            "apiVersion": format!("{}/{}", datamesh_crds::GROUP, datamesh_crds::VERSION),
            "kind": "StoragePool",
            "metadata": {"name": name},
            "status": status,
        }));
        let api = context.api::<StoragePool>(&namespace);
        api.patch_status(&name, &PatchParams::apply(context.field_manager).force(), &patch).await?;
    }
    for verdict in &changed {
        context.tell_verdict(pool, verdict).await;
    }
    Ok(verdicts.iter().all(|v| v.is_good() || v.reason == "CatalogSingleCopy"))
}

fn fill(
    status: &mut StoragePoolStatus,
    pool: &StoragePool,
    found: &Found,
    valid: Option<&ValidPool>,
    known: Option<&PoolStatus>,
) {
    status.observed_generation = pool.metadata.generation;
    status.replicas = i32::try_from(found.stateful_sets.len()).ok();
    status.selector =
        Some(format!("{}={},{}={}", label::CLUSTER, pool.spec.cluster_ref, label::POOL, pool.name_any()));
    status.nodes_up = known.and_then(|known| i32::try_from(report::up(known)).ok());
    status.epoch = known.and_then(|known| i64::try_from(known.epoch?.0).ok());
    // Zones outlive a spec that is invalid for a while.
    let Some(valid) = valid else { return };
    let state = |node: &datamesh_shard::NodeName| {
        let member = known?.members.iter().find(|member| member.node == *node)?;
        Some(format!("{:?}", member.state))
    };
    let member = |identity: &super::validate::Identity| PoolMember {
        node: identity.node.to_string(),
        zone: identity.zone.to_string(),
        state: state(&identity.node),
    };
    status.members = valid.identities.iter().map(member).collect();
}

/// What the gateway knows: of the catalog, and of the pool once it has been told of it.
type Known<'a> = Result<(&'a CatalogStatus, Option<&'a PoolStatus>), &'a GatewayError>;

/// All conditions. Pure.
fn verdicts(valid: Option<&ValidPool>, outcome: &Outcome, known: Known<'_>) -> Vec<Verdict> {
    let mut verdicts = vec![ready(outcome, known), outcome.progressing()];
    match known {
        Ok((catalog, Some(pool))) => {
            let notes: Vec<String> = valid.and_then(|valid| valid.zone_risk.clone()).into_iter().collect();
            verdicts.push(report::degraded(&[pool]));
            verdicts.push(report::data_safe(catalog, &[pool], &notes));
        }
        Ok((_, None)) => verdicts.extend(report::unknown("the gateway has not been told of this pool yet.")),
        Err(error) => verdicts.extend(report::unknown(&error.to_string())),
    }
    verdicts
}

fn ready(outcome: &Outcome, known: Known<'_>) -> Verdict {
    match (outcome, known) {
        (Outcome::Invalid(message), _) => Verdict::no(condition::READY, "InvalidSpec", message),
        (Outcome::KeyMissing { reason, message }, _) => Verdict::no(condition::READY, reason, message),
        (
            Outcome::Underway {
                reason: reason @ ("ClusterNotFound" | "ClusterDeleted" | "WaitingForKey"),
                message,
            },
            _,
        ) => Verdict::no(condition::READY, reason, message),
        (_, Ok((_, Some(pool)))) => report::pool_ready(pool),
        (_, Ok((_, None))) => {
            Verdict::no(condition::READY, "PoolPending", "The gateway has not been told of this pool yet.")
        }
        (_, Err(error)) => Verdict::no(condition::READY, "GatewayUnreachable", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use datamesh_settings::admin::MemberState::{Down, Up};
    use k8s_controller::conditions::ConditionStatus::{False, True, Unknown};

    use super::*;
    use crate::pool::validate::{tests, validate};

    fn of(verdicts: &[Verdict], type_: &str) -> (k8s_controller::conditions::ConditionStatus, &'static str) {
        let verdict = verdicts.iter().find(|v| v.type_ == type_).unwrap();
        (verdict.status, verdict.reason)
    }

    #[test]
    fn two_nodes_down_are_told_while_puts_go_on() {
        let valid = validate(&tests::pool(), &tests::found()).unwrap();
        let (catalog, pool) = (report::tests::catalog(1), report::tests::pool(&[Up, Down, Up, Up, Down, Up]));
        let all = verdicts(Some(&valid), &Outcome::Applied, Ok((&catalog, Some(&pool))));
        assert_eq!(all.len(), CONDITIONS.len());
        assert_eq!(of(&all, "Ready"), (True, "Serving"));
        assert_eq!(of(&all, "Degraded"), (True, "NodesDown"));
        assert_eq!(of(&all, "DataSafe"), (False, "CatalogSingleCopy"));
    }

    #[test]
    fn a_zone_risk_is_part_of_the_story() {
        let mut valid = validate(&tests::pool(), &tests::found()).unwrap();
        valid.zone_risk = Some("A lost zone would cost too much.".into());
        let (catalog, pool) = (report::tests::catalog(1), report::tests::pool(&[Up; 6]));
        let all = verdicts(Some(&valid), &Outcome::Applied, Ok((&catalog, Some(&pool))));
        assert!(all.iter().any(|v| v.type_ == "DataSafe" && v.message.contains("A lost zone")));
    }

    #[test]
    fn what_waits_says_for_what() {
        let outcome = Outcome::Underway { reason: "ClusterNotFound", message: "apply it".into() };
        let all = verdicts(None, &outcome, Err(&GatewayError::NoCluster));
        assert_eq!(of(&all, "Ready"), (False, "ClusterNotFound"));
        assert_eq!(of(&all, "DataSafe"), (Unknown, "GatewayUnreachable"));
        let invalid = verdicts(None, &Outcome::Invalid("x".into()), Err(&GatewayError::NoCluster));
        assert_eq!(of(&invalid, "Ready"), (False, "InvalidSpec"));
    }

    #[test]
    fn zones_stay_in_the_status_of_an_invalid_pool() {
        let valid = validate(&tests::pool(), &tests::found()).unwrap();
        let mut status = StoragePoolStatus::default();
        fill(&mut status, &tests::pool(), &tests::found(), Some(&valid), None);
        assert_eq!(status.members[5].zone, "zone3");
        fill(&mut status, &tests::pool(), &tests::found(), None, None);
        assert_eq!(status.members.len(), 6);
        assert_eq!(status.selector.unwrap(), "datamesh.io/cluster=demo,datamesh.io/pool=main");
    }
}
