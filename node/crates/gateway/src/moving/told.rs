//! What the status says of a move.

use datamesh_catalog::engine::MovingKeyspace;
use datamesh_catalog::moving::{Progress, Step};
use datamesh_catalog::record::Keeper;
use datamesh_settings::admin::{CatalogEngine, CatalogMovePhase, CatalogMoveStatus};
use parking_lot::Mutex;

/// How far it is, in the worker's last word.
pub(crate) struct Told {
    keyspace: MovingKeyspace,
    to: Keeper,
    last: Mutex<Last>,
}

#[derive(Clone, Default)]
struct Last {
    progress: Option<Progress>,
    /// What it waits for, or why it does not go on.
    waits: Option<String>,
}

impl Told {
    pub(super) fn new(keyspace: MovingKeyspace, to: Keeper) -> Self {
        Self { keyspace, to, last: Mutex::default() }
    }

    /// It goes on; what is next is said once in the log.
    pub(super) fn progress(&self, progress: Progress) {
        let next = Last { progress: Some(progress), waits: None };
        let before = std::mem::replace(&mut *self.last.lock(), next);
        if before.progress.is_none_or(|before| before.step != progress.step) {
            let Progress { step, rows, left } = progress;
            tracing::info!(rows, left, "the catalog's move goes on: {step:?}");
        }
    }

    /// It does not, for this reason; said once in the log.
    pub(super) fn waits(&self, reason: String) {
        let mut last = self.last.lock();
        if last.waits.as_ref() != Some(&reason) {
            tracing::warn!(reason, "the catalog's move waits");
        }
        last.waits = Some(reason);
    }

    /// As the status has it.
    pub(crate) fn status(&self) -> CatalogMoveStatus {
        let Last { progress, waits } = self.last.lock().clone();
        let is_over = self.keyspace.has_arrived();
        CatalogMoveStatus {
            to: match self.to {
                Keeper::Gateways => CatalogEngine::Embedded,
                Keeper::Postgres => CatalogEngine::Postgres,
            },
            phase: if is_over { CatalogMovePhase::Moved } else { phase(progress.as_ref()) },
            rows: progress.map_or(0, |progress| progress.rows),
            changes: progress.map_or(0, |progress| u64::try_from(progress.left).unwrap_or(u64::MAX)),
            waits_for: waits.filter(|_| !is_over),
        }
    }
}

fn phase(progress: Option<&Progress>) -> CatalogMovePhase {
    match progress.map(|progress| progress.step) {
        None => CatalogMovePhase::Beginning,
        Some(Step::Copy) => CatalogMovePhase::Copying,
        Some(Step::Compare) => CatalogMovePhase::Comparing,
        Some(Step::Follow | Step::Await | Step::Fence) => CatalogMovePhase::Following,
        Some(Step::Open | Step::Done) => CatalogMovePhase::Opening,
    }
}
