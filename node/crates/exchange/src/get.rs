//! Getting one whole segment: any k of its k+m shards.
//!
//! The k data shards are asked for first, since they need no decoding. A parity shard joins when one fails, or when one
//! is late and the budget of extra requests allows. When the holders cannot give k, the other nodes are asked what they
//! have (a write may have gone to a node that stood in for a holder) and the shards found there are fetched.
//!
//! The machine verifies nothing: the driver checks each shard against its leaf and reports `on_shard` or `on_corrupt`.
//! Every fetch and every locate is answered by one report at last (the transport has a timeout of its own).

mod sources;

use std::collections::VecDeque;
use std::time::Duration;

use datamesh_shard::{ErasureProfile, ShardIndex};

use sources::{Source, Sources};

/// How patient a get is, and what it may spend on impatience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetBudget {
    /// From a fetch: unanswered this long it is late, and another shard is asked for too. Of nodes that
    /// [`GetMachine::hedging`] says nothing of.
    pub hedge_after: Duration,
    /// Fetches that lateness may add in all. Replacing what failed costs nothing.
    pub extra_fetches: u8,
    /// From the start: what is not there by then is given up.
    pub give_up: Duration,
}

/// How gladly a node is asked. In this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Like any other.
    #[default]
    None,
    /// It answers, but slowly, or wrongly: parity is asked for first.
    Avoided,
    /// It is believed to be down.
    Down,
}

/// What the driver shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetAction {
    /// Get this shard from this node.
    Fetch {
        /// Which.
        shard: ShardIndex,
        /// Member index.
        from: u16,
    },
    /// Ask this node which shards of the segment it has.
    Locate {
        /// Member index.
        from: u16,
    },
    /// Done: these k shards suffice, the data shards among them first. What is still under way may be dropped.
    Decode {
        /// Indexes in rising order; all below k when nothing has to be rebuilt.
        have: Vec<ShardIndex>,
    },
    /// The segment cannot be had now.
    Fail(GetFailure),
}

/// Why a get failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetFailure {
    /// Nothing is left to ask.
    #[error(
        "only {have} of the {needed} shards needed could be read: {missing} missing, {corrupt} corrupt, {failed} fetches failed"
    )]
    TooFewShards {
        /// Shards read and verified.
        have: usize,
        /// k.
        needed: usize,
        /// Answers that a node has no such shard.
        missing: usize,
        /// Shards that did not verify.
        corrupt: usize,
        /// Fetches without an answer.
        failed: usize,
    },
    /// Time is up.
    #[error("only {have} of the {needed} shards needed could be read in time")]
    TimedOut {
        /// Shards read and verified.
        have: usize,
        /// k.
        needed: usize,
    },
}

/// A fetch under way.
#[derive(Clone, Copy, Debug)]
struct Fetch {
    shard: ShardIndex,
    from: u16,
    late_at: Duration,
    /// Late, and another was asked for in its place.
    hedged: bool,
}

/// What became of the fetches that brought nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    missing: usize,
    corrupt: usize,
    failed: usize,
}

/// One segment's get.
#[derive(Debug)]
pub struct GetMachine {
    profile: ErasureProfile,
    budget: GetBudget,
    started: Duration,
    extra_left: u8,
    sources: Sources,
    have: Vec<ShardIndex>,
    open: Vec<Fetch>,
    losses: Losses,
    over: bool,
    wake_at: Option<Duration>,
}

impl GetMachine {
    /// A get that starts now: `holders` by shard index, `others` the rest of the pool's members in the partition's order.
    #[must_use]
    pub fn new(
        profile: ErasureProfile,
        holders: &[u16],
        others: &[u16],
        budget: GetBudget,
        now: Duration,
    ) -> Self {
        Self {
            profile,
            budget,
            started: now,
            extra_left: budget.extra_fetches,
            sources: Sources::new(profile, holders, others),
            have: Vec::with_capacity(profile.total()),
            open: Vec::with_capacity(profile.total()),
            losses: Losses::default(),
            over: false,
            wake_at: Some(now),
        }
    }

    /// Puts holders that are in doubt last: they are asked only when the others do not suffice.
    #[must_use]
    pub fn avoiding(mut self, doubt: impl Fn(u16) -> Doubt) -> Self {
        self.sources.avoid(doubt);
        self
    }

    /// After what time each holder is late, where that is known: 95 of 100 of its own answers took no longer. So one that is
    /// slow is not waited for by what the others need, nor they by what it needs.
    #[must_use]
    pub fn hedging(mut self, after: impl Fn(u16) -> Option<Duration>) -> Self {
        self.sources.hedge(after);
        self
    }

    /// What to do now. Call it after each event and when [`Self::wake_at`] is due.
    pub fn next(&mut self, now: Duration) -> Vec<GetAction> {
        let mut out = VecDeque::new();
        if !self.over {
            self.ask(now, &mut out);
            self.end(now, &mut out);
        }
        self.wake_at = self.next_wake(now);
        out.into()
    }

