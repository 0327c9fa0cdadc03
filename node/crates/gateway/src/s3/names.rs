//! Names and numbers of requests, checked.

use std::time::{Duration, UNIX_EPOCH};

use datamesh_catalog::{Object, ObjectKey, UploadId};
use datamesh_shard::BucketName;
use s3s::dto::{ETag, ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

/// A bucket's name. The library has held it against S3's rules already, which are narrower than ours.
pub(super) fn bucket(name: &str) -> S3Result<BucketName> {
    BucketName::new(name).map_err(|error| s3_error!(InvalidBucketName, "{error}"))
}

pub(super) fn key(key: &str) -> S3Result<ObjectKey> {
    ObjectKey::new(key).map_err(|error| s3_error!(KeyTooLongError, "{error}"))
}

pub(super) fn upload(id: &str) -> S3Result<UploadId> {
    id.parse().map_err(|_| s3_error!(NoSuchUpload, "an upload's id is 32 hexadecimal digits"))
}

/// An entity tag as S3 shows it. Early builds gave 32 hexadecimal digits, which clients take for an MD5.
pub(super) fn shown_etag(upload: UploadId, etag: &str) -> ETag {
    if etag == upload.to_string() { ETag::Strong(format!("{etag}-1")) } else { ETag::Strong(etag.to_owned()) }
}

pub(super) fn etag_of(object: &Object) -> ETag {
    shown_etag(object.upload, &object.etag)
}

/// Whether a condition names this tag.
pub(super) fn names(condition: &ETagCondition, etag: &ETag) -> bool {
    condition.is_any() || condition.as_etag().is_some_and(|named| named.value() == etag.value())
}

pub(super) fn timestamp(unix_ms: u64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_millis(unix_ms)).into()
}

/// Milliseconds since 1970 of a date, in whatever zone it is written; none before. (The library takes the zone for UTC where it writes
/// a date in words.)
pub(super) fn unix_ms(date: &Timestamp) -> Option<u64> {
    let mut text = Vec::new();
    date.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)
}

pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// How many of something a list shall have: by default, and at most, so many.
pub(super) fn at_most(wanted: Option<i32>, max: i32, field: &'static str) -> S3Result<i32> {
    match wanted {
        Some(wanted) if wanted < 0 => Err(s3_error!(InvalidArgument, "{field} is 0 or more, not {wanted}")),
        wanted => Ok(wanted.unwrap_or(max).min(max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_moment_in_whatever_zone() {
        let moment = |text| unix_ms(&Timestamp::parse(TimestampFormat::DateTime, text).unwrap());
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(moment("2030-01-01T00:00:00.123Z"), Some(1_893_456_000_123));
        assert_eq!(moment("2029-12-31T19:00:00-05:00"), moment("2030-01-01T00:00:00Z"));
        assert_eq!(moment("2030-01-01T02:00:00+02:00"), Some(1_893_456_000_000));
        assert_eq!(moment("1969-12-31T23:59:59Z"), None);
        assert_eq!(moment("9999-12-31T23:59:59.999Z"), Some(253_402_300_799_999));
    }
}
