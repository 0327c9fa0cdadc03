//! Partitions that others say should be looked at.

use std::collections::BTreeSet;

use datamesh_exchange::message::LOOK_SEGMENTS_MAX;
use datamesh_placement::{PartitionId, Table};
use datamesh_shard::SegmentId;
use parking_lot::Mutex;

/// Written by the service, emptied by the steward. Never more than there are partitions.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<BTreeSet<PartitionId>>);

impl Looks {
    /// Takes note of a hint. Whoever gives it may lie: what is done on it is the steward's to bound.
    pub(super) fn ask(&self, table: &Table, segments: &[SegmentId]) {
        let named = segments.iter().take(LOOK_SEGMENTS_MAX).map(|segment| table.partition_of(*segment));
        self.0.lock().extend(named);
    }

    /// All that was asked for since the last call.
    pub(super) fn take(&self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut *self.0.lock())
    }
}
