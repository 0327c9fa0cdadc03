//! Gets: one rule each by hand, and random schedules against what a perfect reader could have had.

use std::collections::BTreeSet;
use std::time::Duration;

use datamesh_exchange::{Doubt, GetAction, GetBudget, GetFailure, GetMachine};
use datamesh_shard::{ErasureProfile, ShardIndex};

use crate::dice::{Dice, seed};

const BUDGET: GetBudget =
    GetBudget { hedge_after: Duration::from_millis(50), extra_fetches: 2, give_up: Duration::from_secs(60) };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn four_two(others: &[u16]) -> GetMachine {
    GetMachine::new(ErasureProfile::new(4, 2).unwrap(), &[0, 1, 2, 3, 4, 5], others, BUDGET, ms(0))
}

fn fetch(shard: u8, from: u16) -> GetAction {
    GetAction::Fetch { shard: ShardIndex(shard), from }
}

fn decode(have: &[u8]) -> GetAction {
    GetAction::Decode { have: have.iter().copied().map(ShardIndex).collect() }
}

#[test]
fn when_all_is_well_only_the_data_shards_are_fetched() {
    let mut machine = four_two(&[6, 7]);
    assert_eq!(machine.next(ms(0)), (0..4).map(|shard| fetch(shard, shard.into())).collect::<Vec<_>>());
    for shard in [2, 0, 3] {
        machine.on_shard(ShardIndex(shard), shard.into());
        assert!(machine.next(ms(5)).is_empty());
    }
    machine.on_shard(ShardIndex(1), 1);
    assert_eq!(machine.next(ms(9)), [decode(&[0, 1, 2, 3])]);
    assert!(machine.is_over());
    assert!(machine.next(ms(500)).is_empty());
}

#[test]
fn a_parity_shard_replaces_a_missing_corrupt_or_failed_one_at_once() {
    for report in [GetMachine::on_missing, GetMachine::on_corrupt, GetMachine::on_failed] {
        let mut machine = four_two(&[]);
        machine.next(ms(0));
        report(&mut machine, ShardIndex(1), 1);
        assert_eq!(machine.next(ms(1)), [fetch(4, 4)]);
        for shard in [0, 2, 3, 4] {
            machine.on_shard(ShardIndex(shard), shard.into());
        }
        assert_eq!(machine.next(ms(2)), [decode(&[0, 2, 3, 4])]);
    }
}

#[test]
fn late_shards_are_hedged_within_the_budget() {
    let mut machine = four_two(&[]);
    machine.next(ms(0));
    assert_eq!(machine.wake_at(), Some(ms(50)));
    assert!(machine.next(ms(49)).is_empty());
    // Four are late, the budget allows for two.
    let actions = machine.next(ms(50));
    assert_eq!(actions, [fetch(4, 4), fetch(5, 5)]);
    assert!(machine.next(ms(200)).is_empty());
    for shard in [4, 3, 1, 0] {
        machine.on_shard(ShardIndex(shard), shard.into());
    }
    assert_eq!(machine.next(ms(210)), [decode(&[0, 1, 3, 4])]);
}

#[test]
fn nodes_believed_down_are_asked_last() {
    let down = |node| if node == 0 || node == 2 { Doubt::Down } else { Doubt::None };
    let mut machine = four_two(&[]).avoiding(down);
    assert_eq!(machine.next(ms(0)), [fetch(1, 1), fetch(3, 3), fetch(4, 4), fetch(5, 5)]);
    machine.on_missing(ShardIndex(5), 5);
    assert_eq!(machine.next(ms(1)), [fetch(0, 0)]);
}

#[test]
fn nodes_to_be_avoided_are_asked_before_those_that_are_down() {
    let doubt = |node| match node {
        0 => Doubt::Down,
        3 => Doubt::Avoided,
        _ => Doubt::None,
    };
    let mut machine = four_two(&[]).avoiding(doubt);
    assert_eq!(machine.next(ms(0)), [fetch(1, 1), fetch(2, 2), fetch(4, 4), fetch(5, 5)]);
    machine.on_corrupt(ShardIndex(4), 4);
    assert_eq!(machine.next(ms(1)), [fetch(3, 3)]);
    machine.on_corrupt(ShardIndex(5), 5);
    assert_eq!(machine.next(ms(2)), [fetch(0, 0)]);
}

