//! Placing the k+m shards of one segment.
//!
//! All shards are sent at once. A node that is down, full or late is replaced by the next one that may take its shard,
//! at most m shards of the segment on one node, and in one zone where there are others. The put is acknowledged when
//! all shards are durable, or after the tail deadline when what is durable survives the loss of any one further node.
//! After a short acknowledgement the machine goes on with the rest until it is whole or its time is up.
//!
//! The driver calls [`PutMachine::next`] after every event and when [`PutMachine::wake_at`] is due, and does what it
//! says. Every send is answered by `on_stored` or `on_failed` at last (the transport has a timeout of its own); until
//! then a late one may still succeed and counts when it does.

mod failure;
mod ledger;

use std::collections::VecDeque;
use std::time::Duration;

use datamesh_shard::{ErasureProfile, ShardIndex};

pub use failure::{PutFailure, SendFailure};
use ledger::Ledger;

/// Times a shard is offered to the nodes at most: the first time, and after pauses for those that were only busy or
/// away. Bounds the steps of a put: k+m shards, each to each node, this often.
const ROUNDS_MAX: u8 = 3;

/// Everything a put knows before it starts.
#[derive(Clone, Debug)]
pub struct PutPlan {
    /// k and m.
    pub profile: ErasureProfile,
    /// The node of each shard, by shard index, as `datamesh_placement::assign` gives it.
    pub assignment: Vec<u16>,
    /// Nodes that may step in, in the partition's order. Those of the assignment need not be repeated.
    pub spare: Vec<u16>,
    /// The zone of each member, by member index (`Table::zones`); empty if zones do not matter.
    pub zones: Vec<u16>,
    /// Shards that must be durable for a short acknowledgement. Absent: as many as survive the loss of any one further
    /// node. The administrator's k gives that up; any larger number is asked for on top of it.
    pub ack_shards: Option<u8>,
    /// How long to wait for what.
    pub deadlines: PutDeadlines,
    /// Nobody steps in for the nodes of the assignment, and nothing less than all k+m shards is acknowledged.
    pub whole: bool,
}

/// How long a put waits, each counted from where its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutDeadlines {
    /// From a send: unanswered this long, the node is late and another gets the shard too.
    pub late: Duration,
    /// From the start: after this, what survives one more loss is enough.
    pub tail: Duration,
    /// From a shard's last failure: the pause before nodes that were busy or away are asked again.
    pub retry: Duration,
    /// From the start: what is not done by then is given up.
    pub give_up: Duration,
}

/// What the driver shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutAction {
    /// Send this shard to this node.
    Send {
        /// Which.
        shard: ShardIndex,
        /// Member index.
        to: u16,
    },
    /// The put may be acknowledged. Once at most.
    Acknowledge(Ack),
    /// Nothing more will be asked for, after an acknowledgement. [`PutMachine::missing`] says what is not durable.
    Finished,
    /// The put failed, without an acknowledgement.
    Fail(PutFailure),
}

/// What is durable when a put is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// All k+m shards: any m may be lost.
    Whole,
    /// So many: the loss of any one further node is survived, unless the administrator asked for k only.
    Short {
        /// Shards that are durable.
        durable: u8,
    },
}

/// Where a put is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not acknowledged yet.
    Open,
    /// Acknowledged short; the rest is still tried.
    Short,
    /// Finished or failed.
    Over,
}

/// One segment's put.
#[derive(Debug)]
pub struct PutMachine {
    profile: ErasureProfile,
    ack_shards: Option<u8>,
    whole: bool,
    deadlines: PutDeadlines,
    started: Duration,
    phase: Phase,
    ledger: Ledger,
    out: VecDeque<PutAction>,
    last_failure: SendFailure,
    wake_at: Option<Duration>,
}

impl PutMachine {
    /// A put that starts now; the first [`Self::next`] sends all shards.
    #[must_use]
    pub fn new(plan: PutPlan, now: Duration) -> Self {
        let mut ledger = Ledger::new(&plan);
        let PutPlan { profile, assignment, ack_shards, deadlines, whole, .. } = plan;
        let mut out = VecDeque::new();
        for (shard, &to) in (0_u8..).zip(&assignment).take(profile.total()) {
            ledger.sent(ShardIndex(shard), to, now);
            out.push_back(PutAction::Send { shard: ShardIndex(shard), to });
        }
        Self {
            profile,
            ack_shards,
            whole,
            deadlines,
            started: now,
            phase: Phase::Open,
            ledger,
            out,
            last_failure: SendFailure::Unreachable,
            wake_at: Some(now),
        }
    }

