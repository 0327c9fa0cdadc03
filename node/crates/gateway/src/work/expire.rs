//! Ends what the rules of buckets say has ended: objects, versions, deletes that hide nothing, and uploads. It walks over the
//! buckets that have rules, some rows at a time. What a list shows is only a hint: each end is judged again by the rows as they are,
//! and its commit requires that they, and the rules, are so still. So several gateways may do it at once, and one that stopped
//! half-way begins again.

mod new_rules;
mod told;

use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::{CatalogError, Ended, Ending, RulesAt, VersionStanding};
use datamesh_catalog::{
    BucketId, BucketSetting, Cause, ListedUpload, UploadId, Version, VersionCursor, VersionEntry, VersionId,
    VersionListing, VersionQuery,
};
use datamesh_shard::BucketName;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

pub(crate) use self::new_rules::NewRules;
use self::told::Told;
use super::{Next, Worker};
use crate::api::App;
use crate::lifecycle::{Candidate, Lifecycle};
use crate::objects::BucketContext;
use crate::pipeline::Context;
use crate::surroundings::random;

/// Between two walks, unless rules are set. Days end at midnight, so what is due goes within this after it.
pub(crate) const PERIOD: Duration = Duration::from_secs(3600);
/// Between two steps of one: others have the catalog to themselves meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// After a fault: the catalog may have nobody who leads it.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// Rows looked at in one step, and so the most that ends in one.
const ROWS_AT_ONCE: usize = 256;
/// Whose doing it is, as audit and events name it.
const ACTOR: &str = "lifecycle";

/// The worker.
pub(crate) struct Expire {
    context: Arc<Context>,
    app: Arc<App>,
    /// Buckets of this walk that are not done, the next one last.
    left: Vec<(BucketId, BucketName, BucketSetting)>,
    /// Where the walk is in the bucket under way.
    at: Option<At>,
    /// As events tell it.
    cause: Arc<Cause>,
}

/// A bucket under way.
struct At {
    name: BucketName,
    bucket: Arc<BucketContext>,
    rules: RulesAt,
    lifecycle: Lifecycle,
    place: Place,
}

/// How far it is there.
enum Place {
    Uploads { after: Option<ListedUpload> },
    Versions { after: Option<VersionCursor>, last: Option<Last> },
}

/// The version that was looked at last.
struct Last {
    entry: VersionEntry,
    /// Objects of its key that were seen behind the newest version, itself among them.
    behind: usize,
}

impl Expire {
    /// From the first bucket on.
    pub(crate) fn new(context: Arc<Context>, app: Arc<App>) -> Self {
        let cause = Arc::new(Cause { by: ACTOR.to_owned(), ..Cause::default() });
        Self { context, app, left: Vec::new(), at: None, cause }
    }

    async fn step(&mut self) -> Result<Next, CatalogError> {
        // Nothing ends while that cannot be written down.
        self.app.audit.flush().await?;
        if let Some(at) = self.at.take() {
            self.at = self.go_on(at).await?;
        } else if let Some((bucket, name, which)) = self.left.pop() {
            self.at = self.begin((bucket, which), name).await?;
        } else {
            self.app.new_rules.seen();
            self.left = self.with_rules().await?;
        }
        let over = self.left.is_empty() && self.at.is_none() && !self.app.new_rules.are_there();
        Ok(Next::Wait(if over { PERIOD } else { PAUSE }))
    }

    async fn with_rules(&self) -> Result<Vec<(BucketId, BucketName, BucketSetting)>, CatalogError> {
        let mut all = Vec::new();
        for which in Lifecycle::KEPT_AS {
            let with = self.context.catalog.buckets_with(which).await?;
            if with.is_empty() {
                continue;
            }
            let buckets = self.context.catalog.buckets().await?;
            let named = buckets.into_iter().filter(|bucket| with.binary_search(&bucket.id).is_ok());
            all.extend(named.map(|bucket| (bucket.id, bucket.name, which)));
        }
        Ok(all)
    }

    async fn begin(
        &self,
        (id, which): (BucketId, BucketSetting),
        name: BucketName,
    ) -> Result<Option<At>, CatalogError> {
        let Some((rules, lifecycle)) = self.rules(id, which).await? else { return Ok(None) };
        let bucket = match self.app.objects.bucket(&name).await {
            Ok(bucket) if bucket.id == id => bucket,
            // Another one has the name by now.
            Ok(_) => return Ok(None),
            Err(problem) => {
                tracing::warn!(bucket = %id, detail = problem.detail(), "the rules of a bucket are not carried out");
                return Ok(None);
            }
        };
        Ok(Some(At { name, bucket, rules, lifecycle, place: Place::Uploads { after: None } }))
    }

    async fn rules(
        &self,
        bucket: BucketId,
        which: BucketSetting,
    ) -> Result<Option<(RulesAt, Lifecycle)>, CatalogError> {
        let kept = self.context.catalog.bucket_rules(bucket, which).await?;
        let Some((bytes, rules)) = kept else { return Ok(None) };
        match Lifecycle::read(which, &bytes) {
            Ok(lifecycle) => Ok(Some((rules, lifecycle))),
            Err(error) => {
                tracing::error!(%bucket, %error, "the rules of a bucket do not read: nothing of it ends");
                Ok(None)
            }
        }
    }