#[test]
fn each_node_is_late_by_its_own_measure() {
    let own = |node| (node < 2).then(|| ms([10, 300][usize::from(node)]));
    let mut machine = four_two(&[]).hedging(own);
    machine.next(ms(0));
    assert_eq!(machine.wake_at(), Some(ms(10)));
    assert_eq!(machine.next(ms(10)), [fetch(4, 4)]);
    assert_eq!(machine.wake_at(), Some(ms(50)), "nobody knows of the others, nor of node 4");
    for shard in [2, 3, 4] {
        machine.on_shard(ShardIndex(shard), shard.into());
    }
    assert!(machine.next(ms(51)).is_empty(), "node 1 takes so long, as it always does");
    assert_eq!(machine.next(ms(300)), [fetch(5, 5)]);
}

#[test]
fn when_holders_do_not_suffice_the_others_are_asked_what_they_have() {
    let mut machine = four_two(&[6, 7]);
    machine.next(ms(0));
    for shard in 0..3 {
        machine.on_missing(ShardIndex(shard), shard.into());
    }
    let actions = machine.next(ms(1));
    assert_eq!(actions[..2], [fetch(4, 4), fetch(5, 5)]);
    let asked: Vec<_> =
        actions[2..].iter().map(|action| matches!(action, GetAction::Locate { .. })).collect();
    assert_eq!(asked, [true; 8], "the two others and the six holders");
    // Index 9 does not exist; what a hostile node says beyond k+m is ignored.
    machine.on_located(7, &[ShardIndex(9), ShardIndex(1)]);
    assert_eq!(machine.next(ms(2)), [fetch(1, 7)]);
    machine.on_shard(ShardIndex(1), 7);
    for shard in 3..6 {
        machine.on_shard(ShardIndex(shard), shard.into());
    }
    assert_eq!(machine.next(ms(3)), [decode(&[1, 3, 4, 5])]);
}

#[test]
fn what_is_lost_is_said() {
    let mut machine = four_two(&[]);
    machine.next(ms(0));
    machine.on_missing(ShardIndex(0), 0);
    machine.on_corrupt(ShardIndex(1), 1);
    machine.on_failed(ShardIndex(2), 2);
    let actions = machine.next(ms(1));
    for action in actions {
        match action {
            GetAction::Fetch { shard, from } => machine.on_shard(shard, from),
            GetAction::Locate { from } => machine.on_located(from, &[]),
            other => panic!("{other:?}"),
        }
    }
    machine.on_missing(ShardIndex(3), 3);
    let failure = GetFailure::TooFewShards { have: 2, needed: 4, missing: 2, corrupt: 1, failed: 1 };
    assert_eq!(machine.next(ms(2)), [GetAction::Fail(failure)]);
}

#[test]
fn time_is_up_at_last() {
    let mut machine = four_two(&[]);
    machine.next(ms(0));
    machine.next(ms(50));
    assert_eq!(machine.wake_at(), Some(BUDGET.give_up));
    let failure = GetFailure::TimedOut { have: 0, needed: 4 };
    assert_eq!(machine.next(BUDGET.give_up), [GetAction::Fail(failure)]);
}

/// What each node holds, and how it answers.
struct World {
    held: BTreeSet<(ShardIndex, u16)>,
    corrupt: BTreeSet<(ShardIndex, u16)>,
    dead: BTreeSet<u16>,
    hangs: BTreeSet<u16>,
    dice: Dice,
}

impl World {
    fn random(profile: ErasureProfile, nodes: u16, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let bad = dice.below(60);
        let mut world = Self {
            held: BTreeSet::new(),
            corrupt: BTreeSet::new(),
            dead: (0..nodes).filter(|_| dice.percent(bad / 2)).collect(),
            hangs: BTreeSet::new(),
            dice: Dice::new(seed ^ 0xff),
        };
        world.hangs = (0..nodes).filter(|_| dice.percent(bad / 3)).collect();
        for shard in 0..u16::try_from(profile.total()).unwrap() {
            let at = if dice.percent(bad) { u16::try_from(dice.below(nodes.into())).unwrap() } else { shard };
            let key = (ShardIndex(u8::try_from(shard).unwrap()), at);
            world.held.insert(key);
            if dice.percent(bad / 4) {
                world.corrupt.insert(key);
            }
        }
        world
    }

