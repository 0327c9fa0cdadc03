//! What a batch does to the versions of one key: its object's row, and the rows of what is kept behind it.
//!
//! A key has an object's row exactly while its newest version is an object; then all others are older, and stand in a table of
//! their own. So a bucket that never kept versions has nothing there, and costs what it did.

mod edit;
mod removable;

pub(super) use edit::Edit;
use edit::{Vacant, Yields};
pub(super) use removable::{Removable, RemovalError};

use super::faults::find;
use super::notifications::Watchers;
use super::objects::Present;
use super::versioning::version_of;
use super::{Catalog, CatalogError};
use crate::keys;
use crate::keyspace::{Keyspace, RangeLimits, Revision, View};
use crate::model::{
    BucketId, Deleted, Grounds, Lock, Locking, Marker, Object, ObjectKey, UploadId, Version, VersionId,
    Versioning,
};
use crate::record::{
    BehindRecord, CurrentRecord, KeepingRecord, KeptRecord, ObjectRecord, OrderRecord, VersionBodyRecord,
    Written as _,
};

/// A version that is not its key's object, and its place.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) order: u64,
    pub(super) record: BehindRecord,
}

/// What a view says of the versions that a key has besides its object, in a bucket that keeps them.
pub(super) struct History {
    state: Versioning,
    locking: Option<Locking>,
    state_version: Option<Revision>,
    since: Revision,
    /// The newest two.
    newest: Vec<Kept>,
    /// The one without an id, wherever it is.
    null: Option<Kept>,
}

impl History {
    /// `None`: the bucket never kept versions.
    pub(super) async fn find(
        view: &impl View,
        bucket: BucketId,
        key: &ObjectKey,
    ) -> Result<Option<Self>, CatalogError> {
        let found = find::<KeepingRecord>(view, &keys::versioning(bucket)).await?;
        let Some(KeepingRecord { state, locking }) = found.record else { return Ok(None) };
        let since = view.revision().await?;
        let range = keys::versions_of(bucket, key.as_bytes());
        let rows = view.range(&range, RangeLimits::rows(2)).await?.rows;
        let kept = |row: &crate::keyspace::Row| {
            Ok(Kept { order: keys::read_version(&row.key)?.1, record: BehindRecord::decode(&row.value)? })
        };
        let newest = rows.iter().map(kept).collect::<Result<Vec<_>, CatalogError>>()?;
        let null = match find::<OrderRecord>(view, &keys::null_version(bucket, key)).await?.record {
            Some(OrderRecord { order }) => kept_at(view, (bucket, key), order).await?,
            None => None,
        };
        Ok(Some(Self { state, locking, state_version: found.version, since, newest, null }))
    }

    /// Requires that all of it is so still when the batch is committed.
    fn expect(&self, edit: &mut Edit) {
        edit.batch.expect(keys::versioning(edit.bucket), self.state_version);
        edit.batch.expect_unchanged(keys::versions_of(edit.bucket, edit.key.as_bytes()), self.since);
    }

    /// The newest two of those that are not the key's object.
    pub(super) fn newest(&self) -> &[Kept] {
        &self.newest
    }

    fn next_order(&self, present: &Present) -> u64 {
        let current = present.current.as_ref().map(|current| current.place().order);
        let newest = self.newest.first().map(|kept| kept.order).max(current);
        newest.map_or(1, |newest| newest.saturating_add(1))
    }

    /// Whether versions may be locked, and what those get that say nothing of it.
    pub(super) fn locking(&self) -> Option<Locking> {
        self.locking
    }

