//! What is set of a bucket and is no concern of the catalog's: bytes by kind.

use std::collections::HashSet;

use datamesh_shard::BucketName;

use super::faults::{ATTEMPTS_MAX, at_most, each, find, put};
use super::objects::Present;
use super::versions::kept_as;
use super::{Catalog, CatalogError, Invalid};
use crate::keys::{self, Table};
use crate::keyspace::{Batch, Keyspace, Row};
use crate::limits::{BUCKET_SETTING_BYTES_MAX, CONTENT_TYPE_BYTES_MAX, META_BYTES_MAX};
use crate::model::{BucketId, BucketSetting, Object};
use crate::record::{
    self, BehindRecord, BucketRecord, SettingRecord, VersionBodyRecord, Written as _, meta_bytes,
};

/// Something that is set of a bucket that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StraySetting {
    /// The number of what is set; later builds may know more of them.
    pub setting: u8,
    /// The bucket.
    pub bucket: BucketId,
    /// Whether it is taken away.
    pub mended: bool,
}

/// Why something was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The bucket was deleted.
    #[error("the bucket is gone")]
    BucketGone,
    /// It was changed by somebody else meanwhile.
    #[error("it was changed meanwhile")]
    Changed,
    /// It keeps all versions for good, since they may be locked.
    #[error("object lock is enabled: the bucket keeps all versions for good")]
    Locking,
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl<K: Keyspace> Catalog<K> {
    /// What is set of a bucket, if it is.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bucket_setting(
        &self,
        bucket: BucketId,
        which: BucketSetting,
    ) -> Result<Option<Vec<u8>>, CatalogError> {
        let record = self.read::<SettingRecord>(&keys::bucket_setting(which, bucket)).await?;
        Ok(record.map(|record| record.bytes))
    }

    /// The bucket that has a name now, and what of these is set of it, of one moment: what decides who may do something there must not be
    /// another bucket's.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn settings_of_name<const N: usize>(
        &self,
        name: &BucketName,
        which: [BucketSetting; N],
    ) -> Result<Option<(BucketId, [Option<Vec<u8>>; N])>, CatalogError> {
        let view = self.view().await?;
        let Some(bucket) = find::<BucketRecord>(&view, &keys::bucket(name)).await?.record else {
            return Ok(None);
        };
        let mut set = [const { None }; N];
        for (set, which) in set.iter_mut().zip(which) {
            let found = find::<SettingRecord>(&view, &keys::bucket_setting(which, bucket.id)).await?;
            *set = found.record.map(|record| record.bytes);
        }
        Ok(Some((bucket.id, set)))
    }

    /// Sets it, or takes it away.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub async fn set_bucket_setting(
        &self,
        bucket: BucketId,
        which: BucketSetting,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), SettingError> {
        let record = bytes.map(|bytes| SettingRecord { bytes });
        let size = record.as_ref().map_or(0, |record| record.bytes.len());
        at_most("bytes of a bucket's setting", size, BUCKET_SETTING_BYTES_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            if self.is_bucket_gone(bucket).await? {
                return Err(SettingError::BucketGone);
            }
            let mut batch = Batch::new();
            batch.expect(keys::bucket_gone(bucket), None);
            let key = keys::bucket_setting(which, bucket);
            match &record {
                Some(record) => put(&mut batch, key, record)?,
                None => batch.delete(key),
            }
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Buckets of which something of that kind is set.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn buckets_with(&self, which: BucketSetting) -> Result<Vec<BucketId>, CatalogError> {
        let mut buckets = Vec::new();
        let keep = |row: Row| {
            buckets.push(keys::read_bucket_setting(&row.key)?.1);
            Ok(())
        };
        each(&self.view().await?, keys::bucket_settings(which), keep).await?;
        Ok(buckets)
    }

    /// What is set of buckets that are not there. With `mend`, it is taken away.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn stray_settings(&self, mend: bool) -> Result<Vec<StraySetting>, CatalogError> {
        let (view, mut there) = (self.view().await?, HashSet::new());
        each(&view, keys::all(Table::Bucket), |row| {
            there.insert(record::decode::<BucketRecord>(&row.value)?.id);
            Ok(())
        })
        .await?;
        let mut found = Vec::new();
        each(&view, keys::all(Table::BucketSetting), |row| {
            let (setting, bucket) = keys::read_bucket_setting(&row.key)?;
            if !there.contains(&bucket) {
                found.push((StraySetting { setting, bucket, mended: false }, row.key, row.version));
            }
            Ok(())
        })
        .await?;
        drop(view);
        let mut strays = Vec::with_capacity(found.len());
        for (mut stray, key, version) in found {
            if mend {
                let mut batch = Batch::new();
                batch.expect(key.clone(), Some(version));
                batch.delete(key);
                stray.mended = self.try_commit(batch).await?.is_some();
            }
            strays.push(stray);
        }
        Ok(strays)
    }

    /// Gives an object, or a version of one, another media type, if one is named, and other metadata; false when it is not as it was
    /// read any more, its lock among that.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub async fn set_meta(
        &self,
        object: &Object,
        content_type: Option<&str>,
        meta: Vec<(String, String)>,
    ) -> Result<bool, SettingError> {
        let content_type = content_type.unwrap_or(&object.content_type);
        at_most("bytes of a content type", content_type.len(), CONTENT_TYPE_BYTES_MAX)?;
        at_most("bytes of metadata", meta_bytes(&meta), META_BYTES_MAX)?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(batch) = self.plan_meta(object, (content_type, &meta)).await? else { return Ok(false) };
            if self.try_commit(batch).await?.is_some() {
                return Ok(true);
            }
        }
        Err(CatalogError::Contended.into())
    }

    async fn plan_meta(
        &self,
        object: &Object,
        (content_type, meta): (&str, &[(String, String)]),
    ) -> Result<Option<Batch>, CatalogError> {
        let (view, mut batch) = (self.view().await?, Batch::new());
        let whose = (object.bucket, &object.key);
        let present = Present::find(&view, object.bucket, &object.key).await?;
        if let Some(mut current) = present.current.filter(|current| current.object.upload == object.upload) {
            let there = (&current.object.meta, &current.object.content_type, current.lock);
            if there != (&object.meta, &object.content_type, object.lock) {
                return Ok(None);
            }
            content_type.clone_into(&mut current.object.content_type);
            meta.clone_into(&mut current.object.meta);
            let key = keys::object(object.bucket, object.key.as_bytes());
            batch.expect(key.clone(), present.version);
            batch.put(key, current.encode()?);
            return Ok(Some(batch));
        }
        let Some(version) = object.version else { return Ok(None) };
        let Some(kept) = kept_as(&view, whose, version).await? else { return Ok(None) };
        let key = keys::version(object.bucket, &object.key, kept.order);
        let found = find::<BehindRecord>(&view, &key).await?;
        match found.record {
            Some(BehindRecord { null, what: VersionBodyRecord::Object(mut there), lock })
                if there.upload == object.upload
                    && there.meta == object.meta
                    && there.content_type == object.content_type
                    && lock == object.lock =>
            {
                content_type.clone_into(&mut there.content_type);
                meta.clone_into(&mut there.meta);
                batch.expect(key.clone(), found.version);
                put(&mut batch, key, &BehindRecord { null, what: VersionBodyRecord::Object(there), lock })?;
                Ok(Some(batch))
            }
            _ => Ok(None),
        }
    }
}
