//! Which nodes may be restarted now. Pure.
//!
//! A changed template restarts a pod, so it is applied to one node at a time, and only while every other node of the pool
//! is ready and up to date with the gateway: one more loss during a restart is always survived. Nodes that are down
//! anyway take the change at once: it may be what brings them back.

use std::collections::BTreeSet;

use datamesh_crds::label;
use datamesh_settings::admin::{MemberState, PoolStatus};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::build::NodeObjects;
use super::dereference::Found;
use crate::outcome::Outcome;

/// What is to be done to the nodes.
pub(crate) struct Rollout {
    /// Nodes whose StatefulSet is left alone in this pass.
    pub(crate) held: BTreeSet<String>,
    /// Nodes that did not exist.
    pub(crate) new: BTreeSet<String>,
    /// Nodes whose pod is not ready.
    unready: Vec<String>,
    /// Nodes that are being restarted in this pass.
    restarted: Vec<String>,
    wanted: usize,
}

/// Decides it from what runs and what the gateway says of the pool.
pub(crate) fn decide(nodes: &[NodeObjects], found: &Found, known: Option<&PoolStatus>) -> Rollout {
    let live = |name: &str| found.stateful_sets.iter().find(|set| set.name_any() == name);
    let mut rollout = Rollout {
        held: BTreeSet::new(),
        new: BTreeSet::new(),
        unready: Vec::new(),
        restarted: Vec::new(),
        wanted: nodes.len(),
    };
    let mut outdated = Vec::new();
    for node in nodes {
        let name = node.name();
        match live(&name) {
            None => drop(rollout.new.insert(name)),
            Some(set) if !is_ready(set) => rollout.unready.push(name),
            Some(set) if template_hash(set) != template_hash(&node.stateful_set) => outdated.push(name),
            Some(_) => {}
        }
    }
    let calm = rollout.unready.is_empty() && rollout.new.is_empty() && known.is_some_and(all_up);
    if calm && !outdated.is_empty() {
        rollout.restarted.push(outdated.remove(0));
    }
    rollout.held.extend(outdated);
    rollout
}

impl Rollout {
    /// What is being waited for.
    pub(crate) fn outcome(&self) -> Outcome {
        let underway = |reason, message| Outcome::Underway { reason, message };
        if !self.new.is_empty() {
            let (new, wanted) = (self.new.len(), self.wanted);
            return underway("NodesStarting", format!("Starting {new} of {wanted} nodes."));
        }
        if !self.restarted.is_empty() || !self.held.is_empty() {
            let (now, left) = (self.restarted.join(", "), self.held.len());
            let now = if now.is_empty() { "none now".to_owned() } else { now };
            let message = format!(
                "Restarting nodes one at a time, each when all others are ready and up: {now}; {left} still to go."
            );
            return underway("RollingOut", message);
        }
        if !self.unready.is_empty() {
            let (count, names) = (self.unready.len(), self.unready.join(", "));
            return underway("PodsNotReady", format!("{count} pods are not ready: {names}."));
        }
        Outcome::Applied
    }
}

/// Ready, and running what its StatefulSet says.
fn is_ready(set: &StatefulSet) -> bool {
    let Some(status) = &set.status else { return false };
    status.ready_replicas.unwrap_or(0) >= 1
        && status.updated_replicas.unwrap_or(0) >= 1
        && status.observed_generation == set.metadata.generation
}

fn template_hash(set: &StatefulSet) -> Option<&String> {
    set.annotations().get(label::TEMPLATE_HASH)
}

fn all_up(pool: &PoolStatus) -> bool {
    pool.members.iter().all(|m| matches!(m.state, MemberState::Up | MemberState::Full))
}

#[cfg(test)]
mod tests {
    use MemberState::{Down, Up};
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
    fn a_node_that_is_down_anyway_takes_the_change_at_once() {
        let rollout = decided(&running(&[1], &[1]), &[Up, Down, Up, Up, Up, Up]);
        assert!(rollout.held.is_empty());
        assert_eq!(reason(&rollout), "PodsNotReady");
    }
}
