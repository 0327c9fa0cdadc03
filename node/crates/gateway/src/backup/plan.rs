//! What is due next of a backup.

use std::time::Duration;

use datamesh_catalog::backup::ANCHOR_RECORD_BYTES_MAX;
use tokio::time::Instant;

/// A part follows another so soon at the earliest; its writing may take as long again before a minute has passed.
const PART_EVERY: Duration = Duration::from_secs(30);
/// A chain grows for so long at least, if nothing ends it.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(3600);
/// And for this part of the time that a chain is kept once it has ended: so few of them are there at a time.
const CHAINS_KEPT: u32 = 4;
/// Before the third snapshot within the time of one; twice as long before each further one.
const SNAPSHOT_REST: Duration = Duration::from_secs(300);
/// A snapshot begins after so many times as long as the last one took: reading and coding the catalog is never what a gateway is busy with.
const SNAPSHOT_SHARE: u32 = 10;
/// Until one is tried again that no anchor had room for: what is put of it is for nothing.
const HOPELESS_REST: Duration = Duration::from_secs(24 * 3600);
/// After the first failure; twice as long after each further one.
const RETRY: Duration = Duration::from_secs(10);
/// Keys that are collected for a part at most, by what they take: more begin it early.
pub(super) const CHANGED_BYTES_MAX: usize = 8 << 20;
/// And where it cannot be written: more end the chain.
pub(super) const CHANGED_BYTES_LIMIT: usize = 4 * CHANGED_BYTES_MAX;
/// A chain whose anchor is larger ends: a new snapshot has fewer pieces than all its parts.
const ANCHOR_BYTES: usize = ANCHOR_RECORD_BYTES_MAX / 2;

/// Clocks of gateways may differ by so much, and a commit may take so long.
const MARGIN: Duration = Duration::from_secs(60);

/// How fast backups follow each other. That of clusters is the default; a simulated hour passes in minutes.
#[derive(Clone, Copy, Debug)]
pub struct BackupPace {
    /// A part follows another so soon at the earliest.
    pub part_every: Duration,
    /// A chain grows for so long at least, if nothing ends it.
    pub snapshot_every: Duration,
    /// Before the third snapshot within the time of one.
    pub snapshot_rest: Duration,
    /// So much later than a backup what it refers to is kept as if it were newer; less than what is deleted is kept.
    pub margin: Duration,
}

impl Default for BackupPace {
    fn default() -> Self {
        Self {
            part_every: PART_EVERY,
            snapshot_every: SNAPSHOT_EVERY,
            snapshot_rest: SNAPSHOT_REST,
            margin: MARGIN,
        }
    }
}

impl BackupPace {
    /// How long a chain grows where ended ones are kept for `reach`.
    pub(super) fn chain_grows(&self, reach: Duration) -> Duration {
        self.snapshot_every.max(reach / CHAINS_KEPT)
    }
}

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
    /// Whether it has parts that no anchor which is kept names.
    pub(super) is_pending: bool,
    /// Whether it is where new segments would be put: in that pool, in its present profile.
    pub(super) is_in_place: bool,
    /// Whether another snapshot may begin already.
    pub(super) may_begin: bool,
    /// Whether somebody has asked for a backup that leads further than the newest.
    pub(super) is_asked: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Nodes are told once more: that nothing has changed, or of what they do not keep yet.
    Anchor,
    Part,
    /// A new chain.
    Snapshot,
}

impl Look {
    /// A part follows another after `part_every` at the earliest, a snapshot the one before after `every`.
    pub(super) fn due(&self, part_every: Duration, every: Duration) -> Due {
        // What the nodes do not keep the way to is garbage: no more is put before they do.
        if self.is_pending && self.is_in_place {
            return Due::Anchor;
        }
        let early = self.changed_bytes >= CHANGED_BYTES_MAX || self.is_asked;
        if self.since_kept < part_every && !early {
            return Due::Nothing;
        }
        // The larger the snapshot, the more room its parts have.
        let is_full = self.anchor_bytes - self.snapshot_bytes.min(self.anchor_bytes) >= self.room();
        let is_over = !self.is_in_place || self.since_snapshot >= every || is_full || self.is_asked;
        if is_over && self.may_begin {
            return Due::Snapshot;
        }
        if self.is_only_own || self.is_pending { Due::Anchor } else { Due::Part }
    }

    /// Bytes of the anchor that parts may take.
    fn room(&self) -> usize {
        ANCHOR_BYTES.min(ANCHOR_RECORD_BYTES_MAX.saturating_sub(self.snapshot_bytes) / 2)
    }
}

/// How long nothing is tried after so many failures one after another.
pub(super) fn after_failures(failures: u32) -> Duration {
    doubled(RETRY, failures.saturating_sub(1)).min(SNAPSHOT_EVERY)
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
}

/// How long it is told once more after so many failures, which costs little.
pub(super) fn after_unkept(failures: u32) -> Duration {
    after_failures(failures).min(SNAPSHOT_REST)
}

