//! The steward of a partition, its first live holder, compares what all members have of it and rebuilds the shards that
//! nobody has, the segments in most danger first.
//!
//! Two stewards at once are harmless: a rebuilt shard is the same bytes whoever makes it, it is proven before it is
//! kept, and one that was deleted meanwhile is refused by its holder.

mod agenda;
mod rebuild;
mod stock;
mod suspects;

pub(super) use rebuild::Rebuilt;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use datamesh_exchange::survey::{Rebuild, Survey};
use datamesh_placement::{PartitionId, Table};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::fellows::Fellows;
use super::ledger::Ledger;
use super::pace::Pace;
use crate::worker::{Next, Worker};
use agenda::{Agenda, Outcome, Seen};
use stock::{Glimpse, PARTITIONS_AT_ONCE, Stock, by_inventories, glance, take_stock};
use suspects::Suspects;

/// Before the first layout.
const IDLE: Duration = Duration::from_secs(2);
/// Segments rebuilt at the same time, k shards in memory each.
const REBUILDS_AT_ONCE: usize = 2;
/// Segments queued for one pass at most; counting goes on once these are rebuilt.
const QUEUE_MAX: usize = 4096;
/// A pass rebuilds for this long at most; then it is counted anew, and what became worse comes first.
const REBUILD_MAX: Duration = Duration::from_secs(60);

/// How a partition was found.
struct Counted {
    /// What is to be rebuilt of it now.
    due: Vec<Rebuild>,
    outcome: Outcome,
    seen: Seen,
    /// What counting has taken so far, of this partition and those before it: without rebuilding, whose rest is in itself.
    spent: Duration,
}

/// The worker.
pub struct Steward {
    fellows: Arc<Fellows>,
    ledger: Arc<Ledger>,
    pub(crate) pace: Pace,
    agenda: Agenda,
    suspects: Suspects,
}

impl Steward {
    pub(super) fn new(fellows: Arc<Fellows>, ledger: Arc<Ledger>, pace: Pace) -> Self {
        Self { fellows, ledger, pace, agenda: Agenda::default(), suspects: Suspects::default() }
    }

    async fn pass(&mut self) -> Next {
        let fellows = Arc::clone(&self.fellows);
        let Some(table) = fellows.table().await else { return Next::Wait(IDLE) };
        let begun = Instant::now();
        self.observe(&table, begun);
        self.heed(begun);
        let (queue, mut waiting) = self.count_due(&table, begun).await;
        self.agenda.counted(Instant::now(), begun.elapsed(), &self.pace);
        self.rebuild(&table, queue, &mut waiting).await;
        // Whoever came or went meanwhile: what was counted before is not reported on.
        self.observe(&table, Instant::now());
        self.count_again(&table, waiting).await;
        let until = self.agenda.next().map_or(self.pace.look, |next| next.duration_since(Instant::now()));
        Next::Wait(until.min(self.pace.look))
    }

    /// Counts under another layout, or from before a member came, went or started anew, are not reported any more.
    fn observe(&mut self, table: &Table, now: Instant) {
        let lives = self.lives(table);
        self.ledger.begin(table.layout().epoch);
        let dropped = self.agenda.observe(table, self.fellows.me(table), lives, now);
        dropped.iter().for_each(|partition| self.ledger.leave(*partition));
        if !dropped.is_empty() {
            // By segments, not by the partitions dropped: those may have been split since.
            self.suspects.keep(|segment| self.agenda.has(table.partition_of(segment)));
        }
    }

    /// What others found is looked at next, and no oftener than it may be.
    fn heed(&mut self, now: Instant) {
        for partition in self.fellows.looks.take() {
            self.agenda.hint(partition, now);
        }
    }

    /// Each member's life, `None` while it is away.
    fn lives(&self, table: &Table) -> Vec<Option<u64>> {
        let members = u16::try_from(table.layout().members.len()).unwrap_or(u16::MAX);
        (0..members).map(|member| self.fellows.life(table, member)).collect()
    }

