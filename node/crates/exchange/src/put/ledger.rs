//! Who was sent what, and what became of it.

use std::time::Duration;

use datamesh_shard::{ErasureProfile, ShardIndex};

use super::{PutPlan, ROUNDS_MAX, SendFailure};

/// What became of one send of one shard to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// No answer yet; sent at.
    Open(Duration),
    /// Durable.
    Stored,
    /// The node certainly does not have it; it may be asked again if the flag says so.
    Refused { again: bool },
    /// The connection failed: the node may have it or not.
    Unknown,
}

/// One send.
#[derive(Clone, Copy, Debug)]
struct Send {
    node: u16,
    fate: Fate,
    /// The round it belongs to: a shard is offered to a node once in a round.
    round: u8,
    /// An earlier round's connection failed: whatever the node says now, it may have got the shard then.
    maybe: bool,
}

/// One shard's sends.
#[derive(Clone, Debug, Default)]
struct Shard {
    sends: Vec<Send>,
    round: u8,
    /// The pause before the next round counts from here: the last failure, or the start of a round that found nobody.
    paused_at: Duration,
}

/// All sends of a put.
#[derive(Debug)]
pub(super) struct Ledger {
    profile: ErasureProfile,
    shards: Vec<Shard>,
    /// Nodes that may be asked, best first.
    nodes: Vec<u16>,
    zones: Vec<u16>,
    /// The only node of each shard, where nobody may step in.
    only: Option<Vec<u16>>,
    /// After this an unanswered send is late.
    late: Duration,
    /// The pause before a shard's next round.
    retry: Duration,
}

impl Ledger {
    pub(super) fn new(plan: &PutPlan) -> Self {
        let PutPlan { profile, assignment, spare, zones, deadlines, whole, .. } = plan;
        let mut nodes: Vec<u16> = Vec::with_capacity(assignment.len() + spare.len());
        for &node in spare.iter().chain(assignment) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        Self {
            profile: *profile,
            shards: vec![Shard::default(); profile.total()],
            nodes,
            zones: zones.clone(),
            only: whole.then(|| assignment.clone()),
            late: deadlines.late,
            retry: deadlines.retry,
        }
    }

    pub(super) fn sent(&mut self, shard: ShardIndex, node: u16, now: Duration) {
        let Some(shard) = self.shards.get_mut(shard.at()) else { return };
        // Asking a node again replaces what is known of the first time.
        let maybe = shard.sends.iter().any(|send| send.node == node && send.may_have());
        shard.sends.retain(|send| send.node != node);
        shard.sends.push(Send { node, fate: Fate::Open(now), round: shard.round, maybe });
    }

    pub(super) fn stored(&mut self, shard: ShardIndex, node: u16) {
        if let Some(send) = self.find(shard, node) {
            send.fate = Fate::Stored;
        }
    }

    pub(super) fn failed(&mut self, shard: ShardIndex, node: u16, reason: &SendFailure, now: Duration) {
        let Some(send) = self.find(shard, node).filter(|send| matches!(send.fate, Fate::Open(_))) else {
            return;
        };
        send.fate = match reason {
            SendFailure::Unreachable => Fate::Unknown,
            other => Fate::Refused { again: other.passes() },
        };
        self.shards[shard.at()].paused_at = now;
    }

    fn find(&mut self, shard: ShardIndex, node: u16) -> Option<&mut Send> {
        self.shards.get_mut(shard.at())?.sends.iter_mut().find(|send| send.node == node)
    }

    /// Shards durable on some node.
    pub(super) fn durable(&self) -> usize {
        self.shards.iter().filter(|shard| shard.is_durable()).count()
    }

    /// Shards still durable after the worst loss of one node.
    pub(super) fn durable_without_any_one_node(&self) -> usize {
        let without = |node: u16| self.shards.iter().filter(|shard| shard.is_durable_without(node)).count();
        self.nodes.iter().map(|&node| without(node)).min().unwrap_or(0)
    }

    pub(super) fn missing(&self) -> impl Iterator<Item = ShardIndex> {
        (0_u8..)
            .zip(&self.shards)
            .filter(|(_, shard)| !shard.is_durable())
            .map(|(index, _)| ShardIndex(index))
    }

    /// Shards that nobody is about to store in time.
    pub(super) fn unplaced(&self, now: Duration) -> Vec<ShardIndex> {
        self.missing().filter(|shard| self.shards[shard.at()].awaited_until(self.late) <= now).collect()
    }

    /// The node a shard is to be offered to now, if any. Begins the shard's next round when its pause is over.
    pub(super) fn offer(&mut self, shard: ShardIndex, now: Duration) -> Option<u16> {
        if self.next_round_at(shard, now).is_some_and(|at| now >= at) {
            let row = &mut self.shards[shard.at()];
            row.round += 1;
            row.paused_at = now;
        }
        self.candidate(shard, now)
    }

