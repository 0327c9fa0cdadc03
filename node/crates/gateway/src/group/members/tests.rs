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
    /// Who leads.
    own: ReplicaId,
    /// So many of the members, from the first, stay.
    stay: usize,
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
        Self { members: members.to_vec(), away: Vec::new(), group, own: 1, stay: members.len() }
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
        let (stay, leaving) = names.split_at(self.stay);
        let members = Members { stay: stay.into(), leaving: leaving.into() };
        let heard = self.members.iter().filter(|(_, id)| *id != 0);
        let heard = heard.map(|(node, id)| (name(node), *id)).collect();
        next(&Known { own: self.own, members: &members, said, heard: &heard, group: &self.group })
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

const FIVE: [(&str, ReplicaId); 5] = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)];

/// Of these only the first `stay` stay, and all have a vote.
fn fewer(stay: usize, members: &[(&'static str, ReplicaId)], own: ReplicaId) -> Scene {
    let voters: Vec<ReplicaId> = members.iter().map(|(_, id)| *id).collect();
    Scene { own, stay, ..Scene::new(members, &voters, &[]) }
}

#[test]
fn who_leaves_loses_the_vote_together_with_all_that_leave() {
    let three = || Step::Vote([1, 2, 3].into());
    assert_eq!(fewer(3, &FIVE, 2).next(), three());
    assert_eq!(fewer(1, &FIVE, 1).next(), Step::Vote([1].into()));
    // Nobody waits for one that leaves: it may be lost.
    assert_eq!(fewer(3, &FIVE, 2).without(&[4, 5]).next(), three());
    assert_eq!(fewer(1, &FIVE[..3], 1).without(&[3]).next(), Step::Vote([1].into()));
    let mut lost = fewer(3, &FIVE, 2);
    lost.group.voters = [1, 2, 3, 4, 9].into();
    assert_eq!(lost.next(), three(), "an empty volume of one that leaves is not taken in");
    let mut cut = fewer(3, &FIVE, 2).without(&[3]);
    cut.group.joint = true;
    assert_eq!(cut.next(), three(), "a change that was cut off is ended");
    let mut gone = fewer(3, &FIVE, 2);
    gone.group.voters = [1, 2, 3].into();
    assert_eq!(gone.next(), Step::Nothing);
    // They may come back before their volumes are gone: nothing was forgotten on those.
    gone.stay = 5;
    assert_eq!(gone.next(), Step::Learn(4));
}

#[test]
fn fewer_wait_until_all_that_stay_have_everything() {
    waits(&fewer(3, &FIVE, 2).without(&[3]).next(), "c does not have everything yet");
    let mut unheard = FIVE;
    unheard[2].1 = 0;
    waits(&fewer(3, &unheard, 2).next(), "c was not heard of yet");
    // One of two has no majority: without the other nothing can be agreed on.
    waits(&fewer(1, &FIVE[..3], 1).without(&[2, 3]).next(), "too few members answer");
}

#[test]
fn who_leaves_and_leads_has_one_lead_that_stays() {
    assert!(matches!(fewer(3, &FIVE, 5).next(), Step::HandOver(1..=3)));
    assert_eq!(fewer(1, &FIVE[..3], 2).without(&[3]).next(), Step::HandOver(1));
    // The one that stays lost its volume: it is filled first, and gets its vote as the others lose theirs.
    let mut refilled = Scene { own: 2, stay: 1, ..Scene::new(&FIVE[..3], &[9, 2, 3], &[]) };
    assert_eq!(refilled.next(), Step::Learn(1));
    refilled.group.learners = [1].into();
    assert_eq!(refilled.next(), Step::Vote([1].into()));
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