    /// Shards that some node gives, sooner or later.
    fn reachable(&self) -> usize {
        let good = self.held.iter().filter(|key| !self.corrupt.contains(key) && self.answers(key.1));
        good.map(|key| key.0).collect::<BTreeSet<_>>().len()
    }

    fn answers(&self, node: u16) -> bool {
        !self.dead.contains(&node) && !self.hangs.contains(&node)
    }

    /// When the answer to a request comes: hanging nodes make the transport's timeout fail it.
    fn answer_at(&mut self, node: u16, now: Duration) -> Duration {
        let after = if self.hangs.contains(&node) { 1000 } else { 1 + self.dice.below(90) };
        now + Duration::from_millis(u64::try_from(after).unwrap())
    }

    fn report(&self, machine: &mut GetMachine, action: &GetAction) {
        match *action {
            GetAction::Fetch { shard, from } if !self.answers(from) => machine.on_failed(shard, from),
            GetAction::Fetch { shard, from } if self.corrupt.contains(&(shard, from)) => {
                machine.on_corrupt(shard, from)
            }
            GetAction::Fetch { shard, from } if self.held.contains(&(shard, from)) => {
                machine.on_shard(shard, from)
            }
            GetAction::Fetch { shard, from } => machine.on_missing(shard, from),
            GetAction::Locate { from } if !self.answers(from) => machine.on_locate_failed(from),
            GetAction::Locate { from } => {
                let has: Vec<_> = self.held.iter().filter(|key| key.1 == from).map(|key| key.0).collect();
                machine.on_located(from, &has);
            }
            _ => unreachable!("the end is not answered"),
        }
    }

    /// Runs a get to its end; the number of fetches and the last action.
    fn run(&mut self, mut machine: GetMachine) -> (usize, GetAction) {
        let (mut now, mut fetches) = (ms(0), BTreeSet::new());
        let mut answers: Vec<(Duration, GetAction)> = Vec::new();
        for _ in 0..2000 {
            for action in machine.next(now) {
                match action {
                    GetAction::Fetch { shard, from } => {
                        assert!(fetches.insert((shard, from)), "{shard} asked of {from} twice");
                        answers.push((self.answer_at(from, now), action));
                    }
                    GetAction::Locate { from } => answers.push((self.answer_at(from, now), action)),
                    last => return (fetches.len(), last),
                }
            }
            let wake = machine.wake_at().expect("an open get wakes at last");
            assert!(wake > now, "the get would spin");
            now = answers.iter().map(|answer| answer.0).min().map_or(wake, |next| next.min(wake));
            let due: Vec<_> = answers.extract_if(.., |answer| answer.0 <= now).collect();
            for (_, action) in due {
                self.report(&mut machine, &action);
            }
        }
        panic!("the get goes on for ever");
    }
}

#[test]
fn a_get_succeeds_whenever_k_shards_are_reachable() {
    let seed = seed("gets");
    let (mut good, mut bad, mut direct) = (0, 0, 0);
    for run in (0..10_000).map(|run| seed.wrapping_add(run)) {
        let mut dice = Dice::new(run ^ 0x5555);
        let (data, parity) = [(4, 2), (2, 1), (10, 4), (1, 1)][dice.below(4)];
        let profile = ErasureProfile::new(data, parity).unwrap();
        let total = u16::from(data + parity);
        let nodes = total + u16::try_from(dice.below(60)).unwrap();
        let holders: Vec<u16> = (0..total).collect();
        let others: Vec<u16> = (total..nodes).collect();
        let mut world = World::random(profile, nodes, run);
        let machine = GetMachine::new(profile, &holders, &others, BUDGET, ms(0));
        let (fetches, last) = world.run(machine);
        match last {
            GetAction::Decode { have } => {
                assert!(have.is_sorted() && have.len() == profile.k(), "run {run}: {have:?}");
                assert!(world.reachable() >= profile.k(), "run {run}");
                direct += u32::from(fetches == profile.k());
                good += 1;
            }
            GetAction::Fail(GetFailure::TooFewShards { .. }) => {
                assert!(world.reachable() < profile.k(), "run {run}: {} reachable", world.reachable());
                bad += 1;
            }
            other => panic!("run {run}: {other:?}"),
        }
    }
    println!("{good} decoded ({direct} with k fetches), {bad} rightly failed");
    assert!(good > 1000 && bad > 100 && direct > 100);
}
