//! Keys of what buckets keep of their objects' versions.

use super::{KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::{BucketId, ObjectKey, UploadId};

/// Key of whether a bucket keeps versions.
#[must_use]
pub fn versioning(bucket: BucketId) -> Vec<u8> {
    table(Table::Versioning).u64(bucket.0).finish()
}

/// Key of a version that is not its key's object. The order is written so that the newest comes first.
#[must_use]
pub fn version(bucket: BucketId, key: &ObjectKey, order: u64) -> Vec<u8> {
    table(Table::Version).u64(bucket.0).bytes(key.as_bytes()).u64(!order).finish()
}

/// All of them that a key has.
#[must_use]
pub fn versions_of(bucket: BucketId, key: &[u8]) -> KeyRange {
    KeyRange::prefix(table(Table::Version).u64(bucket.0).bytes(key).finish())
}

/// All of them to keys that begin with `prefix`.
#[must_use]
pub fn versions(bucket: BucketId, prefix: &[u8]) -> KeyRange {
    KeyRange::prefix(table(Table::Version).u64(bucket.0).bytes_prefix(prefix).finish())
}

/// Reads the object's key and the order back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_version(key: &[u8]) -> Result<(ObjectKey, u64), KeyError> {
    let mut key = KeyReader::new(key, Table::Version)?;
    let (_, name, order) = (key.u64()?, key.bytes()?, !key.u64()?);
    key.end()?;
    Ok((ObjectKey::new(name).map_err(|_| KeyError::Name)?, order))
}

/// Key of where the version without an id is, while it is not the key's object.
#[must_use]
pub fn null_version(bucket: BucketId, key: &ObjectKey) -> Vec<u8> {
    table(Table::NullVersion).u64(bucket.0).bytes(key.as_bytes()).finish()
}

/// Key of where the version is that came of an upload, while it is not its key's object.
#[must_use]
pub fn version_of(upload: UploadId) -> Vec<u8> {
    table(Table::VersionOf).fixed(&upload.0).finish()
}
