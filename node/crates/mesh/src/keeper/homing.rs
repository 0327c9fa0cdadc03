//! Shards that this node only stands in for go home: to the member they belong to by the newest layout. That is how
//! handoff shards, and the data of a changed layout, find their place.
//!
//! A shard leaves this disk only after the member it belongs to said, under the same epoch, that it has it durably and
//! will keep it. While that is asked, this node says of its own copy that it is leaving, so two nodes with different
//! layouts never each rely on the other. And it leaves only when that member has no other shard of the segment, or all of
//! them are at home: else the loss of that one member could cost two.

use std::sync::Arc;
use std::time::Duration;

use datamesh_placement::Table;
use datamesh_shard::{Generation, Held, SegmentId, ShardIndex, ShardKey};
use datamesh_store::Shard;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fellows::{Fellows, Offered};
use super::ledger::Ledger;
use super::pace::Pace;
use super::rules::Leaving;
use crate::offload::offload;
use crate::worker::{Next, Worker};

/// Between two looks for deletes that need not be remembered any more.
const FORGET_PERIOD: Duration = Duration::from_secs(3600);
/// A pass is followed by this many times the duration of rest that it took to list what is here: what it sent does not come again.
const REST_FACTOR: u32 = 20;
/// The same, of the whole pass, while shards are left that could not go yet: most wait for others of their segment, which go in this one.
const REST_FACTOR_LEFT: u32 = 2;

/// Segments whose shards go home at the same time: most of the time of one is spent waiting for others.
const SEGMENTS_AT_ONCE: usize = 4;

/// Segments looked at by one layout; then it is seen whether there is a newer one.
const PAGE_SEGMENTS: usize = 256;

/// Corrupt shards given up in one pass.
const CORRUPT_AT_ONCE: usize = 4096;

/// The worker.
pub struct Homing {
    pub(super) fellows: Arc<Fellows>,
    pub(super) ledger: Arc<Ledger>,
    pub(crate) pace: Pace,
    /// When deletes of long ago were last forgotten.
    pub(super) forgot: Option<Instant>,
}

/// What one pass came to.
#[derive(Default)]
struct Tally {
    sent: u64,
    left: u64,
    /// What listing took.
    listing: Duration,
}

impl Tally {
    /// How long a node rests after a pass that took so long.
    fn rest(&self, spent: Duration, pace: &Pace) -> Duration {
        let rest = if self.left > 0 { spent * REST_FACTOR_LEFT } else { self.listing * REST_FACTOR };
        rest.min(pace.rest_max).max(pace.rest_homing)
    }
}

/// What a look at everything that is here came to.
enum Visit {
    Done,
    /// There is a newer layout.
    Outdated,
    /// The disk does not say what there is.
    Failed,
}

/// What became of a shard that was to go home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its home has it, or nobody wants it: this copy may go, up to this generation.
    Settled(Generation),
    /// It stays for now.
    Stays,
}

/// What came of offering it.
enum Offer {
    There(Generation),
    NotWanted(Generation),
    Failed,
}

impl Homing {
    async fn pass(&mut self) -> Next {
        let Some(table) = self.fellows.table().await else { return Next::Wait(self.pace.rest_open) };
        let begun = Instant::now();
        self.forget(begun).await;
        // Somebody waits for this node to have nothing any more.
        let draining = table.draining().any(|member| Some(member) == self.fellows.me(&table));
        if draining {
            self.discard_corrupt().await;
        }
        let mut tally = Tally::default();
        match self.visit_all(&table, &mut tally).await {
            Visit::Done => {}
            Visit::Outdated => return Next::Busy,
            Visit::Failed => return Next::Wait(self.pace.rest_open),
        }
        self.ledger.homed(tally.sent, tally.left);
        if tally.sent > 0 {
            tracing::info!(sent = tally.sent, left = tally.left, "shards went home");
        }
        if draining {
            return Next::Wait(self.pace.rest_homing);
        }
        Next::Wait(tally.rest(begun.elapsed(), &self.pace))
    }

