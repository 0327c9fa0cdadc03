//! Which of several gateways may be restarted now. Pure.
//!
//! A changed template restarts a pod, and the catalog needs a majority of its members. So one gateway is changed at a time, and only
//! while every other member of the catalog is ready and has all of it; the leader is last, so that it changes once. A gateway that
//! is not ready takes the change at once: it may be what cures it.
//!
//! Gateways that come newly are no members until the leader is told of them, which takes its restart: they wait for it and are not
//! waited for. But what could keep them from starting is found out before anybody restarts for them: their volumes must be bound.
//!
//! Gateways that leave are first, so that they serve nobody any more when their votes are taken away; that they are not ready then is as it
//! should be. One of them that does not come back within a while may be lost for good and is not waited for.
//!
//! Where a database keeps the catalog, no gateway needs another: what is ready counts, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datamesh_settings::admin::{CatalogMember, CatalogStatus};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::Rollout;
use crate::cluster::build::GatewayObjects;
use crate::cluster::dereference::Found;
use crate::cluster::leaving::{is_going, is_told_to_leave, told};
use crate::cluster::verdicts::Answer;
use crate::gateway_api::GatewayError;
use crate::names;
use crate::outcome::Outcome;
use crate::pod::running::{replaced, template_hash, unready};
use crate::report::catalog::lacks;

#[cfg(test)]
mod tests;

/// Patience with a gateway that leaves and was told so: longer than a restart takes.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(120);

/// How the gateways are, as this pass found them.
struct State<'a> {
    found: &'a Found,
    /// Whether the gateways keep the catalog, and not a database.
    keep_it: bool,
    answer: &'a Answer,
    now: Timestamp,
    /// Those that leave.
    leaving: BTreeSet<String>,
    /// All that are wanted, in the order of their numbers.
    all: Vec<String>,
    /// Those that did not exist.
    new: BTreeSet<String>,
    /// Those whose pod is not ready, and why.
    unready: BTreeMap<String, String>,
    /// Those that run well and are to be changed, in the order in which they are.
    outdated: Vec<String>,
}

/// Decides it.
pub(super) fn decide(
    gateways: &[GatewayObjects],
    found: &Found,
    (answer, now): (&Answer, Timestamp),
) -> Rollout {
    let state = State::of(gateways, found, (answer, now));
    let Some(next) = state.outdated.first() else {
        return Rollout { held: BTreeSet::new(), outcome: state.unchanged() };
    };
    let blockers = state.in_the_way_of(next);
    let (held, outcome) = if blockers.is_empty() {
        (&state.outdated[1..], state.restarting(next))
    } else {
        (&state.outdated[..], state.waiting(&blockers))
    };
    Rollout { held: held.iter().cloned().collect(), outcome }
}

