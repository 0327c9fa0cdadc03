use datamesh_settings::admin::{DrainState, MemberState::Up, PoolStatus};
use k8s_controller::conditions::ConditionStatus::{False, True, Unknown};

use super::*;
use crate::gateway_api::GatewayError;
use crate::pool::dereference::Found;
use crate::pool::leaving::decide;
use crate::pool::leaving::tests::{seventh, status, taken};
use crate::pool::validate::{tests, validate};
use crate::report;

fn drain(state: DrainState) -> DrainStatus {
    DrainStatus {
        state,
        left_shards: Some(3),
        left_bytes: Some(10 << 20),
        moved_bytes: 30 << 20,
        eta_seconds: Some(20),
        waits_for: Vec::new(),
    }
}

/// A pool of seven with these drains.
fn pool_with(drains: &[(usize, DrainStatus)]) -> PoolStatus {
    let mut pool = report::tests::pool(&[Up; 7]);
    for (n, drain) in drains {
        pool.members[*n].drain = Some(drain.clone());
    }
    pool
}

fn told(found: &Found, answer: &Answer) -> (Vec<DrainingNode>, Verdict) {
    let valid = validate(&tests::pool(), found).unwrap();
    let nodes = nodes(&tests::pool(), &decide(&valid, found, answer), answer);
    let verdict = verdict(&nodes, answer);
    (nodes, verdict)
}

#[test]
fn a_node_that_leaves_is_listed_with_its_numbers() {
    let (nodes, verdict) = told(&seventh(), &taken(pool_with(&[(6, drain(DrainState::Moving))])));
    let wanted = DrainingNode {
        node: "demo-main-6".into(),
        leaves: true,
        state: "Moving".into(),
        bytes_left: Some(10 << 20),
        bytes_total: Some(40 << 20),
        estimated_seconds_left: Some(20),
        message: None,
    };
    assert_eq!(nodes, [wanted]);
    assert_eq!((verdict.status, verdict.reason), (True, "MovingData"));
    assert_eq!(verdict.message, "demo-main-6 (Moving, 10 of 40 MiB left, about 20 s)");
    assert!(!verdict.is_alarming());
}

#[test]
fn a_stalled_drain_says_what_it_waits_for() {
    let words = "demo-main-6 does not answer: bring it back, its shards leave it from there.";
    let stalled = DrainStatus { waits_for: vec![words.into()], ..drain(DrainState::Stalled) };
    let (nodes, verdict) =
        told(&seventh(), &taken(pool_with(&[(6, stalled), (2, drain(DrainState::Moving))])));
    assert_eq!(nodes[0].message.as_deref(), Some(words));
    assert_eq!((verdict.status, verdict.reason), (True, "Stalled"));
    assert!(
        verdict.message.contains(words) && verdict.message.contains("demo-main-2 (Moving"),
        "{verdict:?}"
    );
    assert!(verdict.is_alarming());
}

#[test]
fn an_administrators_drain_is_listed_and_ends_as_drained() {
    let (nodes, verdict) = told(&tests::found(), &taken(pool_with(&[(2, drain(DrainState::Moving))])));
    assert_eq!((nodes[0].node.as_str(), nodes[0].leaves), ("demo-main-2", false));
    assert_eq!(verdict.reason, "MovingData");
    let (_, verdict) = told(&tests::found(), &taken(pool_with(&[(2, drain(DrainState::Drained))])));
    assert_eq!((verdict.status, verdict.reason), (False, "Drained"));
    assert!(verdict.message.contains("undrain"), "{}", verdict.message);
    let (nodes, verdict) = told(&tests::found(), &taken(pool_with(&[])));
    assert_eq!((nodes.len(), verdict.status, verdict.reason), (0, False, "NotDraining"));
}

#[test]
fn draining_ends_when_nothing_is_left_beyond_replicas() {
    let without = report::tests::pool(&[Up; 6]);
    let (nodes, verdict) = told(&seventh(), &taken(without.clone()));
    assert_eq!(
        (nodes[0].state.as_str(), verdict.status, verdict.reason),
        ("Removing", True, "RemovingNodes")
    );
    let volume_only = Found { stateful_sets: Vec::new(), ..seventh() };
    assert_eq!(told(&volume_only, &taken(without.clone())).1.reason, "RemovingNodes");
    assert_eq!(told(&tests::found(), &taken(without)).1.status, False);
}