    /// Nobody can be given what is corrupt, and nobody deletes it once this node is no member any more.
    async fn discard_corrupt(&self) {
        let Fellows { shelf, rules, .. } = &*self.fellows;
        if shelf.usage().corrupt_shards == 0 {
            return;
        }
        for (key, generation) in shelf.corrupt(CORRUPT_AT_ONCE).await.unwrap_or_default() {
            // A put that was let in before the drain may have written it anew.
            let _turn = rules.turn(key.segment).await;
            let Ok(sound) = shelf.locate(key.segment).await else { return };
            if sound.contains(&key.index) {
                continue;
            }
            match shelf.delete(key, generation).await {
                Ok(_) => tracing::info!(shard = %key, "a corrupt shard is given up, this node is drained"),
                Err(error) => tracing::warn!(shard = %key, %error, "a corrupt shard is not deleted here"),
            }
        }
    }

    /// By an older layout nobody takes anything any more.
    fn is_newest(&self, table: &Table) -> bool {
        let layout = self.fellows.trust.layout(&self.fellows.pool);
        layout.is_some_and(|layout| layout.epoch == table.layout().epoch)
    }

    async fn forget(&mut self, now: Instant) {
        if self.forgot.is_some_and(|at| now.duration_since(at) < FORGET_PERIOD) {
            return;
        }
        self.forgot = Some(now);
        let rules = Arc::clone(&self.fellows.rules);
        if let Some(Err(error)) = offload(move || rules.forget_old()).await {
            tracing::warn!(%error, "remembered deletes are not forgotten");
        }
    }

