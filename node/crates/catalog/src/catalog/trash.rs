//! What was deleted and can be put back, in buckets that keep versions: each delete with an object directly behind it. Nothing is kept
//! for it that versions do not keep.

use super::faults::ATTEMPTS_MAX;
use super::notifications::Change;
use super::objects::{Present, object_of};
use super::versions::{Edit, History, Kept, Removable, RemovalError, kept_as};
use super::{Catalog, CatalogError, DeleteObjectError};
use crate::keys;
use crate::keyspace::{Keyspace, RangeLimits, View};
use crate::limits::LISTING_MAX;
use crate::model::{
    BucketId, EventKind, Grounds, Locked, Object, ObjectKey, TrashEntry, TrashPage, VersionCursor,
    VersionEntry, VersionId, VersionQuery,
};
use crate::record::{BehindRecord, Written as _};

/// Versions that are looked at for one page at most: where most are no deletes, it has fewer entries than were asked for.
const LOOKED_AT_MAX: usize = 10_000;
/// Versions of one look.
const LOOK: usize = 1000;

/// Why something was not put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// There is no such delete, or no object behind it.
    #[error("there is no such delete any more, or nothing behind it")]
    Nothing,
    /// The key shows another object.
    #[error("there is an object of this key, with the entity tag {0}")]
    Taken(String),
    /// Newer versions are in front, and the bucket keeps no more of them.
    #[error("the bucket keeps versions no more, and there are newer ones of this key")]
    NotKept,
    /// A lock keeps the version: as the newest it would have another id.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<RemovalError> for RestoreError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Locked(locked) => Self::Locked(locked),
            RemovalError::Catalog(error) => Self::Catalog(error),
        }
    }
}

/// Why something is not, or not all, deleted for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// A lock keeps a version, and with it all that is behind it.
    #[error(transparent)]
    Locked(PurgeStopped),
    /// Any other fault.
    #[error(transparent)]
    Delete(DeleteObjectError),
}

/// What went before a lock was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{objects} objects went, then: {by}")]
pub struct PurgeStopped {
    /// Objects that are gone.
    pub objects: usize,
    /// What keeps the next one.
    pub by: Locked,
}

/// What a step of deleting for good came to.
enum Step {
    Object,
    Delete,
}

/// What a delete hides.
struct Hidden {
    present: Present,
    history: History,
    marker: Kept,
    /// The version directly behind it, where that is an object.
    behind: Option<Kept>,
}

