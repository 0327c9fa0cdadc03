//! How far the backup is.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::reach_ms;
use datamesh_settings::admin::BackupStatus;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::BackupPace;
use crate::metrics::BackupMetrics;
use crate::pipeline::millis;

/// Deletion waits for a backup that fails for so many retentions: then room is needed more than a point to come back to.
const RETENTIONS: u32 = 2;
/// And this long at least: snapshots may follow each other no sooner.
const PATIENCE_MIN: Duration = Duration::from_secs(2 * 3600);
/// And no longer than this, however long what is deleted is kept.
const PATIENCE_MAX: Duration = Duration::from_secs(6 * 3600);

/// A backup that is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at_unix_ms: u64,
    pub(super) revision: u64,
    pub(super) bytes: u64,
    pub(super) segments: u64,
}

/// A snapshot that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writing {
    pub(crate) since_unix_ms: u64,
    /// Pieces that were put.
    pub(crate) pieces: usize,
}

/// The newest backup, as far as this gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// The nodes have not said.
    Unknown,
    /// There is none.
    None,
    Kept(Kept),
}

struct State {
    newest: Newest,
    /// How old that was, and when. Clocks may be set; this is not.
    age: (Duration, Instant),
    /// From when on a newer one has been missing: the last was kept, whichever gateway did so; where that is not known, this one started
    /// or lost the lead.
    missing_since: Instant,
    is_impossible: bool,
    error: Option<String>,
    writing: Option<Writing>,
    /// When another snapshot may begin.
    next_snapshot: Option<Instant>,
}

/// Shared by the worker, the status, and what deletes.
pub(crate) struct Standing {
    state: Mutex<State>,
    /// Wakes the worker: somebody has asked for a backup.
    pub(crate) asked: Arc<Notify>,
    superseded: CancellationToken,
    metrics: BackupMetrics,
    margin: Duration,
}

impl Standing {
    /// None yet.
    pub(crate) fn new(metrics: BackupMetrics) -> Self {
        let now = Instant::now();
        let state = State {
            newest: Newest::Unknown,
            age: (Duration::ZERO, now),
            missing_since: now,
            is_impossible: false,
            error: None,
            writing: None,
            next_snapshot: None,
        };
        let (state, asked) = (Mutex::new(state), Arc::default());
        let (superseded, margin) = (CancellationToken::new(), BackupPace::default().margin);
        Self { state, asked, superseded, metrics, margin }
    }

    /// A snapshot is being written, or none any more.
    pub(super) fn writes(&self, writing: Option<Writing>) {
        self.state.lock().writing = writing;
    }

    /// The snapshot that this gateway writes now.
    pub(crate) fn writing(&self) -> Option<Writing> {
        self.state.lock().writing
    }

    /// Another snapshot may begin after so long.
    pub(super) fn next_snapshot_in(&self, rest: Duration) {
        self.state.lock().next_snapshot = Instant::now().checked_add(rest);
    }

    /// How long until then; `None` where this gateway makes no backups.
    pub(crate) fn until_next_snapshot(&self) -> Option<Duration> {
        self.state.lock().next_snapshot.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// The revision that the newest leads up to.
    pub(super) fn revision(&self) -> Option<u64> {
        self.state.lock().kept().map(|kept| kept.revision)
    }

    /// The same, with so much of a margin.
    pub(crate) fn with_margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// One is safe; what was acknowledged `age` ago is in it.
    pub(super) fn kept(&self, kept: Kept, age: Duration) {
        self.metrics.kept(kept.at_unix_ms, kept.bytes, kept.segments);
        let (mut state, now) = (self.state.lock(), Instant::now());
        (state.newest, state.age, state.missing_since) = (Newest::Kept(kept), (age, now), now);
        (state.error, state.is_impossible) = (None, false);
    }

    /// Nodes keep one of before this gateway's start or lead. That no newer one came is not new with this start.
    pub(super) fn found(&self, found: Kept, age: Duration) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        if state.kept().is_none_or(|kept| kept.at_unix_ms < found.at_unix_ms) {
            self.metrics.kept(found.at_unix_ms, found.bytes, found.segments);
            (state.newest, state.age) = (Newest::Kept(found), (age, now));
            state.missing_since =
                now.checked_sub(age).map_or(state.missing_since, |kept| kept.min(state.missing_since));
        }
    }

