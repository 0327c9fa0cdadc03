//! Puts under random schedules, with a planted bug as control of the checker.

use std::collections::BTreeMap;
use std::time::Duration;

use datamesh_exchange::{Ack, PutPlan};
use datamesh_shard::ErasureProfile;

use crate::dice::{Dice, seed};
use crate::put_world::{DEADLINES, Story, Temper, World, check_ack};

const STARTED: Duration = Duration::from_secs(5);
const RUNS: u64 = 6000;

fn plan(data: u8, parity: u8, nodes: u16, zones: u16) -> PutPlan {
    let profile = ErasureProfile::new(data, parity).unwrap();
    let total = u16::try_from(profile.total()).unwrap();
    PutPlan {
        profile,
        assignment: (0..total).map(|shard| shard % nodes).collect(),
        spare: (total.min(nodes)..nodes).collect(),
        zones: (0..nodes).map(|node| node % zones).collect(),
        ack_shards: None,
        deadlines: DEADLINES,
        whole: false,
    }
}

fn random_plan(dice: &mut Dice) -> PutPlan {
    let (data, parity) = [(4, 2), (2, 1), (4, 2), (1, 1), (8, 4), (1, 2)][dice.below(6)];
    let total = u16::from(data + parity);
    // With fewer nodes than shards the assignment doubles up, as it does when nodes are dead.
    let least = total.div_ceil(u16::from(parity));
    let nodes = least + u16::try_from(dice.below(usize::from(total) + 4)).unwrap();
    plan(data, parity, nodes, 1 + u16::try_from(dice.below(4)).unwrap())
}

fn random_tempers(nodes: usize, dice: &mut Dice) -> Vec<Temper> {
    use Temper::{Busy, Dead, Full, Good, Hangs, Moody, Slow};
    let bad = dice.below(101);
    let pick = |dice: &mut Dice| [Slow, Dead, Hangs, Full, Busy, Moody][dice.below(6)];
    (0..nodes).map(|_| if dice.percent(bad) { pick(dice) } else { Good }).collect()
}

fn run(seed: u64, change: impl Fn(&mut PutPlan)) -> (PutPlan, Story) {
    let mut dice = Dice::new(seed);
    let mut plan = random_plan(&mut dice);
    change(&mut plan);
    let tempers = random_tempers(plan.zones.len(), &mut dice);
    let story = World::new(tempers, dice).run(plan.clone());
    (plan, story)
}

/// No node holds more shards of a segment than m, whatever was sent again to whom.
fn check_load(plan: &PutPlan, story: &Story) -> Result<(), String> {
    let mut load: BTreeMap<u16, usize> = BTreeMap::new();
    for (_, node) in &story.held {
        *load.entry(*node).or_default() += 1;
    }
    match load.iter().find(|(_, held)| **held > plan.profile.m()) {
        Some((node, held)) => Err(format!("node {node} holds {held} shards")),
        None => Ok(()),
    }
}

#[test]
fn puts_keep_their_promise_under_random_schedules() {
    let seed = seed("puts");
    let (mut whole, mut short, mut failed, mut recovered) = (0, 0, 0, 0);
    for run_seed in (0..RUNS).map(|run| seed.wrapping_add(run)) {
        let (plan, story) = run(run_seed, |_| {});
        let told = || format!("run {run_seed}: {plan:?}\n{story:?}");
        check_ack(plan.profile, STARTED, &story).unwrap_or_else(|wrong| panic!("{wrong}\n{}", told()));
        check_load(&plan, &story).unwrap_or_else(|wrong| panic!("{wrong}\n{}", told()));
        assert!(story.finished != story.failed.is_some(), "{}", told());
        assert!(story.ended_at <= STARTED + DEADLINES.give_up, "{}", told());
        let bound = story.plan_total * plan.zones.len() * 3;
        assert!(story.sends <= bound, "{} sends\n{}", story.sends, told());
        match story.ack {
            Some((_, Ack::Whole)) => whole += 1,
            Some(_) => short += 1,
            None => failed += 1,
        }
        let came_later =
            story.held.iter().map(|(shard, _)| shard).collect::<std::collections::BTreeSet<_>>().len();
        recovered +=
            u32::from(matches!(story.ack, Some((_, Ack::Short { .. }))) && came_later == story.plan_total);
    }
    println!("{whole} whole, {short} short of which {recovered} became whole, {failed} failed");
    // The schedules reach every outcome.
    assert!(whole > 100 && short > 20 && failed > 100 && recovered > 5);
}

/// The control: a machine that acknowledges as soon as k shards are durable must be caught by the same checker.
#[test]
fn the_checker_catches_a_machine_that_acknowledges_k_shards() {
    let seed = seed("control");
    let caught = (0..RUNS).map(|run| seed.wrapping_add(run)).find_map(|run_seed| {
        let (plan, story) = run(run_seed, |plan| plan.ack_shards = Some(plan.profile.data()));
        check_ack(plan.profile, STARTED, &story).err()
    });
    assert!(caught.expect("not caught").contains("would lose the segment"));
}

#[test]
fn the_checker_catches_an_early_short_acknowledgement() {
    let seed = seed("early");
    let caught = (0..RUNS).map(|run| seed.wrapping_add(run)).any(|run_seed| {
        let (plan, story) = run(run_seed, |plan| plan.deadlines.tail = Duration::from_millis(20));
        check_ack(plan.profile, STARTED, &story).is_err_and(|wrong| wrong.contains("before the tail"))
    });
    assert!(caught);
}

/// Every combination of good, dead, hanging and full nodes for six nodes, 4+2: 4,096 runs.
#[test]
fn every_mix_of_six_nodes() {
    use Temper::{Dead, Full, Good, Hangs};
    for mix in 0..4_usize.pow(6) {
        let tempers: Vec<Temper> =
            (0..6).map(|node| [Good, Dead, Hangs, Full][mix / 4_usize.pow(node) % 4]).collect();
        let good = tempers.iter().filter(|&&temper| temper == Good).count();
        let plan = plan(4, 2, 6, 3);
        let story = World::new(tempers.clone(), Dice::new(u64::try_from(mix).unwrap())).run(plan.clone());
        check_ack(plan.profile, STARTED, &story).unwrap_or_else(|wrong| panic!("{tempers:?}: {wrong}"));
        check_load(&plan, &story).unwrap_or_else(|wrong| panic!("{tempers:?}: {wrong}"));
        // Three good nodes take two shards each: the whole segment. With fewer the loss of one would lose it.
        let acknowledged = story.ack.is_some();
        assert_eq!(acknowledged, good >= 3, "{tempers:?}: {story:?}");
        assert!(!acknowledged || story.held.len() >= 6, "{tempers:?}");
    }
}