/// How snapshots follow each other, over all starts of gateways.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Before the third within the time of one; twice as long before each further one.
    rest: Duration,
    /// When those began whose pieces take room, in order.
    begun: Vec<Instant>,
    /// When the last try began, and how long it took.
    last: Option<(Instant, Duration)>,
    /// How many failed one after another; one whose anchor is not kept has failed so far.
    failures: u32,
    is_hopeless: bool,
}

impl Pace {
    /// None yet.
    pub(super) fn new(rest: Duration) -> Self {
        Self { rest, begun: Vec::new(), last: None, failures: 0, is_hopeless: false }
    }

    /// Those of former starts, or of the gateway that led before, began so long ago.
    pub(super) fn recall(&mut self, ages: impl IntoIterator<Item = Duration>) {
        let now = Instant::now();
        self.begun = ages.into_iter().filter_map(|age| now.checked_sub(age)).collect();
        self.begun.sort_unstable();
        self.last = self.last.max(self.begun.last().map(|began| (*began, Duration::ZERO)));
    }

    /// One begins.
    pub(super) fn begins(&mut self) {
        self.last = Some((Instant::now(), Duration::ZERO));
    }

    /// It was not written, and what was put of it is let go. One that was hopeless is tried again all the same, as the catalog may have
    /// become smaller.
    pub(super) fn failed(&mut self, is_hopeless: bool) {
        self.is_hopeless = is_hopeless;
        self.ends();
    }

    /// It is written, and its anchor is not kept yet.
    pub(super) fn wrote(&mut self) {
        self.begun.extend(self.last.map(|(began, _)| began));
        self.is_hopeless = false;
        self.ends();
    }

    fn ends(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if let Some((began, took)) = &mut self.last {
            *took = began.elapsed();
        }
    }

    /// Its anchor is kept.
    pub(super) fn is_kept(&mut self) {
        self.failures = 0;
    }

    /// How long until another may begin, where one is wanted each `every` and what ended is kept for `reach`.
    pub(super) fn wait(&self, every: Duration, reach: Duration) -> Duration {
        let left = |(began, took): (Instant, Duration)| {
            self.rest(took, every, reach).saturating_sub(began.elapsed())
        };
        self.last.map_or(Duration::ZERO, left)
    }

