//! What this node knows of the partitions it is steward of, for whoever asks.

use std::collections::BTreeMap;
use std::time::Instant;

use datamesh_exchange::message::Stewardship;
use datamesh_exchange::survey::Tolerances;
use datamesh_placement::PartitionId;
use datamesh_shard::Epoch;
use parking_lot::Mutex;

use super::steward::Rebuilt;

/// Counts by partition. Shared by the steward, which writes, and the service, which answers.
#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: Epoch,
    /// Whether every partition of that epoch was looked at once.
    complete: bool,
    partitions: BTreeMap<PartitionId, (Tolerances, Instant)>,
    rebuilt: Rebuilt,
    sent_home: u64,
    strays: u64,
}

impl Ledger {
    /// A partition was counted.
    pub(super) fn counted(&self, partition: PartitionId, tolerances: Tolerances) {
        self.state.lock().partitions.insert(partition, (tolerances, Instant::now()));
    }

    /// A partition is another node's.
    pub(super) fn leave(&self, partition: PartitionId) {
        self.state.lock().partitions.remove(&partition);
    }

    /// All partitions were looked at under the layout of this epoch.
    pub(super) fn passed(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        (state.epoch, state.complete) = (epoch, true);
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

    /// All of it.
    pub(super) fn stewardship(&self) -> Stewardship {
        let state = self.state.lock();
        let mut tolerances = Tolerances::default();
        state.partitions.values().for_each(|(counted, _)| tolerances.add(counted));
        let oldest = state.partitions.values().map(|(_, at)| at.elapsed().as_secs()).max();
        Stewardship {
            epoch: state.complete.then_some(state.epoch),
            partitions: u32::try_from(state.partitions.len()).unwrap_or(u32::MAX),
            oldest_seconds: oldest.unwrap_or_default(),
            tolerances,
            rebuilt_shards: state.rebuilt.kept,
            rebuilt_bytes: state.rebuilt.bytes,
            failed_rebuilds: state.rebuilt.failed,
            sent_home: state.sent_home,
            strays: state.strays,
        }
    }
}
