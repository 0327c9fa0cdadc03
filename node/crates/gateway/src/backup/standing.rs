//! How far the backup is.

use std::time::Duration;

use datamesh_settings::admin::{BackupStatus, RestoredStatus};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::metrics::BackupMetrics;

/// Clocks of gateways may differ by so much, and a commit may take so long: what was condemned so shortly before a backup may
/// still be in it.
const MARGIN: Duration = Duration::from_secs(60);

/// A backup that is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at_unix_ms: u64,
    pub(super) revision: u64,
    pub(super) bytes: u64,
    pub(super) segments: u64,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    error: Option<String>,
    restored: Option<RestoredStatus>,
}

/// Shared by the worker, the status, and what deletes.
pub(crate) struct Standing {
    state: Mutex<State>,
    superseded: CancellationToken,
    metrics: BackupMetrics,
}

impl Standing {
    /// None yet.
    pub(crate) fn new(metrics: BackupMetrics) -> Self {
        Self { state: Mutex::default(), superseded: CancellationToken::new(), metrics }
    }

    /// This catalog came out of a backup itself.
    pub(crate) fn was_restored(&self, restored: Option<RestoredStatus>) {
        self.state.lock().restored = restored;
    }

    pub(super) fn kept(&self, kept: Kept) {
        self.metrics.kept(kept.at_unix_ms, kept.bytes, kept.segments);
        let mut state = self.state.lock();
        (state.kept, state.error) = (Some(kept), None);
    }

    pub(super) fn failed(&self, error: String) {
        self.metrics.failures.inc();
        self.state.lock().error = Some(error);
    }

    /// Another gateway makes the backups, and knows how far they are.
    pub(super) fn is_made_elsewhere(&self) {
        let mut state = self.state.lock();
        (state.kept, state.error) = (None, None);
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
        let kept = self.state.lock().kept.map_or(0, |kept| kept.at_unix_ms);
        let margin = u64::try_from(MARGIN.as_millis()).unwrap_or(u64::MAX);
        now_unix_ms.min(kept.saturating_add(retention_ms).saturating_sub(margin))
    }

    /// For the status.
    pub(crate) fn told(&self, now_unix_ms: u64) -> BackupStatus {
        let state = self.state.lock();
        let kept = state.kept;
        BackupStatus {
            last_unix_ms: kept.map(|kept| kept.at_unix_ms),
            behind_seconds: kept.map(|kept| now_unix_ms.saturating_sub(kept.at_unix_ms) / 1000),
            revision: kept.map_or(0, |kept| kept.revision),
            bytes: kept.map_or(0, |kept| kept.bytes),
            segments: kept.map_or(0, |kept| kept.segments),
            error: state.error.clone(),
            restored: state.restored.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION_MS: u64 = 600_000;

    #[test]
    fn nothing_that_the_newest_backup_refers_to_is_deleted() {
        let standing = Standing::new(BackupMetrics::default());
        assert!(standing.deletable_until(1_000_000_000, RETENTION_MS) < RETENTION_MS, "none yet");
        let kept = |at_unix_ms| Kept { at_unix_ms, revision: 1, bytes: 2, segments: 3 };
        standing.kept(kept(1_000_000_000));
        // Just now: as ever.
        assert_eq!(standing.deletable_until(1_000_030_000, RETENTION_MS), 1_000_030_000);
        // For long: what was condemned after it, and before it by less than the margin, is due later than this.
        assert_eq!(standing.deletable_until(2_000_000_000, RETENTION_MS), 1_000_540_000);
        standing.failed("the reason".into());
        let told = standing.told(1_000_047_500);
        assert_eq!((told.behind_seconds, told.error.as_deref()), (Some(47), Some("the reason")));
        standing.kept(kept(1_000_048_000));
        assert_eq!(standing.told(1_000_048_000).error, None);
    }
}
