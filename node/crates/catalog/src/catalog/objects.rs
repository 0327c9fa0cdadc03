use super::faults::ATTEMPTS_MAX;
use super::notifications::Change;
use super::versions::{Edit, History, Removable, RemovalError};
use super::{Catalog, CatalogError, CommitObjectError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Revision, Versioned, View};
use crate::model::{
    Body, BucketId, Condition, Deleted, EventKind, Grounds, Locked, Marking, Object, ObjectKey, Page, PageAt,
    UploadId,
};
use crate::record::{BodyRecord, CurrentRecord, ObjectRecord, Written as _};

/// Why an object was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteObjectError {
    /// The present object is not as the condition wants it.
    #[error("the present object does not meet the condition")]
    PreconditionFailed {
        /// The present object's entity tag, if there is one.
        current_etag: Option<String>,
    },
    /// A lock keeps the version.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<RemovalError> for DeleteObjectError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Locked(locked) => Self::Locked(locked),
            RemovalError::Catalog(error) => Self::Catalog(error),
        }
    }
}

/// A condition that is not met.
pub(super) struct Unmet {
    current_etag: Option<String>,
}

impl From<Unmet> for DeleteObjectError {
    fn from(Unmet { current_etag }: Unmet) -> Self {
        Self::PreconditionFailed { current_etag }
    }
}

impl From<Unmet> for CommitObjectError {
    fn from(Unmet { current_etag }: Unmet) -> Self {
        Self::PreconditionFailed { current_etag }
    }
}

pub(super) fn object_of(
    bucket: BucketId,
    key: ObjectKey,
    current: CurrentRecord,
    revision: Revision,
) -> Object {
    let version = current.kept.map(|kept| kept.id(current.object.upload));
    let ObjectRecord { upload, size_bytes, created_unix_ms, content_type, etag, meta, body } = current.object;
    let body = match body {
        BodyRecord::Inline(sealed) => Body::Inline { sealed },
        BodyRecord::Pages(parts) => Body::Pages { parts },
    };
    Object {
        bucket,
        key,
        upload,
        size_bytes,
        content_type,
        etag,
        meta,
        created_unix_ms,
        body,
        version,
        lock: current.lock,
        revision,
    }
}

/// The object that a key has in a view, or none.
pub(super) struct Present {
    pub(super) bucket: BucketId,
    pub(super) key: ObjectKey,
    pub(super) current: Option<CurrentRecord>,
    pub(super) version: Option<Revision>,
}

impl Present {
    pub(super) async fn find(
        view: &impl View,
        bucket: BucketId,
        key: &ObjectKey,
    ) -> Result<Self, CatalogError> {
        let row = view.get(&keys::object(bucket, key.as_bytes())).await?;
        Self::of(bucket, key, row)
    }

    pub(super) fn of(
        bucket: BucketId,
        key: &ObjectKey,
        row: Option<Versioned>,
    ) -> Result<Self, CatalogError> {
        let version = row.as_ref().map(|row| row.version);
        let current = row.map(|row| CurrentRecord::decode(&row.value)).transpose()?;
        Ok(Self { bucket, key: key.clone(), current, version })
    }

    pub(super) fn object(&self) -> Option<Object> {
        let (current, version) = (self.current.clone()?, self.version?);
        Some(object_of(self.bucket, self.key.clone(), current, version))
    }

    /// Whether it was put in a bucket that keeps versions. One that is locked always has a place.
    pub(super) fn has_place(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.kept.is_some())
    }

    /// Adds what deletes it for good.
    pub(super) fn remove(
        &self,
        edit: &mut Edit,
        history: Option<&History>,
        grounds: Grounds,
    ) -> Result<(), RemovalError> {
        match (history, &self.current) {
            (None, _) => edit.without_versions(self, None, grounds),
            (Some(history), Some(current)) => {
                Ok(history.remove_current(edit, Removable::judge(current, grounds)?)?)
            }
            (Some(_), None) => Ok(()),
        }
    }

    pub(super) fn check(&self, condition: &Condition) -> Result<(), Unmet> {
        let etag = self.current.as_ref().map(|current| &current.object.etag);
        let met = match condition {
            Condition::None => true,
            Condition::IfAbsent => etag.is_none(),
            Condition::IfMatch(wanted) => etag == Some(wanted),
        };
        if met { Ok(()) } else { Err(Unmet { current_etag: etag.cloned() }) }
    }
}

