//! Reclaims what nobody needs: uploads whose lease ended or whose client went away, and the shards of condemned
//! segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::backup::BACKUP_BUCKET;
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::limits::SEGMENTS_PER_CALL_MAX;
use datamesh_catalog::{Condemned, EmbeddedCatalog, UploadId};
use datamesh_exchange::message::{Request, Response};
use datamesh_exchange::net::Net;
use datamesh_mesh::planted::{Planted, is_planted};
use datamesh_shard::{PeerKey, PoolName};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, mpsc};

use super::{Next, Worker};
use crate::backup::Standing;
use crate::cache::SegmentCache;
use crate::group::Leading;
use crate::pools::Pools;
use crate::surroundings::Surroundings;

const PERIOD: Duration = Duration::from_secs(10);
/// Segments deleted in one unit of work; each costs a request per shard and member.
const SEGMENTS_AT_ONCE: usize = 64;
/// Uploads looked at in one unit of work.
const UPLOADS_AT_ONCE: usize = 64;
/// Requests with a key that are forgotten in one unit of work.
const REQUESTS_FORGOTTEN_AT_ONCE: usize = 256;
/// Requests under way at the same time: deleting stays in the background.
const REQUESTS_AT_ONCE: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Condemned segments that one look at the list finds at least, if there are so many: see the catalog's expansion.
const SEGMENTS_PER_PASS: u64 = 64 * 512;
/// Uploads whose clients went away, waiting to be aborted; what does not fit waits for the end of its lease.
const ABANDONED_MAX: usize = 1024;

/// How long deleting takes at most once it is due, behind everything that waits (`waiting` segments, its own included), in a pool of
/// so many members that all answer, each request within its timeout. Twice the time of the work itself: what is deleted meanwhile
/// may come in between.
pub(crate) fn done_within(waiting: u64, members: usize) -> Duration {
    let at_once = u64::try_from(SEGMENTS_AT_ONCE).unwrap_or(u64::MAX);
    let rounds = u32::try_from(SEGMENTS_AT_ONCE.div_ceil(REQUESTS_AT_ONCE)).unwrap_or(u32::MAX);
    let batch = TIMEOUT.saturating_mul(rounds).saturating_mul(u32::try_from(members).unwrap_or(u32::MAX));
    let times = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let batches = batch.saturating_mul(times(waiting.div_ceil(at_once)));
    // Each pass may end with a batch that is not full, and rests; one may be under way, and does not see what is new.
    let passes = (PERIOD + batch).saturating_mul(times(waiting / SEGMENTS_PER_PASS + 2));
    batches.saturating_add(passes).saturating_mul(2)
}

/// Takes note of puts that ended without a commit.
pub(crate) struct Abandoned {
    uploads: mpsc::Sender<UploadId>,
    wake: Arc<Notify>,
}

/// Hands its upload over to be reclaimed when dropped, unless the put was done.
pub(crate) struct UnlessDone<'a> {
    abandoned: &'a Abandoned,
    upload: Option<UploadId>,
}

impl Abandoned {
    /// Something is due now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// A guard for the time between a put's first segment and its commit.
    pub(crate) fn unless_done(&self, upload: UploadId) -> UnlessDone<'_> {
        UnlessDone { abandoned: self, upload: Some(upload) }
    }
}

impl UnlessDone<'_> {
    /// The put is committed.
    pub(crate) fn done(mut self) {
        self.upload = None;
    }
}

impl Drop for UnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && self.abandoned.uploads.try_send(upload).is_ok()
        {
            self.abandoned.wake.notify_one();
        }
    }
}

/// The worker.
pub(crate) struct Reclaim {
    catalog: EmbeddedCatalog,
    pools: Arc<Pools>,
    net: Arc<dyn Net>,
    surroundings: Arc<dyn Surroundings>,
    cache: Arc<SegmentCache>,
    abandoned: mpsc::Receiver<UploadId>,
    wake: Arc<Notify>,
    /// Where it does not, it aborts its own puts and no more.
    pub(crate) leading: Leading,
    /// What deletion waits for, where there are backups.
    pub(crate) backup: Option<Arc<Standing>>,
    /// The last segment looked at, while one in front of it waits for a member that is down.
    passed: Option<Condemned>,
}

impl Reclaim {
    /// The worker, and what feeds it.
    pub(crate) fn new(
        catalog: EmbeddedCatalog,
        pools: Arc<Pools>,
        (net, surroundings): (Arc<dyn Net>, Arc<dyn Surroundings>),
        cache: Arc<SegmentCache>,
    ) -> (Self, Abandoned) {
        let (uploads, abandoned) = mpsc::channel(ABANDONED_MAX);
        let wake = Arc::new(Notify::new());
        let feed = Abandoned { uploads, wake: Arc::clone(&wake) };
        let (leading, backup, passed) = (Leading::Always, None, None);
        (Self { catalog, pools, net, surroundings, cache, abandoned, wake, leading, backup, passed }, feed)
    }

