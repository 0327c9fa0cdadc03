//! Whether versions of a bucket may be locked, and the locks of single versions.

use super::faults::{ATTEMPTS_MAX, find, put};
use super::objects::Present;
use super::versions::{Kept, kept_as};
use super::{Catalog, CatalogError, SettingError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Revision, View};
use crate::model::{BucketId, Grounds, Lock, LockChange, Locked, Locking, ObjectKey, VersionId, Versioning};
use crate::record::{CurrentRecord, KeepingRecord, Written as _};

/// Why versions of a bucket are not made lockable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockingError {
    /// It does not keep all versions.
    #[error("the bucket does not keep versions: enable that first")]
    NoVersions,
    /// It was not set.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl From<CatalogError> for LockingError {
    fn from(error: CatalogError) -> Self {
        Self::Setting(error.into())
    }
}

/// Why the lock of a version is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Versions of the bucket are never locked.
    #[error("versions of the bucket are never locked: enable object lock for it first")]
    NotLockable,
    /// There is no such version.
    #[error("there is no such version")]
    NoVersion,
    /// It is a delete.
    #[error("the version is a delete, which nothing keeps")]
    Marker,
    /// The present lock forbids the change.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// Whether versions of a bucket may be locked, and what those get that are put without a word of it.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn locking(&self, bucket: BucketId) -> Result<Option<Locking>, CatalogError> {
        let record = self.read::<KeepingRecord>(&keys::versioning(bucket)).await?;
        Ok(record.and_then(|record| record.locking))
    }

    /// Makes versions of a bucket lockable, for good, or changes what those get that are put without a word of it.
    ///
    /// # Errors
    /// See [`LockingError`].
    pub async fn set_locking(&self, bucket: BucketId, locking: Locking) -> Result<(), LockingError> {
        for _ in 0..ATTEMPTS_MAX {
            if self.is_bucket_gone(bucket).await? {
                return Err(SettingError::BucketGone.into());
            }
            let key = keys::versioning(bucket);
            let found = find::<KeepingRecord>(&self.view().await?, &key).await?;
            let state = found.record.map(|record| record.state);
            if state != Some(Versioning::Enabled) {
                return Err(LockingError::NoVersions);
            }
            let mut batch = Batch::new();
            batch.expect(keys::bucket_gone(bucket), None);
            batch.expect(key.clone(), found.version);
            put(&mut batch, key, &KeepingRecord { state: Versioning::Enabled, locking: Some(locking) })?;
            if self.try_commit(batch).await?.is_some() {
                self.shared.with_versions.write().insert(bucket);
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Changes what keeps a version, or the object that the key shows where none is named. Judged by the lock as it is at the commit.
    ///
    /// # Errors
    /// See [`LockError`].
    pub async fn change_lock(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        version: Option<VersionId>,
        change: LockChange,
        grounds: Grounds,
    ) -> Result<Lock, LockError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let keeping = find::<KeepingRecord>(&view, &keys::versioning(bucket)).await?.record;
            // It never becomes unlockable again, so the batch need not ask.
            if keeping.and_then(|keeping| keeping.locking).is_none() {
                return Err(LockError::NotLockable);
            }
            let found = Found::look(&view, (bucket, key), version).await?;
            let lock = found.lock()?.changed(change, grounds)?;
            let batch = found.relocked(&view, (bucket, key), lock).await?;
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(lock);
            }
        }
        Err(CatalogError::Contended.into())
    }
}

/// The version whose lock is to change.
enum Found {
    Shown(Box<CurrentRecord>, Option<Revision>),
    Behind(Kept),
}

impl Found {
    async fn look(
        view: &impl View,
        (bucket, key): (BucketId, &ObjectKey),
        version: Option<VersionId>,
    ) -> Result<Self, LockError> {
        let present = Present::find(view, bucket, key).await?;
        let is_meant = version.is_none_or(|version| present.is(version));
        if let Some(current) = present.current.filter(|_| is_meant) {
            return Ok(Self::Shown(Box::new(current), present.version));
        }
        let version = version.ok_or(LockError::NoVersion)?;
        let kept = kept_as(view, (bucket, key), version).await?;
        kept.map(Self::Behind).ok_or(LockError::NoVersion)
    }

    fn lock(&self) -> Result<Lock, LockError> {
        match self {
            Self::Shown(current, _) => Ok(current.lock),
            Self::Behind(kept) if kept.record.object().is_some() => Ok(kept.record.lock),
            Self::Behind(_) => Err(LockError::Marker),
        }
    }

    /// The batch that writes the row with another lock, if it is as it was read.
    async fn relocked(
        self,
        view: &impl View,
        (bucket, key): (BucketId, &ObjectKey),
        lock: Lock,
    ) -> Result<Batch, CatalogError> {
        let mut batch = Batch::new();
        let (row, version, written) = match self {
            Self::Shown(current, version) => {
                let row = keys::object(bucket, key.as_bytes());
                (row, version, CurrentRecord { lock, ..*current }.encode()?)
            }
            Self::Behind(Kept { order, mut record }) => {
                record.lock = lock;
                let row = keys::version(bucket, key, order);
                let version = view.get(&row).await?.map(|row| row.version);
                (row, version, record.encode()?)
            }
        };
        batch.expect(row.clone(), version);
        batch.put(row, written);
        Ok(batch)
    }
}
