//! Finding the leader, within a bounded time.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::core::Core;
use super::types::ReplicaId;
use crate::keyspace::{CommitError, ReadError};

/// How long somebody who leads is looked for: an election of the slowest kind, twice.
pub(super) const TRY_FOR: Duration = Duration::from_secs(8);
/// Between tries while nothing seems to change.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a search ends without anybody.
pub(super) enum Lost {
    /// In time: a later one may find somebody.
    NoLeader(String),
    /// This replica does nothing until it is opened again.
    Stopped(&'static str),
}

impl From<Lost> for ReadError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NoLeader(why) => Self::NoLeader(why),
            Lost::Stopped(why) => Self::Engine(why.into()),
        }
    }
}

impl From<Lost> for CommitError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NoLeader(why) => Self::NoLeader(why),
            Lost::Stopped(why) => Self::Engine(why.into()),
        }
    }
}

/// One search.
pub(super) struct Search<'a> {
    core: &'a Core,
    until: Instant,
    hint: Option<ReplicaId>,
}

impl<'a> Search<'a> {
    pub(super) fn begin(core: &'a Core) -> Self {
        Self { core, until: Instant::now() + TRY_FOR, hint: core.leader() }
    }

    /// Whom to try.
    pub(super) fn leader(&self) -> Option<ReplicaId> {
        self.hint
    }

    /// After a try that came to nothing: waits a moment, or until this replica learns of another leader.
    ///
    /// # Errors
    /// Nobody was found in time, or never will be here.
    pub(super) async fn another(&mut self, hint: Option<ReplicaId>) -> Result<(), Lost> {
        if *self.core.volume.failed().borrow() {
            return Err(Lost::Stopped("this replica's volume has failed"));
        }
        let now = Instant::now();
        if now >= self.until {
            return Err(Lost::NoLeader(format!("none for {} s", TRY_FOR.as_secs())));
        }
        let tried = self.hint;
        if hint.is_some() && hint != tried {
            self.hint = hint;
            // Two that name each other are not asked without end.
            sleep_until((now + PAUSE / 10).min(self.until)).await;
            return Ok(());
        }
        let mut metrics = self.core.raft.metrics();
        let other = metrics.wait_until(|seen| seen.current_leader.is_some() && seen.current_leader != tried);
        // Late is no fault: the next try will tell.
        if let Ok(Err(_)) = timeout_at((now + PAUSE).min(self.until), other).await {
            return Err(Lost::Stopped("this replica has stopped"));
        }
        self.hint = self.core.leader();
        Ok(())
    }
}
