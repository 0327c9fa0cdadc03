//! What a replica accepts at most: from callers, from its disk and from other replicas.

use crate::keyspace::{BATCH_BYTES_MAX, Batch};

/// Replicas of a group, learners aside: more would be slower and no safer.
pub const REPLICAS_MAX: usize = 9;
/// Commits that share an entry: bounds how long the first of them waits for the others.
pub const GROUP_COMMITS_MAX: usize = 512;
/// Bytes of an entry's commits, reached by the last one taken in.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// Bytes of an entry as written: two batches of the largest, and what frames them.
pub const ENTRY_BYTES_MAX: usize = GROUP_BYTES_MAX + BATCH_BYTES_MAX + (4 << 20);
/// Bytes of entries that are read or sent together, reached by the last one taken in.
pub const ENTRIES_BYTES_MAX: usize = 4 << 20;
/// Bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = ENTRIES_BYTES_MAX + ENTRY_BYTES_MAX + (1 << 20);
/// Bytes of rows in one part of a snapshot, reached by the last row taken in.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Changes that are kept for checks of ranges. All replicas keep the same ones, so it is not an option; another number
/// is another version of the log.
pub const CHANGES_MAX: usize = 65_536;
/// Bytes that frame a check or write, at most.
const ITEM_BYTES: usize = 16;

/// What a batch counts in an entry.
pub(super) fn weight(batch: &Batch) -> usize {
    batch.bytes() + ITEM_BYTES * (batch.checks.len() + batch.writes.len())
}
