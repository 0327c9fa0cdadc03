//! The steward of a partition, its first live holder, compares what all members have of it and rebuilds the shards that
//! nobody has, the segments in most danger first.
//!
//! Two stewards at once are harmless: a rebuilt shard is the same bytes whoever makes it, it is proven before it is
//! kept, and one that was deleted meanwhile is refused by its holder.

mod rebuild;

pub(super) use rebuild::Rebuilt;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datamesh_exchange::survey::{Rebuild, Survey, survey};
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::SegmentId;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::fellows::Fellows;
use super::ledger::Ledger;
use super::pace::Pace;
use crate::worker::{Next, Worker};

/// Segments remembered as missing shards; those beyond are rebuilt without a grace.
const SUSPECTS_MAX: usize = 1 << 16;
/// A pass is followed by this many times its own duration of rest: counting takes a twentieth of a node at most.
const REST_FACTOR: u32 = 20;
/// Before the first layout, and while nothing answers.
const IDLE: Duration = Duration::from_secs(2);
/// Members asked for one partition at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Segments rebuilt at the same time, k shards in memory each.
const REBUILDS_AT_ONCE: usize = 2;

/// The worker.
pub(super) struct Steward {
    fellows: Arc<Fellows>,
    ledger: Arc<Ledger>,
    pub(super) pace: Pace,
    /// Since when shards of a segment are missing.
    suspects: HashMap<SegmentId, Instant>,
}

impl Steward {
    pub(super) fn new(fellows: Arc<Fellows>, ledger: Arc<Ledger>) -> Self {
        Self { fellows, ledger, pace: Pace::default(), suspects: HashMap::new() }
    }

    async fn pass(&mut self) -> Next {
        let fellows = Arc::clone(&self.fellows);
        let Some(table) = fellows.table_to_repair().await else { return Next::Wait(IDLE) };
        let begun = Instant::now();
        let mut open = false;
        for partition in (0..table.partitions()).map(PartitionId) {
            if is_steward(&fellows, &table, partition) {
                open |= self.visit(&table, partition).await;
            } else {
                self.ledger.leave(partition);
            }
        }
        self.ledger.passed(table.layout().epoch);
        match open {
            true => Next::Wait(self.pace.rest_open),
            false => Next::Wait((begun.elapsed() * REST_FACTOR).max(self.pace.rest_whole)),
        }
    }

    /// Counts a partition and repairs it; true if something is left to be done.
    async fn visit(&mut self, table: &Arc<Table>, partition: PartitionId) -> bool {
        let before = take_stock(&self.fellows, table, partition).await;
        let due = self.due(table, partition, &before);
        let waiting = before.rebuilds.len() > due.len();
        if due.is_empty() {
            let whole = before.tolerances.short(table.layout().profile) == 0;
            self.ledger.counted(partition, before.tolerances);
            return waiting || !whole;
        }
        self.ledger.counted(partition, before.tolerances);
        let (fellows, ledger) = (&self.fellows, &self.ledger);
        let rebuilding = due.into_iter().map(|due| rebuild::rebuild(fellows, table, due));
        let mut rebuilding = futures::stream::iter(rebuilding).buffer_unordered(REBUILDS_AT_ONCE);
        while let Some(outcome) = rebuilding.next().await {
            ledger.rebuilt(&outcome);
        }
        // What is reported is what was seen afterwards, not what was meant.
        let after = take_stock(fellows, table, partition).await;
        let open = waiting || after.tolerances.short(table.layout().profile) > 0;
        self.ledger.counted(partition, after.tolerances);
        open
    }

    /// Those whose shards have been missing for long enough.
    fn due(&mut self, table: &Table, partition: PartitionId, survey: &Survey) -> Vec<Rebuild> {
        let now = Instant::now();
        let missing: BTreeMap<_, _> =
            survey.rebuilds.iter().map(|rebuild| (rebuild.segment, rebuild)).collect();
        self.suspects
            .retain(|segment, _| table.partition_of(*segment) != partition || missing.contains_key(segment));
        let room = SUSPECTS_MAX.saturating_sub(self.suspects.len());
        for segment in missing.keys().take(room) {
            self.suspects.entry(*segment).or_insert(now);
        }
        let old = |rebuild: &&Rebuild| {
            self.suspects
                .get(&rebuild.segment)
                .is_none_or(|since| now.duration_since(*since) >= self.pace.grace)
        };
        survey.rebuilds.iter().filter(old).cloned().collect()
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

fn is_steward(fellows: &Fellows, table: &Table, partition: PartitionId) -> bool {
    let first = table.holders(partition).iter().find(|holder| fellows.is_live(table, **holder));
    first.is_some_and(|first| fellows.me(table) == Some(*first))
}

/// Asks every live member what it has of a partition.
async fn take_stock(fellows: &Fellows, table: &Arc<Table>, partition: PartitionId) -> Survey {
    let members = u16::try_from(table.layout().members.len()).unwrap_or(u16::MAX);
    let live = (0..members).filter(|member| fellows.is_live(table, *member));
    let asked = live.map(|member| async move {
        fellows.inventory(table, member, partition).await.map(|inventory| (member, inventory))
    });
    let asked = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let inventories: Vec<_> = asked.filter_map(std::future::ready).collect().await;
    survey(table.layout().profile, table.holders(partition), &inventories)
}