    /// Looks at some more; `None` at the bucket's end, or if its rules are others now: those are for the next walk.
    async fn go_on(&self, mut at: At) -> Result<Option<At>, CatalogError> {
        let kept = self.context.catalog.bucket_rules(at.bucket.id, at.rules.which).await?;
        if kept.is_none_or(|(_, rules)| rules != at.rules) {
            return Ok(None);
        }
        let mut told = Told::default();
        let looked = self.some(&mut at, &mut told).await;
        // Also what had ended before a fault.
        told.tell(&self.app, &at.name).await;
        Ok(looked?.map(|place| At { place, ..at }))
    }

    async fn some(&self, at: &mut At, told: &mut Told) -> Result<Option<Place>, CatalogError> {
        match std::mem::replace(&mut at.place, Place::Uploads { after: None }) {
            Place::Uploads { after } => self.uploads(at, after, told).await.map(Some),
            Place::Versions { after, last } => self.versions(at, (after, last), told).await,
        }
    }

    async fn uploads(
        &self,
        at: &At,
        after: Option<ListedUpload>,
        told: &mut Told,
    ) -> Result<Place, CatalogError> {
        let (catalog, now_unix_ms) = (&self.context.catalog, self.context.surroundings.now_unix_ms());
        let after = after.as_ref().map(|last| (&last.key, Some(last.upload)));
        let listed = catalog.bucket_uploads(at.bucket.id, b"", after, ROWS_AT_ONCE).await?;
        for ListedUpload { key, upload, created_unix_ms } in &listed {
            let Some(rule) = at.lifecycle.aborts(key.as_bytes(), *created_unix_ms, now_unix_ms) else {
                continue;
            };
            if catalog.expire_upload(&at.rules, *upload, now_unix_ms).await? {
                told.upload(key, &rule.id);
            }
        }
        Ok(match listed.into_iter().last() {
            Some(last) => Place::Uploads { after: Some(last) },
            None => Place::Versions { after: None, last: None },
        })
    }

    async fn versions(
        &self,
        at: &At,
        (after, mut last): (Option<VersionCursor>, Option<Last>),
        told: &mut Told,
    ) -> Result<Option<Place>, CatalogError> {
        let query = VersionQuery { after, limit: ROWS_AT_ONCE, ..VersionQuery::default() };
        let VersionListing { entries, next, .. } =
            self.context.catalog.list_versions(at.bucket.id, &query).await?;
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let newer = last.take().filter(|last| last.entry.key == entry.key);
            let followed = entries.peek().map(|next| next.key == entry.key);
            let behind = newer.as_ref().map_or(0, |newer| newer.behind);
            let standing = match &newer {
                Some(Last { entry: newer, .. }) => {
                    VersionStanding::Behind { since_unix_ms: newer.created_unix_ms, newer: behind }
                }
                // Of the last one of the list nobody knows: it is looked at.
                None => VersionStanding::Newest { only: !followed.unwrap_or(false) },
            };
            let exact = newer.as_ref().map(|newer| newer.entry.exact);
            if self.version(at, (&entry, standing, exact), told).await? {
                // What is behind it stands behind the one before from now on.
                last = newer;
                continue;
            }
            let counts = entry.object.is_some() && matches!(standing, VersionStanding::Behind { .. });
            last = Some(Last { entry, behind: behind + usize::from(counts) });
        }
        Ok(next.map(|next| Place::Versions { after: Some(next), last }))
    }

    /// Ends a version if a rule says so, first by what the list shows of it, then by what is there. Gives whether it is gone for good.
    async fn version(
        &self,
        at: &At,
        (entry, standing, newer): (&VersionEntry, VersionStanding, Option<VersionId>),
        told: &mut Told,
    ) -> Result<bool, CatalogError> {
        let now_unix_ms = self.context.surroundings.now_unix_ms();
        let of = |standing| Candidate {
            key: entry.key.as_bytes(),
            size_bytes: entry.object.as_ref().map(|object| object.size_bytes),
            created_unix_ms: entry.created_unix_ms,
            standing,
        };
        if !at.lifecycle.may_end(&of(standing), now_unix_ms) {
            return Ok(false);
        }
        let ending =
            Ending { key: &entry.key, exact: entry.exact, newer, counted_max: at.lifecycle.kept_max() };
        let marker = (UploadId(random(&*self.context.surroundings)), now_unix_ms);
        let mut rule = None;
        let judged = |version: &Version, standing| {
            rule = at.lifecycle.ends(&of(standing), now_unix_ms, || tags_of(&at.bucket, version));
            rule.is_some()
        };
        let catalog = self.context.catalog.because_of(Arc::clone(&self.cause));
        let ended = catalog.expire_version(&at.rules, &ending, marker, judged).await?;
        if let Some((ended, rule)) = ended.zip(rule) {
            told.version(&entry.key, ended, &rule.id);
        }
        Ok(ended.is_some_and(|ended| ended != Ended::Hidden))
    }
}

fn tags_of(bucket: &BucketContext, version: &Version) -> Option<crate::objects::Tags> {
    let Version::Object(object) = version else { return None };
    let tags = bucket.tags_of(object);
    tags.inspect_err(|problem| {
        tracing::warn!(detail = problem.detail(), "the tags of an object do not read: it stays");
    })
    .ok()
}

impl Worker for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn wakes(&self) -> Option<Arc<Notify>> {
        Some(self.app.new_rules.wake())
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            self.step().await.unwrap_or_else(|error| {
                // The other buckets have their turn, and this one in the next walk; where nobody leads the catalog, all begins anew.
                if error.is_leaderless() {
                    (self.at, self.left) = (None, Vec::new());
                }
                tracing::error!(%error, "rules of a bucket are not carried out");
                Next::Wait(AFTER_FAULT)
            })
        }
        .boxed()
    }
}
