//! Ends versions and uploads as rules of their bucket say. Each is judged by rows of one view, and the batch that ends it requires
//! that these are still the same, the row of the rules among them.

use super::faults::find;
use super::notifications::Change;
use super::objects::Present;
use super::versioning::version_of;
use super::versions::{Edit, History, Kept, Removable, RemovalError, kept_as};
use super::{Catalog, CatalogError};
use crate::keys;
use crate::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, Revision, View};
use crate::model::{
    BucketId, BucketSetting, EventKind, Grounds, Object, ObjectKey, UploadId, Version, VersionId,
};
use crate::record::{BehindRecord, SettingRecord, VersionBodyRecord, Written as _};

/// Looks at a version whose key others write: after that many it stays, until somebody looks again.
const LOOKS_MAX: usize = 8;
/// Rows read at most to count what is newer: what is not counted keeps a version.
const COUNTED_ROWS_MAX: usize = 1024;

/// Rules of a bucket, by the row they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesAt {
    /// The bucket.
    pub bucket: BucketId,
    /// Where they are.
    pub which: BucketSetting,
    /// The commit that wrote them.
    pub written: Revision,
}

impl RulesAt {
    fn row(&self) -> Vec<u8> {
        keys::bucket_setting(self.which, self.bucket)
    }

    /// Whether they are still what the bucket has.
    async fn stand(&self, view: &impl View) -> Result<bool, CatalogError> {
        Ok(find::<SettingRecord>(view, &self.row()).await?.version == Some(self.written))
    }

    fn expect(&self, batch: &mut Batch) {
        batch.expect(self.row(), Some(self.written));
    }
}

/// A version that may have ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Its key.
    pub key: &'a ObjectKey,
    /// Its exact id.
    pub exact: VersionId,
    /// The exact id of the next newer version, where one was seen.
    pub newer: Option<VersionId>,
    /// Newer objects among those behind are counted up to this.
    pub counted_max: usize,
}

/// Where a version stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStanding {
    /// It is the newest.
    Newest {
        /// Whether there is no other.
        only: bool,
    },
    /// Another one took its place.
    Behind {
        /// When, in milliseconds since 1970.
        since_unix_ms: u64,
        /// Objects that are newer and behind too: so many at least.
        newer: usize,
    },
}

/// What came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// An object, for good: its bucket keeps no versions, or the marker that hides the key took the place of the version `null`.
    Object,
    /// An object that a marker hides from now on.
    Hidden,
    /// A version behind, for good.
    Version,
    /// A delete.
    Marker,
}

