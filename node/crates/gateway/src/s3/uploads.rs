//! Lists of uploads that are open.

use std::sync::Arc;

use datamesh_catalog::{Cursor, ListedUpload, ObjectKey, UploadId};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use s3s::dto::{
    CommonPrefix, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::listing::{KEYS_MAX, Written, behind, delimiter};
use super::names;
use crate::api::App;
use crate::objects::BucketContext;

/// What a list has: an upload, or a common prefix of several.
enum Entry {
    Upload(ListedUpload),
    Prefix(Vec<u8>),
}

/// What is listed, and behind what.
struct Asked<'a> {
    bucket: &'a BucketContext,
    prefix: &'a [u8],
    delimiter: Option<&'a str>,
    after: Option<(ObjectKey, Option<UploadId>)>,
}

/// `ListMultipartUploads`.
pub(super) async fn list(
    app: &Arc<App>,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    let written = Written::new(input.encoding_type.as_ref())?;
    let max = names::at_most(input.max_uploads, KEYS_MAX, "max-uploads")?;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let (prefix, by) = (input.prefix.as_deref().unwrap_or_default(), delimiter(input.delimiter.as_deref()));
    let id = input.upload_id_marker.as_deref().filter(|id| !id.is_empty()).map(names::upload).transpose()?;
    let after = match behind(input.key_marker.as_deref().unwrap_or_default(), prefix, by) {
        None => None,
        Some(Cursor::Prefix(all)) => Some((last_of(&all)?, None)),
        Some(Cursor::Key(key)) => Some((names::key(&String::from_utf8_lossy(&key))?, id)),
    };
    let limit = usize::try_from(max).unwrap_or_default();
    let asked = Asked { bucket: &bucket, prefix: prefix.as_bytes(), delimiter: by, after };
    let mut listed = entries(app, asked, limit + 1).await?;
    let is_truncated = listed.len() > limit && limit > 0;
    listed.truncate(limit);
    let (key, id) = listed.last().filter(|_| is_truncated).map(|last| marker(last, written)).unzip();
    let mut output = ListMultipartUploadsOutput {
        next_key_marker: key,
        next_upload_id_marker: id.flatten(),
        is_truncated: Some(is_truncated),
        prefix: Some(written.name(prefix)),
        delimiter: by.map(|by| written.name(by)),
        key_marker: input.key_marker.as_deref().map(|key| written.name(key)),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max),
        encoding_type: written.kind(),
        bucket: Some(input.bucket),
        ..Default::default()
    };
    for entry in listed {
        match entry {
            Entry::Upload(upload) => output.uploads.get_or_insert_default().push(shown(&upload, written)),
            Entry::Prefix(all) => {
                let prefix = Some(written.bytes(&all));
                output.common_prefixes.get_or_insert_default().push(CommonPrefix { prefix });
            }
        }
    }
    Ok(S3Response::new(output))
}

/// So many entries at most. What has a common prefix is passed over at once.
async fn entries(app: &Arc<App>, asked: Asked<'_>, limit: usize) -> S3Result<Vec<Entry>> {
    let Asked { bucket, prefix, delimiter, mut after } = asked;
    let mut entries = Vec::new();
    while entries.len() < limit {
        let left = limit - entries.len();
        let behind = after.as_ref().map(|(key, id)| (key, *id));
        let uploads = app.objects.uploads(bucket, prefix, behind, left).await?;
        let is_all = uploads.len() < left;
        let mut rolled = None;
        for upload in uploads {
            if let Some(all) = common(upload.key.as_bytes(), prefix, delimiter) {
                rolled = Some(last_of(&all)?);
                entries.push(Entry::Prefix(all));
                break;
            }
            after = Some((upload.key.clone(), Some(upload.upload)));
            entries.push(Entry::Upload(upload));
        }
        match rolled {
            Some(last) => after = Some((last, None)),
            None if is_all => break,
            None => {}
        }
    }
    Ok(entries)
}

/// The common prefix of a key, up to the delimiter.
fn common(key: &[u8], prefix: &[u8], delimiter: Option<&str>) -> Option<Vec<u8>> {
    let by = delimiter?.as_bytes();
    let at = key.strip_prefix(prefix)?.windows(by.len()).position(|window| window == by)?;
    key.get(..prefix.len() + at + by.len()).map(<[u8]>::to_vec)
}

/// The last key that begins so, in the order of keys.
fn last_of(prefix: &[u8]) -> S3Result<ObjectKey> {
    let mut last = prefix.to_vec();
    last.resize(OBJECT_KEY_BYTES_MAX.max(last.len()), u8::MAX);
    ObjectKey::new(last).map_err(|error| s3_error!(InvalidArgument, "key-marker: {error}"))
}

/// Where a list goes on.
fn marker(last: &Entry, written: Written) -> (String, Option<String>) {
    match last {
        Entry::Upload(last) => (written.bytes(last.key.as_bytes()), Some(last.upload.to_string())),
        Entry::Prefix(all) => (written.bytes(all), None),
    }
}

fn shown(upload: &ListedUpload, written: Written) -> MultipartUpload {
    MultipartUpload {
        key: Some(written.bytes(upload.key.as_bytes())),
        upload_id: Some(upload.upload.to_string()),
        initiated: Some(names::timestamp(upload.created_unix_ms)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_of_a_prefix_is_behind_all_that_begin_so() {
        let last = last_of(b"a/").unwrap();
        for key in ["a/", "a/b", "a/\u{10ffff}", &format!("a/{}", "\u{10ffff}".repeat(255))] {
            assert!(ObjectKey::new(key).unwrap() < last, "{key}");
        }
        assert!(ObjectKey::new("a0").unwrap() > last);
        let full = vec![b'a'; OBJECT_KEY_BYTES_MAX];
        assert_eq!(last_of(&full).unwrap(), ObjectKey::new(&full).unwrap());
        assert!(last_of(&[0; OBJECT_KEY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_common_prefix_ends_with_the_first_delimiter_behind_what_was_asked_for() {
        let common = |key: &str, prefix: &str, by| common(key.as_bytes(), prefix.as_bytes(), by);
        assert_eq!(common("a/b/c", "", Some("/")).unwrap(), b"a/");
        assert_eq!(common("a/b/c", "a/", Some("/")).unwrap(), b"a/b/");
        assert_eq!(common("a/b", "a/", Some("/")), None);
        assert_eq!(common("a/b", "", None), None);
        assert_eq!(common("x--y", "", Some("--")).unwrap(), b"x--");
    }
}
