use std::collections::BTreeMap;

use datamesh_shard::{ErasureProfile, PoolName};

use super::{Catalog, CatalogError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, View};
use crate::model::{BucketId, BucketUsage};

const OBJECTS: u8 = 1;
const UPLOADS: u8 = 2;
/// Rows of condemned segments.
const CONDEMNED: u8 = 3;
/// Segments of condemned uploads, which have no rows of their own yet.
const CONDEMNED_WAITING: u8 = 4;
/// Condemned uploads of which nobody counted the segments.
const CONDEMNED_UNCOUNTED: u8 = 5;

/// Rows of a profile's segments, used or condemned, each of which may stand for shards.
const PROFILE_ROWS: u8 = 1;
/// Sealed bytes of those that are used.
const PROFILE_BYTES: u8 = 2;

const BUCKET_OBJECTS: u8 = 1;
const BUCKET_BYTES: u8 = 2;
/// What is kept beside the objects: earlier versions, and deletes.
const BUCKET_VERSIONS: u8 = 3;
const BUCKET_VERSION_BYTES: u8 = 4;

/// What the catalog holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Objects in all buckets.
    pub objects: u64,
    /// Uploads that are neither committed nor aborted.
    pub uploads: u64,
    /// Segments that wait to be deleted from the nodes.
    pub condemned_segments: u64,
    /// Condemned uploads that had so many segments that those count from the upload's expansion on.
    pub uncounted_uploads: u64,
}

/// What a batch changes in the counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Delta {
    pub(super) objects: i64,
    pub(super) uploads: i64,
    pub(super) condemned: i64,
    pub(super) condemned_waiting: i64,
    pub(super) condemned_uncounted: i64,
    /// By pool and profile: rows, bytes.
    pub(super) profiles: BTreeMap<(PoolName, ErasureProfile), (i64, i64)>,
}

impl Delta {
    /// So many rows of a profile's segments more, and bytes of used ones.
    pub(super) fn profile(&mut self, pool: &PoolName, profile: ErasureProfile, (rows, bytes): (i64, i64)) {
        let sums = self.profiles.entry((pool.clone(), profile)).or_default();
        *sums = (sums.0 + rows, sums.1 + bytes);
    }

    pub(super) fn add_to(self, batch: &mut Batch) {
        batch.add(keys::counter(OBJECTS), self.objects);
        batch.add(keys::counter(UPLOADS), self.uploads);
        batch.add(keys::counter(CONDEMNED), self.condemned);
        batch.add(keys::counter(CONDEMNED_WAITING), self.condemned_waiting);
        batch.add(keys::counter(CONDEMNED_UNCOUNTED), self.condemned_uncounted);
        for ((pool, profile), (rows, bytes)) in self.profiles {
            batch.add(keys::profile_counter(&pool, profile, PROFILE_ROWS), rows);
            batch.add(keys::profile_counter(&pool, profile, PROFILE_BYTES), bytes);
        }
    }
}

/// What a batch changes in what a bucket holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) objects: i64,
    pub(super) plain_bytes: i64,
    pub(super) versions: i64,
    pub(super) version_bytes: i64,
}

impl Usage {
    pub(super) fn add_to(self, batch: &mut Batch, bucket: BucketId) {
        batch.add(keys::bucket_counter(bucket, BUCKET_OBJECTS), self.objects);
        batch.add(keys::bucket_counter(bucket, BUCKET_BYTES), self.plain_bytes);
        batch.add(keys::bucket_counter(bucket, BUCKET_VERSIONS), self.versions);
        batch.add(keys::bucket_counter(bucket, BUCKET_VERSION_BYTES), self.version_bytes);
    }
}

/// Takes the counters of a bucket without objects away.
pub(super) fn forget_usage(batch: &mut Batch, bucket: BucketId) {
    for counter in [BUCKET_OBJECTS, BUCKET_BYTES, BUCKET_VERSIONS, BUCKET_VERSION_BYTES] {
        batch.delete(keys::bucket_counter(bucket, counter));
    }
}

/// A size as a counter's delta. Sizes are far below the end of its range.
pub(super) fn delta_of(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// What a pool has in one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileUsage {
    /// Segments of which there may be shards: in use, or waiting to be deleted. One that two uploads use counts twice.
    pub segments: u64,
    /// Sealed bytes of those in use.
    pub bytes: u64,
}

/// Has the batch come to nothing unless no segment of a profile has a row, now and when it is committed; false if one has.
pub(super) async fn expect_empty(
    view: &impl View,
    batch: &mut Batch,
    (pool, profile): (&PoolName, ErasureProfile),
) -> Result<bool, CatalogError> {
    let key = keys::profile_counter(pool, profile, PROFILE_ROWS);
    let version = view.get(&key).await?.map(|row| row.version);
    let rows = count_in(view, key.clone()).await?;
    batch.expect(key, version);
    Ok(rows == 0)
}

pub(super) async fn count_in(view: &impl View, key: Vec<u8>) -> Result<u64, CatalogError> {
    let Some(row) = view.get(&key).await? else { return Ok(0) };
    let value = row.value.try_into().map_or(0, i64::from_le_bytes);
    Ok(u64::try_from(value).unwrap_or(0))
}

impl<K: Keyspace> Catalog<K> {
    /// What the catalog holds, all of one moment.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn counters(&self) -> Result<Counters, CatalogError> {
        let view = self.view().await?;
        let condemned = count_in(&view, keys::counter(CONDEMNED)).await?;
        Ok(Counters {
            objects: count_in(&view, keys::counter(OBJECTS)).await?,
            uploads: count_in(&view, keys::counter(UPLOADS)).await?,
            condemned_segments: condemned + count_in(&view, keys::counter(CONDEMNED_WAITING)).await?,
            uncounted_uploads: count_in(&view, keys::counter(CONDEMNED_UNCOUNTED)).await?,
        })
    }

    /// What a pool has in one profile.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn profile_usage(
        &self,
        pool: &PoolName,
        profile: ErasureProfile,
    ) -> Result<ProfileUsage, CatalogError> {
        let view = self.view().await?;
        Ok(ProfileUsage {
            segments: count_in(&view, keys::profile_counter(pool, profile, PROFILE_ROWS)).await?,
            bytes: count_in(&view, keys::profile_counter(pool, profile, PROFILE_BYTES)).await?,
        })
    }

    /// What a bucket holds.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn bucket_usage(&self, bucket: BucketId) -> Result<BucketUsage, CatalogError> {
        let view = self.view().await?;
        Ok(BucketUsage {
            objects: count_in(&view, keys::bucket_counter(bucket, BUCKET_OBJECTS)).await?,
            plain_bytes: count_in(&view, keys::bucket_counter(bucket, BUCKET_BYTES)).await?,
            versions: count_in(&view, keys::bucket_counter(bucket, BUCKET_VERSIONS)).await?,
            version_bytes: count_in(&view, keys::bucket_counter(bucket, BUCKET_VERSION_BYTES)).await?,
        })
    }
}
