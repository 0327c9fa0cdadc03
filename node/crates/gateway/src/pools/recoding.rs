//! How far pools are with coding anew what they have in earlier profiles. Pure: it is told what happened, and the time.

use std::collections::HashMap;
use std::sync::Arc;

use datamesh_shard::PoolName;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::drain::Progress;

/// What was seen of one pool since this gateway started.
#[derive(Clone, Debug)]
pub(crate) struct Recoded {
    /// By what is left: what is deleted is done, too.
    pub(crate) progress: Progress,
    pub(crate) done_bytes: u64,
    /// Why something could not be coded anew in the last whole pass over all pages, or in the one under way.
    pub(crate) failure: Option<String>,
    failed_now: Option<String>,
    /// Whether the pass under way has found something to do.
    found_now: bool,
    /// Whether the last whole pass found nothing to do.
    pub(crate) is_through: bool,
}

/// All pools.
#[derive(Debug, Default)]
pub(crate) struct Recoding {
    pools: Mutex<HashMap<PoolName, Recoded>>,
    wake: Arc<Notify>,
}

impl Recoding {
    /// Wakes whoever codes anew: a pool has changed.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// What was seen of a pool that has something in an earlier profile.
    pub(crate) fn of(&self, pool: &PoolName) -> Option<Recoded> {
        self.pools.lock().get(pool).cloned()
    }

    /// So many bytes of a pool are left. Nothing is remembered of one that has none.
    pub(crate) fn left(&self, pool: &PoolName, bytes: u64) {
        let (now, mut pools) = (Instant::now(), self.pools.lock());
        if bytes == 0 {
            pools.remove(pool);
            return;
        }
        let fresh = || Recoded {
            progress: Progress::new(bytes, now),
            done_bytes: 0,
            failure: None,
            failed_now: None,
            found_now: false,
            is_through: false,
        };
        pools.entry(pool.clone()).or_insert_with(fresh).progress.note(bytes, now);
    }

    /// Some are to be coded anew.
    pub(crate) fn found(&self, pool: &PoolName) {
        if let Some(recoded) = self.pools.lock().get_mut(pool) {
            recoded.found_now = true;
        }
    }

    /// So many bytes were.
    pub(crate) fn done(&self, pool: &PoolName, bytes: u64) {
        if let Some(recoded) = self.pools.lock().get_mut(pool) {
            recoded.done_bytes += bytes;
        }
    }

    /// Some could not be.
    pub(crate) fn failed(&self, pool: &PoolName, why: String) {
        if let Some(recoded) = self.pools.lock().get_mut(pool) {
            recoded.failed_now = Some(why.clone());
            recoded.failure = Some(why);
        }
    }

    /// All pages are looked through from the first.
    pub(crate) fn begin_pass(&self) {
        for recoded in self.pools.lock().values_mut() {
            (recoded.failed_now, recoded.found_now) = (None, false);
            if recoded.done_bytes == 0 {
                // The rate counts from the begin of the work, not of the wait for it.
                recoded.progress.restart(Instant::now());
            }
        }
    }

    /// And the last was looked at.
    pub(crate) fn end_pass(&self) {
        for recoded in self.pools.lock().values_mut() {
            recoded.is_through = !recoded.found_now;
            recoded.failure = recoded.failed_now.take();
        }
    }
}
