//! Keys of who needs a segment, and of those that nobody does.

use datamesh_shard::SegmentId;

use super::{KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::{BucketId, UploadId};

/// Key of a segment that an upload uses.
#[must_use]
pub fn used_segment(upload: UploadId, segment: SegmentId) -> Vec<u8> {
    table(Table::UsedSegment).fixed(&upload.0).fixed(&segment.0).finish()
}

/// Key of a reference.
#[must_use]
pub fn reference(bucket: BucketId, segment: SegmentId, upload: UploadId) -> Vec<u8> {
    table(Table::Reference).u64(bucket.0).fixed(&segment.0).fixed(&upload.0).finish()
}

/// Reads the segment and the upload back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_reference(key: &[u8]) -> Result<(SegmentId, UploadId), KeyError> {
    let mut key = KeyReader::new(key, Table::Reference)?;
    let (_, segment, upload) = (key.u64()?, SegmentId(key.fixed()?), UploadId(key.fixed()?));
    key.end()?;
    Ok((segment, upload))
}

/// All references of a bucket.
#[must_use]
pub fn references_of(bucket: BucketId) -> KeyRange {
    KeyRange::prefix(table(Table::Reference).u64(bucket.0).finish())
}

/// A bucket's references to segments from the first one up to the second, or to the end.
#[must_use]
pub fn references_within(bucket: BucketId, (from, to): (SegmentId, Option<SegmentId>)) -> KeyRange {
    let at = |segment: SegmentId| table(Table::Reference).u64(bucket.0).fixed(&segment.0).finish();
    KeyRange { start: at(from), end: to.map(at).or(references_of(bucket).end) }
}

/// All references to a segment.
#[must_use]
pub fn references(bucket: BucketId, segment: SegmentId) -> KeyRange {
    KeyRange::prefix(table(Table::Reference).u64(bucket.0).fixed(&segment.0).finish())
}

/// Key of a condemned segment.
#[must_use]
pub fn condemned(due_unix_ms: u64, segment: SegmentId) -> Vec<u8> {
    table(Table::Condemned).u64(due_unix_ms).fixed(&segment.0).finish()
}

/// Key by which a condemned segment is found.
#[must_use]
pub fn condemned_segment(segment: SegmentId) -> Vec<u8> {
    table(Table::CondemnedSegment).fixed(&segment.0).finish()
}

/// Key of the row that says that an upload has segments to let go.
#[must_use]
pub fn leftover(upload: UploadId) -> Vec<u8> {
    table(Table::Leftover).fixed(&upload.0).finish()
}

/// Reads the upload back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_leftover(key: &[u8]) -> Result<UploadId, KeyError> {
    let mut key = KeyReader::new(key, Table::Leftover)?;
    let upload = UploadId(key.fixed()?);
    key.end()?;
    Ok(upload)
}