    /// Adds what makes room for a newer version: the present object is to stand behind, or is let go where the newer one is to be the
    /// only one without an id.
    fn make_room<'p>(
        &self,
        edit: &mut Edit,
        present: &'p Present,
        grounds: Grounds,
    ) -> Result<Room<'p>, RemovalError> {
        self.expect(edit);
        let next = KeptRecord { order: self.next_order(present), null: self.state == Versioning::Suspended };
        let before = Yields::of(present, |current| {
            let place = current.place();
            if next.null && place.null {
                return Ok(Yields::Gone(Removable::judge(current, grounds)?));
            }
            self.has_room_for(place)?;
            Ok::<_, RemovalError>(Yields::Behind(current))
        })?;
        let mut gone = present.object().filter(|_| matches!(before, Yields::Gone(_)));
        if let Some(null) = self.null.as_ref().filter(|_| next.null) {
            edit.remove(&Removable::judge(null, grounds)?)?;
            let whose = (present.bucket, present.key.clone());
            if let Version::Object(object) = version_of(whose, null.clone(), self.since) {
                gone = Some(object);
            }
        }
        Ok(Room { next, before, gone })
    }

    /// A gateway that knows of no versions puts objects without a place: none must overwrite what is kept.
    fn has_room_for(&self, place: KeptRecord) -> Result<(), CatalogError> {
        let taken = self.newest.iter().any(|kept| kept.order == place.order);
        let doubled = place.null && self.null.is_some();
        if taken || doubled { Err(CatalogError::PlaceTaken) } else { Ok(()) }
    }

    /// Adds what makes an object the newest version, with this lock.
    pub(super) fn replace(
        &self,
        edit: &mut Edit,
        present: &Present,
        (next, lock): (&ObjectRecord, Lock),
    ) -> Result<CurrentRecord, RemovalError> {
        let room = self.make_room(edit, present, Grounds::at(next.created_unix_ms))?;
        let current = CurrentRecord { object: next.clone(), kept: Some(room.next), lock };
        edit.show(&current, room.before)?;
        Ok(current)
    }

    /// Adds what makes a delete the newest version. The upload stands in its id.
    pub(super) fn mark(
        &self,
        edit: &mut Edit,
        present: &Present,
        (upload, now_unix_ms): (UploadId, u64),
    ) -> Result<Deleted, RemovalError> {
        let Room { next, before, gone } = self.make_room(edit, present, Grounds::at(now_unix_ms))?;
        edit.hide(before)?;
        let what = VersionBodyRecord::Marker { upload, created_unix_ms: now_unix_ms };
        let record = BehindRecord { null: next.null, what, lock: Lock::default() };
        edit.keep(&Kept { order: next.order, record })?;
        let (bucket, key) = (edit.bucket, edit.key.clone());
        let marker = Marker { bucket, key, version: next.id(upload), created_unix_ms: now_unix_ms };
        Ok(Deleted::Marked { marker, gone })
    }

    /// Adds what deletes the key's object for good.
    pub(super) fn remove_current(
        &self,
        edit: &mut Edit,
        removable: Removable<'_, CurrentRecord>,
    ) -> Result<(), CatalogError> {
        self.expect(edit);
        let vacant = edit.hide(Yields::Gone(removable))?;
        self.promote(edit, 0, vacant)
    }

    /// Adds what deletes a version that is not the key's object.
    pub(super) fn remove_kept(
        &self,
        edit: &mut Edit,
        present: &Present,
        removable: &Removable<'_, Kept>,
    ) -> Result<(), CatalogError> {
        self.expect(edit);
        edit.remove(removable)?;
        let order = removable.version().order;
        let is_newest = self.newest.first().is_some_and(|newest| newest.order == order);
        match Vacant::of(present).filter(|_| is_newest) {
            Some(vacant) => self.promote(edit, 1, vacant),
            None => Ok(()),
        }
    }

    /// Adds what takes a delete away and shows the object directly behind it: in its place if the delete is the newest version, else
    /// as the newest, put now, under another id: a lock that counts forbids that. `None`: it would need a bucket that keeps versions.
    pub(super) fn restore(
        &self,
        edit: &mut Edit,
        present: &Present,
        (marker, behind): (&Kept, &Kept),
        now_unix_ms: u64,
    ) -> Result<Option<CurrentRecord>, RemovalError> {
        let grounds = Grounds::at(now_unix_ms);
        edit.remove(&Removable::judge(marker, grounds)?)?;
        let is_newest = self.newest.first().is_some_and(|newest| newest.order == marker.order);
        if let Some(vacant) = Vacant::of(present).filter(|_| is_newest) {
            self.expect(edit);
            return Ok(edit.show_again(behind, vacant)?);
        }
        if self.state != Versioning::Enabled {
            return Ok(None);
        }
        let behind = Removable::judge(behind, grounds)?;
        let room = self.make_room(edit, present, grounds)?;
        Ok(edit.put_anew(&behind, (room.next, now_unix_ms), room.before)?)
    }

    /// The nth newest of those behind is the newest of all from now on: where it is an object, it is the key's.
    fn promote(&self, edit: &mut Edit, nth: usize, vacant: Vacant) -> Result<(), CatalogError> {
        if let Some(kept) = self.newest.get(nth) {
            edit.show_again(kept, vacant)?;
        }
        Ok(())
    }
}

