//! Whether buckets keep versions, and single versions by their ids.

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::notifications::Change;
use super::objects::{Present, object_of};
use super::versions::{Edit, Kept, Removable, kept_as};
use super::{Catalog, CatalogError, DeleteObjectError, SettingError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, RangeLimits, Revision, View};
use crate::limits::BUCKET_SETTING_BYTES_MAX;
use crate::model::{
    BucketId, BucketSetting, EventKind, Grounds, Marker, Object, ObjectKey, UploadId, Version, VersionId,
    Versioning,
};
use crate::record::{
    BehindRecord, CurrentRecord, KeepingRecord, KeptRecord, OrderRecord, SettingRecord, UploadRecord,
    UploadState, VersionBodyRecord, Written as _,
};

/// Whether a bucket keeps versions, and the rule of its trash: what ends versions, and what they are kept for, are judged together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// `None`: it never kept any.
    pub versioning: Option<Versioning>,
    /// What is set as [`BucketSetting::Trash`].
    pub trash: Option<Vec<u8>>,
}

pub(super) fn version_of((bucket, key): (BucketId, ObjectKey), kept: Kept, revision: Revision) -> Version {
    let (version, place) = (kept.id(), KeptRecord { order: kept.order, null: kept.record.null });
    match kept.record.what {
        VersionBodyRecord::Object(object) => {
            let current = CurrentRecord { object, kept: Some(place), lock: kept.record.lock };
            Version::Object(object_of(bucket, key, current, revision))
        }
        VersionBodyRecord::Marker { created_unix_ms, .. } => {
            Version::Marker(Marker { bucket, key, version, created_unix_ms })
        }
    }
}

/// One version of a key, as a view has it.
pub(super) async fn version_in(
    view: &impl View,
    (bucket, key): (BucketId, &ObjectKey),
    version: VersionId,
) -> Result<Option<Version>, CatalogError> {
    let present = Present::find(view, bucket, key).await?;
    if present.is(version) {
        return Ok(present.object().map(Version::Object));
    }
    let revision = view.revision().await?;
    let kept = kept_as(view, (bucket, key), version).await?;
    Ok(kept.map(|kept| version_of((bucket, key.clone()), kept, revision)))
}