    /// Counts what is due; gives what is to be rebuilt of it, and the partitions that is of.
    async fn count_due(
        &mut self,
        table: &Arc<Table>,
        begun: Instant,
    ) -> (Vec<Rebuild>, BTreeMap<PartitionId, u64>) {
        let (mut queue, mut waiting) = (Vec::new(), BTreeMap::new());
        let due = self.agenda.due(begun);
        self.count(table, &due, |steward, partition, counted| {
            if counted.due.is_empty() {
                steward.visited(partition, counted);
            } else {
                waiting.insert(partition, 0);
                queue.extend(counted.due);
            }
            if queue.len() < QUEUE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await;
        (queue, waiting)
    }

    /// Counts those of which something was rebuilt, so many shards of each: what is reported is what was seen afterwards, not what was
    /// meant.
    async fn count_again(&mut self, table: &Arc<Table>, kept: BTreeMap<PartitionId, u64>) {
        let partitions: Vec<_> = kept.keys().copied().filter(|of| self.agenda.has(*of)).collect();
        self.count(table, &partitions, |steward, partition, counted| {
            let is_open = counted.outcome != Outcome::Whole;
            let is_better = is_open && kept.get(&partition).is_some_and(|kept| *kept > 0);
            let outcome = if is_better { Outcome::Better } else { counted.outcome };
            steward.visited(partition, Counted { outcome, ..counted });
            ControlFlow::Continue(())
        })
        .await;
    }

    fn visited(&mut self, partition: PartitionId, Counted { outcome, seen, spent, .. }: Counted) {
        self.agenda.visited(partition, outcome, seen, (Instant::now(), spent, &self.pace));
    }

    /// Counts partitions: those that are whole many at once, the others one after another. Hands each on, until it has enough.
    async fn count(
        &mut self,
        table: &Arc<Table>,
        partitions: &[PartitionId],
        mut each: impl FnMut(&mut Self, PartitionId, Counted) -> ControlFlow<()> + Send,
    ) {
        let (begun, mut left, mut at_once) = (Instant::now(), partitions, PARTITIONS_AT_ONCE);
        while !left.is_empty() && self.keeps_up(table) {
            let mut looked_at = glance(&self.fellows, table, &left[..left.len().min(at_once)]).await;
            left = &left[looked_at.len()..];
            // Where members have much to read and say little at once, all the others would read the rest in vain.
            at_once = (looked_at.len() * 2).min(PARTITIONS_AT_ONCE);
            // What is whole is handed on before anything else is waited for.
            looked_at.sort_by_key(|(_, glimpse)| !matches!(glimpse, Glimpse::Whole(..)));
            for (partition, glimpse) in looked_at {
                if !matches!(glimpse, Glimpse::Whole(..)) && !self.keeps_up(table) {
                    return;
                }
                // It is another's since: nobody would take back what is reported of it here.
                if !self.agenda.has(partition) {
                    continue;
                }
                let stock = match glimpse {
                    Glimpse::Whole(stock, _) => stock,
                    Glimpse::Few => by_inventories(&self.fellows, table, partition).await,
                    Glimpse::Many => take_stock(&self.fellows, table, partition).await,
                };
                let counted = self.counted((table, partition), stock, begun);
                if each(self, partition, counted).is_break() {
                    return;
                }
            }
        }
    }

    /// Takes note of who came or went; whether the layout is still this one.
    fn keeps_up(&mut self, table: &Table) -> bool {
        let is_newest = self.is_newest(table);
        if is_newest {
            self.observe(table, Instant::now());
        }
        is_newest
    }

    fn is_newest(&self, table: &Table) -> bool {
        let newest = self.fellows.trust.layout(&self.fellows.pool);
        newest.is_some_and(|newest| newest.epoch == table.layout().epoch)
    }

    /// What comes of what all have of a partition, as it was when they were asked.
    fn counted(
        &mut self,
        (table, partition): (&Table, PartitionId),
        Stock { mut survey, seen, asked_at }: Stock,
        begun: Instant,
    ) -> Counted {
        let grace = self.pace.grace;
        let looked_before = self.agenda.was_seen_whole(partition);
        self.suspects.note(table, (partition, looked_before), survey.short.drain(..).collect(), asked_at);
        survey.set_apart(|segment| self.suspects.is_new(segment, asked_at, grace));
        let Survey { tolerances, rebuilds, lost, .. } = survey;
        let is_whole = rebuilds.is_empty() && lost.is_empty() && tolerances.all_short() == 0;
        let may_be_new = |rebuild: &Rebuild| self.suspects.may_be_new_until(rebuild.segment, asked_at, grace);
        let first = rebuilds.iter().filter_map(may_be_new).min();
        let due = rebuilds.into_iter().filter(|rebuild| may_be_new(rebuild).is_none()).collect();
        self.ledger.counted(partition, (tolerances, asked_at), seen.silent);
        let open = first.map_or(Outcome::Same, Outcome::Waiting);
        let outcome = if is_whole { Outcome::Whole } else { open };
        Counted { due, outcome, seen, spent: begun.elapsed() }
    }

    /// The segments in most danger first, whichever partition they are of. Each is followed by as long a rest as it took:
    /// half of this node's time for it is left to others.
    async fn rebuild(
        &self,
        table: &Arc<Table>,
        mut queue: Vec<Rebuild>,
        kept: &mut BTreeMap<PartitionId, u64>,
    ) {
        queue.sort_by_key(|rebuild| (rebuild.tolerance, rebuild.segment));
        queue.truncate(QUEUE_MAX);
        let (begun, lives) = (Instant::now(), self.lives(table));
        let rebuilding = queue.into_iter().map(|due| async {
            let (begun, partition) = (Instant::now(), table.partition_of(due.segment));
            let outcome = rebuild::rebuild(&self.fellows, table, due).await;
            tokio::time::sleep(begun.elapsed()).await;
            (partition, outcome)
        });
        let mut rebuilding = futures::stream::iter(rebuilding).buffer_unordered(REBUILDS_AT_ONCE);
        while let Some((partition, outcome)) = rebuilding.next().await {
            self.ledger.rebuilt(&outcome);
            *kept.entry(partition).or_default() += outcome.kept;
            // What was planned when others lived, or by another layout, is not what is most urgent any more.
            let is_old = !self.is_newest(table) || self.lives(table) != lives;
            if is_old || begun.elapsed() > REBUILD_MAX {
                break;
            }
        }
    }
}

impl Worker for Steward {
    fn name(&self) -> &'static str {
        "steward"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        self.pass().boxed()
    }
}
