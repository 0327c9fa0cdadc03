//! Codes what pools have in earlier profiles anew, page after page, behind all other work. What is done stands in the pages
//! themselves: after a restart it begins at the first page again, and passes over what is done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{Page, PageAt, SegmentRef, UploadId};
use datamesh_placement::Layout;
use datamesh_shard::PoolName;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Next, Worker};
use crate::pipeline::{Context, Group, Outcome, RecodeError, recode};

/// Between two looks for something to do, while there is.
const PERIOD: Duration = Duration::from_secs(10);
/// The same at most, while nothing comes of it: each doubles the rest. A pool that changes ends it.
const REST_MAX: Duration = Duration::from_secs(160);
/// Pages read at once: some 40 KiB each.
const PAGES_AT_ONCE: usize = 16;
/// Segments coded anew before their page is written, which costs a page's bytes and a sync.
const SEGMENTS_AT_ONCE: usize = 8;
/// Before more is tried after some could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// The worker.
pub(crate) struct Recode {
    context: Arc<Context>,
    /// The last page looked at.
    after: Option<(UploadId, PageAt)>,
    /// Whether anything was coded anew in the pass under way.
    moved: bool,
    /// After the last whole pass.
    rest: Duration,
}

impl Recode {
    /// From the first page on.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, after: None, moved: false, rest: PERIOD }
    }

    async fn step(&mut self) -> Result<Next, CatalogError> {
        self.count().await?;
        if !self.context.pools.all().iter().any(|(name, _)| self.has_work(name)) {
            (self.after, self.rest) = (None, PERIOD);
            return Ok(Next::Wait(PERIOD));
        }
        if self.after.is_none() {
            self.context.pools.recoding.begin_pass();
            self.moved = false;
        }
        let begun = Instant::now();
        let pages = self.context.catalog.pages_after(self.after, PAGES_AT_ONCE).await?;
        let Some((upload, at, _)) = pages.last() else { return Ok(Next::Wait(self.end_pass())) };
        // Half of the time is left to others, here as behind each group.
        let (last, rest) = ((*upload, *at), begun.elapsed());
        for (upload, at, page) in pages {
            self.page(upload, at, page).await?;
        }
        self.after = Some(last);
        Ok(Next::Wait(rest))
    }

    /// Whether a pool's objects, or what was one of them, have something in an earlier profile. What is condemned goes by itself.
    fn has_work(&self, pool: &PoolName) -> bool {
        self.context.pools.recodes(pool).is_some() && self.context.pools.recoding.of(pool).is_some()
    }

    /// How long to rest after it.
    fn end_pass(&mut self) -> Duration {
        self.after = None;
        self.context.pools.recoding.end_pass();
        self.rest = if self.moved { PERIOD } else { (self.rest * 2).min(REST_MAX) };
        self.rest
    }

    async fn page(&mut self, upload: UploadId, at: PageAt, page: Page) -> Result<(), CatalogError> {
        // A page of a private bucket may name a segment more than once: all places are swapped at once.
        let mut seen = BTreeSet::new();
        let mut is_new = |segment: &SegmentRef| seen.insert(segment.id);
        let due = page.segments.into_iter().filter(|segment| self.is_due(segment) && is_new(segment));
        let due: Vec<SegmentRef> = due.collect();
        for segments in due.chunks(SEGMENTS_AT_ONCE) {
            // It may have been called off, or the profile may be another by now.
            if !segments.iter().all(|segment| self.is_due(segment)) {
                continue;
            }
            // What is being uploaded, was deleted, or is shredded, goes or comes by itself; also what was when this page began.
            let Some(object) = self.context.catalog.object_of(upload).await? else { return Ok(()) };
            self.group(Group { object, at, segments: segments.to_vec() }).await;
        }
        Ok(())
    }

    fn is_due(&self, segment: &SegmentRef) -> bool {
        self.context.pools.recodes(&segment.pool).is_some_and(|(profile, _)| profile != segment.profile)
    }

    /// As long a rest as it took leaves half of the time to others; a limit asks for more.
    async fn group(&mut self, group: Group) {
        let Some(pool) = group.segments.first().map(|segment| segment.pool.clone()) else { return };
        let bytes: u64 = group.segments.iter().map(|segment| u64::from(segment.sealed_bytes)).sum();
        self.context.pools.recoding.found(&pool);
        let begun = Instant::now();
        let Outcome { bytes: done, failure } = recode(&self.context, &group).await;
        if done > 0 {
            self.moved = true;
            self.context.pools.recoding.done(&pool, done);
            self.context.metrics.profiles.recoded(pool.as_str(), done);
        }
        let mut rest = begun.elapsed().max(self.least(&pool, bytes).saturating_sub(begun.elapsed()));
        if let Some(error) = failure {
            self.failed(&pool, &group, &error);
            rest = rest.max(PAUSE);
        }
        tokio::time::sleep(rest).await;
    }

    /// How long so many bytes shall take at least.
    fn least(&self, pool: &PoolName, bytes: u64) -> Duration {
        let limit = self.context.pools.recodes(pool).and_then(|(_, limit)| limit);
        let millis = limit.and_then(|limit| bytes.saturating_mul(1000).checked_div(limit));
        Duration::from_millis(millis.unwrap_or_default())
    }

    fn failed(&self, pool: &PoolName, group: &Group, error: &RecodeError) {
        if error.passes() {
            return tracing::debug!(%pool, %error, "segments are not coded anew now");
        }
        let segment = group.segments.first().map(|segment| segment.id);
        tracing::warn!(%pool, ?segment, %error, "segments are not coded anew");
        self.context.pools.recoding.failed(pool, error.to_string());
    }

    /// What each pool has in each profile, for metrics and the progress.
    async fn count(&self) -> Result<(), CatalogError> {
        let mut all = Vec::new();
        for (name, pool) in self.context.pools.all() {
            let mut usage = Vec::new();
            for profile in pool.layout().into_iter().flat_map(Layout::profiles) {
                usage.push((profile, self.context.catalog.profile_usage(&name, profile).await?.bytes));
            }
            self.context.pools.recoding.left(&name, usage.iter().skip(1).map(|(_, bytes)| bytes).sum());
            all.push((name, usage));
        }
        let metrics = &self.context.metrics.profiles;
        metrics.forget();
        all.iter().for_each(|(name, usage)| metrics.set(name.as_str(), usage));
        Ok(())
    }
}

impl Worker for Recode {
    fn name(&self) -> &'static str {
        "recode"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "coding anew does not go on");
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.context.pools.recoding.wake())
    }
}
