use super::faults::{ATTEMPTS_MAX, put};
use super::tally::{Delta, add_usage, delta_of};
use super::{Catalog, CatalogError, CommitObjectError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Revision, Versioned, View};
use crate::model::{Body, BucketId, Condition, Object, ObjectKey, Page, PageAt, UploadId};
use crate::record::{self, BodyRecord, CondemnedUploadRecord, ObjectRecord};

/// Why an object was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteObjectError {
    /// The present object is not as the condition wants it.
    #[error("the present object does not meet the condition")]
    PreconditionFailed {
        /// The present object's entity tag, if there is one.
        current_etag: Option<String>,
    },
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
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
    record: ObjectRecord,
    revision: Revision,
) -> Object {
    let ObjectRecord { upload, size_bytes, created_unix_ms, content_type, etag, meta, body } = record;
    let body = match body {
        BodyRecord::Inline(sealed) => Body::Inline { sealed },
        BodyRecord::Pages(parts) => Body::Pages { parts },
    };
    Object { bucket, key, upload, size_bytes, content_type, etag, meta, created_unix_ms, body, revision }
}

/// The object that a key has in a view, or none.
pub(super) struct Present {
    bucket: BucketId,
    key: ObjectKey,
    record: Option<ObjectRecord>,
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

    fn of(bucket: BucketId, key: &ObjectKey, row: Option<Versioned>) -> Result<Self, CatalogError> {
        let version = row.as_ref().map(|row| row.version);
        let record = row.map(|row| record::decode::<ObjectRecord>(&row.value)).transpose()?;
        Ok(Self { bucket, key: key.clone(), record, version })
    }

    pub(super) fn object(&self) -> Option<Object> {
        let (record, version) = (self.record.clone()?, self.version?);
        Some(object_of(self.bucket, self.key.clone(), record, version))
    }
}

/// Putting another object, or none, in the place of the present one.
pub(super) struct Replacing {
    pub(super) present: Present,
    pub(super) due_unix_ms: u64,
}

impl Replacing {
    pub(super) fn check(&self, condition: &Condition) -> Result<(), Unmet> {
        let etag = self.present.record.as_ref().map(|object| &object.etag);
        let met = match condition {
            Condition::None => true,
            Condition::IfAbsent => etag.is_none(),
            Condition::IfMatch(wanted) => etag == Some(wanted),
        };
        if met { Ok(()) } else { Err(Unmet { current_etag: etag.cloned() }) }
    }

    /// Adds what replaces the row and lets the present object's segments go: one row, however many they are.
    pub(super) fn plan(
        &self,
        batch: &mut Batch,
        delta: &mut Delta,
        next: Option<&ObjectRecord>,
    ) -> Result<(), CatalogError> {
        let Present { bucket, key, record, version } = &self.present;
        let row = keys::object(*bucket, key.as_bytes());
        batch.expect(row.clone(), *version);
        let mut bytes = 0;
        match next {
            Some(next) => {
                put(batch, row, next)?;
                delta.objects += 1;
                bytes += delta_of(next.size_bytes);
            }
            None => batch.delete(row),
        }
        if let Some(old) = record {
            delta.objects -= 1;
            bytes -= delta_of(old.size_bytes);
            if let BodyRecord::Pages(parts) = &old.body {
                let segments = parts.iter().map(|part| part.segments).sum();
                delta.condemned_waiting += delta_of(segments);
                let condemned = CondemnedUploadRecord { bucket: *bucket, segments };
                put(batch, keys::condemned_upload(self.due_unix_ms, old.upload), &condemned)?;
            }
        }
        let objects = i64::from(next.is_some()) - i64::from(record.is_some());
        add_usage(batch, *bucket, objects, bytes);
        Ok(())
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
        Ok(Some(object_of(bucket, key.clone(), record::decode(&row.value)?, row.version)))
    }

    /// A page of an upload or object. None when it is not there (any more): an object's pages stay while the object
    /// does, and for the retention after it was replaced or deleted.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn page(&self, upload: UploadId, at: PageAt) -> Result<Option<Page>, CatalogError> {
        self.read(&keys::page(upload, at)).await
    }

    /// Deletes the object of a key, in one batch at any size, and gives what it was. Its segments are let go after the
    /// retention.
    ///
    /// # Errors
    /// See [`DeleteObjectError`].
    pub async fn delete_object(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        condition: &Condition,
        now_unix_ms: u64,
    ) -> Result<Option<Object>, DeleteObjectError> {
        let due_unix_ms = self.due_unix_ms(now_unix_ms);
        self.delete_as((bucket, key), condition, due_unix_ms, |_, _| Ok(())).await
    }

    /// Deletes an object; its segments are let go when they are due. `also` adds what goes with it.
    pub(super) async fn delete_as(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        condition: &Condition,
        due_unix_ms: u64,
        also: impl Fn(&mut Batch, &Object) -> Result<(), CatalogError>,
    ) -> Result<Option<Object>, DeleteObjectError> {
        for _ in 0..ATTEMPTS_MAX {
            let row =
                self.keyspace.get(&keys::object(bucket, key.as_bytes())).await.map_err(CatalogError::from)?;
            let present = Present::of(bucket, key, row)?;
            let object = present.object();
            let replacing = Replacing { present, due_unix_ms };
            replacing.check(condition)?;
            let Some(gone) = &object else { return Ok(None) };
            let mut batch = Batch::new();
            let mut delta = Delta::default();
            replacing.plan(&mut batch, &mut delta, None)?;
            also(&mut batch, gone)?;
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_some() {
                return Ok(object);
            }
        }
        Err(CatalogError::Contended.into())
    }
}
