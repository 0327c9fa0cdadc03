//! Nodes that store, refuse, hang and die as the dice say; and the rules a put must keep whatever they do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datamesh_exchange::{Ack, PutAction, PutDeadlines, PutFailure, PutMachine, PutPlan, SendFailure};
use datamesh_shard::{ErasureProfile, ShardIndex};

use crate::dice::Dice;

pub(crate) const DEADLINES: PutDeadlines = PutDeadlines {
    late: Duration::from_millis(100),
    tail: Duration::from_millis(300),
    retry: Duration::from_millis(150),
    give_up: Duration::from_millis(3000),
};

/// How a node behaves during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Stores at once, or nearly so.
    Good,
    /// Stores, but late.
    Slow,
    /// Refuses connections.
    Dead,
    /// Takes the request and never answers until the transport's timeout; may have stored it.
    Hangs,
    /// Full.
    Full,
    /// Busy the first times, then good.
    Busy,
    /// Whatever the dice say each time.
    Moody,
}

/// An answer on its way.
#[derive(Clone, Debug)]
struct Answer {
    at: Duration,
    shard: ShardIndex,
    node: u16,
    what: Result<(), SendFailure>,
}

/// What happened in one run.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) ack: Option<(Duration, Ack)>,
    pub(crate) failed: Option<PutFailure>,
    pub(crate) finished: bool,
    pub(crate) sends: usize,
    pub(crate) steps: usize,
    /// Shards the nodes acknowledged as durable, at the time of the acknowledgement of the put.
    pub(crate) durable_at_ack: BTreeSet<(ShardIndex, u16)>,
    /// Shards the nodes truly hold, acknowledged or not.
    pub(crate) held: BTreeSet<(ShardIndex, u16)>,
    pub(crate) ended_at: Duration,
    pub(crate) plan_total: usize,
}

pub(crate) struct World {
    pub(crate) tempers: Vec<Temper>,
    dice: Dice,
    answers: Vec<Answer>,
    confirmed: BTreeSet<(ShardIndex, u16)>,
    asked: BTreeMap<u16, usize>,
}

impl World {
    pub(crate) fn new(tempers: Vec<Temper>, dice: Dice) -> Self {
        Self { tempers, dice, answers: Vec::new(), confirmed: BTreeSet::new(), asked: BTreeMap::new() }
    }

    fn send(&mut self, shard: ShardIndex, node: u16, now: Duration, story: &mut Story) {
        let asked = self.asked.entry(node).or_default();
        *asked += 1;
        let temper = match self.tempers[usize::from(node)] {
            Temper::Moody => {
                [Temper::Good, Temper::Slow, Temper::Dead, Temper::Hangs, Temper::Busy][self.dice.below(5)]
            }
            Temper::Busy if *asked > 2 => Temper::Good,
            other => other,
        };
        let (after, what) = match temper {
            Temper::Good => (self.dice.below(60), Ok(())),
            Temper::Slow => (100 + self.dice.below(600), Ok(())),
            Temper::Dead => (self.dice.below(5), Err(SendFailure::Unreachable)),
            Temper::Hangs => (1000, Err(SendFailure::Unreachable)),
            Temper::Full => (self.dice.below(20), Err(SendFailure::Full)),
            Temper::Busy | Temper::Moody => (self.dice.below(20), Err(SendFailure::Busy)),
        };
        let stored = what.is_ok() || (temper == Temper::Hangs && self.dice.percent(50));
        if stored {
            story.held.insert((shard, node));
        }
        let at = now + Duration::from_millis(u64::try_from(after).unwrap());
        self.answers.push(Answer { at, shard, node, what });
    }

    /// Runs a put to its end, giving the machine each event as its time comes.
    pub(crate) fn run(&mut self, plan: PutPlan) -> Story {
        let mut story = Story { plan_total: plan.profile.total(), ..Story::default() };
        let mut now = Duration::from_secs(5);
        let mut machine = PutMachine::new(plan, now);
        loop {
            story.steps += 1;
            assert!(story.steps < 2000, "the put goes on for ever");
            for action in machine.next(now) {
                self.act(action, now, &mut story);
            }
            if machine.is_over() {
                assert_eq!(machine.wake_at(), None);
                assert!(machine.next(now).is_empty(), "no actions after the end");
                story.ended_at = now;
                return story;
            }
            let wake = machine.wake_at().expect("an open put wakes at last");
            assert!(wake > now, "the put would spin: wake at {wake:?}, now {now:?}");
            let next = self.answers.iter().map(|answer| answer.at).min();
            now = next.map_or(wake, |next| next.min(wake));
            self.deliver(&mut machine, now);
        }
    }

    fn act(&mut self, action: PutAction, now: Duration, story: &mut Story) {
        match action {
            PutAction::Send { shard, to } => {
                story.sends += 1;
                self.send(shard, to, now, story);
            }
            PutAction::Acknowledge(ack) => {
                assert!(
                    story.ack.is_none() && story.failed.is_none(),
                    "acknowledged twice or after a failure"
                );
                story.ack = Some((now, ack));
                story.durable_at_ack = self.confirmed.clone();
            }
            PutAction::Finished => {
                assert!(story.ack.is_some(), "finished without an acknowledgement");
                story.finished = true;
            }
            PutAction::Fail(failure) => {
                assert!(story.ack.is_none(), "failed after the acknowledgement");
                story.failed = Some(failure);
            }
        }
    }

    fn deliver(&mut self, machine: &mut PutMachine, now: Duration) {
        let (due, later) = self.answers.drain(..).partition(|answer| answer.at <= now);
        self.answers = later;
        for Answer { shard, node, what, .. } in due {
            match what {
                Ok(()) => {
                    self.confirmed.insert((shard, node));
                    machine.on_stored(shard, node);
                }
                Err(reason) => machine.on_failed(shard, node, reason, now),
            }
        }
    }
}

/// Checks an acknowledgement against the promise: whole, or late enough and surviving the loss of any one further node.
pub(crate) fn check_ack(profile: ErasureProfile, started: Duration, story: &Story) -> Result<(), String> {
    let Some((at, ack)) = story.ack else { return Ok(()) };
    let durable = |without: Option<u16>| {
        let left = story.durable_at_ack.iter().filter(|(_, node)| Some(*node) != without);
        left.map(|(shard, _)| *shard).collect::<BTreeSet<_>>().len()
    };
    match ack {
        Ack::Whole if durable(None) != profile.total() => Err(format!("whole with {} shards", durable(None))),
        Ack::Whole => {
            let nodes: BTreeSet<u16> = story.durable_at_ack.iter().map(|(_, node)| *node).collect();
            match nodes.into_iter().find(|&node| durable(Some(node)) + 1 < profile.total()) {
                Some(node) => Err(format!("whole, but node {node} counts for two losses")),
                None => Ok(()),
            }
        }
        Ack::Short { durable: said } if usize::from(said) != durable(None) => Err("miscounted".into()),
        Ack::Short { .. } if at < started + DEADLINES.tail && durable(None) < profile.total() => {
            Err("short before the tail deadline".into())
        }
        Ack::Short { .. } => {
            let nodes: BTreeSet<u16> = story.durable_at_ack.iter().map(|(_, node)| *node).collect();
            match nodes.into_iter().find(|&node| durable(Some(node)) < profile.k()) {
                Some(node) => Err(format!("the loss of node {node} would lose the segment")),
                None => Ok(()),
            }
        }
    }
}
