//! What is due next of a backup.

use std::time::Duration;

use datamesh_catalog::backup::ANCHOR_RECORD_BYTES_MAX;
use tokio::time::Instant;

/// A part follows another so soon at the earliest; its writing may take as long again before a minute has passed.
pub(super) const PART_EVERY: Duration = Duration::from_secs(30);
/// A chain grows for so long.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(3600);
/// A snapshot begins so long after the one before at the earliest.
const SNAPSHOT_REST: Duration = Duration::from_secs(300);
/// And after so many times as long as that took: reading and coding the catalog is never what a gateway is busy with.
const SNAPSHOT_SHARE: u32 = 10;
/// After the first failure; twice as long after each further one.
const RETRY: Duration = Duration::from_secs(10);
/// Keys that are collected for a part at most, by their bytes: more begin it early.
pub(super) const CHANGED_BYTES_MAX: usize = 16 << 20;
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
    /// Whether another snapshot may begin already.
    pub(super) may_begin: bool,
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
        let is_over = !self.is_in_place || self.since_snapshot >= SNAPSHOT_EVERY || is_full;
        if is_over && self.may_begin {
            return Due::Snapshot;
        }
        if self.is_only_own { Due::Anchor } else { Due::Part }
    }

    /// Bytes of the anchor that parts may take.
    fn room(&self) -> usize {
        ANCHOR_BYTES.min(ANCHOR_RECORD_BYTES_MAX.saturating_sub(self.snapshot_bytes) / 2)
    }
}

/// How long nothing is tried after so many failures one after another.
pub(super) fn after_failures(failures: u32) -> Duration {
    let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY.saturating_mul(times).min(SNAPSHOT_EVERY)
}

/// How snapshots follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When the last one began, and how long it took.
    last: Option<(Instant, Duration)>,
    /// How many failed one after another.
    failures: u32,
    is_hopeless: bool,
}

impl Pace {
    /// One begins.
    pub(super) fn begins(&mut self) {
        self.last = Some((Instant::now(), Duration::ZERO));
    }

    /// It has ended. One that was hopeless is tried again all the same, as the catalog may have become smaller.
    pub(super) fn ends(&mut self, is_good: bool, is_hopeless: bool) {
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        self.is_hopeless = is_hopeless;
        if let Some((began, took)) = &mut self.last {
            *took = began.elapsed();
        }
    }

    /// Whether another may begin. One that has to `move` to another place does not wait for its hour.
    pub(super) fn may_begin(&self, moves: bool) -> bool {
        self.last.is_none_or(|(began, took)| began.elapsed() >= self.rest(took, moves))
    }

    /// From the beginning of one to that of the next.
    fn rest(&self, took: Duration, moves: bool) -> Duration {
        let least = match (self.is_hopeless, self.failures) {
            (true, _) => SNAPSHOT_EVERY,
            (false, 0) if moves => Duration::ZERO,
            (false, 0) => SNAPSHOT_REST,
            (false, failures) => after_failures(failures),
        };
        least.max(took.saturating_mul(SNAPSHOT_SHARE))
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
        may_begin: true,
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
    fn a_chain_that_should_end_grows_on_until_another_may_begin() {
        let old = Look { since_snapshot: SNAPSHOT_EVERY, may_begin: false, ..RESTED };
        assert_eq!(old.due(PART_EVERY), Due::Part);
    }

    #[tokio::test(start_paused = true)]
    async fn snapshots_leave_the_gateway_alone_most_of_the_time() {
        let (mut pace, minute) = (Pace::default(), Duration::from_secs(60));
        assert!(pace.may_begin(false));
        pace.begins();
        tokio::time::advance(minute).await;
        pace.ends(true, false);
        tokio::time::advance(8 * minute).await;
        assert!(!pace.may_begin(false) && !pace.may_begin(true), "it took a minute");
        tokio::time::advance(minute).await;
        assert!(pace.may_begin(false));
        pace.begins();
        pace.ends(true, false);
        assert!(pace.may_begin(true) && !pace.may_begin(false), "a short one");
        tokio::time::advance(5 * minute).await;
        assert!(pace.may_begin(false));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_tried_less_and_less_often() {
        let mut pace = Pace::default();
        for seconds in [10, 20, 40, 80] {
            pace.begins();
            pace.ends(false, false);
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            assert!(!pace.may_begin(true));
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(pace.may_begin(false), "{seconds}");
        }
        pace.begins();
        pace.ends(false, true);
        tokio::time::advance(SNAPSHOT_EVERY - Duration::from_secs(1)).await;
        assert!(!pace.may_begin(true), "it was hopeless");
        assert_eq!(after_failures(u32::MAX), SNAPSHOT_EVERY);
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
