//! Ends what the rules of buckets say has ended: objects, versions, deletes that hide nothing, and uploads. It walks over the
//! buckets that have rules, some versions at a time, and keeps nothing: each end has the condition that what it ends is still there,
//! so that several gateways may do it at once, and one that stopped half-way begins again.

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::{CatalogError, DeleteObjectError};
use datamesh_catalog::{
    BucketId, BucketSetting, Condition, Marking, ObjectKey, UploadId, VersionCursor, VersionEntry,
    VersionListing, VersionQuery,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Worker};
use crate::api::App;
use crate::lifecycle::{Candidate, Lifecycle, Rule, Standing, Verdict};
use crate::pipeline::Context;
use crate::surroundings::random;

/// Between two walks.
pub(crate) const PERIOD: Duration = Duration::from_secs(15 * 60);
/// Between two steps of one: others have the catalog to themselves meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// Versions looked at in one step.
const VERSIONS_AT_ONCE: usize = 256;
/// Uploads looked at at once.
const UPLOADS_AT_ONCE: usize = 256;

/// The worker.
pub(crate) struct Expire {
    context: Arc<Context>,
    app: Arc<App>,
    /// Buckets of this walk that are not done, the next one last.
    left: Vec<BucketId>,
    /// Where the walk is in the bucket under way.
    at: Option<At>,
}

struct At {
    bucket: BucketId,
    rules: Vec<Rule>,
    after: Option<VersionCursor>,
    /// The key of the last version that was looked at, when that was put, and how many behind the newest it was.
    last: Option<(ObjectKey, u64, u32)>,
}

impl Expire {
    /// From the first bucket on.
    pub(crate) fn new(context: Arc<Context>, app: Arc<App>) -> Self {
        Self { context, app, left: Vec::new(), at: None }
    }

    async fn step(&mut self) -> Result<Next, CatalogError> {
        if let Some(mut at) = self.at.take() {
            if self.versions(&mut at).await? {
                self.at = Some(at);
            }
            return Ok(Next::Wait(PAUSE));
        }
        match self.left.pop() {
            Some(bucket) => self.begin(bucket).await?,
            None => {
                self.left = self.context.catalog.buckets_with(BucketSetting::Lifecycle).await?;
                if self.left.is_empty() {
                    return Ok(Next::Wait(PERIOD));
                }
            }
        }
        let over = self.left.is_empty() && self.at.is_none();
        Ok(Next::Wait(if over { PERIOD } else { PAUSE }))
    }

    async fn begin(&mut self, bucket: BucketId) -> Result<(), CatalogError> {
        let kept = self.context.catalog.bucket_setting(bucket, BucketSetting::Lifecycle).await?;
        let Some(bytes) = kept else { return Ok(()) };
        match serde_json::from_slice::<Lifecycle>(&bytes) {
            Ok(Lifecycle { rules }) => {
                self.uploads(bucket, &rules).await?;
                self.at = Some(At { bucket, rules, after: None, last: None });
            }
            Err(error) => tracing::error!(%bucket, %error, "the rules of a bucket do not read"),
        }
        Ok(())
    }

