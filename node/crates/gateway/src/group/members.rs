//! Who shall be in the group, by what the members say: one step at a time. Pure.
//!
//! The group is that of the replicas which the gateways of the settings have, all of them at once: a replica whose volume was lost is
//! replaced by the new one in one change, and gateways that come together get their vote together, so the group has at no time
//! fewer voters than it had or an even number for long.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::engine::raft::{GroupStatus, ReplicaId};
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding};
use datamesh_shard::NodeName;

use super::LAG_MAX;

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
}

/// What a leader knows.
pub(super) struct Known<'a> {
    /// The members by the settings.
    pub(super) names: &'a [NodeName],
    /// What those say that answer, this gateway among them.
    pub(super) said: &'a BTreeMap<NodeName, CatalogStanding>,
    /// Which replica each was when it answered last.
    pub(super) heard: &'a BTreeMap<NodeName, ReplicaId>,
    /// The group as it is.
    pub(super) group: &'a GroupStatus,
}

pub(super) fn next(known: &Known<'_>) -> Step {
    let Known { names, said, heard, group } = known;
    if let Some(other) = said.values().find(|said| known.is_of_another_group(said)) {
        return Step::Wait(format!(
            "{} keeps another catalog: start it with an empty volume, and it is taken in",
            other.node
        ));
    }
    if let Some((one, other)) = known.twins() {
        return Step::Wait(format!(
            "{one} and {other} have the same replica, on copies of one volume: start one of them with an empty volume"
        ));
    }
    let is_known = |id: &ReplicaId| group.voters.contains(id) || group.learners.contains(id);
    let answering = said.values().filter(|said| !said.is_opening());
    let answering: BTreeSet<ReplicaId> = answering.map(|said| said.replica).collect();
    let listed: Vec<Option<ReplicaId>> = names.iter().map(|name| heard.get(name).copied()).collect();
    if let Some(id) = listed.iter().flatten().find(|id| !is_known(id) && answering.contains(id)) {
        return Step::Learn(*id);
    }
    let Some(wanted) = listed.iter().copied().collect::<Option<BTreeSet<ReplicaId>>>() else {
        let unheard = names.iter().find(|name| !heard.contains_key(*name));
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
    let behind = wanted.difference(&group.voters).find(|id| !known.is_current(**id));
    if let Some(id) = behind {
        let name =
            heard.iter().find(|(_, heard)| *heard == id).map_or("a replica", |(name, _)| name.as_str());
        return Step::Wait(format!("{name} does not have everything yet"));
    }
    let most_of = |set: &BTreeSet<ReplicaId>| set.intersection(&answering).count() * 2 > set.len();
    if !most_of(&wanted) || !most_of(&group.voters) {
        return Step::Wait("too few members answer to change who they are".into());
    }
    Step::Vote(wanted)
}

impl Known<'_> {
    /// Two gateways that said they were the same replica.
    fn twins(&self) -> Option<(&NodeName, &NodeName)> {
        let listed = || self.names.iter().filter_map(|name| Some((name, self.heard.get(name)?)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    /// A leader of `voters` and `learners`, whose members by the settings were these replicas last; 0 was never heard of. Those in
    /// `away` do not answer.
    struct Scene {
        members: Vec<(&'static str, ReplicaId)>,
        away: Vec<ReplicaId>,
        group: GroupStatus,
    }

    impl Scene {
        fn new(members: &[(&'static str, ReplicaId)], voters: &[ReplicaId], learners: &[ReplicaId]) -> Self {
            let sets = |ids: &[ReplicaId]| ids.iter().copied().collect();
            let group = GroupStatus {
                voters: sets(voters),
                learners: sets(learners),
                applied: 5000,
                ..GroupStatus::default()
            };
            Self { members: members.to_vec(), away: Vec::new(), group }
        }

        fn without(mut self, away: &[ReplicaId]) -> Self {
            self.away = away.to_vec();
            self
        }

        fn said(&self) -> BTreeMap<NodeName, CatalogStanding> {
            let answers = self.members.iter().filter(|(_, id)| *id != 0 && !self.away.contains(id));
            answers.map(|(node, id)| (name(node), self.standing(node, *id))).collect()
        }

        fn standing(&self, node: &str, replica: ReplicaId) -> CatalogStanding {
            let known = self.group.voters.contains(&replica) || self.group.learners.contains(&replica);
            let holding = if known { CatalogHolding::Replica } else { CatalogHolding::Nothing };
            let voters = if known { self.group.voters.clone() } else { BTreeSet::new() };
            CatalogStanding { node: name(node), replica, holding, applied: 4500, leads: false, voters }
        }

        fn next(&self) -> Step {
            self.next_of(&self.said())
        }

        fn next_of(&self, said: &BTreeMap<NodeName, CatalogStanding>) -> Step {
            let names: Vec<NodeName> = self.members.iter().map(|(node, _)| name(node)).collect();
            let heard = self.members.iter().filter(|(_, id)| *id != 0);
            let heard = heard.map(|(node, id)| (name(node), *id)).collect();
            next(&Known { names: &names, said, heard: &heard, group: &self.group })
        }
    }

    fn waits(step: &Step, reason: &str) {
        assert!(matches!(step, Step::Wait(why) if why.contains(reason)), "{step:?}");
    }

    #[test]
    fn who_comes_to_one_that_was_alone_votes_together_with_the_others() {
        let members = [("a", 1), ("b", 2), ("c", 3)];
        assert_eq!(Scene::new(&members, &[1], &[]).next(), Step::Learn(2));
        assert_eq!(Scene::new(&members, &[1], &[2]).next(), Step::Learn(3));
        assert_eq!(Scene::new(&members, &[1], &[2, 3]).next(), Step::Vote([1, 2, 3].into()));
        assert_eq!(Scene::new(&members, &[1, 2, 3], &[]).next(), Step::Nothing);
        // Two would be lost with either of them.
        waits(&Scene::new(&[("a", 1), ("b", 2), ("c", 0)], &[1], &[2]).next(), "c was not heard of");
    }

    #[test]
    fn a_lost_volume_is_replaced_in_one_change() {
        let members = [("a", 1), ("b", 2), ("c", 33)];
        assert_eq!(Scene::new(&members, &[1, 2, 3], &[]).next(), Step::Learn(33));
        assert_eq!(Scene::new(&members, &[1, 2, 3], &[33]).next(), Step::Vote([1, 2, 33].into()));
        // Cut off between the two sets of that change.
        assert_eq!(Scene::new(&members, &[1, 2, 3, 33], &[]).next(), Step::Vote([1, 2, 33].into()));
        // A learner whose volume was lost before it had a vote.
        assert_eq!(Scene::new(&members, &[1, 2, 33], &[3]).next(), Step::Forget(3));
    }

    /// The first set alone may still be what a majority is needed of: it would be lost with its one voter.
    #[test]
    fn a_change_that_was_cut_off_is_ended() {
        let members = [("a", 1), ("b", 2), ("c", 3)];
        let mut cut = Scene::new(&members, &[1, 2, 3], &[]);
        cut.group.joint = true;
        assert_eq!(cut.next(), Step::Vote([1, 2, 3].into()));
        assert_eq!(cut.without(&[3]).next(), Step::Vote([1, 2, 3].into()));
        let mut learns = Scene::new(&members, &[1, 2, 3], &[4]);
        learns.group.joint = true;
        assert_eq!(learns.next(), Step::Vote([1, 2, 3].into()), "before anybody is forgotten");
    }

    #[test]
    fn copies_of_one_volume_are_not_two_members() {
        let copied = Scene::new(&[("a", 1), ("b", 2), ("c", 2)], &[1, 2, 3], &[]);
        waits(&copied.next(), "b and c have the same replica");
        waits(&copied.without(&[2]).next(), "b and c have the same replica");
    }

    #[test]
    fn a_replica_that_is_being_opened_is_waited_for() {
        let scene = Scene::new(&[("a", 1), ("b", 2), ("c", 9)], &[1, 2, 3], &[]);
        let mut said = scene.said();
        said.get_mut(&name("c")).unwrap().holding = CatalogHolding::Replica;
        waits(&scene.next_of(&said), "c does not have everything yet");
    }

    #[test]
    fn nothing_changes_for_who_is_away_for_a_while() {
        let members = [("a", 1), ("b", 2), ("c", 3)];
        assert_eq!(Scene::new(&members, &[1, 2, 3], &[]).without(&[3]).next(), Step::Nothing);
        waits(&Scene::new(&[("a", 1), ("b", 2), ("c", 0)], &[1, 2, 3], &[]).next(), "c was not heard of");
    }

    #[test]
    fn who_is_not_listed_any_more_leaves() {
        let members = [("a", 1), ("b", 2), ("c", 3)];
        assert_eq!(Scene::new(&members, &[1, 2, 3, 4, 5], &[]).next(), Step::Vote([1, 2, 3].into()));
        let few = Scene::new(&members, &[1, 2, 3, 4, 5], &[]).without(&[3]);
        waits(&few.next(), "too few members answer");
    }

    #[test]
    fn a_replica_that_lags_does_not_vote_yet() {
        let scene = Scene::new(&[("a", 1), ("b", 2), ("c", 33)], &[1, 2, 3], &[33]);
        let mut said = scene.said();
        said.get_mut(&name("c")).unwrap().applied = 3000;
        waits(&scene.next_of(&said), "c does not have everything");
        waits(&scene.without(&[33]).next(), "c does not have everything");
    }

    #[test]
    fn another_groups_replica_is_not_overwritten() {
        let scene = Scene::new(&[("a", 1), ("b", 2), ("c", 9)], &[1, 2, 3], &[]);
        let mut said = scene.said();
        let c = said.get_mut(&name("c")).unwrap();
        (c.holding, c.voters) = (CatalogHolding::Replica, [9, 10].into());
        waits(&scene.next_of(&said), "c keeps another catalog");
        // One that was told of everything by a leader that is none any more is of this group.
        said.get_mut(&name("c")).unwrap().voters = [1, 2, 3].into();
        assert_eq!(scene.next_of(&said), Step::Learn(9));
    }
}