impl Hidden {
    async fn find(
        view: &impl View,
        (bucket, key): (BucketId, &ObjectKey),
        id: VersionId,
    ) -> Result<Option<Self>, CatalogError> {
        let Some(history) = History::find(view, bucket, key).await? else { return Ok(None) };
        let marker = kept_as(view, (bucket, key), id).await?;
        let Some(marker) = marker.filter(|kept| kept.record.object().is_none()) else { return Ok(None) };
        let older =
            keys::versions_of(bucket, key.as_bytes()).after(&keys::version(bucket, key, marker.order));
        let rows = view.range(&older, RangeLimits::rows(1)).await?.rows;
        let kept = |row: &crate::keyspace::Row| {
            Ok::<_, CatalogError>(Kept {
                order: keys::read_version(&row.key)?.1,
                record: BehindRecord::decode(&row.value)?,
            })
        };
        let behind = rows.first().map(kept).transpose()?.filter(|kept| kept.record.object().is_some());
        let present = Present::find(view, bucket, key).await?;
        Ok(Some(Self { present, history, marker, behind }))
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Some of what was deleted of keys that begin so, at most `limit`.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn list_trash(
        &self,
        bucket: BucketId,
        prefix: &[u8],
        after: Option<VersionCursor>,
        limit: usize,
    ) -> Result<TrashPage, CatalogError> {
        let limit = limit.min(LISTING_MAX);
        let mut page = TrashPage { entries: Vec::new(), next: after };
        for _ in 0..LOOKED_AT_MAX / LOOK {
            let after = page.next.take();
            let query = VersionQuery { prefix: prefix.to_vec(), after, limit: LOOK, delimiter: None };
            let listing = self.list_versions(bucket, &query).await?;
            for pair in listing.entries.windows(2) {
                if page.entries.len() >= limit {
                    page.next = page.entries.last().map(|last| cursor(&last.key, last.id));
                    return Ok(page);
                }
                page.entries.extend(deleted(pair));
            }
            if listing.next.is_none() {
                return Ok(page);
            }
            // The last one may be a delete: what is behind it is seen when it is looked at again.
            let last = listing.entries.iter().rev().nth(1);
            page.next = last.map(|last| cursor(&last.key, last.exact));
        }
        Ok(page)
    }

    /// Takes a delete away and shows the object behind it again. `overwrite`: also where the key shows another one, which is kept
    /// as a version then. Where newer versions are in front it becomes the newest, put now, unless a lock keeps it; its bytes are not
    /// touched.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub async fn restore(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        (id, overwrite): (VersionId, bool),
        now_unix_ms: u64,
    ) -> Result<Object, RestoreError> {
        for attempt in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let Some(Hidden { present, history, marker, behind: Some(behind) }) =
                Hidden::find(&view, (bucket, key), id).await?
            else {
                return Err(RestoreError::Nothing);
            };
            let watchers = self.watchers(&view, &present, attempt).await?;
            drop(view);
            if let Some(current) = present.current.as_ref().filter(|_| !overwrite) {
                return Err(RestoreError::Taken(current.object.etag.clone()));
            }
            let mut edit = Edit::new(&present, self.due_unix_ms(now_unix_ms), watchers);
            let shown = history.restore(&mut edit, &present, (&marker, &behind), now_unix_ms)?;
            let current = shown.ok_or(RestoreError::NotKept)?;
            let version = current.kept.map(|kept| kept.id(current.object.upload));
            let object = Some(&current.object);
            let change = Change { kind: edit.put_kind(), version, object, at_unix_ms: now_unix_ms };
            let batch = edit.finish(&change)?;
            if let Some(revision) = self.try_commit(batch).await? {
                return Ok(object_of(bucket, key.clone(), current, revision));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Deletes for good what a delete hides, down to the next delete, and it. What it was stopped in goes on when it is asked again.
    /// Gives how many objects went; their segments are let go after the retention.
    ///
    /// # Errors
    /// See [`PurgeError`]: what a lock keeps stays, and all that is behind it; what was in front of it is gone.
    pub async fn purge(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        id: VersionId,
        now_unix_ms: u64,
    ) -> Result<Option<usize>, PurgeError> {
        let mut objects = 0;
        let mut began = false;
        loop {
            match self.purge_one((bucket, key), id, now_unix_ms).await {
                Ok(Some(Step::Object)) => objects += 1,
                Ok(Some(Step::Delete)) => return Ok(Some(objects)),
                Ok(None) => return Ok(began.then_some(objects)),
                Err(DeleteObjectError::Locked(by)) => {
                    return Err(PurgeError::Locked(PurgeStopped { objects, by }));
                }
                Err(error) => return Err(PurgeError::Delete(error)),
            }
            began = true;
        }
    }

    async fn purge_one(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        id: VersionId,
        now_unix_ms: u64,
    ) -> Result<Option<Step>, DeleteObjectError> {
        for attempt in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let hidden = Hidden::find(&view, (bucket, key), id).await?;
            let Some(Hidden { present, history, marker, behind }) = hidden else { return Ok(None) };
            let watchers = self.watchers(&view, &present, attempt).await?;
            drop(view);
            let mut edit = Edit::new(&present, self.due_unix_ms(now_unix_ms), watchers);
            let step = if behind.is_some() { Step::Object } else { Step::Delete };
            let gone = behind.as_ref().unwrap_or(&marker);
            history.remove_kept(&mut edit, &present, &Removable::judge(gone, Grounds::at(now_unix_ms))?)?;
            let batch = edit.finish(&Change::end(EventKind::Deleted, Some(gone.id()), now_unix_ms))?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(step));
            }
        }
        Err(CatalogError::Contended.into())
    }
}

fn cursor(key: &ObjectKey, exact: VersionId) -> VersionCursor {
    VersionCursor::Version(key.clone(), exact)
}

/// What was deleted, if that is what two versions that follow each other are.
fn deleted(pair: &[VersionEntry]) -> Option<TrashEntry> {
    let [newer, older] = pair else { return None };
    let object = older.object.clone().filter(|_| newer.object.is_none() && newer.key == older.key)?;
    let (key, id) = (newer.key.clone(), newer.exact);
    Some(TrashEntry { key, id, deleted_unix_ms: newer.created_unix_ms, object })
}
