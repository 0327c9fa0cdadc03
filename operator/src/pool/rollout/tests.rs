use MemberState::{Down, Joining, Up};
use datamesh_crds::label;
use k8s_openapi::api::apps::v1::StatefulSetStatus;

use super::*;
use crate::pool::build::tests::built;
use crate::pool::validate::tests;
use crate::report::tests::pool;

/// Six ready nodes; those in `outdated` carry another template, those in `unready` are not ready.
fn running(outdated: &[usize], unready: &[usize]) -> Found {
    let sets = built(&tests::found()).into_iter().enumerate().map(|(n, node)| {
        let mut set = node.stateful_set;
        let ready = i32::from(!unready.contains(&n));
        set.status = Some(StatefulSetStatus {
            ready_replicas: Some(ready),
            updated_replicas: Some(1),
            ..StatefulSetStatus::default()
        });
        if outdated.contains(&n) {
            let annotations = set.metadata.annotations.as_mut().unwrap();
            annotations.insert(label::TEMPLATE_HASH.to_owned(), "another".into());
        }
        set
    });
    Found { stateful_sets: sets.collect(), ..tests::found() }
}

fn decided(found: &Found, states: &[MemberState]) -> Rollout {
    decide(&built(&tests::found()), found, Some(&pool(states)))
}

fn reason(rollout: &Rollout) -> &'static str {
    match rollout.outcome() {
        Outcome::Underway { reason, .. } => reason,
        _ => "",
    }
}

fn message(rollout: &Rollout) -> String {
    match rollout.outcome() {
        Outcome::Underway { message, .. } => message,
        _ => String::new(),
    }
}

#[test]
fn new_nodes_start_together() {
    let rollout = decided(&tests::found(), &[]);
    assert_eq!((rollout.new.len(), rollout.held.len(), reason(&rollout)), (6, 0, "NodesStarting"));
}

#[test]
fn nothing_to_do_holds_nothing() {
    let rollout = decided(&running(&[], &[]), &[Up; 6]);
    assert!(rollout.held.is_empty() && rollout.restarted.is_empty());
    assert_eq!(rollout.outcome(), Outcome::Applied);
}

#[test]
fn one_node_restarts_at_a_time() {
    let rollout = decided(&running(&[1, 3, 5], &[]), &[Up; 6]);
    assert_eq!(rollout.restarted, ["demo-main-1"]);
    assert_eq!(rollout.held.iter().collect::<Vec<_>>(), ["demo-main-3", "demo-main-5"]);
}

#[test]
fn no_node_restarts_while_another_is_down_or_nobody_can_say() {
    let unready = decided(&running(&[1], &[4]), &[Up; 6]);
    assert!(unready.restarted.is_empty() && unready.held.contains("demo-main-1"));
    let down = decided(&running(&[1], &[]), &[Up, Up, Down, Up, Up, Up]);
    assert!(down.restarted.is_empty() && down.held.contains("demo-main-1"));
    let unasked = decide(&built(&tests::found()), &running(&[1], &[]), None);
    assert!(unasked.restarted.is_empty() && unasked.held.contains("demo-main-1"));
}

#[test]
fn a_drained_node_that_is_down_holds_no_restart_up() {
    let mut known = pool(&[Up, Up, Down, Up, Up, Up]);
    known.members[2].drain = Some(DrainStatus {
        state: DrainState::Drained,
        left_shards: Some(0),
        left_bytes: Some(0),
        moved_bytes: 0,
        eta_seconds: None,
        waits_for: Vec::new(),
    });
    let rollout = decide(&built(&tests::found()), &running(&[1], &[]), Some(&known));
    assert_eq!(rollout.restarted, ["demo-main-1"]);
}

#[test]
fn a_node_whose_deletion_has_begun_is_made_anew_when_it_is_gone() {
    let mut found = running(&[], &[]);
    let deleted = "2030-01-01T00:00:00Z".parse().unwrap();
    found.stateful_sets[5].metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(deleted));
    let rollout = decided(&found, &[Up; 6]);
    assert!(rollout.going.contains("demo-main-5") && rollout.new.contains("demo-main-5"));
    assert_eq!(reason(&rollout), "NodesStarting");
    assert!(
        message(&rollout).contains("demo-main-5: what was deleted under this name"),
        "{}",
        message(&rollout)
    );
}

#[test]
fn a_node_that_is_down_anyway_takes_the_change_at_once() {
    let rollout = decided(&running(&[1], &[1]), &[Up, Down, Up, Up, Up, Up]);
    assert!(rollout.held.is_empty());
    assert_eq!(reason(&rollout), "PodsNotReady");
    let described =
        "demo-main-1 (its pod is not ready: see `kubectl -n datamesh describe pod demo-main-1-0`)";
    assert!(message(&rollout).contains(described), "{}", message(&rollout));
}

#[test]
fn what_is_in_the_way_is_named_with_the_reason() {
    let says = |rollout: &Rollout, parts: &[&str]| {
        let message = message(rollout);
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
    };
    let unready = decided(&running(&[1, 3], &[4]), &[Up, Up, Up, Up, Down, Up]);
    assert_eq!(reason(&unready), "RollingOut");
    says(
        &unready,
        &["2 nodes wait for a restart (demo-main-1, demo-main-3)", "In the way: demo-main-4 (its pod"],
    );
    assert_eq!(message(&unready).matches("demo-main-4 (").count(), 1, "it is named twice");

    let down = decided(&running(&[1], &[]), &[Up, Up, Down, Joining, Up, Up]);
    says(&down, &["demo-main-2 (does not answer the gateway), demo-main-3 (has not joined yet)"]);

    let unasked = decide(&built(&tests::found()), &running(&[1], &[]), None);
    says(&unasked, &["In the way: the gateway ("]);

    let mut starting = running(&[1], &[]);
    starting.stateful_sets.pop();
    let starting = decided(&starting, &[Up, Up, Up, Up, Up, Joining]);
    assert_eq!(reason(&starting), "NodesStarting");
    says(&starting, &["Starting 1 of 6 nodes.", "In the way: demo-main-5 (is being started)"]);
}

#[test]
fn a_pod_that_is_being_replaced_says_so() {
    let mut found = running(&[3], &[]);
    found.stateful_sets[0].status.as_mut().unwrap().updated_replicas = Some(0);
    found.stateful_sets[1].metadata.generation = Some(9);
    let message = message(&decided(&found, &[Up; 6]));
    assert!(message.contains("demo-main-0 (pod demo-main-0-0 is being replaced)"), "{message}");
    assert!(message.contains("demo-main-1 (Kubernetes has not looked"), "{message}");
}