    /// No node keeps any.
    pub(super) fn has_none(&self) {
        let mut state = self.state.lock();
        if state.newest == Newest::Unknown {
            state.newest = Newest::None;
        }
    }

    /// One is begun: what it is to refer to is deleted no more. Gives whether there was none.
    pub(super) fn begins(&self) -> bool {
        let mut state = self.state.lock();
        let was_none = state.newest == Newest::None;
        if was_none {
            state.newest = Newest::Unknown;
        }
        was_none
    }

    pub(super) fn failed(&self, error: String) {
        self.metrics.failures.inc();
        self.state.lock().error = Some(error);
    }

    /// There will be none of the catalog as it is.
    pub(super) fn is_impossible(&self) {
        self.state.lock().is_impossible = true;
    }

    /// Another gateway makes them, and knows how far they are.
    pub(super) fn rests(&self) {
        let mut state = self.state.lock();
        (state.newest, state.error, state.missing_since) = (Newest::Unknown, None, Instant::now());
        (state.writing, state.next_snapshot) = (None, None);
    }

    pub(super) fn is_superseded(&self) {
        self.superseded.cancel();
    }

    /// Waits until another catalog is known to have taken the place of this one.
    pub(crate) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }

    /// What was due by then may be deleted now: no backup that may be needed refers to it.
    pub(crate) fn deletable_until(&self, now_unix_ms: u64, retention_ms: u64) -> u64 {
        let state = self.state.lock();
        match state.waits(retention_ms) {
            true => match state.kept() {
                Some(kept) => self.kept_for(kept.at_unix_ms).min(now_unix_ms),
                // What is due by then was let go at no time: no backup ever referred to it.
                None => reach_ms(retention_ms).min(now_unix_ms),
            },
            false => now_unix_ms,
        }
    }

    /// Whether it is not known yet what the newest backup is: nobody renews what keeps it from being deleted.
    pub(crate) fn is_unknown(&self) -> bool {
        self.state.lock().newest == Newest::Unknown
    }

    /// Whatever was condemned within a retention before the newest backup, less the margin, is still there: so each point in that time
    /// can be come back to.
    fn kept_for(&self, kept_unix_ms: u64) -> u64 {
        kept_unix_ms.saturating_add(millis(self.margin))
    }

    /// For the status.
    pub(crate) fn told(&self, retention_ms: u64) -> BackupStatus {
        let state = self.state.lock();
        let kept = state.kept();
        let unkept =
            (!state.waits(retention_ms)).then_some("; what is deleted is not kept for an older one any more");
        BackupStatus {
            last_unix_ms: kept.map(|kept| kept.at_unix_ms),
            behind_seconds: kept.map(|_| (state.age.0 + state.age.1.elapsed()).as_secs()),
            revision: kept.map_or(0, |kept| kept.revision),
            bytes: kept.map_or(0, |kept| kept.bytes),
            segments: kept.map_or(0, |kept| kept.segments),
            error: state.error.as_ref().map(|error| format!("{error}{}", unkept.unwrap_or_default())),
            off: false,
            copies: None,
            restored: None,
        }
    }

    /// The same, where the administrator wants no backups.
    pub(crate) fn told_off() -> BackupStatus {
        BackupStatus { off: true, ..BackupStatus::default() }
    }
}

impl State {
    fn kept(&self) -> Option<Kept> {
        match self.newest {
            Newest::Kept(kept) => Some(kept),
            Newest::Unknown | Newest::None => None,
        }
    }