    /// When [`Self::next`] is to be called if nothing happens before, as of its last call; `None` once it is over.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Duration> {
        self.wake_at
    }

    /// A shard arrived and matches its leaf.
    pub fn on_shard(&mut self, shard: ShardIndex, from: u16) {
        if self.close(shard, from) && !self.have.contains(&shard) {
            self.have.push(shard);
            self.sources.got(shard);
        }
    }

    /// The node has no such shard.
    pub fn on_missing(&mut self, shard: ShardIndex, from: u16) {
        self.losses.missing += usize::from(self.close(shard, from));
    }

    /// The node's shard is damaged, by its own word or by the driver's check.
    pub fn on_corrupt(&mut self, shard: ShardIndex, from: u16) {
        self.losses.corrupt += usize::from(self.close(shard, from));
    }

    /// The fetch brought no answer.
    pub fn on_failed(&mut self, shard: ShardIndex, from: u16) {
        if self.close(shard, from) {
            self.losses.failed += 1;
            self.sources.unreachable(from);
        }
    }

    /// The node has these shards of the segment.
    pub fn on_located(&mut self, from: u16, shards: &[ShardIndex]) {
        self.sources.located(from, shards);
    }

    /// The locate brought no answer.
    pub fn on_locate_failed(&mut self, from: u16) {
        self.sources.located(from, &[]);
    }

    /// Whether nothing more will be asked for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn close(&mut self, shard: ShardIndex, from: u16) -> bool {
        let before = self.open.len();
        self.open.retain(|fetch| (fetch.shard, fetch.from) != (shard, from));
        self.open.len() < before
    }

    fn ask(&mut self, now: Duration, out: &mut VecDeque<GetAction>) {
        let k = self.profile.k();
        // What failed is replaced, k shards are always under way or there.
        while self.have.len() + self.awaited() < k && self.fetch(now, out) {}
        for at in 0..self.open.len() {
            if self.have.len() < k && self.extra_left > 0 && is_late(&self.open[at], now) {
                // Marked first, so that the same shard may be had from elsewhere.
                self.open[at].hedged = true;
                let asked = self.fetch(now, out);
                self.open[at].hedged = asked;
                self.extra_left -= u8::from(asked);
            }
        }
        let wanting = self.have.len() + self.awaited() < k;
        let late = self.extra_left > 0 && self.open.iter().any(|fetch| is_late(fetch, now));
        if (wanting || late) && self.have.len() < k {
            out.extend(self.sources.locate().into_iter().map(|from| GetAction::Locate { from }));
        }
    }

    /// Shards under way, not counting those that another was asked for in place of.
    fn awaited(&self) -> usize {
        self.open.iter().filter(|fetch| !fetch.hedged).count()
    }

    fn fetch(&mut self, now: Duration, out: &mut VecDeque<GetAction>) -> bool {
        let awaited = self.open.iter().filter(|fetch| !fetch.hedged);
        let under_way: Vec<ShardIndex> = awaited.map(|fetch| fetch.shard).collect();
        let Some(Source { shard, from, hedge_after, .. }) = self.sources.take(&under_way) else {
            return false;
        };
        let late_at = now + hedge_after.unwrap_or(self.budget.hedge_after);
        self.open.push(Fetch { shard, from, late_at, hedged: false });
        out.push_back(GetAction::Fetch { shard, from });
        true
    }

    fn end(&mut self, now: Duration, out: &mut VecDeque<GetAction>) {
        let (have, needed) = (self.have.len(), self.profile.k());
        let last = if have >= needed {
            self.have.sort_unstable();
            self.have.truncate(needed);
            GetAction::Decode { have: self.have.clone() }
        } else if self.open.is_empty() && !self.sources.is_locating() {
            // `ask` found nothing more to fetch, nor anyone more to ask.
            let Losses { missing, corrupt, failed } = self.losses;
            GetAction::Fail(GetFailure::TooFewShards { have, needed, missing, corrupt, failed })
        } else if now >= self.started + self.budget.give_up {
            GetAction::Fail(GetFailure::TimedOut { have, needed })
        } else {
            return;
        };
        // Fetches that were decided on in this very step are not worth starting any more.
        out.clear();
        out.push_back(last);
        self.over = true;
    }

    fn next_wake(&self, now: Duration) -> Option<Duration> {
        if self.over {
            return None;
        }
        let lateness = self.open.iter().filter(|fetch| !fetch.hedged && !is_late(fetch, now));
        let late = lateness.map(|fetch| fetch.late_at).min();
        let late = late.filter(|_| self.extra_left > 0);
        [late, Some(self.started + self.budget.give_up)].into_iter().flatten().min()
    }
}

fn is_late(fetch: &Fetch, now: Duration) -> bool {
    !fetch.hedged && now >= fetch.late_at
}
