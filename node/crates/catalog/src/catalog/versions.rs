//! What a batch does to the versions of one key: its object's row, and the rows of what is kept behind it.
//!
//! A key has an object's row exactly while its newest version is an object; then all others are older, and stand in a table of
//! their own. So a bucket that never kept versions has nothing there, and costs what it did.

use super::faults::{find, put};
use super::objects::Present;
use super::tally::{Delta, Usage, delta_of};
use super::versioning::version_of;
use super::{Catalog, CatalogError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, RangeLimits, Revision, View};
use crate::model::{BucketId, Deleted, Marker, Object, ObjectKey, UploadId, Version, VersionId, Versioning};
use crate::record::{
    self, BodyRecord, CondemnedUploadRecord, CurrentRecord, KeptRecord, ObjectRecord, OrderRecord,
    VersionBodyRecord, VersionRecord, VersioningRecord,
};

/// A version that is not its key's object, and its place.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) order: u64,
    pub(super) record: VersionRecord,
}

/// What a view says of the versions that a key has besides its object, in a bucket that keeps them.
pub(super) struct History {
    state: Versioning,
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
        let found = find::<VersioningRecord>(view, &keys::versioning(bucket)).await?;
        let Some(VersioningRecord { state }) = found.record else { return Ok(None) };
        let since = view.revision().await?;
        let range = keys::versions_of(bucket, key.as_bytes());
        let rows = view.range(&range, RangeLimits::rows(2)).await?.rows;
        let kept = |row: &crate::keyspace::Row| {
            Ok(Kept { order: keys::read_version(&row.key)?.1, record: record::decode(&row.value)? })
        };
        let newest = rows.iter().map(kept).collect::<Result<Vec<_>, CatalogError>>()?;
        let null = match find::<OrderRecord>(view, &keys::null_version(bucket, key)).await?.record {
            Some(OrderRecord { order }) => kept_at(view, (bucket, key), order).await?,
            None => None,
        };
        Ok(Some(Self { state, state_version: found.version, since, newest, null }))
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

    /// Adds what makes room for a newer version: the present object is kept, or let go where the newer one is to be the only one
    /// without an id.
    fn make_room(&self, edit: &mut Edit, present: &Present) -> Result<Room, CatalogError> {
        self.expect(edit);
        let next = KeptRecord { order: self.next_order(present), null: self.state == Versioning::Suspended };
        let mut gone = None;
        if let Some(current) = &present.current {
            let place = current.place();
            edit.uncount(&current.object);
            if next.null && place.null {
                edit.let_go(&current.object)?;
                gone = present.object();
            } else {
                self.has_room_for(place)?;
                let what = VersionBodyRecord::Object(current.object.clone());
                edit.keep(&Kept { order: place.order, record: VersionRecord { null: place.null, what } })?;
            }
        }
        if let Some(null) = self.null.as_ref().filter(|_| next.null) {
            edit.remove(null)?;
            let whose = (present.bucket, present.key.clone());
            if let Version::Object(object) = version_of(whose, null.clone(), self.since) {
                gone = Some(object);
            }
        }
        Ok(Room { next, gone })
    }

    /// A gateway that knows of no versions puts objects without a place: none must overwrite what is kept.
    fn has_room_for(&self, place: KeptRecord) -> Result<(), CatalogError> {
        let taken = self.newest.iter().any(|kept| kept.order == place.order);
        let doubled = place.null && self.null.is_some();
        if taken || doubled { Err(CatalogError::PlaceTaken) } else { Ok(()) }
    }

    /// Adds what makes an object the newest version.
    pub(super) fn replace(
        &self,
        edit: &mut Edit,
        present: &Present,
        next: &ObjectRecord,
    ) -> Result<CurrentRecord, CatalogError> {
        let room = self.make_room(edit, present)?;
        let current = CurrentRecord { object: next.clone(), kept: Some(room.next) };
        edit.show(&current)?;
        Ok(current)
    }

    /// Adds what makes a delete the newest version. The upload stands in its id.
    pub(super) fn mark(
        &self,
        edit: &mut Edit,
        present: &Present,
        (upload, now_unix_ms): (UploadId, u64),
    ) -> Result<Deleted, CatalogError> {
        let Room { next, gone } = self.make_room(edit, present)?;
        if present.current.is_some() {
            edit.hide();
        }
        let what = VersionBodyRecord::Marker { upload, created_unix_ms: now_unix_ms };
        edit.keep(&Kept { order: next.order, record: VersionRecord { null: next.null, what } })?;
        let (bucket, key) = (edit.bucket, edit.key.clone());
        let marker = Marker { bucket, key, version: next.id(upload), created_unix_ms: now_unix_ms };
        Ok(Deleted::Marked { marker, gone })
    }