/// What was made for a newer version.
struct Room<'a> {
    /// The place of the newer one.
    next: KeptRecord,
    /// What becomes of the object that the key shows.
    before: Yields<'a>,
    /// The object that is not kept.
    gone: Option<Object>,
}

/// The version of that order, where there is one.
pub(super) async fn kept_at(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    order: u64,
) -> Result<Option<Kept>, CatalogError> {
    let record = find::<BehindRecord>(view, &keys::version(bucket, key, order)).await?.record;
    Ok(record.map(|record| Kept { order, record }))
}

/// The version of an id, or of an exact one, unless it is the key's object.
pub(super) async fn kept_as(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    version: VersionId,
) -> Result<Option<Kept>, CatalogError> {
    let order = match version {
        VersionId::Numbered { order, .. } => Some(order),
        VersionId::Null => {
            let found = find::<OrderRecord>(view, &keys::null_version(bucket, key)).await?;
            found.record.map(|OrderRecord { order }| order)
        }
    };
    let Some(order) = order else { return Ok(None) };
    let kept = kept_at(view, (bucket, key), order).await?;
    Ok(kept.filter(|kept| kept.id() == version || kept.exact() == version))
}

impl Kept {
    /// An id that is only this one's, also where it is the version without an id.
    pub(super) fn exact(&self) -> VersionId {
        VersionId::Numbered { order: self.order, upload: self.record.upload() }
    }

    pub(super) fn id(&self) -> VersionId {
        KeptRecord { order: self.order, null: self.record.null }.id(self.record.upload())
    }
}

impl<K: Keyspace> Catalog<K> {
    /// The present object, the versions behind it where there may be some, and who wants to know of a change. The first attempt takes
    /// a bucket that nothing is known of for one without both, unless the object has a place among versions: its batch finds out if that
    /// is wrong.
    pub(super) async fn look(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        attempt: usize,
    ) -> Result<(Present, Option<History>, Watchers), CatalogError> {
        let plain = !self.shared.with_versions.read().contains(&bucket) && !self.is_watched(bucket);
        if attempt == 0 && plain {
            let row = self.keyspace.get(&keys::object(bucket, key.as_bytes())).await?;
            let present = Present::of(bucket, key, row)?;
            if !present.has_place() {
                return Ok((present, None, self.no_watchers(bucket)));
            }
        }
        let view = self.view().await?;
        let history = self.history(&view, (bucket, key), 1).await?;
        let present = Present::find(&view, bucket, key).await?;
        let watchers = self.watchers(&view, &present, attempt).await?;
        Ok((present, history, watchers))
    }

    /// The same for whoever has a view already.
    pub(super) async fn history(
        &self,
        view: &impl View,
        (bucket, key): (BucketId, &ObjectKey),
        attempt: usize,
    ) -> Result<Option<History>, CatalogError> {
        if attempt == 0 && !self.shared.with_versions.read().contains(&bucket) {
            return Ok(None);
        }
        let history = History::find(view, bucket, key).await?;
        if history.is_some() {
            self.shared.with_versions.write().insert(bucket);
        }
        Ok(history)
    }
}