impl<K: Keyspace> Catalog<K> {
    /// Whether a bucket keeps versions; `None`: it never did.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn versioning(&self, bucket: BucketId) -> Result<Option<Versioning>, CatalogError> {
        let record = self.read::<KeepingRecord>(&keys::versioning(bucket)).await?;
        Ok(record.map(|record| record.state))
    }

    /// Sets it. Nothing is lost by either: what was put before is the version without an id. A bucket whose versions may be locked
    /// keeps them for good.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub async fn set_versioning(&self, bucket: BucketId, state: Versioning) -> Result<(), SettingError> {
        for _ in 0..ATTEMPTS_MAX {
            if self.is_bucket_gone(bucket).await? {
                return Err(SettingError::BucketGone);
            }
            let key = keys::versioning(bucket);
            let found = find::<KeepingRecord>(&self.view().await?, &key).await?;
            let locking = found.record.and_then(|record| record.locking);
            if locking.is_some() && state == Versioning::Suspended {
                return Err(SettingError::Locking);
            }
            let mut batch = Batch::new();
            batch.expect(keys::bucket_gone(bucket), None);
            batch.expect(key.clone(), found.version);
            put(&mut batch, key, &KeepingRecord { state, locking })?;
            if self.try_commit(batch).await?.is_some() {
                self.shared.with_versions.write().insert(bucket);
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// The same with the rule of its trash, of one moment.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn keeping(&self, bucket: BucketId) -> Result<Keeping, CatalogError> {
        let view = self.view().await?;
        let state = find::<KeepingRecord>(&view, &keys::versioning(bucket)).await?.record;
        let rule = keys::bucket_setting(BucketSetting::Trash, bucket);
        let trash = find::<SettingRecord>(&view, &rule).await?.record;
        Ok(Keeping { versioning: state.map(|record| record.state), trash: trash.map(|record| record.bytes) })
    }

    /// Sets both in one commit, if they are still as they were when that was decided.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub async fn set_keeping(
        &self,
        bucket: BucketId,
        was: &Keeping,
        (state, trash): (Versioning, Option<Vec<u8>>),
    ) -> Result<(), SettingError> {
        at_most("bytes of a bucket's setting", trash.as_ref().map_or(0, Vec::len), BUCKET_SETTING_BYTES_MAX)?;
        let (key, rule) = (keys::versioning(bucket), keys::bucket_setting(BucketSetting::Trash, bucket));
        for _ in 0..ATTEMPTS_MAX {
            if self.is_bucket_gone(bucket).await? {
                return Err(SettingError::BucketGone);
            }
            let view = self.view().await?;
            let found = find::<KeepingRecord>(&view, &key).await?;
            let set = find::<SettingRecord>(&view, &rule).await?;
            drop(view);
            let versioning = found.record.as_ref().map(|record| record.state);
            if (Keeping { versioning, trash: set.record.map(|record| record.bytes) }) != *was {
                return Err(SettingError::Changed);
            }
            let locking = found.record.and_then(|record| record.locking);
            if locking.is_some() && state == Versioning::Suspended {
                return Err(SettingError::Locking);
            }
            let mut batch = Batch::new();
            batch.expect(keys::bucket_gone(bucket), None);
            batch.expect(key.clone(), found.version);
            batch.expect(rule.clone(), set.version);
            put(&mut batch, key.clone(), &KeepingRecord { state, locking })?;
            match &trash {
                Some(bytes) => put(&mut batch, rule.clone(), &SettingRecord { bytes: bytes.clone() })?,
                None => batch.delete(rule.clone()),
            }
            if self.try_commit(batch).await?.is_some() {
                self.shared.with_versions.write().insert(bucket);
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// One version of a key.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn object_version(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Version>, CatalogError> {
        version_in(&self.view().await?, (bucket, key), version).await
    }

    /// The delete that hides a key without an object, where there is one.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn marker(&self, bucket: BucketId, key: &ObjectKey) -> Result<Option<Marker>, CatalogError> {
        let range = keys::versions_of(bucket, key.as_bytes());
        let rows = self.view().await?.range(&range, RangeLimits::rows(1)).await?.rows;
        let Some(row) = rows.first() else { return Ok(None) };
        let kept = Kept { order: keys::read_version(&row.key)?.1, record: BehindRecord::decode(&row.value)? };
        match version_of((bucket, key.clone()), kept, row.version) {
            Version::Marker(marker) => Ok(Some(marker)),
            Version::Object(_) => Ok(None),
        }
    }

    /// Deletes a version, named by its id or its exact one, for good and gives what it was; `None` when there was none. Its
    /// segments are let go after the retention. What was hidden by it shows again. A lock keeps it, by its row as it is at the commit.
    ///
    /// # Errors
    /// See [`DeleteObjectError`].
    pub async fn delete_version(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        version: VersionId,
        grounds: Grounds,
    ) -> Result<Option<Version>, DeleteObjectError> {
        let due_unix_ms = self.due_unix_ms(grounds.now_unix_ms);
        for attempt in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let present = Present::find(&view, bucket, key).await?;
            let history = self.history(&view, (bucket, key), 1).await?;
            let watchers = self.watchers(&view, &present, attempt).await?;
            let mut edit = Edit::new(&present, due_unix_ms, watchers);
            let gone = if present.is(version) {
                present.remove(&mut edit, history.as_ref(), grounds)?;
                present.object().map(Version::Object)
            } else {
                let (Some(kept), Some(history)) = (kept_as(&view, (bucket, key), version).await?, history)
                else {
                    return Ok(None);
                };
                let removable = Removable::judge(&kept, grounds)?;
                history.remove_kept(&mut edit, &present, &removable)?;
                let revision = view.revision().await.map_err(CatalogError::from)?;
                Some(version_of((bucket, key.clone()), kept, revision))
            };
            drop(view);
            let which = gone.as_ref().and_then(Version::id);
            let batch = edit.finish(&Change::end(EventKind::Deleted, which, grounds.now_unix_ms))?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(gone);
            }
        }
        Err(CatalogError::Contended.into())
    }
}

impl Present {
    /// Whether the key's object is this version.
    pub(super) fn is(&self, version: VersionId) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let (place, upload) = (current.place(), current.object.upload);
            let exact = VersionId::Numbered { order: place.order, upload };
            place.id(upload) == version || exact == version
        })
    }
}

/// The object that an upload became, while it is its key's or one of the versions behind; and the row that says so, as it is now.
pub(super) async fn object_of_upload(
    view: &impl View,
    upload: UploadId,
) -> Result<Option<(Object, Standing)>, CatalogError> {
    let record = find::<UploadRecord>(view, &keys::upload(upload)).await?.record;
    let Some(UploadRecord { bucket, key, state: UploadState::Committed, .. }) = record else {
        return Ok(None);
    };
    let present = Present::find(view, bucket, &key).await?;
    if let Some(object) = present.object().filter(|object| object.upload == upload) {
        let row = keys::object(bucket, key.as_bytes());
        return Ok(Some((object, Standing { row, version: present.version })));
    }
    let found = find::<OrderRecord>(view, &keys::version_of(upload)).await?;
    let Some(OrderRecord { order }) = found.record else { return Ok(None) };
    let kept = super::versions::kept_at(view, (bucket, &key), order).await?;
    let revision = view.revision().await?;
    // A gateway that knows of no versions may have had another one written there.
    Ok(kept.filter(|kept| kept.record.upload() == upload).and_then(|kept| {
        match version_of((bucket, key), kept, revision) {
            Version::Object(object) => {
                Some((object, Standing { row: keys::version_of(upload), version: found.version }))
            }
            Version::Marker(_) => None,
        }
    }))
}

/// The row that an object stands and falls with.
pub(super) struct Standing {
    row: Vec<u8>,
    version: Option<Revision>,
}

impl Standing {
    /// Requires that it is there still when the batch is committed.
    pub(super) fn expect(self, batch: &mut Batch) {
        batch.expect(self.row, self.version);
    }
}