    /// Adds what deletes the key's object for good.
    pub(super) fn remove_current(&self, edit: &mut Edit, present: &Present) -> Result<(), CatalogError> {
        self.expect(edit);
        if let Some(current) = &present.current {
            edit.uncount(&current.object);
            edit.let_go(&current.object)?;
            edit.hide();
        }
        self.promote(edit, 0)
    }

    /// Adds what deletes a version that is not the key's object.
    pub(super) fn remove_kept(
        &self,
        edit: &mut Edit,
        present: &Present,
        kept: &Kept,
    ) -> Result<(), CatalogError> {
        self.expect(edit);
        edit.remove(kept)?;
        let is_newest = self.newest.first().is_some_and(|newest| newest.order == kept.order);
        if present.current.is_none() && is_newest { self.promote(edit, 1) } else { Ok(()) }
    }

    /// Adds what takes a delete away and shows the object directly behind it: in its place if the delete is the newest version, else
    /// as the newest, put now. `None`: that would need a bucket that keeps versions.
    pub(super) fn restore(
        &self,
        edit: &mut Edit,
        present: &Present,
        (marker, behind): (&Kept, &Kept),
        now_unix_ms: u64,
    ) -> Result<Option<CurrentRecord>, CatalogError> {
        let Some(mut object) = behind.record.object().cloned() else { return Ok(None) };
        let is_newest = self.newest.first().is_some_and(|newest| newest.order == marker.order);
        let place = if present.current.is_none() && is_newest {
            self.expect(edit);
            KeptRecord { order: behind.order, null: behind.record.null }
        } else if self.state == Versioning::Enabled {
            // Rules count from then on how long what it replaces has been behind.
            object.created_unix_ms = now_unix_ms;
            self.make_room(edit, present)?.next
        } else {
            return Ok(None);
        };
        edit.remove(marker)?;
        edit.forget(behind);
        let current = CurrentRecord { object, kept: Some(place) };
        edit.show(&current)?;
        Ok(Some(current))
    }

    /// The nth newest of those behind is the newest of all from now on: where it is an object, it is the key's.
    fn promote(&self, edit: &mut Edit, nth: usize) -> Result<(), CatalogError> {
        let Some(kept) = self.newest.get(nth) else { return Ok(()) };
        let Some(object) = kept.record.object() else { return Ok(()) };
        edit.forget(kept);
        let place = KeptRecord { order: kept.order, null: kept.record.null };
        edit.show(&CurrentRecord { object: object.clone(), kept: Some(place) })
    }
}

/// What was made for a newer version.
struct Room {
    /// The place of the newer one.
    next: KeptRecord,
    /// The object that is not kept.
    gone: Option<Object>,
}