    /// The best node for a shard: not in a zone that has its m where another is left, then the one with the fewest
    /// shards of this segment, then the zone with the fewest, then the partition's order.
    fn candidate(&self, shard: ShardIndex, now: Duration) -> Option<u16> {
        let may = |&node: &u16| self.may_take(shard, node, now);
        let rank = |&node: &u16| {
            let zone = self.zone_load(node);
            (zone >= self.profile.m(), self.load(shard, node), zone)
        };
        self.nodes.iter().copied().filter(may).min_by_key(rank)
    }

    fn may_take(&self, shard: ShardIndex, node: u16, now: Duration) -> bool {
        if self.only.as_ref().is_some_and(|only| only.get(shard.at()) != Some(&node)) {
            return false;
        }
        let row = &self.shards[shard.at()];
        let offered = row.sends.iter().find(|send| send.node == node);
        let new_to_it = offered.is_none_or(|send| send.may_repeat() && send.round < row.round);
        new_to_it && self.load(shard, node) < self.profile.m() && !self.is_away(node, row.round, now)
    }

    /// Other shards of the segment the node has or may have.
    fn load(&self, but: ShardIndex, node: u16) -> usize {
        let has = |(index, row): &(usize, &Shard)| *index != but.at() && row.may_be_on(node);
        self.shards.iter().enumerate().filter(has).count()
    }

    fn zone_load(&self, node: u16) -> usize {
        let Some(zone) = self.zone(node) else { return 0 };
        let here =
            |row: &&Shard| row.sends.iter().any(|send| self.zone(send.node) == Some(zone) && send.may_have());
        self.shards.iter().filter(here).count()
    }

    fn zone(&self, node: u16) -> Option<u16> {
        self.zones.get(usize::from(node)).copied()
    }

    /// Whether a send of this round to the node failed or is late, for whichever shard: it is left alone for now.
    fn is_away(&self, node: u16, round: u8, now: Duration) -> bool {
        let mut sends = self.shards.iter().flat_map(|row| &row.sends).filter(|send| send.node == node);
        sends.any(|send| match send.fate {
            Fate::Open(sent) => now >= sent + self.late,
            Fate::Stored => false,
            Fate::Refused { again: false } => true,
            Fate::Unknown | Fate::Refused { again: true } => send.round >= round,
        })
    }

    /// When a shard that finds no node may be offered again, if it may at all.
    fn next_round_at(&self, shard: ShardIndex, now: Duration) -> Option<Duration> {
        let row = &self.shards[shard.at()];
        let stuck = row.round + 1 < ROUNDS_MAX && self.candidate(shard, now).is_none();
        // Somewhere in the put a node was busy or away and may be back.
        let hope = self.shards.iter().flat_map(|row| &row.sends).any(Send::may_repeat);
        (stuck && hope).then(|| row.paused_at.max(row.newest_open().unwrap_or_default()) + self.retry)
    }

    /// Whether any shard is still under way or may be offered to someone.
    pub(super) fn can_go_on(&self, now: Duration) -> bool {
        self.missing().any(|shard| {
            self.shards[shard.at()].newest_open().is_some()
                || self.candidate(shard, now).is_some()
                || self.next_round_at(shard, now).is_some()
        })
    }

    /// When a send becomes late or a pause ends, whichever is first. Asked after all that is due was done.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let wake = |shard: ShardIndex| {
            let awaited_until = self.shards[shard.at()].awaited_until(self.late);
            if now < awaited_until {
                return Some(awaited_until);
            }
            self.next_round_at(shard, now)
        };
        self.missing().filter_map(wake).min()
    }
}

impl Shard {
    fn is_durable(&self) -> bool {
        self.sends.iter().any(|send| send.fate == Fate::Stored)
    }

    fn is_durable_without(&self, node: u16) -> bool {
        self.sends.iter().any(|send| send.fate == Fate::Stored && send.node != node)
    }

    fn may_be_on(&self, node: u16) -> bool {
        self.sends.iter().any(|send| send.node == node && send.may_have())
    }

    fn newest_open(&self) -> Option<Duration> {
        let open = self.sends.iter().filter_map(|send| match send.fate {
            Fate::Open(at) => Some(at),
            _ => None,
        });
        open.max()
    }

    /// Until when the newest open send may take before it is late; long ago if there is none.
    fn awaited_until(&self, late: Duration) -> Duration {
        self.newest_open().map_or(Duration::ZERO, |sent| sent + late)
    }
}

impl Send {
    /// Whether the node has the shard, or may have it for all that is known.
    const fn may_have(&self) -> bool {
        self.maybe || !matches!(self.fate, Fate::Refused { .. })
    }

    const fn may_repeat(&self) -> bool {
        matches!(self.fate, Fate::Unknown | Fate::Refused { again: true })
    }
}
