//! What is due next of a backup.

use std::time::Duration;

use datamesh_catalog::backup::ANCHOR_RECORD_BYTES_MAX;

/// A part follows another so soon at the earliest; its writing may take as long again before a minute has passed.
pub(super) const PART_EVERY: Duration = Duration::from_secs(30);
/// A chain grows for so long.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(3600);
/// Keys that are collected for a part at most, by their bytes: more begin it early.
const CHANGED_BYTES_MAX: usize = 16 << 20;
/// A chain whose anchor is larger ends: a new snapshot has fewer pieces than all its parts.
const ANCHOR_BYTES: usize = ANCHOR_RECORD_BYTES_MAX / 2;

/// How a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Since its anchor was kept.
    pub(super) since_kept: Duration,
    /// Since its snapshot.
    pub(super) since_snapshot: Duration,
    /// Bytes of the keys that changed since its last part.
    pub(super) changed_bytes: usize,
    /// Whether only rows of the backup itself changed.
    pub(super) is_only_own: bool,
    /// Bytes of its anchor with its snapshot alone.
    pub(super) snapshot_bytes: usize,
    /// Bytes of its anchor.
    pub(super) anchor_bytes: usize,
    /// Whether it is where new segments would be put: in that pool, in its present profile.
    pub(super) is_in_place: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Nodes are told that nothing has changed.
    Anchor,
    Part,
    /// A new chain.
    Snapshot,
}

impl Look {
    /// A part follows another after `part_every` at the earliest.
    pub(super) fn due(&self, part_every: Duration) -> Due {
        let early = self.changed_bytes >= CHANGED_BYTES_MAX;
        if self.since_kept < part_every && !early {
            return Due::Nothing;
        }
        // The larger the snapshot, the more room its parts have.
        let is_full = self.anchor_bytes - self.snapshot_bytes.min(self.anchor_bytes) >= self.room();
        if !self.is_in_place || self.since_snapshot >= SNAPSHOT_EVERY || is_full {
            return Due::Snapshot;
        }
        if self.is_only_own { Due::Anchor } else { Due::Part }
    }

    /// Bytes of the anchor that parts may take.
    fn room(&self) -> usize {
        ANCHOR_BYTES.min(ANCHOR_RECORD_BYTES_MAX.saturating_sub(self.snapshot_bytes) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTED: Look = Look {
        since_kept: PART_EVERY,
        since_snapshot: Duration::from_secs(60),
        changed_bytes: 100,
        is_only_own: false,
        snapshot_bytes: 1000,
        anchor_bytes: 2000,
        is_in_place: true,
    };

    #[test]
    fn a_part_follows_when_something_changed() {
        assert_eq!(RESTED.due(PART_EVERY), Due::Part);
        assert_eq!(Look { is_only_own: true, ..RESTED }.due(PART_EVERY), Due::Anchor);
        let fresh = Look { since_kept: PART_EVERY - Duration::from_secs(1), ..RESTED };
        assert_eq!(fresh.due(PART_EVERY), Due::Nothing);
        assert_eq!(
            Look { changed_bytes: CHANGED_BYTES_MAX, ..fresh }.due(PART_EVERY),
            Due::Part,
            "before it takes memory"
        );
    }

    #[test]
    fn a_chain_ends_when_it_is_old_long_or_elsewhere() {
        assert_eq!(Look { since_snapshot: SNAPSHOT_EVERY, ..RESTED }.due(PART_EVERY), Due::Snapshot);
        assert_eq!(Look { is_in_place: false, is_only_own: true, ..RESTED }.due(PART_EVERY), Due::Snapshot);
        assert_eq!(Look { anchor_bytes: 1000 + ANCHOR_BYTES, ..RESTED }.due(PART_EVERY), Due::Snapshot);
        // One whose snapshot is large has room for parts all the same, and never more than an anchor.
        let large = Look { snapshot_bytes: ANCHOR_RECORD_BYTES_MAX - 9000, ..RESTED };
        assert_eq!(Look { anchor_bytes: large.snapshot_bytes + 4000, ..large }.due(PART_EVERY), Due::Part);
        assert_eq!(
            Look { anchor_bytes: large.snapshot_bytes + 4500, ..large }.due(PART_EVERY),
            Due::Snapshot
        );
    }
}