    /// Whether deletion waits for a newer backup.
    fn waits(&self, retention_ms: u64) -> bool {
        let patience = Duration::from_millis(retention_ms).saturating_mul(RETENTIONS);
        let patience = patience.clamp(PATIENCE_MIN, PATIENCE_MAX);
        !self.is_impossible && self.newest != Newest::None && self.missing_since.elapsed() < patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of clusters by default.
    const RETENTION_MS: u64 = 3_600_000;
    /// What was let go at no time is due then.
    const NEVER: u64 = RETENTION_MS;
    const KEPT: Kept = Kept { at_unix_ms: 1_000_000_000, revision: 1, bytes: 2, segments: 3 };

    #[tokio::test(start_paused = true)]
    async fn nothing_that_a_backup_refers_to_is_deleted() {
        let standing = Standing::new(BackupMetrics::default());
        assert_eq!(standing.deletable_until(1_000_000_000, RETENTION_MS), NEVER, "none yet");
        standing.kept(KEPT, Duration::ZERO);
        // Just now: as ever.
        assert_eq!(standing.deletable_until(1_000_030_000, RETENTION_MS), 1_000_030_000);
        // While no newer one comes, what was condemned up to a retention before it stays, less the margin.
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 1_000_060_000);
    }

    #[tokio::test(start_paused = true)]
    async fn deletion_waits_for_two_retentions_and_no_longer() {
        let standing = Standing::new(BackupMetrics::default());
        standing.kept(KEPT, Duration::ZERO);
        standing.failed("the pool is full".into());
        tokio::time::advance(Duration::from_millis(2 * RETENTION_MS - 1)).await;
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 1_000_060_000);
        assert_eq!(standing.told(RETENTION_MS).error.as_deref(), Some("the pool is full"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 2_000_000_000);
        assert!(standing.told(RETENTION_MS).error.unwrap().contains("not kept for an older one"));
        // Where another gateway has led meanwhile, that one has made some.
        standing.rests();
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), NEVER);
        standing.is_impossible();
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 2_000_000_000, "none will come");
        standing.kept(KEPT, Duration::ZERO);
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 1_000_060_000);
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_and_long_retentions_do_not_hold_deletion_up() {
        // Paused time begins where the machine did: an age has to fit.
        tokio::time::advance(Duration::from_secs(24 * 3600)).await;
        let (now, week_ms) = (2_000_000_000, 7 * 24 * 3_600_000);
        let age = |hours: u64| Duration::from_secs(hours * 3600);
        let minutes = 60_000;
        for (retention_ms, hours, until) in [
            (week_ms, 5, 1_000_060_000),
            (week_ms, 6, now),
            (10 * minutes, 1, 1_000_060_000),
            (10 * minutes, 2, now),
        ] {
            // Started a moment ago, as so often.
            let standing = Standing::new(BackupMetrics::default());
            standing.found(KEPT, age(hours));
            assert_eq!(standing.deletable_until(now, retention_ms), until, "{retention_ms} ms, {hours} h");
        }
        let standing = Standing::new(BackupMetrics::default());
        standing.found(KEPT, age(2));
        assert_eq!(standing.deletable_until(now, RETENTION_MS), now, "two retentions are over");
        standing.rests();
        standing.found(KEPT, age(2));
        assert_eq!(standing.deletable_until(now, RETENTION_MS), now, "with the lead, too");
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_backup_deletion_waits_for_the_first_that_is_begun_alone() {
        let standing = Standing::new(BackupMetrics::default());
        standing.has_none();
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 2_000_000_000);
        assert!(standing.begins() && standing.is_unknown());
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), NEVER);
        standing.kept(KEPT, Duration::ZERO);
        standing.has_none();
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 1_000_060_000);
        assert!(Standing::told_off().off && Standing::told_off().last_unix_ms.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn how_old_it_is_no_clock_changes() {
        let standing = Standing::new(BackupMetrics::default());
        let found = |at_unix_ms| Kept { at_unix_ms, ..KEPT };
        standing.found(found(5000), Duration::from_secs(40));
        standing.found(found(4000), Duration::from_secs(41));
        tokio::time::advance(Duration::from_secs(7)).await;
        let told = standing.told(RETENTION_MS);
        assert_eq!((told.last_unix_ms, told.behind_seconds), (Some(5000), Some(47)));
        standing.failed("the reason".into());
        assert_eq!(standing.told(RETENTION_MS).error.as_deref(), Some("the reason"));
        // By a clock that was set back.
        standing.kept(found(3000), Duration::from_secs(1));
        let told = standing.told(RETENTION_MS);
        assert_eq!((told.last_unix_ms, told.behind_seconds, told.error), (Some(3000), Some(1), None));
    }
}
