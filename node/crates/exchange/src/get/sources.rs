//! Where the shards of a segment may be had.

use std::time::Duration;

use datamesh_shard::{ErasureProfile, ShardIndex};

use super::Doubt;

/// Nodes asked at once what they have, as a multiple of k+m: the holders and as many of the others first.
const LOCATE_WAVES_OF: usize = 2;

/// A place a shard may be at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) shard: ShardIndex,
    pub(super) from: u16,
    /// The more of it, the later it is asked.
    doubt: Doubt,
    /// When it is late, if that is known.
    pub(super) hedge_after: Option<Duration>,
}

impl Source {
    fn new(shard: ShardIndex, from: u16) -> Self {
        Self { shard, from, doubt: Doubt::None, hedge_after: None }
    }
}

/// Sources that were not tried yet, and the nodes that may name more.
#[derive(Debug)]
pub(super) struct Sources {
    profile: ErasureProfile,
    untried: Vec<Source>,
    tried: Vec<(ShardIndex, u16)>,
    /// Shards that are there.
    got: Vec<ShardIndex>,
    /// Nodes that were not asked yet what they have, next one last.
    unasked: Vec<u16>,
    /// Nodes that were asked and have not answered yet.
    asked: Vec<u16>,
}

impl Sources {
    pub(super) fn new(profile: ErasureProfile, holders: &[u16], others: &[u16]) -> Self {
        let shards = (0_u8..).map(ShardIndex).zip(holders).take(profile.total());
        let untried = shards.map(|(shard, &from)| Source::new(shard, from)).collect();
        // Those that stood in are most likely the first of the others; a holder may have stood in as well, so that the
        // holders are asked along with them.
        let others = others.iter().filter(|node| !holders.contains(node));
        let (first, rest): (Vec<_>, Vec<_>) = others.enumerate().partition(|(at, _)| *at < profile.total());
        let first = first.into_iter().map(|(_, &node)| node).chain(holders.iter().copied());
        let mut unasked: Vec<u16> = Vec::new();
        for node in first.chain(rest.into_iter().map(|(_, &node)| node)) {
            if !unasked.contains(&node) {
                unasked.push(node);
            }
        }
        unasked.reverse();
        Self { profile, untried, tried: Vec::new(), got: Vec::new(), unasked, asked: Vec::new() }
    }

    pub(super) fn avoid(&mut self, doubt: impl Fn(u16) -> Doubt) {
        for source in &mut self.untried {
            source.doubt = source.doubt.max(doubt(source.from));
        }
    }

    pub(super) fn hedge(&mut self, after: impl Fn(u16) -> Option<Duration>) {
        for source in &mut self.untried {
            source.hedge_after = after(source.from);
        }
    }

    /// The best untried source of a shard that is not under way already: the lowest index, since data shards come first.
    pub(super) fn take(&mut self, under_way: &[ShardIndex]) -> Option<Source> {
        let free = |(_, source): &(usize, &Source)| !under_way.contains(&source.shard);
        let best = self
            .untried
            .iter()
            .enumerate()
            .filter(free)
            .min_by_key(|(_, source)| (source.doubt, source.shard));
        let (at, _) = best?;
        let source = self.untried.remove(at);
        self.tried.push((source.shard, source.from));
        Some(source)
    }

    /// The shard is there: it need not be had elsewhere.
    pub(super) fn got(&mut self, shard: ShardIndex) {
        self.untried.retain(|source| source.shard != shard);
        self.got.push(shard);
    }

    /// The node did not answer: what else it may have is asked for last, and it is not asked what it has.
    pub(super) fn unreachable(&mut self, node: u16) {
        self.unasked.retain(|&other| other != node);
        self.avoid(|other| if other == node { Doubt::Down } else { Doubt::None });
    }

    /// The next nodes to be asked what they have, once the last ones have answered.
    pub(super) fn locate(&mut self) -> Vec<u16> {
        if self.asked.is_empty() {
            let wave = (LOCATE_WAVES_OF * self.profile.total()).min(self.unasked.len());
            self.asked = self.unasked.split_off(self.unasked.len() - wave);
            self.asked.reverse();
            return self.asked.clone();
        }
        Vec::new()
    }

    pub(super) fn located(&mut self, from: u16, shards: &[ShardIndex]) {
        let Some(at) = self.asked.iter().position(|&node| node == from) else { return };
        self.asked.swap_remove(at);
        for &shard in shards.iter().filter(|shard| shard.at() < self.profile.total()) {
            let known = self.untried.iter().any(|source| (source.shard, source.from) == (shard, from));
            if !known && !self.tried.contains(&(shard, from)) && !self.got.contains(&shard) {
                self.untried.push(Source::new(shard, from));
            }
        }
    }

    /// Whether answers to locates are outstanding.
    pub(super) fn is_locating(&self) -> bool {
        !self.asked.is_empty()
    }
}
