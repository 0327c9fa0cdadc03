//! Which object a path names: `/api/v1/files/{key}` or `/api/v1/buckets/{bucket}/files/{key}`, and the same with `metadata`.

use axum::extract::FromRequestParts;
use datamesh_catalog::ObjectKey;
use datamesh_shard::{BucketName, SegmentId};
use http::request::Parts;

use crate::problem::Problem;

/// The bucket of paths that name none.
pub(crate) const DEFAULT_BUCKET: &str = "default";

/// A bucket's name and a key in it, out of the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) bucket: BucketName,
    pub(super) key: ObjectKey,
}

/// A segment of an object, out of the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SegmentPath {
    pub(super) object: ObjectPath,
    pub(super) segment: SegmentId,
}

/// A bucket's name, out of the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BucketPath(pub(super) BucketName);

impl<S: Sync> FromRequestParts<S> for ObjectPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.path())
    }
}

impl<S: Sync> FromRequestParts<S> for BucketPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        split(parts.uri.path()).and_then(|(bucket, _)| bucket_name(bucket)).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for SegmentPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse_segment(parts.uri.path())
    }
}

/// `/api/v1/buckets/{bucket}/segments/{segment}/{key}`.
fn parse_segment(path: &str) -> Result<SegmentPath, Problem> {
    let rest = path.strip_prefix("/api/v1/buckets/").and_then(|rest| rest.split_once("/segments/"));
    let parts = rest.and_then(|(bucket, rest)| Some((bucket, rest.split_once('/')?)));
    let (bucket, (segment, key)) =
        parts.ok_or_else(|| Problem::parameter("path", "the path names no segment"))?;
    let object = ObjectPath { bucket: bucket_name(bucket)?, key: object_key(&decode(key)?)? };
    Ok(SegmentPath { object, segment: segment_id(segment)? })
}

/// A segment's id.
pub(super) fn segment_id(text: &str) -> Result<SegmentId, Problem> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| Problem::parameter("segment", "a segment's id is 64 hexadecimal digits"))?;
    Ok(SegmentId(id))
}

fn parse(path: &str) -> Result<ObjectPath, Problem> {
    let (bucket, key) = split(path)?;
    Ok(ObjectPath { bucket: bucket_name(bucket)?, key: object_key(&decode(key)?)? })
}

/// A checked bucket name.
pub(super) fn bucket_name(text: &str) -> Result<BucketName, Problem> {
    BucketName::new(text).map_err(|error| Problem::parameter("bucket", error.to_string()))
}

/// A checked key: UTF-8 of 1 to 1024 bytes.
pub(super) fn object_key(bytes: &[u8]) -> Result<ObjectKey, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::parameter("key", "an object's key is UTF-8"));
    }
    ObjectKey::new(bytes).map_err(|error| Problem::parameter("key", error.to_string()))
}

/// Bucket and still encoded key. The key is taken as it stands: no segment of it is special, `//` and `..` neither.
fn split(path: &str) -> Result<(&str, &str), Problem> {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(path);
    let (bucket, rest) = match rest.strip_prefix("buckets/") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => (DEFAULT_BUCKET, rest),
    };
    let names = ["files", "metadata", "archive", "sealed", "versions"];
    match names.iter().find_map(|name| rest.strip_prefix(name)) {
        Some("") => Ok((bucket, "")),
        Some(rest) if rest.starts_with('/') => Ok((bucket, &rest[1..])),
        _ => Err(Problem::parameter("path", "the path names no file")),
    }
}

/// Undoes percent-encoding.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::parameter("key", "`%` in a path is followed by two hexadecimal digits");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        if *first != b'%' {
            out.push(*first);
            bytes = rest;
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| wrong())?;
        out.extend(byte);
        bytes = after;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<(String, Vec<u8>)> {
        let ObjectPath { bucket, key } = parse(path).ok()?;
        Some((bucket.to_string(), key.as_bytes().to_vec()))
    }

    #[test]
    fn keys_are_taken_as_they_stand() {
        let default = |key: &str| Some(("default".to_owned(), key.as_bytes().to_vec()));
        assert_eq!(of("/api/v1/files/a/b.txt"), default("a/b.txt"));
        assert_eq!(of("/api/v1/files/%C3%A4%20b%2Fc%25"), default("ä b/c%"));
        assert_eq!(of("/api/v1/files//x//"), default("/x//"));
        assert_eq!(of("/api/v1/files/../up"), default("../up"));
        assert_eq!(of("/api/v1/files/a+b"), default("a+b"));
        assert_eq!(of("/api/v1/buckets/photos/files/1"), Some(("photos".to_owned(), b"1".to_vec())));
        assert_eq!(of("/api/v1/buckets/files/files/files"), Some(("files".to_owned(), b"files".to_vec())));
        assert_eq!(of("/api/v1/metadata/files/a"), default("files/a"));
        assert_eq!(of("/api/v1/buckets/photos/metadata/1"), Some(("photos".to_owned(), b"1".to_vec())));
        assert_eq!(of(&format!("/api/v1/files/{}", "k".repeat(1024))).unwrap().1.len(), 1024);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = format!("/api/v1/files/{}", "k".repeat(1025));
        for path in ["/api/v1/files/", "/api/v1/files/%f", "/api/v1/files/%zz", "/api/v1/files/%ff", &long] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(of("/api/v1/buckets/UPPER/files/x"), None);
    }

    #[test]
    fn a_segment_s_path_has_its_object_behind_it() {
        let id = "0f".repeat(32);
        let SegmentPath { object, segment } =
            parse_segment(&format!("/api/v1/buckets/segments/segments/{id}/a_b/segments/-c")).unwrap();
        assert_eq!((object.bucket.as_str(), object.key.as_bytes()), ("segments", &b"a_b/segments/-c"[..]));
        assert_eq!(segment, SegmentId([15; 32]));
        for wrong in [format!("/api/v1/buckets/b/segments/{id}"), "/api/v1/buckets/b/segments/0f/k".into()] {
            assert!(parse_segment(&wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "(/api/v1/)?(buckets/)?[a-z%/.0-9]{0,40}|\\PC{0,40}") {
            if let Some((bucket, key)) = of(&path) {
                proptest::prop_assert!(BucketName::new(&bucket).is_ok() && ObjectKey::new(&key).is_ok());
            }
        }

        #[test]
        fn a_key_is_read_as_it_is_encoded(key in "\\PC{1,60}") {
            let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let expected = Some((DEFAULT_BUCKET.to_owned(), key.as_bytes().to_vec()));
            proptest::prop_assert_eq!(of(&format!("/api/v1/files/{encoded}")), expected);
        }
    }
}
