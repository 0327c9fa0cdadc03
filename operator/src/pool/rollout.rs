//! Which nodes may be restarted now. Pure.
//!
//! A changed template restarts a pod, so it is applied to one node at a time, and only while every other node of the pool
//! is ready and up to date with the gateway: one more loss during a restart is always survived. Nodes that are down
//! anyway take the change at once: it may be what brings them back. (Their StatefulSets' policy lets them: see `pod`.)

use std::collections::{BTreeMap, BTreeSet};

use datamesh_settings::admin::{DrainState, DrainStatus, MemberState, PoolStatus};
use kube::ResourceExt;

use super::build::NodeObjects;
use super::dereference::Found;
use super::leaving;
use crate::outcome::Outcome;
use crate::pod::running::{template_hash, unready};

#[cfg(test)]
mod tests;

/// Nodes named in a message at most; more are counted.
const NAMED_MAX: usize = 8;

/// What is to be done to the nodes.
pub(crate) struct Rollout {
    /// Nodes whose StatefulSet is left alone in this pass.
    pub(crate) held: BTreeSet<String>,
    /// Nodes that did not exist.
    pub(crate) new: BTreeSet<String>,
    /// Those of them that wait until what was deleted under their name is gone.
    pub(crate) going: BTreeSet<String>,
    /// Nodes whose pod is not ready, and why.
    unready: BTreeMap<String, String>,
    /// Nodes that are being restarted in this pass.
    restarted: Vec<String>,
    /// What lets no further node be restarted, and why. Not the nodes above.
    away: Vec<String>,
    wanted: usize,
}

/// Decides it from what runs and what the gateway says of the pool.
pub(crate) fn decide(nodes: &[NodeObjects], found: &Found, known: Option<&PoolStatus>) -> Rollout {
    let live = |name: &str| found.stateful_sets.iter().find(|set| set.name_any() == name);
    let mut rollout = Rollout {
        held: BTreeSet::new(),
        new: BTreeSet::new(),
        going: BTreeSet::new(),
        unready: BTreeMap::new(),
        restarted: Vec::new(),
        away: Vec::new(),
        wanted: nodes.len(),
    };
    let mut outdated = Vec::new();
    for node in nodes {
        let name = node.name();
        if leaving::is_going(found, &name) {
            rollout.going.insert(name.clone());
            rollout.new.insert(name);
            continue;
        }
        match live(&name).map(|set| (set, unready(set))) {
            None => drop(rollout.new.insert(name)),
            Some((_, Some(why))) => drop(rollout.unready.insert(name, why)),
            Some((set, None)) if template_hash(set) != template_hash(&node.stateful_set) => {
                outdated.push(name);
            }
            Some(_) => {}
        }
    }
    rollout.away = away(known, &rollout);
    let calm = rollout.unready.is_empty() && rollout.new.is_empty() && rollout.away.is_empty();
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
        let (new, unready, wanted) = (self.new.len(), self.unready.len(), self.wanted);
        if new > 0 {
            let message = format!("Starting {new} of {wanted} nodes.{}{}", self.going(), self.waiting());
            return underway("NodesStarting", message);
        }
        if let Some(now) = self.restarted.first() {
            let left = self.held.len();
            let message = format!(
                "Restarting nodes one at a time, each when all others are ready and up: {now} now, {left} still to go."
            );
            return underway("RollingOut", message);
        }
        if !self.held.is_empty() {
            return underway("RollingOut", self.waiting().trim_start().to_owned());
        }
        if unready > 0 {
            let message = format!("{unready} of {wanted} pods are not ready: {}.", named(self.not_ready()));
            return underway("PodsNotReady", message);
        }
        Outcome::Applied
    }

    /// Which nodes wait for what was deleted. Empty when none does.
    fn going(&self) -> String {
        if self.going.is_empty() {
            return String::new();
        }
        let names = named(self.going.iter().cloned());
        format!(
            " {names}: what was deleted under this name is on its way out; it is made anew when that is gone."
        )
    }

    /// Which nodes wait for a restart, what is in their way and what clears it. Empty when none waits.
    fn waiting(&self) -> String {
        if self.held.is_empty() {
            return String::new();
        }
        let new = self.new.iter().map(|name| format!("{name} (is being started)"));
        let blockers = new.chain(self.not_ready()).chain(self.away.iter().cloned());
        format!(
            " {left} nodes wait for a restart ({who}): one restarts at a time, and only while all others are ready and up. \
             In the way: {blockers}. When that is put right it goes on by itself.",
            left = self.held.len(),
            who = named(self.held.iter().cloned()),
            blockers = named(blockers),
        )
    }

    fn not_ready(&self) -> impl Iterator<Item = String> {
        self.unready.iter().map(|(name, why)| format!("{name} ({why})"))
    }
}

/// `a, b and 3 more`.
fn named(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let named = all[..all.len().min(NAMED_MAX)].join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What the gateway does not have, besides the nodes that are known not to run.
fn away(known: Option<&PoolStatus>, rollout: &Rollout) -> Vec<String> {
    let Some(pool) = known else {
        return vec!["the gateway (it does not say that all nodes are up)".into()];
    };
    let runs = |node: &str| !rollout.unready.contains_key(node) && !rollout.new.contains(node);
    let why = |state| match state {
        MemberState::Up | MemberState::Full => None,
        MemberState::Joining => Some("has not joined yet"),
        MemberState::Down => Some("does not answer the gateway"),
    };
    // Whoever is drained has nothing that a restart of another node could cost.
    let is_drained = |drain: &DrainStatus| drain.state == DrainState::Drained;
    let members = pool.members.iter().filter(|member| runs(member.node.as_str()));
    let members = members.filter(|member| !member.drain.as_ref().is_some_and(is_drained));
    members.filter_map(|member| Some(format!("{} ({})", member.node, why(member.state)?))).collect()
}
