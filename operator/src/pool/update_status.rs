//! Step 5: what is, in conditions.

use datamesh_crds::{PoolMember, StoragePool, StoragePoolStatus, condition, label};
use datamesh_settings::admin::{CatalogStatus, PoolStatus};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::dereference::Found;
use super::gateway::Answer;
use super::validate::{InvalidPool, ValidPool};
use super::{draining, leaving};
use crate::conditions::{self, Verdict};
use crate::context::Context;
use crate::gateway_api::GatewayError;
use crate::outcome::Outcome;
use crate::report::{self, Keepers};

/// Condition types of a pool.
pub(super) const CONDITIONS: [&str; 5] = [
    condition::READY,
    condition::PROGRESSING,
    condition::DEGRADED,
    condition::DATA_SAFE,
    condition::DRAINING,
];

/// Tells of a pass that ended before it could read anything. What was known stays, with the generation it was seen at.
pub(super) async fn tell_failure(pool: &StoragePool, why: &str, context: &Context) -> kube::Result<()> {
    let mut status = pool.status.clone().unwrap_or_default();
    let verdicts = unread(&status, why);
    let changed = conditions::set(&mut status.conditions, &verdicts, pool.metadata.generation);
    write(pool, &status, &verdicts, &changed, context).await
}

/// The conditions of such a pass: the failure, and that nobody can say the rest where nothing was said before. Pure.
fn unread(known: &StoragePoolStatus, why: &str) -> Vec<Verdict> {
    let unsaid = CONDITIONS.into_iter().filter(|type_| known.conditions.iter().all(|c| c.type_ != *type_));
    let unknown = unsaid
        .filter(|type_| *type_ != condition::PROGRESSING)
        .map(|type_| Verdict::unknown(type_, "Retrying", format!("Nobody can say yet: {why}")));
    std::iter::once(Outcome::Failed(why.to_owned()).progressing()).chain(unknown).collect()
}

/// Puts what is known into the status. Says whether all is well.
pub(super) async fn update_status(
    pool: &StoragePool,
    found: &Found,
    valid: &Result<ValidPool, InvalidPool>,
    outcome: &Outcome,
    answer: &Answer,
    context: &Context,
) -> kube::Result<bool> {
    let name = pool.name_any();
    let valid = valid.as_ref().ok();
    let known = answer.status().map(|status| (&status.catalog, answer.pool(&name)));
    let leaving = valid.map(|valid| leaving::decide(valid, found, answer)).unwrap_or_default();
    let draining = draining::nodes(pool, &leaving, answer);
    let keepers = Keepers::of(found.cluster.as_ref());
    let mut verdicts = verdicts(valid, outcome, known, keepers);
    verdicts.push(draining::verdict(&draining, answer));
    let mut status = pool.status.clone().unwrap_or_default();
    let changed = conditions::set(&mut status.conditions, &verdicts, pool.metadata.generation);
    status.epoch = epoch(status.epoch, known.ok().and_then(|(_, pool)| pool), !leaving.is_empty());
    status.draining = draining.into_iter().take(draining::LISTED_MAX).collect();
    fill(&mut status, pool, found, valid, known.ok().and_then(|(_, pool)| pool));
    write(pool, &status, &verdicts, &changed, context).await?;
    Ok(verdicts.iter().all(|v| v.is_good() || v.reason == "CatalogSingleCopy"))
}

/// Writes the status if it changed and tells of transitions.
async fn write(
    pool: &StoragePool,
    status: &StoragePoolStatus,
    verdicts: &[Verdict],
    changed: &[Verdict],
    context: &Context,
) -> kube::Result<()> {
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    for verdict in verdicts {
        context.health.metrics.condition(
            "StoragePool",
            (&namespace, &name),
            verdict.type_,
            verdict.status.as_str(),
        );
    }
    if pool.status.as_ref() != Some(status) {
        let patch = Patch::Apply(serde_json::json!({
            "apiVersion": format!("{}/{}", datamesh_crds::GROUP, datamesh_crds::VERSION),
            "kind": "StoragePool",
            "metadata": {"name": name},
            "status": status,
        }));
        let api = context.api::<StoragePool>(&namespace);
        api.patch_status(&name, &PatchParams::apply(context.field_manager).force(), &patch).await?;
    }
    for verdict in changed {
        context.tell_verdict(pool, verdict).await;
    }
    Ok(())
}

