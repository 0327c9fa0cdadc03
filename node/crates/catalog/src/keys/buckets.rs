//! Keys of what is a bucket's, and of who may use it by S3.

use datamesh_shard::BucketName;

use super::{KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::{AccessKeyId, BucketId, BucketSetting, ObjectKey, UploadId};

/// Key of a bucket.
#[must_use]
pub fn bucket(name: &BucketName) -> Vec<u8> {
    table(Table::Bucket).bytes(name.as_str().as_bytes()).finish()
}

/// Key of a bucket's counter.
#[must_use]
pub fn bucket_counter(bucket: BucketId, number: u8) -> Vec<u8> {
    table(Table::BucketCounter).u64(bucket.0).u8(number).finish()
}

/// Key of an object.
#[must_use]
pub fn object(bucket: BucketId, key: &[u8]) -> Vec<u8> {
    table(Table::Object).u64(bucket.0).bytes(key).finish()
}

/// Objects whose key begins with `prefix`.
#[must_use]
pub fn objects(bucket: BucketId, prefix: &[u8]) -> KeyRange {
    KeyRange::prefix(table(Table::Object).u64(bucket.0).bytes_prefix(prefix).finish())
}

/// Key of the row that says that a bucket is gone.
#[must_use]
pub fn bucket_gone(bucket: BucketId) -> Vec<u8> {
    table(Table::BucketGone).u64(bucket.0).finish()
}

/// Key of an upload in the order of its bucket's keys.
#[must_use]
pub fn bucket_upload(bucket: BucketId, key: &ObjectKey, upload: UploadId) -> Vec<u8> {
    table(Table::BucketUpload).u64(bucket.0).bytes(key.as_bytes()).fixed(&upload.0).finish()
}

/// Uploads of a bucket to keys that begin with `prefix`.
#[must_use]
pub fn bucket_uploads(bucket: BucketId, prefix: &[u8]) -> KeyRange {
    KeyRange::prefix(table(Table::BucketUpload).u64(bucket.0).bytes_prefix(prefix).finish())
}

/// Reads the object's key and the upload back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_bucket_upload(key: &[u8]) -> Result<(ObjectKey, UploadId), KeyError> {
    let mut key = KeyReader::new(key, Table::BucketUpload)?;
    let (_, name, upload) = (key.u64()?, key.bytes()?, UploadId(key.fixed()?));
    key.end()?;
    Ok((ObjectKey::new(name).map_err(|_| KeyError::Name)?, upload))
}

/// Key of what is set of a bucket.
#[must_use]
pub fn bucket_setting(which: BucketSetting, bucket: BucketId) -> Vec<u8> {
    table(Table::BucketSetting).u8(which as u8).u64(bucket.0).finish()
}

/// What is set, of all buckets.
#[must_use]
pub fn bucket_settings(which: BucketSetting) -> KeyRange {
    KeyRange::prefix(table(Table::BucketSetting).u8(which as u8).finish())
}

/// Reads the setting's number and the bucket back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_bucket_setting(key: &[u8]) -> Result<(u8, BucketId), KeyError> {
    let mut key = KeyReader::new(key, Table::BucketSetting)?;
    let ([which], bucket) = (key.fixed::<1>()?, BucketId(key.u64()?));
    key.end()?;
    Ok((which, bucket))
}

/// Key of an S3 key pair.
#[must_use]
pub fn access_key(id: &AccessKeyId) -> Vec<u8> {
    table(Table::AccessKey).bytes(id.as_str().as_bytes()).finish()
}
