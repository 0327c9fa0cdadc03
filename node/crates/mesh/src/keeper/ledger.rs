//! What this node knows of the partitions it is steward of, for whoever asks.

use std::collections::BTreeMap;
use std::ops::Bound;

use datamesh_exchange::message::{COUNTS_MAX, PartitionCount, Stewardship};
use datamesh_exchange::survey::Tolerances;
use datamesh_placement::PartitionId;
use datamesh_shard::Epoch;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::steward::Rebuilt;

/// Counts by partition. Shared by the workers, which write, and the service, which answers.
#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: Option<Epoch>,
    partitions: BTreeMap<PartitionId, Counted>,
    rebuilt: Rebuilt,
    sent_home: u64,
    strays: u64,
    scrubbed: u64,
    scrubbed_corrupt: u64,
}

/// One partition's count.
struct Counted {
    tolerances: Tolerances,
    silent: u16,
    at: Instant,
}

impl Ledger {
    /// Counts are under the layout of this epoch from now on.
    pub(super) fn begin(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        if state.epoch != Some(epoch) {
            state.epoch = Some(epoch);
            state.partitions.clear();
        }
    }

    /// A partition was counted, as it was at that time; so many members did not say what they have.
    pub(super) fn counted(
        &self,
        partition: PartitionId,
        (tolerances, at): (Tolerances, Instant),
        silent: u16,
    ) {
        let counted = Counted { tolerances, silent, at };
        self.state.lock().partitions.insert(partition, counted);
    }

    /// What was counted of a partition does not hold any more, or it is another node's.
    pub(super) fn leave(&self, partition: PartitionId) {
        self.state.lock().partitions.remove(&partition);
    }

    /// A segment was rebuilt, or not.
    pub(super) fn rebuilt(&self, outcome: &Rebuilt) {
        let mut state = self.state.lock();
        state.rebuilt.kept += outcome.kept;
        state.rebuilt.bytes += outcome.bytes;
        state.rebuilt.failed += outcome.failed;
    }

    /// Shards were handed to the members they belong to; so many are still here.
    pub(super) fn homed(&self, sent: u64, strays: u64) {
        let mut state = self.state.lock();
        state.sent_home += sent;
        state.strays = strays;
    }

    /// The scrub read a shard.
    pub(super) fn scrubbed(&self, corrupt: bool) {
        let mut state = self.state.lock();
        state.scrubbed += 1;
        state.scrubbed_corrupt += u64::from(corrupt);
    }

    /// A page of the counts, and the rest.
    pub(super) fn stewardship(&self, after: Option<u32>) -> Stewardship {
        let state = self.state.lock();
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(PartitionId(after)));
        let page = state.partitions.range((from, Bound::Unbounded)).take(COUNTS_MAX);
        let count = |(partition, counted): (&PartitionId, &Counted)| PartitionCount {
            partition: partition.0,
            age_seconds: u32::try_from(counted.at.elapsed().as_secs()).unwrap_or(u32::MAX),
            silent: counted.silent,
            tolerances: counted.tolerances.clone(),
        };
        Stewardship {
            epoch: state.epoch,
            counts: page.map(count).collect(),
            rebuilt_shards: state.rebuilt.kept,
            rebuilt_bytes: state.rebuilt.bytes,
            failed_rebuilds: state.rebuilt.failed,
            sent_home: state.sent_home,
            strays: state.strays,
            scrubbed_shards: state.scrubbed,
            scrubbed_corrupt: state.scrubbed_corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_count_is_as_old_as_what_it_is_of() {
        let ledger = Ledger::default();
        let asked_at = Instant::now();
        tokio::time::advance(Duration::from_secs(50)).await;
        ledger.counted(PartitionId(3), (Tolerances::default(), asked_at), 0);
        assert_eq!(ledger.stewardship(None).counts[0].age_seconds, 50);
    }
}