/// The version of that order, where there is one.
pub(super) async fn kept_at(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    order: u64,
) -> Result<Option<Kept>, CatalogError> {
    let record = find::<VersionRecord>(view, &keys::version(bucket, key, order)).await?.record;
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

/// The batch that changes one key, with what it counts.
pub(super) struct Edit {
    pub(super) batch: Batch,
    pub(super) delta: Delta,
    usage: Usage,
    bucket: BucketId,
    key: ObjectKey,
    due_unix_ms: u64,
}

impl Edit {
    /// Requires that the key's object is still the present one. Segments that are let go are due then.
    pub(super) fn new(present: &Present, due_unix_ms: u64) -> Self {
        let Present { bucket, key, version, .. } = present;
        let mut batch = Batch::new();
        batch.expect(keys::object(*bucket, key.as_bytes()), *version);
        Self {
            batch,
            delta: Delta::default(),
            usage: Usage::default(),
            bucket: *bucket,
            key: key.clone(),
            due_unix_ms,
        }
    }

    /// Adds what replaces the present object in a bucket that never kept versions, and lets it go.
    pub(super) fn without_versions(
        &mut self,
        present: &Present,
        next: Option<&ObjectRecord>,
    ) -> Result<(), CatalogError> {
        // Whoever did not look at this row finds out here.
        self.batch.expect(keys::versioning(self.bucket), None);
        match next {
            Some(next) => self.show(&CurrentRecord { object: next.clone(), kept: None })?,
            None => self.hide(),
        }
        if let Some(current) = &present.current {
            self.uncount(&current.object);
            self.let_go(&current.object)?;
        }
        Ok(())
    }

    /// Writes and counts the key's object.
    fn show(&mut self, current: &CurrentRecord) -> Result<(), CatalogError> {
        self.batch.put(keys::object(self.bucket, self.key.as_bytes()), current.encode()?);
        self.usage.objects += 1;
        self.usage.plain_bytes += delta_of(current.object.size_bytes);
        Ok(())
    }

    /// The key has no object any more.
    fn hide(&mut self) {
        self.batch.delete(keys::object(self.bucket, self.key.as_bytes()));
    }

    fn uncount(&mut self, object: &ObjectRecord) {
        self.usage.objects -= 1;
        self.usage.plain_bytes -= delta_of(object.size_bytes);
    }

    /// Writes and counts a version that is not the key's object.
    fn keep(&mut self, kept: &Kept) -> Result<(), CatalogError> {
        let at = OrderRecord { order: kept.order };
        put(&mut self.batch, keys::version(self.bucket, &self.key, kept.order), &kept.record)?;
        if kept.record.null {
            put(&mut self.batch, keys::null_version(self.bucket, &self.key), &at)?;
        }
        if let Some(upload) = upload_with_pages(&kept.record) {
            put(&mut self.batch, keys::version_of(upload), &at)?;
        }
        self.count_kept(kept, 1);
        Ok(())
    }

    /// Takes the rows of one away; what it stands for is let go or shown otherwise.
    fn forget(&mut self, kept: &Kept) {
        self.batch.delete(keys::version(self.bucket, &self.key, kept.order));
        if kept.record.null {
            self.batch.delete(keys::null_version(self.bucket, &self.key));
        }
        if let Some(upload) = upload_with_pages(&kept.record) {
            self.batch.delete(keys::version_of(upload));
        }
        self.count_kept(kept, -1);
    }

    /// Deletes one for good.
    fn remove(&mut self, kept: &Kept) -> Result<(), CatalogError> {
        self.forget(kept);
        kept.record.object().map_or(Ok(()), |object| self.let_go(object))
    }

    fn count_kept(&mut self, kept: &Kept, sign: i64) {
        self.usage.versions += sign;
        self.usage.version_bytes +=
            sign * kept.record.object().map_or(0, |object| delta_of(object.size_bytes));
    }

    /// Lets an object's segments go: one row, however many they are.
    fn let_go(&mut self, object: &ObjectRecord) -> Result<(), CatalogError> {
        let BodyRecord::Pages(parts) = &object.body else { return Ok(()) };
        let segments = parts.iter().map(|part| part.segments).sum();
        self.delta.condemned_waiting += delta_of(segments);
        let condemned = CondemnedUploadRecord { bucket: self.bucket, segments };
        put(&mut self.batch, keys::condemned_upload(self.due_unix_ms, object.upload), &condemned)
    }

    /// The batch.
    pub(super) fn finish(mut self) -> Batch {
        self.delta.objects += self.usage.objects;
        self.usage.add_to(&mut self.batch, self.bucket);
        self.delta.add_to(&mut self.batch);
        self.batch
    }
}

fn upload_with_pages(version: &VersionRecord) -> Option<UploadId> {
    let object = version.object()?;
    matches!(object.body, BodyRecord::Pages(_)).then_some(object.upload)
}

impl<K: Keyspace> Catalog<K> {
    /// The present object, and the versions behind it where there may be some. The first attempt takes a bucket that nothing is
    /// known of for one without: its batch finds out if that is wrong.
    pub(super) async fn look(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        attempt: usize,
    ) -> Result<(Present, Option<History>), CatalogError> {
        if attempt == 0 && !self.shared.with_versions.read().contains(&bucket) {
            let row = self.keyspace.get(&keys::object(bucket, key.as_bytes())).await?;
            return Ok((Present::of(bucket, key, row)?, None));
        }
        let view = self.view().await?;
        let history = self.history(&view, (bucket, key), attempt).await?;
        Ok((Present::find(&view, bucket, key).await?, history))
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