impl<K: Keyspace> Catalog<K> {
    /// The object of a key: linearizable, one read.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Option<Object>, CatalogError> {
        let Some(row) = self.keyspace.get(&keys::object(bucket, key.as_bytes())).await? else {
            return Ok(None);
        };
        Ok(Some(object_of(bucket, key.clone(), CurrentRecord::decode(&row.value)?, row.version)))
    }

    /// A page of an upload or object. None when it is not there (any more): an object's pages stay while the object
    /// does, and for the retention after it was replaced or deleted.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn page(&self, upload: UploadId, at: PageAt) -> Result<Option<Page>, CatalogError> {
        self.read(&keys::page(upload, at)).await
    }

    /// Deletes the object of a key, in one batch at any size, and says what came of it. Its segments are let go after the
    /// retention, unless the bucket keeps versions: then a marker hides it, or is there although there is nothing to hide.
    ///
    /// # Errors
    /// See [`DeleteObjectError`].
    pub async fn delete_object(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        condition: &Condition,
        marking: Marking,
        now_unix_ms: u64,
    ) -> Result<Deleted, DeleteObjectError> {
        let due_unix_ms = self.due_unix_ms(now_unix_ms);
        for attempt in 0..ATTEMPTS_MAX {
            let (present, history, watchers) = self.look(bucket, key, attempt).await?;
            present.check(condition)?;
            let mut plan = Edit::new(&present, due_unix_ms, watchers);
            let deleted = match history {
                Some(history) => match marking.upload(present.current.is_some()) {
                    Some(upload) => history.mark(&mut plan, &present, (upload, now_unix_ms))?,
                    None => return Ok(Deleted::Nothing),
                },
                None => match present.object() {
                    Some(object) => {
                        plan.without_versions(&present, None, Grounds::at(now_unix_ms))?;
                        Deleted::Object(object)
                    }
                    // Perhaps the bucket keeps versions, and nobody has looked.
                    None if attempt == 0 => continue,
                    None => return Ok(Deleted::Nothing),
                },
            };
            let (kind, version) = match &deleted {
                Deleted::Marked { marker, .. } => (EventKind::Marked, Some(marker.version)),
                Deleted::Object(object) => (EventKind::Deleted, object.version),
                Deleted::Nothing => (EventKind::Deleted, None),
            };
            let batch = plan.finish(&Change::end(kind, version, now_unix_ms))?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(deleted);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Deletes the version that is a key's object for good, without the retention of segments; the version before it takes its
    /// place. `also` adds what goes with it.
    pub(super) async fn delete_current(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        condition: &Condition,
        now_unix_ms: u64,
        also: impl Fn(&mut Batch, &Object) -> Result<(), CatalogError>,
    ) -> Result<Option<Object>, DeleteObjectError> {
        for attempt in 0..ATTEMPTS_MAX {
            let (present, history, watchers) = self.look(bucket, key, attempt).await?;
            present.check(condition)?;
            let Some(gone) = present.object() else { return Ok(None) };
            let mut plan = Edit::new(&present, now_unix_ms, watchers);
            present.remove(&mut plan, history.as_ref(), Grounds::at(now_unix_ms))?;
            also(&mut plan.batch, &gone)?;
            let batch = plan.finish(&Change::end(EventKind::Deleted, gone.version, now_unix_ms))?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(Some(gone));
            }
        }
        Err(CatalogError::Contended.into())
    }
}