impl<K: Keyspace> Catalog<K> {
    /// What is set of a bucket, and the commit that wrote it, if it is.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bucket_rules(
        &self,
        bucket: BucketId,
        which: BucketSetting,
    ) -> Result<Option<(Vec<u8>, RulesAt)>, CatalogError> {
        let found = find::<SettingRecord>(&self.view().await?, &keys::bucket_setting(which, bucket)).await?;
        let rules = found.record.zip(found.version);
        Ok(rules.map(|(record, written)| (record.bytes, RulesAt { bucket, which, written })))
    }

    /// Ends a version if these rules are still the bucket's and `ends` says so of what is there: an object that its key shows as
    /// [`Catalog::delete_object`] does, everything else for good. The upload stands in the id of a marker that is made.
    ///
    /// `ends` may be asked several times. `None`: it stays, by these or by a lock, or is gone, or others keep writing its key.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn expire_version(
        &self,
        rules: &RulesAt,
        ending: &Ending<'_>,
        (marker, now_unix_ms): (UploadId, u64),
        mut ends: impl FnMut(&Version, VersionStanding) -> bool,
    ) -> Result<Option<Ended>, CatalogError> {
        let due_unix_ms = self.due_unix_ms(now_unix_ms);
        for attempt in 0..LOOKS_MAX {
            let view = self.view().await?;
            if !rules.stand(&view).await? {
                return Ok(None);
            }
            let Some(found) = Found::look(&view, rules.bucket, ending).await? else { return Ok(None) };
            let watchers = self.watchers(&view, &found.present, attempt).await?;
            drop(view);
            if !ends(&found.version, found.standing) {
                return Ok(None);
            }
            let mut edit = Edit::new(&found.present, due_unix_ms, watchers);
            let (ended, change) = match found.plan(&mut edit, (marker, now_unix_ms)) {
                Ok(planned) => planned,
                Err(RemovalError::Locked(_)) => return Ok(None),
                Err(RemovalError::Catalog(error)) => return Err(error),
            };
            let mut batch = edit.finish(&change)?;
            rules.expect(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Gives an open upload up, if these rules are still the bucket's. Gives whether it did.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn expire_upload(
        &self,
        rules: &RulesAt,
        upload: UploadId,
        now_unix_ms: u64,
    ) -> Result<bool, CatalogError> {
        for _ in 0..LOOKS_MAX {
            if !rules.stand(&self.view().await?).await? {
                return Ok(false);
            }
            let tried = self.try_abort(upload, now_unix_ms, |_| true, |batch| rules.expect(batch)).await?;
            if let Some(done) = tried {
                return Ok(done);
            }
        }
        Ok(false)
    }
}

/// A version in a view.
struct Found {
    present: Present,
    place: Place,
    version: Version,
    standing: VersionStanding,
}

enum Place {
    /// It is its key's object.
    Shown(Option<History>),
    /// It is not.
    Kept(History, Kept),
}

impl Found {
    async fn look(
        view: &impl View,
        bucket: BucketId,
        ending: &Ending<'_>,
    ) -> Result<Option<Self>, CatalogError> {
        let whose = (bucket, ending.key);
        let present = Present::find(view, bucket, ending.key).await?;
        let history = History::find(view, bucket, ending.key).await?;
        if let Some(object) = present.object().filter(|_| present.is(ending.exact)) {
            let only = history.as_ref().is_none_or(|history| history.newest().is_empty());
            let (version, standing) = (Version::Object(object), VersionStanding::Newest { only });
            return Ok(Some(Self { present, place: Place::Shown(history), version, standing }));
        }
        let Some(history) = history else { return Ok(None) };
        let Some(kept) = kept_as(view, whose, ending.exact).await? else { return Ok(None) };
        let is_first = history.newest().first().is_some_and(|first| first.order == kept.order);
        let standing = if present.current.is_none() && is_first {
            VersionStanding::Newest { only: history.newest().len() == 1 }
        } else {
            // Without the one that took its place, nobody knows since when it is behind.
            let Some(since_unix_ms) = put_at(view, &present, ending, kept.order).await? else {
                return Ok(None);
            };
            let newer = objects_newer(view, whose, kept.order, ending.counted_max).await?;
            VersionStanding::Behind { since_unix_ms, newer }
        };
        let version = version_of((bucket, ending.key.clone()), kept.clone(), view.revision().await?);
        Ok(Some(Self { present, place: Place::Kept(history, kept), version, standing }))
    }

    fn plan(
        &self,
        edit: &mut Edit,
        (marker, now_unix_ms): (UploadId, u64),
    ) -> Result<(Ended, Change<'static>), RemovalError> {
        let grounds = Grounds::at(now_unix_ms);
        let change = |kind, version| Change::end(kind, version, now_unix_ms);
        match &self.place {
            Place::Shown(None) => {
                edit.without_versions(&self.present, None, grounds)?;
                Ok((Ended::Object, change(EventKind::Expired, None)))
            }
            Place::Shown(Some(history)) => {
                let hidden = history.mark(edit, &self.present, (marker, now_unix_ms))?;
                let version = hidden.marker().map(|marker| marker.version);
                let ended = if hidden.object().is_some() { Ended::Object } else { Ended::Hidden };
                Ok((ended, change(EventKind::ExpiredMarked, version)))
            }
            Place::Kept(history, kept) => {
                history.remove_kept(edit, &self.present, &Removable::judge(kept, grounds)?)?;
                let ended = if kept.record.object().is_some() { Ended::Version } else { Ended::Marker };
                Ok((ended, change(EventKind::Expired, Some(kept.id()))))
            }
        }
    }
}

/// When the next newer version was put, if it is there: no other can come between the two.
async fn put_at(
    view: &impl View,
    present: &Present,
    ending: &Ending<'_>,
    order: u64,
) -> Result<Option<u64>, CatalogError> {
    let Some(newer @ VersionId::Numbered { order: of_newer, .. }) = ending.newer else { return Ok(None) };
    if of_newer <= order {
        return Ok(None);
    }
    if let Some(Object { created_unix_ms, .. }) = present.object().filter(|_| present.is(newer)) {
        return Ok(Some(created_unix_ms));
    }
    let kept = kept_as(view, (present.bucket, &present.key), newer).await?;
    Ok(kept.map(|kept| match kept.record.what {
        VersionBodyRecord::Object(object) => object.created_unix_ms,
        VersionBodyRecord::Marker { created_unix_ms, .. } => created_unix_ms,
    }))
}

/// How many objects of a key are behind its newest version and newer than that of an order, counted up to `most`.
async fn objects_newer(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    order: u64,
    most: usize,
) -> Result<usize, CatalogError> {
    let start = keys::versions_of(bucket, key.as_bytes()).start;
    let mut rest = KeyRange { start, end: Some(keys::version(bucket, key, order)) };
    let (mut objects, mut rows) = (0, 0);
    while objects < most && rows < COUNTED_ROWS_MAX && !rest.is_empty() {
        let page = view.range(&rest, RangeLimits::rows(most)).await?;
        let Some(last) = page.rows.last() else { break };
        rest = rest.after(&last.key);
        rows += page.rows.len();
        for row in &page.rows {
            objects += usize::from(BehindRecord::decode(&row.value)?.object().is_some());
        }
    }
    Ok(objects.min(most))
}
