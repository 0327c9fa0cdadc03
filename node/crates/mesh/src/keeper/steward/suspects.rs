//! Since when segments are seen to be short of shards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datamesh_placement::{PartitionId, Table};
use datamesh_shard::SegmentId;
use tokio::time::Instant;

/// Segments remembered at most; those beyond are repaired, and counted, without a grace.
const SUSPECTS_MAX: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Suspects(BTreeMap<SegmentId, Suspect>);

#[derive(Clone, Copy, Debug)]
struct Suspect {
    since: Instant,
    /// It was there before and not short, or not there at all. Without an earlier look nobody knows how long it has been.
    seen_to_begin: bool,
}

impl Suspects {
    /// Takes note of all segments of a partition that are short of shards now; whether it was looked at before.
    pub(super) fn note(
        &mut self,
        table: &Table,
        (partition, looked_before): (PartitionId, bool),
        short: BTreeSet<SegmentId>,
        now: Instant,
    ) {
        self.0.retain(|segment, _| table.partition_of(*segment) != partition || short.contains(segment));
        let room = SUSPECTS_MAX.saturating_sub(self.0.len());
        let new: Vec<_> =
            short.into_iter().filter(|segment| !self.0.contains_key(segment)).take(room).collect();
        let suspect = Suspect { since: now, seen_to_begin: looked_before };
        self.0.extend(new.into_iter().map(|segment| (segment, suspect)));
    }

    /// Forgets segments that others look after.
    pub(super) fn keep(&mut self, is_looked_after: impl Fn(SegmentId) -> bool) {
        self.0.retain(|segment, _| is_looked_after(*segment));
    }

    /// Until when a segment may be short because it is just being written: nothing is rebuilt before. `None` if it is not.
    pub(super) fn may_be_new_until(
        &self,
        segment: SegmentId,
        now: Instant,
        grace: Duration,
    ) -> Option<Instant> {
        self.0.get(&segment).map(|suspect| suspect.since + grace).filter(|until| now < *until)
    }

    /// Whether it became so less than the grace ago for certain: it is counted apart.
    pub(super) fn is_new(&self, segment: SegmentId, now: Instant, grace: Duration) -> bool {
        self.may_be_new_until(segment, now, grace).is_some()
            && self.0.get(&segment).is_some_and(|suspect| suspect.seen_to_begin)
    }
}