    /// From the beginning of one to that of the next.
    fn rest(&self, took: Duration, every: Duration, reach: Duration) -> Duration {
        if self.is_hopeless {
            return HOPELESS_REST;
        }
        // Those that take room.
        let recent = self.begun.iter().filter(|began| began.elapsed() < every.max(reach)).count();
        let crowded = match u32::try_from(recent).unwrap_or(u32::MAX).checked_sub(2) {
            Some(more) => doubled(self.rest, more),
            // One that is early, as after a restart or when the place has changed, is nothing unusual.
            None => Duration::ZERO,
        };
        let failed = if self.failures == 0 { Duration::ZERO } else { after_failures(self.failures) };
        let share = took.saturating_mul(SNAPSHOT_SHARE);
        crowded.max(failed).max(share).min(every).max(took.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = SNAPSHOT_EVERY;
    const RESTED: Look = Look {
        since_kept: PART_EVERY,
        since_snapshot: MINUTE,
        changed_bytes: 100,
        is_only_own: false,
        snapshot_bytes: 1000,
        anchor_bytes: 2000,
        is_pending: false,
        is_in_place: true,
        may_begin: true,
        is_asked: false,
    };

    fn due(look: Look) -> Due {
        look.due(PART_EVERY, HOUR)
    }

    impl Pace {
        fn may_begin(&self, every: Duration, reach: Duration) -> bool {
            self.wait(every, reach).is_zero()
        }
    }

    #[test]
    fn a_part_follows_when_something_changed() {
        assert_eq!(due(RESTED), Due::Part);
        assert_eq!(due(Look { is_only_own: true, ..RESTED }), Due::Anchor);
        let fresh = Look { since_kept: PART_EVERY - Duration::from_secs(1), ..RESTED };
        assert_eq!(due(fresh), Due::Nothing);
        let much = Look { changed_bytes: CHANGED_BYTES_MAX, ..fresh };
        assert_eq!(due(much), Due::Part, "before it takes memory");
    }

    #[test]
    fn one_that_is_asked_for_is_a_snapshot_or_a_part_at_once() {
        let asked = Look { is_asked: true, since_kept: Duration::ZERO, ..RESTED };
        assert_eq!(due(asked), Due::Snapshot);
        assert_eq!(due(Look { may_begin: false, ..asked }), Due::Part, "snapshots keep their pace");
        assert_eq!(due(Look { is_pending: true, ..asked }), Due::Anchor);
    }

    #[test]
    fn nothing_more_is_put_while_the_nodes_do_not_keep_what_there_is() {
        let pending = Look { is_pending: true, since_kept: Duration::MAX, ..RESTED };
        for look in [
            pending,
            Look { since_snapshot: 2 * HOUR, ..pending },
            Look { changed_bytes: 2 * CHANGED_BYTES_MAX, ..pending },
            Look { since_kept: Duration::ZERO, ..pending },
        ] {
            assert_eq!(due(look), Due::Anchor, "{look:?}");
        }
        // Nodes of a place that is none any more may never keep it.
        let moved = Look { is_in_place: false, ..pending };
        assert_eq!(due(moved), Due::Snapshot);
        assert_eq!(due(Look { may_begin: false, ..moved }), Due::Anchor);
    }

    #[test]
    fn a_chain_that_should_end_grows_on_until_another_may_begin() {
        assert_eq!(due(Look { since_snapshot: HOUR, may_begin: false, ..RESTED }), Due::Part);
    }

    #[test]
    fn a_few_chains_are_there_at_a_time_however_long_they_are_kept() {
        for (reach, every) in [(10 * MINUTE, HOUR), (HOUR, HOUR), (24 * HOUR, 6 * HOUR)] {
            assert_eq!(BackupPace::default().chain_grows(reach), every);
            assert!(reach.as_secs() / every.as_secs() <= 4);
        }
    }

    /// Snapshots that are written, kept and begun within this time by gateways that would like to begin one each minute.
    async fn begun_within(time: Duration, reach: Duration, restarts: bool) -> usize {
        let (mut pace, start, mut begun) = (Pace::new(SNAPSHOT_REST), Instant::now(), Vec::new());
        while start.elapsed() < time {
            if restarts {
                pace = Pace::new(SNAPSHOT_REST);
                pace.recall(begun.iter().map(Instant::elapsed));
            }
            if pace.may_begin(BackupPace::default().chain_grows(reach), reach) {
                pace.begins();
                pace.wrote();
                pace.is_kept();
                begun.push(Instant::now());
            }
            tokio::time::advance(MINUTE).await;
        }
        begun.len()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_begins_over_and_over_does_so_less_and_less_often() {
        for restarts in [false, true] {
            assert_eq!(begun_within(HOUR, HOUR, restarts).await, 5);
            assert!(begun_within(10 * HOUR, HOUR, restarts).await <= 45);
            assert!(begun_within(24 * HOUR, 24 * HOUR, restarts).await <= 11);
        }
        let mut pace = Pace::new(SNAPSHOT_REST);
        pace.recall([Duration::from_secs(30)]);
        assert!(pace.may_begin(HOUR, HOUR), "one restart is nothing unusual");
        pace.recall([Duration::MAX, Duration::from_secs(40), Duration::from_secs(30)]);
        assert!(!pace.may_begin(HOUR, HOUR));
        tokio::time::advance(5 * MINUTE).await;
        assert!(pace.may_begin(HOUR, HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_snapshot_leaves_the_gateway_alone_most_of_the_time() {
        for (took, rest) in [(MINUTE, 10 * MINUTE), (20 * MINUTE, HOUR), (HOUR, 2 * HOUR)] {
            let mut pace = Pace::new(SNAPSHOT_REST);
            assert!(pace.may_begin(HOUR, HOUR));
            pace.begins();
            tokio::time::advance(took).await;
            pace.wrote();
            pace.is_kept();
            tokio::time::advance(rest - took - Duration::from_secs(1)).await;
            assert!(!pace.may_begin(HOUR, HOUR), "{took:?}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(pace.may_begin(HOUR, HOUR), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_tried_less_and_less_often() {
        let mut pace = Pace::new(SNAPSHOT_REST);
        for seconds in [10, 20, 40, 80] {
            pace.begins();
            pace.failed(false);
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            assert!(!pace.may_begin(HOUR, HOUR));
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(pace.may_begin(HOUR, HOUR), "{seconds}");
        }
        pace.begins();
        pace.failed(true);
        tokio::time::advance(23 * HOUR).await;
        assert!(!pace.may_begin(HOUR, HOUR), "it was hopeless");
        tokio::time::advance(HOUR).await;
        assert!(pace.may_begin(HOUR, HOUR), "the catalog may have become smaller");
        assert_eq!(after_failures(u32::MAX), HOUR);
        assert_eq!((after_unkept(1), after_unkept(30)), (RETRY, SNAPSHOT_REST));
        // Written, and kept by nobody: no better.
        let mut pace = Pace::new(SNAPSHOT_REST);
        for _ in 0..9 {
            pace.begins();
            pace.wrote();
        }
        tokio::time::advance(HOUR / 2).await;
        assert!(!pace.may_begin(HOUR, HOUR));
    }

    #[test]
    fn a_chain_ends_when_it_is_old_long_or_elsewhere() {
        assert_eq!(due(Look { since_snapshot: HOUR, ..RESTED }), Due::Snapshot);
        assert_eq!(due(Look { is_in_place: false, is_only_own: true, ..RESTED }), Due::Snapshot);
        assert_eq!(due(Look { anchor_bytes: 1000 + ANCHOR_BYTES, ..RESTED }), Due::Snapshot);
        // One whose snapshot is large has room for parts all the same, and never more than an anchor.
        let large = Look { snapshot_bytes: ANCHOR_RECORD_BYTES_MAX - 9000, ..RESTED };
        assert_eq!(due(Look { anchor_bytes: large.snapshot_bytes + 4000, ..large }), Due::Part);
        assert_eq!(due(Look { anchor_bytes: large.snapshot_bytes + 4500, ..large }), Due::Snapshot);
    }
}
