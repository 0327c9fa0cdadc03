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
use stock::{Glance, Stock, glance, take_stock};
use suspects::Suspects;

/// Before the first layout.
const IDLE: Duration = Duration::from_secs(2);
/// Segments rebuilt at the same time, k shards in memory each.
const REBUILDS_AT_ONCE: usize = 2;
/// Segments queued for one pass at most; counting goes on once these are rebuilt.
const QUEUE_MAX: usize = 4096;
/// A pass rebuilds for this long at most; then it is counted anew, and what became worse comes first.
const REBUILD_MAX: Duration = Duration::from_secs(60);

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
        for (partition, kept) in waiting {
            if !self.agenda.has(partition) {
                continue;
            }
            // What is reported is what was seen afterwards, not what was meant.
            let (_, outcome, seen) = self.count(&table, partition).await;
            let outcome = if kept > 0 && outcome == Outcome::Same { Outcome::Better } else { outcome };
            let pace = (Instant::now(), begun.elapsed(), &self.pace);
            self.agenda.visited(partition, outcome, seen, pace);
        }
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
        let mut left = due.as_slice();
        while !left.is_empty() && queue.len() < QUEUE_MAX {
            let Glance { partitions, whole } = glance(&self.fellows, table, left).await;
            let (looked_at, later) = left.split_at(partitions);
            let others = looked_at.iter().filter(|partition| !whole.contains_key(partition));
            let others: Vec<_> = others.copied().collect();
            let (now, spent, paces) = (Instant::now(), begun.elapsed(), self.pace);
            for (partition, stock) in whole {
                let (_, outcome, seen) = self.counted(table, partition, stock);
                self.agenda.visited(partition, outcome, seen, (now, spent, &paces));
            }
            for partition in others {
                if queue.len() >= QUEUE_MAX {
                    break;
                }
                let (due, outcome, seen) = self.count(table, partition).await;
                if due.is_empty() {
                    let pace = (Instant::now(), begun.elapsed(), &self.pace);
                    self.agenda.visited(partition, outcome, seen, pace);
                } else {
                    waiting.insert(partition, 0);
                    queue.extend(due);
                }
            }
            left = later;
        }
        (queue, waiting)
    }

    /// Counts a partition; gives what is to be rebuilt of it now, how it is, and who has something of it.
    async fn count(&mut self, table: &Arc<Table>, partition: PartitionId) -> (Vec<Rebuild>, Outcome, Seen) {
        let stock = take_stock(&self.fellows, table, partition).await;
        self.counted(table, partition, stock)
    }

    /// The same of a partition of which it is known what all have.
    fn counted(
        &mut self,
        table: &Table,
        partition: PartitionId,
        Stock { mut survey, seen }: Stock,
    ) -> (Vec<Rebuild>, Outcome, Seen) {
        let now = Instant::now();
        let looked_before = self.agenda.was_seen_whole(partition);
        self.suspects.note(table, (partition, looked_before), survey.short.drain(..).collect(), now);
        survey.set_apart(|segment| self.suspects.is_new(segment, now, self.pace.grace));
        let Survey { tolerances, rebuilds, lost, .. } = survey;
        let is_whole = rebuilds.is_empty() && lost.is_empty() && tolerances.all_short() == 0;
        let may_wait = |segment| self.suspects.may_be_new(segment, now, self.pace.grace);
        let due = rebuilds.into_iter().filter(|rebuild| !may_wait(rebuild.segment)).collect();
        self.ledger.counted(partition, tolerances, seen.silent);
        (due, if is_whole { Outcome::Whole } else { Outcome::Same }, seen)
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
            let epoch = self.fellows.trust.layout(&self.fellows.pool).map(|layout| layout.epoch);
            let is_old = epoch != Some(table.layout().epoch) || self.lives(table) != lives;
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