    /// In one go, whatever partitions there are: most have nothing that would have to go, many have nothing here at all.
    async fn visit_all(&self, table: &Arc<Table>, tally: &mut Tally) -> Visit {
        let (everything, mut after) = ((SegmentId([0; 32]), None), None);
        loop {
            let begun = Instant::now();
            let listed = self.fellows.shelf.held(everything, after, PAGE_SEGMENTS).await;
            tally.listing += begun.elapsed();
            let page = match listed {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "the store does not list");
                    return Visit::Failed;
                }
            };
            if !self.is_newest(table) {
                return Visit::Outdated;
            }
            let Some(last) = page.last() else { return Visit::Done };
            after = Some(last.segment);
            // Shards of one segment one after the other: whether one may go depends on where the others are.
            let homing = page.into_iter().map(|held| self.send_all(table, held));
            let mut homing = futures::stream::iter(homing).buffer_unordered(SEGMENTS_AT_ONCE);
            while let Some(one) = homing.next().await {
                (tally.sent, tally.left) = (tally.sent + one.sent, tally.left + one.left);
            }
        }
    }

    async fn send_all(&self, table: &Arc<Table>, held: Held) -> Tally {
        let Held { segment, profile, shards, generation } = held;
        let mut tally = Tally::default();
        let holders = table.holders_of(profile, table.partition_of(segment));
        for index in shards.iter() {
            let key = ShardKey { segment, index };
            match holders.get(index.at()) {
                Some(home) if self.fellows.me(table) == Some(*home) => {}
                Some(home) => self.send(table, (*home, holders), (key, generation), &mut tally).await,
                // Of a profile that the layout knows nothing of: by the catalog nobody needs it.
                None => tally.left += 1,
            }
        }
        tally
    }

    async fn send(
        &self,
        table: &Arc<Table>,
        (home, holders): (u16, &[u16]),
        shard: (ShardKey, Generation),
        tally: &mut Tally,
    ) {
        if !self.fellows.is_live(table, home) {
            tally.left += 1;
            return;
        }
        // Before anything is asked: from here on no put raises this copy's generation unnoticed.
        let leaving = self.fellows.rules.leave(shard.0).await;
        match self.settle(table, (home, holders), shard).await {
            Fate::Settled(generation) => {
                take_away(&self.fellows, (shard.0, generation), leaving).await;
                tally.sent += 1;
            }
            Fate::Stays => tally.left += 1,
        }
    }

    /// Whether this copy is of no more use: its home has one, or nobody wants it. It is read only if its home lacks it.
    async fn settle(
        &self,
        table: &Arc<Table>,
        (home, holders): (u16, &[u16]),
        (key, listed): (ShardKey, Generation),
    ) -> Fate {
        let settled = match self.fellows.is_home(table, home, (key, listed)).await {
            Some(true) => listed,
            Some(false) => match self.offer(table, home, key).await {
                Offer::There(generation) => generation,
                Offer::NotWanted(generation) => return Fate::Settled(generation),
                Offer::Failed => return Fate::Stays,
            },
            None => return Fate::Stays,
        };
        match self.has_room(table, (home, holders), key).await {
            true => Fate::Settled(settled),
            false => Fate::Stays,
        }
    }

    async fn offer(&self, table: &Arc<Table>, home: u16, key: ShardKey) -> Offer {
        let Ok(Some(Shard { header, payload, generation })) = self.fellows.read(key).await else {
            return Offer::Failed;
        };
        match self.fellows.put(table, home, (key, generation), (header, payload)).await {
            // Asked once more, since only that answer promises that it stays.
            Offered::Kept if self.fellows.is_home(table, home, (key, generation)).await == Some(true) => {
                Offer::There(generation)
            }
            Offered::NotWanted => Offer::NotWanted(generation),
            Offered::Kept | Offered::Failed => Offer::Failed,
        }
    }

    /// Whether no loss of nodes costs more shards once this copy is gone: its home has no other shard of the segment, or all
    /// of them are at home. Both stay true whatever others do meanwhile, so two nodes may act on it at once. Less is not
    /// enough: that each shard beside it has a copy at its own home, which may be as crowded.
    async fn has_room(&self, table: &Arc<Table>, (home, holders): (u16, &[u16]), key: ShardKey) -> bool {
        let Some(there) = self.fellows.locate(table, home, key.segment).await else { return false };
        if there.iter().all(|index| index == key.index) {
            return true;
        }
        for (index, holder) in (0..).map(ShardIndex).zip(holders) {
            let shard = (ShardKey { segment: key.segment, index }, Generation::default());
            let is_there = match self.fellows.me(table) == Some(*holder) {
                true => matches!(self.fellows.read(shard.0).await, Ok(Some(_))),
                false => self.fellows.is_home(table, *holder, shard).await == Some(true),
            };
            if !is_there {
                return false;
            }
        }
        true
    }
}

/// Deletes a copy. In a task of its own: were it cut off half-way, the mark must outlast what may still be done.
async fn take_away(fellows: &Arc<Fellows>, (key, generation): (ShardKey, Generation), leaving: Leaving) {
    let fellows = Arc::clone(fellows);
    #[allow(clippy::disallowed_methods, reason = "outlives a worker that is stopped, by one delete")]
    let taking = tokio::spawn(async move {
        match fellows.shelf.delete(key, generation).await {
            Ok(_) => drop(leaving),
            Err(error) => {
                tracing::warn!(shard = %key, %error, "a shard that went home is not deleted here");
                leaving.for_good();
            }
        }
    });
    if let Err(error) = taking.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Worker for Homing {
    fn name(&self) -> &'static str {
        "homing"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.pass().boxed()
    }

    /// A rest may be long, and by a newer layout this node may have to give everything away.
    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.fellows.trust.layout_learned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_much_looks_again_soon_and_who_listed_for_long_does_not() {
        let (pace, second) = (Pace::default(), Duration::from_secs(1));
        let rest = |left, listing, spent| Tally { sent: 1000, left, listing }.rest(spent, &pace);
        assert_eq!(rest(0, second / 100, second * 100), pace.rest_homing);
        assert_eq!(rest(0, second * 5, second * 100), second * 5 * REST_FACTOR);
        assert_eq!(rest(1, second / 100, second * 100), second * 100 * REST_FACTOR_LEFT);
        assert_eq!(rest(0, second * 100, second * 100), pace.rest_max);
    }
}
