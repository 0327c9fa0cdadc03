//! The batch that changes one key, with what it counts: the one place that writes and takes away rows of versions. Whatever it takes
//! away it is given with the proof that it may be lost, or moves elsewhere with its lock.

use super::{Kept, Removable, RemovalError};
use crate::catalog::CatalogError;
use crate::catalog::faults::put;
use crate::catalog::notifications::{Change, Watchers};
use crate::catalog::objects::Present;
use crate::catalog::tally::{Delta, Usage, delta_of};
use crate::keys;
use crate::keyspace::Batch;
use crate::model::{BucketId, EventKind, Grounds, ObjectKey, UploadId};
use crate::record::{
    BehindRecord, BodyRecord, CondemnedUploadRecord, CurrentRecord, KeptRecord, ObjectRecord, OrderRecord,
    VersionBodyRecord, Written as _,
};

/// The batch that changes one key, with what it counts.
pub(in crate::catalog) struct Edit {
    pub(in crate::catalog) batch: Batch,
    pub(in crate::catalog) delta: Delta,
    usage: Usage,
    pub(super) bucket: BucketId,
    pub(super) key: ObjectKey,
    due_unix_ms: u64,
    watchers: Watchers,
}

/// Proof that a key's row shows no object: whoever writes it then loses none.
pub(super) struct Vacant(());

impl Vacant {
    pub(super) fn of(present: &Present) -> Option<Self> {
        present.current.is_none().then_some(Self(()))
    }
}

/// What becomes of the object that a key's row shows, when that row is written anew or taken away.
pub(super) enum Yields<'a> {
    /// There is none.
    Nothing(Vacant),
    /// It stands behind from now on.
    Behind(&'a CurrentRecord),
    /// It is deleted for good.
    Gone(Removable<'a, CurrentRecord>),
}

impl<'a> Yields<'a> {
    /// What is said of the present object, where there is one.
    pub(super) fn of<E>(
        present: &'a Present,
        becomes: impl FnOnce(&'a CurrentRecord) -> Result<Self, E>,
    ) -> Result<Self, E> {
        present.current.as_ref().map_or(Ok(Self::Nothing(Vacant(()))), becomes)
    }
}

impl Edit {
    /// Requires that the key's object is still the present one. Segments that are let go are due then.
    pub(in crate::catalog) fn new(present: &Present, due_unix_ms: u64, watchers: Watchers) -> Self {
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
            watchers,
        }
    }

    /// What an object is put as.
    pub(in crate::catalog) fn put_kind(&self) -> EventKind {
        self.watchers.put_kind()
    }

    /// Adds what replaces the present object in a bucket that never kept versions, and lets it go.
    pub(in crate::catalog) fn without_versions(
        &mut self,
        present: &Present,
        next: Option<&ObjectRecord>,
        grounds: Grounds,
    ) -> Result<(), RemovalError> {
        // Whoever did not look at this row finds out here.
        self.batch.expect(keys::versioning(self.bucket), None);
        let before = Yields::of(present, |current| Removable::judge(current, grounds).map(Yields::Gone))?;
        match next {
            Some(next) => self.show(&CurrentRecord::plain(next.clone()), before)?,
            None => {
                self.hide(before)?;
            }
        }
        Ok(())
    }

    /// Writes and counts the key's object, in place of what the row showed.
    pub(super) fn show(&mut self, current: &CurrentRecord, before: Yields<'_>) -> Result<(), CatalogError> {
        self.settle(before)?;
        self.batch.put(keys::object(self.bucket, self.key.as_bytes()), current.encode()?);
        self.usage.objects += 1;
        self.usage.plain_bytes += delta_of(current.object.size_bytes);
        Ok(())
    }

    /// The key has no object any more.
    pub(super) fn hide(&mut self, before: Yields<'_>) -> Result<Vacant, CatalogError> {
        if let Yields::Nothing(vacant) = before {
            return Ok(vacant);
        }
        self.settle(before)?;
        self.batch.delete(keys::object(self.bucket, self.key.as_bytes()));
        Ok(Vacant(()))
    }

    fn settle(&mut self, before: Yields<'_>) -> Result<(), CatalogError> {
        match before {
            Yields::Nothing(_) => Ok(()),
            Yields::Behind(current) => {
                self.uncount(&current.object);
                let KeptRecord { order, null } = current.place();
                let what = VersionBodyRecord::Object(current.object.clone());
                self.keep(&Kept { order, record: BehindRecord { null, what, lock: current.lock } })
            }
            Yields::Gone(removable) => {
                let CurrentRecord { object, .. } = removable.version();
                self.uncount(object);
                self.let_go(object)
            }
        }
    }

    fn uncount(&mut self, object: &ObjectRecord) {
        self.usage.objects -= 1;
        self.usage.plain_bytes -= delta_of(object.size_bytes);
    }

    /// Writes and counts a version that is not the key's object.
    pub(super) fn keep(&mut self, kept: &Kept) -> Result<(), CatalogError> {
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

    /// A version that was behind is the key's object from now on: in its place, so under its id, and with its lock. One that is a
    /// delete stays where it is.
    pub(super) fn show_again(
        &mut self,
        kept: &Kept,
        vacant: Vacant,
    ) -> Result<Option<CurrentRecord>, CatalogError> {
        let Some(object) = kept.record.object().cloned() else { return Ok(None) };
        let place = KeptRecord { order: kept.order, null: kept.record.null };
        self.forget(kept);
        let current = CurrentRecord { object, kept: Some(place), lock: kept.record.lock };
        self.show(&current, Yields::Nothing(vacant))?;
        Ok(Some(current))
    }

    /// The object of a version that was behind is the key's from now on, as if put now. Its id ends, and its date: so this takes the
    /// proof that the version may be lost. A delete stays where it is.
    pub(super) fn put_anew(
        &mut self,
        removable: &Removable<'_, Kept>,
        (place, now_unix_ms): (KeptRecord, u64),
        before: Yields<'_>,
    ) -> Result<Option<CurrentRecord>, CatalogError> {
        let kept = removable.version();
        let Some(object) = kept.record.object().cloned() else { return Ok(None) };
        self.forget(kept);
        // Rules count from now on how long what it replaces has been behind.
        let object = ObjectRecord { created_unix_ms: now_unix_ms, ..object };
        let current = CurrentRecord { object, kept: Some(place), lock: kept.record.lock };
        self.show(&current, before)?;
        Ok(Some(current))
    }

    /// Deletes one that is not the key's object for good.
    pub(super) fn remove(&mut self, removable: &Removable<'_, Kept>) -> Result<(), CatalogError> {
        let kept = removable.version();
        self.forget(kept);
        kept.record.object().map_or(Ok(()), |object| self.let_go(object))
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

    /// The batch, with the event of what it does for whoever wants to know.
    pub(in crate::catalog) fn finish(mut self, change: &Change<'_>) -> Result<Batch, CatalogError> {
        self.delta.objects += self.usage.objects;
        self.usage.add_to(&mut self.batch, self.bucket);
        self.delta.add_to(&mut self.batch);
        self.watchers.tell(&mut self.batch, &self.key, change)?;
        Ok(self.batch)
    }
}

fn upload_with_pages(version: &BehindRecord) -> Option<UploadId> {
    let object = version.object()?;
    matches!(object.body, BodyRecord::Pages(_)).then_some(object.upload)
}