    async fn step(&mut self) -> Result<Next, CatalogError> {
        let now = self.surroundings.now_unix_ms();
        while let Ok(upload) = self.abandoned.try_recv() {
            if self.catalog.abort_upload(upload, now).await? {
                tracing::debug!(%upload, "an abandoned put was aborted");
            }
        }
        if !self.leading.now() {
            self.passed = None;
            return Ok(Next::Wait(PERIOD));
        }
        let expired = self.expired(now).await?;
        if !expired.is_empty() {
            tracing::info!(uploads = expired.len(), "uploads whose lease ended were aborted");
        }
        for upload in self.catalog.leftovers(UPLOADS_AT_ONCE).await? {
            self.catalog.let_go_idle(upload, now).await?;
        }
        let forgotten = self.catalog.forget_keyed_requests(now, REQUESTS_FORGOTTEN_AT_ONCE).await?;
        if self.catalog.holds_deletion().await? {
            return Ok(Next::Wait(PERIOD));
        }
        let limit = SEGMENTS_AT_ONCE.min(SEGMENTS_PER_CALL_MAX);
        let until = self.deletable_until(now);
        let due = self.catalog.condemned_due(until, self.passed.as_ref(), limit).await?;
        // Those that wait for a member that is down are passed over until the list was seen to its end.
        self.passed = (due.len() == limit).then(|| due.last().cloned()).flatten();
        let gone = self.delete(due).await;
        let gone = self.known_to_all_members(gone).await?;
        if !gone.is_empty()
            && let Err(error) = self.catalog.forget_condemned(&gone).await
        {
            tracing::error!(%error, "deleted segments are not forgotten; they are deleted again");
            return Ok(Next::Wait(PERIOD));
        }
        let more = expired.len() == UPLOADS_AT_ONCE
            || forgotten == REQUESTS_FORGOTTEN_AT_ONCE
            || self.passed.is_some();
        Ok(if more { Next::Busy } else { Next::Wait(PERIOD) })
    }

    /// Aborts uploads whose lease has ended. After a long outage that is one of the newest backup, too, until its worker knows of it.
    async fn expired(&self, now: u64) -> Result<Vec<UploadId>, CatalogError> {
        match &self.backup {
            Some(backup) if backup.is_unknown() => {
                self.catalog.reclaim_expired_beside(BACKUP_BUCKET, now, UPLOADS_AT_ONCE).await
            }
            _ => self.catalog.reclaim_expired(now, UPLOADS_AT_ONCE).await,
        }
    }

    /// What was due by then may go: what the newest backup refers to stays while there is no newer one.
    fn deletable_until(&self, now: u64) -> u64 {
        let retention_ms = self.catalog.options().retention_ms;
        if is_planted(Planted::DeletedBeforeBackup) {
            return now.saturating_add(retention_ms);
        }
        self.backup.as_ref().map_or(now, |backup| backup.deletable_until(now, retention_ms))
    }

    /// Those whose pool has no newer layout than this gateway knows: another gateway may have let in a member that was not told.
    async fn known_to_all_members(&self, gone: Vec<Condemned>) -> Result<Vec<Condemned>, CatalogError> {
        let mut newest = BTreeMap::new();
        for condemned in &gone {
            if !newest.contains_key(&condemned.pool) {
                let epoch = self.catalog.newest_epoch(&condemned.pool).await?;
                newest.insert(condemned.pool.clone(), epoch);
            }
        }
        let known = |pool: &PoolName| self.pools.get(pool)?.layout().map(|layout| layout.epoch);
        Ok(gone.into_iter().filter(|gone| newest.get(&gone.pool) == Some(&known(&gone.pool))).collect())
    }

    /// Those of the segments that are gone from every node that may have had a shard of them.
    async fn delete(&self, due: Vec<Condemned>) -> Vec<Condemned> {
        let deleting = futures::stream::iter(due).map(|condemned| async move {
            let gone = self.delete_one(&condemned).await;
            gone.then_some(condemned)
        });
        deleting.buffer_unordered(REQUESTS_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    /// A shard may be anywhere in its pool: at a holder of any epoch, or at a node that stood in for one. Only when
    /// every member has confirmed is the segment forgotten; one that is down keeps it listed. Nodes that left had nothing
    /// any more, or were given up for lost.
    async fn delete_one(&self, condemned: &Condemned) -> bool {
        // No row names it any more: what is kept of it only takes room.
        self.cache.remove(&condemned.segment);
        let Some(pool) = self.pools.get(&condemned.pool) else { return false };
        let Some(layout) = pool.layout() else { return false };
        let members: BTreeSet<PeerKey> = layout.members.iter().map(|member| member.peer).collect();
        if members.iter().any(|peer| !self.net.is_live(peer)) {
            return false;
        }
        for peer in members {
            if !self.delete_from(&peer, condemned).await {
                return false;
            }
        }
        // Whoever came in meanwhile was not told, and may have been given a shard before its giver was.
        let now = self.pools.get(&condemned.pool);
        now.is_some_and(|pool| pool.layout().is_some_and(|now| now.epoch == layout.epoch))
    }

    /// Also where no shard is: the member remembers it, and takes none that is still on its way.
    async fn delete_from(&self, peer: &PeerKey, condemned: &Condemned) -> bool {
        let Condemned { segment, generation, .. } = *condemned;
        let request = Request::DeleteSegment { segment, generation };
        match self.net.request(peer, request, None, TIMEOUT).await {
            Ok((Response::Done, _)) => true,
            Ok((response, _)) => {
                tracing::debug!(%peer, %segment, ?response, "a segment was not deleted");
                false
            }
            Err(_) => false,
        }
    }
}

impl Worker for Reclaim {
    fn name(&self) -> &'static str {
        "reclaim"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "reclaiming does not go on");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.wake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_delete_may_claim_grows_with_what_waits_and_with_the_members() {
        let minutes = |waiting, members| done_within(waiting, members).as_secs() / 60;
        assert_eq!(minutes(1, 6), 24);
        assert_eq!(minutes(64, 6), 24);
        assert_eq!(minutes(65, 6), 32);
        assert_eq!(minutes(64, 12), 48);
        assert!(done_within(1 << 40, 1000) > done_within(1 << 20, 1000));
        assert!(done_within(u64::MAX, usize::MAX) > Duration::from_secs(1 << 30));
    }
}