impl<'a> State<'a> {
    fn of(gateways: &[GatewayObjects], found: &'a Found, (answer, now): (&'a Answer, Timestamp)) -> Self {
        let mut state = Self {
            found,
            keep_it: gateways.iter().any(|gateway| gateway.is_on_volumes),
            answer,
            now,
            leaving: gateways.iter().filter(|gateway| gateway.leaves).map(GatewayObjects::name).collect(),
            all: gateways.iter().map(GatewayObjects::name).collect(),
            new: BTreeSet::new(),
            unready: BTreeMap::new(),
            outdated: Vec::new(),
        };
        for gateway in gateways {
            let name = gateway.name();
            let set = found.gateway(&name).filter(|_| !is_going(found, &name));
            match set.map(|set| (set, state.not_well(set))) {
                None => drop(state.new.insert(name)),
                Some((_, Some(why))) => drop(state.unready.insert(name, why)),
                Some((set, None)) if template_hash(set) != template_hash(&gateway.stateful_set) => {
                    state.outdated.push(name);
                }
                Some(_) => {}
            }
        }
        // Stable: all others stay in the order of their numbers.
        let (leader, leaving) = (state.leader().map(str::to_owned), &state.leaving);
        state.outdated.sort_by_key(|name| (Some(name) == leader.as_ref(), !leaving.contains(name)));
        state
    }

    /// Why a gateway is not as it should be. One that leaves is not ready, but keeps its copy for as long as it has a vote.
    fn not_well(&self, set: &StatefulSet) -> Option<String> {
        match is_told_to_leave(set) {
            true => replaced(set).or_else(|| self.lacks(&set.name_any())),
            false => unready(set),
        }
    }

    /// Whether a gateway leaves, and had its time to come back with that.
    fn is_given_up(&self, name: &str) -> bool {
        let set = self.found.gateway(name).filter(|set| self.leaving.contains(name) && is_told_to_leave(set));
        let fields = set.iter().flat_map(|set| set.metadata.managed_fields.iter().flatten());
        // The last change of what we manage of it: then it was told. (The status is its controller's.)
        let ours =
            fields.filter(|entry| entry.subresource.is_none() && entry.operation.as_deref() == Some("Apply"));
        let changed = ours.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
        changed.is_some_and(|changed| self.now.duration_since(changed).unsigned_abs() > COMES_BACK_WITHIN)
    }

    fn catalog(&self) -> Option<&'a CatalogStatus> {
        self.answer.as_ref().ok().map(|status| &status.catalog)
    }

    fn members(&self) -> &'a [CatalogMember] {
        self.catalog().map_or(&[], |catalog| &catalog.members)
    }

    /// By way of whom the catalog changes. One that keeps it alone is the first; a database has none.
    fn leader(&self) -> Option<&str> {
        let catalog = self.catalog().filter(|_| self.keep_it)?;
        if catalog.members.is_empty() {
            return self.all.first().map(String::as_str);
        }
        catalog.members.iter().find(|member| member.leads).map(|member| member.node.as_str())
    }

    /// Whether nobody keeps the catalog but one gateway, which has not been told of the others.
    fn is_alone(&self) -> bool {
        self.keep_it && self.catalog().is_some_and(|catalog| catalog.members.is_empty())
    }

    /// The gateways the leader has not been told of. Without its name: those that some gateway has not been told of.
    fn newcomers(&self) -> &[String] {
        if !self.keep_it {
            return &[];
        }
        let told = match self.leader() {
            Some(leader) => self.found.gateway(leader).map(told),
            None => self.found.gateways.iter().map(told).min(),
        };
        let stay = self.all.len() - self.leaving.len();
        &self.all[told.unwrap_or(stay).min(stay)..stay]
    }

    /// What lets `next` not be restarted, and why.
    fn in_the_way_of(&self, next: &str) -> Vec<String> {
        let newcomers = self.newcomers();
        let mut blockers: Vec<String> = newcomers.iter().filter_map(|name| self.cannot_come(name)).collect();
        let others = self.all.iter().filter(|name| *name != next && !newcomers.contains(name));
        for name in others {
            let why = if self.is_given_up(name) {
                None
            } else if self.new.contains(name) {
                Some("is being started".to_owned())
            } else {
                self.unready.get(name).cloned().or_else(|| self.lacks(name))
            };
            blockers.extend(why.map(|why| format!("{name} ({why})")));
        }
        blockers.extend(self.silence());
        blockers
    }

    /// What keeps a newcomer from starting once it is let in.
    fn cannot_come(&self, name: &str) -> Option<String> {
        if self.new.contains(name) {
            return Some(format!("{name} (is being started)"));
        }
        let claim = names::claim(name);
        let volume = self.found.volumes.iter().find(|volume| volume.name_any() == claim);
        let phase = volume.and_then(|volume| volume.status.as_ref()?.phase.as_deref());
        (phase != Some("Bound")).then(|| format!("{name} (its volume {claim} is not bound yet)"))
    }

    /// What a member lacks of the catalog.
    fn lacks(&self, name: &str) -> Option<String> {
        let member = self.members().iter().find(|member| member.node.as_str() == name)?;
        lacks(member.state).map(str::to_owned)
    }

    /// Why nobody knows how the members are. A gateway that answers what this operator cannot read may need just the change.
    fn silence(&self) -> Option<String> {
        match self.answer {
            _ if !self.keep_it => None,
            Ok(_) if self.leader().is_none() => Some("the catalog (no gateway leads it now)".into()),
            Ok(_) | Err(GatewayError::Unreadable { .. }) => None,
            Err(error) => Some(format!("the catalog (nobody says how it is: {error})")),
        }
    }

    fn others_must(&self) -> &'static str {
        if self.keep_it { "have the whole catalog" } else { "are ready" }
    }

    fn restarting(&self, next: &str) -> Outcome {
        let (left, pod) = (self.outdated.len() - 1, names::pod(next));
        let message = if self.is_alone() {
            let others = self.newcomers().join(", ");
            format!(
                "Pod {pod} is being replaced by one that shares its catalog with {others}; puts and gets fail until it has."
            )
        } else {
            let others = self.others_must();
            format!(
                "Restarting gateways one at a time, each when all others {others}: {next} now, {left} still to go. Requests go \
                 by way of the others meanwhile."
            )
        };
        Outcome::Underway { reason: "GatewayRestarting", message }
    }

    fn waiting(&self, blockers: &[String]) -> Outcome {
        let message = format!(
            "{left} gateways wait for a restart ({who}): one restarts at a time{leader}, and only while all others {others}. In \
             the way: {blockers}. When that is put right it goes on by itself.",
            leader = if self.keep_it { ", the leader last" } else { "" },
            others = self.others_must(),
            left = self.outdated.len(),
            who = self.outdated.join(", "),
            blockers = blockers.join(", "),
        );
        let reason = if self.new.is_empty() { "GatewayRestarting" } else { "GatewayStarting" };
        Outcome::Underway { reason, message }
    }

    /// What is waited for where no gateway is to be changed.
    fn unchanged(&self) -> Outcome {
        let wanted = self.all.len() - self.leaving.len();
        if !self.new.is_empty() {
            let message = format!("Starting {} of {wanted} gateways.", self.new.len());
            return Outcome::Underway { reason: "GatewayStarting", message };
        }
        // Of those that leave, their vote says what they wait for.
        let unready = self.unready.iter().filter(|(name, _)| !self.leaving.contains(*name));
        let pods: Vec<String> = unready.map(|(name, why)| format!("{name} ({why})")).collect();
        if pods.is_empty() {
            return Outcome::Applied;
        }
        let message =
            format!("Waiting for {} of {wanted} gateways to be ready: {}.", pods.len(), pods.join(", "));
        Outcome::Underway { reason: "GatewayStarting", message }
    }
}
