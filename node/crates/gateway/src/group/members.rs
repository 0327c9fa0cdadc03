//! Who shall be in the group, by what the members say: one step at a time. Pure.
//!
//! The group is that of the replicas which the gateways of the settings have, all of them at once: a replica whose volume was lost is
//! replaced by the new one in one change, and gateways that come together get their vote together, so the group has at no time
//! fewer voters than it had or an even number for long. Those that leave lose their vote together, once all that stay have everything; one
//! that leaves and leads has one lead that stays.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::engine::raft::{GroupStatus, ReplicaId};
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;

use super::{LAG_MAX, Members};

#[cfg(test)]
mod tests;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All is as it should be.
    Nothing,
    /// Nothing can be done now, for this reason.
    Wait(String),
    /// Have this replica told of everything.
    Learn(ReplicaId),
    /// Give these the vote, and no others.
    Vote(BTreeSet<ReplicaId>),
    /// Tell this one nothing any more.
    Forget(ReplicaId),
    /// Have this one lead.
    HandOver(ReplicaId),
}

/// What a leader knows.
pub(super) struct Known<'a> {
    /// The replica that leads.
    pub(super) own: ReplicaId,
    /// The members by the settings.
    pub(super) members: &'a Members,
    /// What those say that answer, this gateway among them.
    pub(super) said: &'a BTreeMap<NodeName, CatalogStanding>,
    /// Which replica each was when it answered last.
    pub(super) heard: &'a BTreeMap<NodeName, ReplicaId>,
    /// The group as it is.
    pub(super) group: &'a GroupStatus,
}

pub(super) fn next(known: &Known<'_>) -> Step {
    let Known { members, said, heard, group, .. } = known;
    if let Some(reason) = known.stands_in_the_way() {
        return Step::Wait(reason);
    }
    let is_known = |id: &ReplicaId| group.voters.contains(id) || group.learners.contains(id);
    let answering = said.values().filter(|said| !said.is_opening());
    let answering: BTreeSet<ReplicaId> = answering.map(|said| said.replica).collect();
    let listed: Vec<Option<ReplicaId>> = members.stay.iter().map(|name| heard.get(name).copied()).collect();
    if let Some(id) = listed.iter().flatten().find(|id| !is_known(id) && answering.contains(id)) {
        return Step::Learn(*id);
    }
    let Some(wanted) = listed.iter().copied().collect::<Option<BTreeSet<ReplicaId>>>() else {
        let unheard = members.stay.iter().find(|name| !heard.contains_key(*name));
        return match unheard {
            // Its vote is kept for it, whichever of the voters it is.
            Some(name) => Step::Wait(format!("{name} was not heard of yet")),
            None => Step::Nothing,
        };
    };
    // A change from one set into another that was cut off is made again, until there is one set.
    if wanted == group.voters && !group.joint {
        return group.learners.first().map_or(Step::Nothing, |id| Step::Forget(*id));
    }
    let fewer = wanted.len() < group.voters.len() && !group.joint;
    let must_have_all = wanted.iter().filter(|id| fewer || !group.voters.contains(*id));
    if let Some(id) = must_have_all.copied().find(|id| !known.is_current(*id)) {
        let name =
            heard.iter().find(|(_, heard)| **heard == id).map_or("a replica", |(name, _)| name.as_str());
        return Step::Wait(format!("{name} does not have everything yet"));
    }
    let most_of = |set: &BTreeSet<ReplicaId>| set.intersection(&answering).count() * 2 > set.len();
    if !most_of(&wanted) || !most_of(&group.voters) {
        return Step::Wait("too few members answer to change who they are".into());
    }
    known.heir(&wanted).map_or(Step::Vote(wanted), Step::HandOver)
}

impl Known<'_> {
    /// What somebody has to put right first.
    fn stands_in_the_way(&self) -> Option<String> {
        let mut staying = self.said.values().filter(|said| self.members.stay.contains(&said.node));
        if let Some(other) = staying.find(|said| self.is_of_another_group(said)) {
            let remedy = "start it with an empty volume, and it is taken in";
            return Some(format!("{} keeps another catalog: {remedy}", other.node));
        }
        let (one, other) = self.twins()?;
        let remedy = "start one of them with an empty volume";
        Some(format!("{one} and {other} have the same replica, on copies of one volume: {remedy}"))
    }

    /// Who leads instead of one that is to leave, before all that leave lose their vote: nobody has to be missed then. `None` where none
    /// that stays has a vote yet; then this one goes with its own change.
    fn heir(&self, wanted: &BTreeSet<ReplicaId>) -> Option<ReplicaId> {
        if wanted.contains(&self.own) {
            return None;
        }
        let fit = self.said.values().filter(|said| wanted.contains(&said.replica));
        let fit = fit.filter(|said| self.group.voters.contains(&said.replica) && !said.is_opening());
        fit.max_by_key(|said| said.applied).map(|said| said.replica)
    }

    /// Two gateways that said they were the same replica.
    fn twins(&self) -> Option<(&NodeName, &NodeName)> {
        let listed = || self.members.all().filter_map(|name| Some((name, self.heard.get(name)?)));
        listed().find_map(|(one, id)| {
            let (other, _) = listed().find(|(other, same)| *other != one && *same == id)?;
            Some((one, other))
        })
    }

    /// Two groups have no voter in common.
    fn is_of_another_group(&self, said: &CatalogStanding) -> bool {
        match said.holding {
            CatalogHolding::Nothing => false,
            CatalogHolding::Alone => true,
            CatalogHolding::Replica => !said.is_opening() && said.voters.is_disjoint(&self.group.voters),
        }
    }

    fn is_current(&self, id: ReplicaId) -> bool {
        let said = self.said.values().find(|said| said.replica == id);
        said.is_some_and(|said| {
            !said.is_opening() && said.applied.saturating_add(LAG_MAX) >= self.group.applied
        })
    }
}