    /// What to do now. Call it after each event and when [`Self::wake_at`] is due.
    pub fn next(&mut self, now: Duration) -> Vec<PutAction> {
        if self.phase != Phase::Over {
            self.acknowledge(now);
        }
        if self.phase != Phase::Over {
            self.place(now);
            self.end(now);
        }
        self.wake_at = self.next_wake(now);
        self.out.drain(..).collect()
    }

    /// When [`Self::next`] is to be called if nothing happens before, as of its last call; `None` once it is over.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Duration> {
        self.wake_at
    }

    fn next_wake(&self, now: Duration) -> Option<Duration> {
        if self.phase == Phase::Over {
            return None;
        }
        let tail = self.started + self.deadlines.tail;
        let tail = (self.phase == Phase::Open && self.enough()).then_some(tail);
        let give_up = self.started + self.deadlines.give_up;
        [tail, self.ledger.wake_at(now), Some(give_up)].into_iter().flatten().min()
    }

    /// A node holds a shard durably.
    pub fn on_stored(&mut self, shard: ShardIndex, node: u16) {
        self.ledger.stored(shard, node);
    }

    /// A send failed.
    pub fn on_failed(&mut self, shard: ShardIndex, node: u16, reason: SendFailure, now: Duration) {
        self.ledger.failed(shard, node, &reason, now);
        if self.phase == Phase::Open {
            match &reason {
                SendFailure::StaleEpoch(known) => {
                    self.over(PutAction::Fail(PutFailure::StaleEpoch { known: *known }))
                }
                SendFailure::StaleGeneration => self.over(PutAction::Fail(PutFailure::StaleGeneration)),
                _ => {}
            }
        }
        self.last_failure = reason;
    }

    /// Shards that are not durable anywhere.
    #[must_use]
    pub fn missing(&self) -> Vec<ShardIndex> {
        self.ledger.missing().collect()
    }

    /// Whether nothing more will be asked for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn over(&mut self, last: PutAction) {
        // Sends that were not handed out yet must not be any more.
        self.out.retain(|action| !matches!(action, PutAction::Send { .. }));
        self.out.push_back(last);
        self.phase = Phase::Over;
    }

    /// Whether a short acknowledgement is allowed after the tail deadline.
    fn enough(&self) -> bool {
        let durable = self.ledger.durable();
        if self.whole {
            return durable == self.profile.total();
        }
        let asked = self.ack_shards.map_or(0, usize::from);
        let survives = self.ledger.durable_without_any_one_node() >= self.profile.k();
        let waived = self.ack_shards.is_some_and(|asked| asked <= self.profile.data());
        durable >= asked.max(self.profile.k()) && (survives || waived)
    }

    fn acknowledge(&mut self, now: Duration) {
        if self.ledger.durable() == self.profile.total() {
            if self.phase == Phase::Open {
                // A node that stands in for another and holds two shards counts for two losses: that is not whole.
                let spread = self.ledger.durable_without_any_one_node() + 1 >= self.profile.total();
                let ack = if spread { Ack::Whole } else { Ack::Short { durable: self.durable() } };
                self.out.push_back(PutAction::Acknowledge(ack));
            }
            self.over(PutAction::Finished);
        } else if self.phase == Phase::Open && now >= self.started + self.deadlines.tail && self.enough() {
            self.phase = Phase::Short;
            self.out.push_back(PutAction::Acknowledge(Ack::Short { durable: self.durable() }));
        }
    }

    /// Finds another node for each shard whose nodes all failed or are late.
    fn place(&mut self, now: Duration) {
        for shard in self.ledger.unplaced(now) {
            if let Some(to) = self.ledger.offer(shard, now) {
                self.ledger.sent(shard, to, now);
                self.out.push_back(PutAction::Send { shard, to });
            }
        }
    }

    fn end(&mut self, now: Duration) {
        let time_is_up = now >= self.started + self.deadlines.give_up;
        let nothing_left = !self.ledger.can_go_on(now);
        match self.phase {
            Phase::Short if time_is_up || nothing_left => self.over(PutAction::Finished),
            // Enough is durable and the tail deadline will come: nothing to do but to wait for it.
            Phase::Open if time_is_up || (nothing_left && !self.enough()) => {
                let (durable, last) = (self.durable(), self.last_failure.clone());
                let total = self.profile.data() + self.profile.parity();
                self.over(PutAction::Fail(PutFailure::TooFewDurable { durable, total, last }));
            }
            _ => {}
        }
    }

    fn durable(&self) -> u8 {
        u8::try_from(self.ledger.durable()).unwrap_or(u8::MAX)
    }
}