/// The layout's epoch to note. While nodes leave it never goes back: by it an older catalog is known, see [`leaving`].
fn epoch(seen: Option<i64>, known: Option<&PoolStatus>, nodes_leave: bool) -> Option<i64> {
    let Some(known) = known else { return seen };
    let now = known.epoch.and_then(|epoch| i64::try_from(epoch.0).ok());
    if nodes_leave { now.max(seen) } else { now }
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
    status.profiles = known.map(report::profiles).unwrap_or_default();
    status.recode = known.and_then(report::recode);
    status.nodes_up = known.and_then(|known| i32::try_from(report::up(known)).ok());
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
fn verdicts(
    valid: Option<&ValidPool>,
    outcome: &Outcome,
    known: Known<'_>,
    keepers: Keepers,
) -> Vec<Verdict> {
    let mut verdicts = vec![ready(outcome, known), outcome.progressing()];
    match known {
        Ok((catalog, Some(pool))) => {
            let notes: Vec<String> = valid.and_then(|valid| valid.zone_risk.clone()).into_iter().collect();
            verdicts.push(report::degraded(&[pool]));
            verdicts.push(report::data_safe(catalog, &[pool], &notes));
        }
        Ok((_, None)) => verdicts.extend(report::unknown("the gateway has not been told of this pool yet.")),
        Err(error) => verdicts.extend(report::unasked(error, keepers)),
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
        // What runs serves on, above; without, this is what is in the way.
        (Outcome::Underway { reason: reason @ ("ClusterInvalid" | "WaitingForCluster"), message }, _) => {
            Verdict::no(condition::READY, reason, message)
        }
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
        let all = verdicts(Some(&valid), &Outcome::Applied, Ok((&catalog, Some(&pool))), Keepers::OneGateway);
        assert_eq!(of(&all, "Ready"), (True, "Serving"));
        assert_eq!(of(&all, "Degraded"), (True, "NodesDown"));
        assert_eq!(of(&all, "DataSafe"), (False, "CatalogSingleCopy"));
    }

    #[test]
    fn a_zone_risk_is_part_of_the_story() {
        let mut valid = validate(&tests::pool(), &tests::found()).unwrap();
        valid.zone_risk = Some("A lost zone would cost too much.".into());
        let (catalog, pool) = (report::tests::catalog(1), report::tests::pool(&[Up; 6]));
        let all = verdicts(Some(&valid), &Outcome::Applied, Ok((&catalog, Some(&pool))), Keepers::OneGateway);
        assert!(all.iter().any(|v| v.type_ == "DataSafe" && v.message.contains("A lost zone")));
    }

    #[test]
    fn what_waits_says_for_what() {
        let outcome = Outcome::Underway { reason: "ClusterNotFound", message: "apply it".into() };
        let all = verdicts(None, &outcome, Err(&GatewayError::NoCluster), Keepers::OneGateway);
        assert_eq!(of(&all, "Ready"), (False, "ClusterNotFound"));
        assert_eq!(of(&all, "DataSafe"), (Unknown, "GatewayUnreachable"));
        let invalid =
            verdicts(None, &Outcome::Invalid("x".into()), Err(&GatewayError::NoCluster), Keepers::OneGateway);
        assert_eq!(of(&invalid, "Ready"), (False, "InvalidSpec"));
    }

    #[test]
    fn an_invalid_cluster_is_the_reason_only_where_nothing_serves() {
        let outcome = Outcome::Underway { reason: "ClusterInvalid", message: "put it right".into() };
        let all = verdicts(None, &outcome, Err(&GatewayError::NoCluster), Keepers::OneGateway);
        assert_eq!(of(&all, "Ready"), (False, "ClusterInvalid"));
        let (catalog, pool) = (report::tests::catalog(1), report::tests::pool(&[Up; 6]));
        let all = verdicts(None, &outcome, Ok((&catalog, Some(&pool))), Keepers::OneGateway);
        assert_eq!(of(&all, "Ready"), (True, "Serving"));
        assert_eq!(of(&all, "Progressing"), (True, "ClusterInvalid"));
    }

    #[test]
    fn a_failed_look_is_told_and_takes_nothing_back() {
        let first = unread(&StoragePoolStatus::default(), "the API server answers 403: nodes");
        assert_eq!(first.len(), CONDITIONS.len());
        assert_eq!(of(&first, "Progressing"), (True, "Retrying"));
        assert_eq!(of(&first, "Ready"), (Unknown, "Retrying"));
        assert!(first.iter().all(|verdict| verdict.message.contains("403: nodes")));

        let mut status = StoragePoolStatus::default();
        let serving = Verdict::yes(condition::READY, "Serving", "Puts and gets work.");
        conditions::set(&mut status.conditions, &[serving], Some(1));
        assert!(unread(&status, "x").iter().all(|verdict| verdict.type_ != "Ready"));
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

    #[test]
    fn while_nodes_leave_the_noted_epoch_never_goes_back() {
        let at = |epoch: Option<u64>| datamesh_settings::admin::PoolStatus {
            epoch: epoch.map(datamesh_shard::Epoch),
            ..report::tests::pool(&[Up; 6])
        };
        assert_eq!(epoch(Some(5), Some(&at(Some(3))), true), Some(5));
        assert_eq!(epoch(Some(5), Some(&at(None)), true), Some(5));
        assert_eq!(epoch(Some(5), Some(&at(Some(6))), true), Some(6));
        assert_eq!(epoch(Some(5), Some(&at(Some(3))), false), Some(3));
        assert_eq!(epoch(Some(5), None, false), Some(5), "a gateway that is away takes nothing back");
    }
}