#[test]
fn without_the_gateways_word_it_says_why_nothing_is_deleted() {
    let says = |answer: &Answer, part: &str| {
        let (nodes, verdict) = told(&seventh(), answer);
        let message = nodes[0].message.clone().unwrap();
        assert!(message.contains(part) && message.ends_with("Nothing of it is deleted."), "{message}");
        assert_eq!(nodes[0].state, "Unknown");
        verdict
    };
    let away = Answer::of(Err(Untold::Away("no answer".into())), Err(GatewayError::NoCluster));
    let verdict = says(&away, "no answer. Nothing");
    assert_eq!((verdict.status, verdict.reason), (Unknown, "GatewayUnreachable"));
    assert!(verdict.message.ends_with("Nothing is deleted of demo-main-6."), "{}", verdict.message);
    let refused =
        Answer::of(Err(Untold::Refused("5 members would stay".into())), Ok(status(vec![pool_with(&[])])));
    let verdict = says(&refused, "5 members would stay");
    assert_eq!((verdict.status, verdict.reason), (True, "Refused"));
    assert!(verdict.is_alarming());
    let layoutless = PoolStatus { epoch: None, ..pool_with(&[]) };
    assert_eq!(says(&taken(layoutless), "no layout yet").status, Unknown);
}

#[test]
fn a_member_without_pod_and_volume_needs_somebody() {
    let (nodes, verdict) = told(&tests::found(), &taken(pool_with(&[(6, drain(DrainState::Stalled))])));
    assert!(nodes[0].leaves);
    let message = nodes[0].message.clone().unwrap();
    assert!(message.contains("set replicas to 7 or more") && message.contains("node replace demo-main-6"));
    assert_eq!(verdict.reason, "Stalled");
}

#[test]
fn what_is_told_is_bounded() {
    let long = DrainStatus { waits_for: vec!["x".repeat(9999)], ..drain(DrainState::Stalled) };
    let drains: Vec<_> = (0..7).map(|n| (n, long.clone())).collect();
    let (nodes, _) = told(&seventh(), &taken(pool_with(&drains)));
    assert_eq!(nodes.len(), 7);
    assert!(nodes.iter().all(|node| node.message.as_ref().unwrap().len() <= MESSAGE_CHARS_MAX));
    let many = named((0..20).map(|n| format!("n{n}")));
    assert!(many.ends_with("and 12 more"), "{many}");
    assert_eq!((mebibytes(0), mebibytes(1), mebibytes(1 << 20)), (0, 1, 1));
}

/// So that a status that fits no definition is seen here and not by the API server.
#[test]
fn the_definition_holds_what_is_told() {
    let crd = serde_json::to_value(&datamesh_crds::definitions()[1]).unwrap();
    let status =
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    let list = &status["draining"];
    assert_eq!(list["maxItems"], LISTED_MAX);
    assert_eq!(list["items"]["properties"]["message"]["maxLength"], MESSAGE_CHARS_MAX);
}

#[test]
fn what_is_on_its_way_out_says_who_holds_it_up() {
    let without = report::tests::pool(&[Up; 6]);
    let meta = |finalizer: &str| {
        let meta = format!("{{deletionTimestamp: '2026-01-02T03:04:05Z', finalizers: [{finalizer}]}}");
        serde_yaml::from_str::<ObjectMeta>(&meta).unwrap()
    };
    let mut found = seventh();
    let message = |found: &Found| told(found, &taken(without.clone())).0[0].message.clone().unwrap();
    let set = &mut found.stateful_sets[0].metadata;
    let going = meta("foregroundDeletion");
    (set.deletion_timestamp, set.finalizers) = (going.deletion_timestamp, going.finalizers);
    assert!(
        message(&found).ends_with(
            "its StatefulSet was deleted at 2026-01-02T03:04:05Z and waits for foregroundDeletion."
        )
    );
    found.stateful_sets.clear();
    assert!(message(&found).ends_with("its pod is gone, its volume is being removed."));
    let claim = &mut found.volumes[0].metadata;
    let going = meta("kubernetes.io/pvc-protection");
    (claim.deletion_timestamp, claim.finalizers) = (going.deletion_timestamp, going.finalizers);
    assert!(message(&found).ends_with(
        "its volume claim was deleted at 2026-01-02T03:04:05Z and waits for kubernetes.io/pvc-protection."
    ));
}