    async fn uploads(&self, bucket: BucketId, rules: &[Rule]) -> Result<(), CatalogError> {
        let (catalog, now_unix_ms) = (&self.context.catalog, self.context.surroundings.now_unix_ms());
        let mut last: Option<datamesh_catalog::ListedUpload> = None;
        loop {
            let after = last.as_ref().map(|last| (&last.key, Some(last.upload)));
            let listed = catalog.bucket_uploads(bucket, b"", after, UPLOADS_AT_ONCE).await?;
            for upload in &listed {
                let (key, begun) = (upload.key.as_bytes(), upload.created_unix_ms);
                if rules.iter().any(|rule| rule.aborts(key, begun, now_unix_ms)) {
                    catalog.abort_upload(upload.upload, now_unix_ms).await?;
                }
            }
            last = listed.into_iter().last();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Looks at some versions; false at the bucket's end.
    async fn versions(&self, at: &mut At) -> Result<bool, CatalogError> {
        let after = at.after.take();
        let query = VersionQuery { after, limit: VERSIONS_AT_ONCE, ..VersionQuery::default() };
        let VersionListing { entries, next, .. } =
            self.context.catalog.list_versions(at.bucket, &query).await?;
        for (n, entry) in entries.iter().enumerate() {
            let last = at.last.take().filter(|(key, ..)| *key == entry.key);
            let behind = last.as_ref().map_or(0, |(_, _, behind)| behind.saturating_add(1));
            let standing = match last {
                Some((_, since_unix_ms, newer)) => Standing::Behind { since_unix_ms, newer },
                None => {
                    Standing::Newest { only: self.is_only((at.bucket, entry), entries.get(n + 1)).await? }
                }
            };
            at.last = Some((entry.key.clone(), entry.created_unix_ms, behind));
            self.end((at.bucket, &at.rules), entry, standing).await?;
        }
        at.after = next;
        Ok(at.after.is_some())
    }

    /// Whether a key has no other version than its newest. Asked of deletes only.
    async fn is_only(
        &self,
        (bucket, entry): (BucketId, &VersionEntry),
        next: Option<&VersionEntry>,
    ) -> Result<bool, CatalogError> {
        match next {
            Some(next) => Ok(next.key != entry.key),
            None if entry.object.is_some() => Ok(false),
            None => {
                let after = Some(VersionCursor::Version(entry.key.clone(), entry.exact));
                let prefix = entry.key.as_bytes().to_vec();
                let query = VersionQuery { prefix, after, limit: 1, delimiter: None };
                let behind = self.context.catalog.list_versions(bucket, &query).await?;
                Ok(behind.entries.first().is_none_or(|behind| behind.key != entry.key))
            }
        }
    }

    /// Ends a version if a rule says so.
    async fn end(
        &self,
        (bucket, rules): (BucketId, &[Rule]),
        entry: &VersionEntry,
        standing: Standing,
    ) -> Result<(), CatalogError> {
        let now_unix_ms = self.context.surroundings.now_unix_ms();
        let candidate = Candidate {
            key: entry.key.as_bytes(),
            size_bytes: entry.object.as_ref().map(|object| object.size_bytes),
            created_unix_ms: entry.created_unix_ms,
            standing,
        };
        for rule in rules {
            let ends = match rule.judge(&candidate, now_unix_ms) {
                Verdict::Stays => false,
                Verdict::Ends => true,
                Verdict::EndsWithTags => self.has_tags(bucket, entry, rule).await?,
            };
            if ends {
                tracing::debug!(%bucket, rule = rule.id, version = %entry.version, "a rule ends a version");
                return self.delete(bucket, entry, standing, now_unix_ms).await;
            }
        }
        Ok(())
    }

    async fn has_tags(
        &self,
        bucket: BucketId,
        entry: &VersionEntry,
        rule: &Rule,
    ) -> Result<bool, CatalogError> {
        let found = self.context.catalog.object_version(bucket, &entry.key, entry.exact).await?;
        let Some(datamesh_catalog::Version::Object(object)) = found else { return Ok(false) };
        match self.app.objects.tags_of(&object).await {
            Ok(tags) => Ok(tags.include(&rule.filter.tags)),
            Err(problem) => {
                tracing::warn!(%bucket, detail = problem.detail(), "the tags of an object do not read: it stays");
                Ok(false)
            }
        }
    }

    async fn delete(
        &self,
        bucket: BucketId,
        entry: &VersionEntry,
        standing: Standing,
        now_unix_ms: u64,
    ) -> Result<(), CatalogError> {
        let catalog = &self.context.catalog;
        let done = match (&entry.object, standing) {
            // In a bucket that keeps versions this leaves a marker.
            (Some(object), Standing::Newest { .. }) => {
                let same = Condition::IfUpload(object.upload);
                let mark = Marking::ToHide(UploadId(random(&*self.context.surroundings)));
                catalog.delete_object(bucket, &entry.key, &same, mark, now_unix_ms).await.map(drop)
            }
            _ => catalog.delete_version((bucket, &entry.key), entry.exact, now_unix_ms).await.map(drop),
        };
        match done {
            // Another one was put meanwhile: it has its own time.
            Ok(()) | Err(DeleteObjectError::PreconditionFailed { .. }) => Ok(()),
            Err(DeleteObjectError::Catalog(error)) => Err(error),
        }
    }
}

impl Worker for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                tracing::error!(%error, "rules of expiry are not carried out");
                (self.at, self.left) = (None, Vec::new());
                Next::Wait(PERIOD)
            })
        }
        .boxed()
    }
}
