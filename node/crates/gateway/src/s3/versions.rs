//! Versions of objects: whether buckets keep them, what they are called, and lists of them.

use std::sync::Arc;

use datamesh_catalog::{
    ObjectKey, VersionCursor, VersionEntry, VersionId, VersionListing, VersionObject, VersionQuery,
    Versioning,
};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::dto::{
    BucketVersioningStatus, DeleteMarkerEntry, GetBucketVersioningInput, GetBucketVersioningOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, MFADelete, ObjectVersion, ObjectVersionStorageClass,
    Owner, PutBucketVersioningInput, PutBucketVersioningOutput, TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::access::Caller;
use super::buckets::owner;
use super::listing::{KEYS_MAX, Written, delimiter};
use super::names;
use crate::api::App;
use crate::objects::{Found, Seen};

/// Says that what was met is a delete.
const DELETE_MARKER: &str = "x-amz-delete-marker";
const VERSION_ID: &str = "x-amz-version-id";

/// The version that a request names.
pub(super) fn version(id: Option<&str>) -> S3Result<Option<VersionId>> {
    match id {
        None => Ok(None),
        Some(id) => id.parse().map(Some).map_err(|error| s3_error!(InvalidArgument, "versionId: {error}")),
    }
}

/// What an answer calls a version; nothing where the bucket kept none when the object was put.
pub(super) fn shown(version: Option<VersionId>) -> Option<String> {
    version.map(|version| version.to_string())
}

/// The object that was looked up, as this version where one was named.
pub(super) fn found(seen: Seen, version: Option<VersionId>) -> S3Result<Found> {
    match (seen, version) {
        (Seen::Object(found), _) => Ok(*found),
        (Seen::Nothing, None) => Err(s3_error!(NoSuchKey, "there is no object of this key in the bucket")),
        (Seen::Nothing, Some(_)) => Err(s3_error!(NoSuchVersion, "there is no such version of this key")),
        (Seen::Marker(marker), None) => {
            let error = s3_error!(NoSuchKey, "the object was deleted; versions of it are kept");
            Err(marked(error, &[(VERSION_ID, marker.version.to_string())]))
        }
        (Seen::Marker(marker), Some(_)) => {
            let mut date = Vec::new();
            // Within the years that a date can say.
            let _ = names::timestamp(marker.created_unix_ms).format(TimestampFormat::HttpDate, &mut date);
            let date = String::from_utf8_lossy(&date).into_owned();
            let mut error = s3_error!(MethodNotAllowed, "the version is a delete: it has no bytes");
            error.set_status_code(StatusCode::METHOD_NOT_ALLOWED);
            let id = marker.version.to_string();
            let allow = (header::ALLOW.as_str(), "DELETE".to_owned());
            Err(marked(error, &[allow, (header::LAST_MODIFIED.as_str(), date), (VERSION_ID, id)]))
        }
    }
}

fn marked(mut error: S3Error, more: &[(&'static str, String)]) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert(DELETE_MARKER, HeaderValue::from_static("true"));
    for (name, value) in more {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(*name, value);
        }
    }
    error.set_headers(headers);
    error
}

/// `GetBucketVersioning`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let status = app.objects.versioning(&bucket).await?.map(|state| match state {
        Versioning::Enabled => BucketVersioningStatus::ENABLED,
        Versioning::Suspended => BucketVersioningStatus::SUSPENDED,
    });
    let status = status.map(BucketVersioningStatus::from_static);
    Ok(S3Response::new(GetBucketVersioningOutput { status, ..Default::default() }))
}

/// `PutBucketVersioning`.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let input = request.input;
    let wanted = input.versioning_configuration;
    if wanted.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() != MFADelete::DISABLED) {
        return Err(s3_error!(
            NotImplemented,
            "deletes by a second factor are not there: leave MfaDelete out"
        ));
    }
    let state = match wanted.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(S3Error::with_message(S3ErrorCode::MalformedXML, "Status is Enabled or Suspended")),
    };
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    app.objects.set_versioning(&bucket, state).await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

/// Where a list goes on behind a marker. A key inside of a common prefix stands for all of it.
fn behind(
    key: &str,
    version: Option<VersionId>,
    (prefix, delimiter): (&str, Option<&str>),
) -> S3Result<Option<VersionCursor>> {
    use datamesh_catalog::Cursor;
    Ok(match (super::listing::behind(key, prefix, delimiter), version) {
        (None, None) => None,
        (None, Some(_)) => return Err(s3_error!(InvalidArgument, "version-id-marker needs a key-marker")),
        (Some(Cursor::Prefix(prefix)), _) => Some(VersionCursor::Prefix(prefix)),
        (Some(Cursor::Key(_)), Some(version)) => Some(VersionCursor::Version(names::key(key)?, version)),
        (Some(Cursor::Key(key)), None) => Some(VersionCursor::Key(key)),
    })
}

/// `ListObjectVersions`.
pub(super) async fn list(
    app: &Arc<App>,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let S3Request { input, extensions, .. } = request;
    let written = Written::new(input.encoding_type.as_ref())?;
    let max = names::at_most(input.max_keys, KEYS_MAX, "max-keys")?;
    let (prefix, by) = (input.prefix.as_deref().unwrap_or_default(), delimiter(input.delimiter.as_deref()));
    let marker = input.key_marker.as_deref().unwrap_or_default();
    let id = input.version_id_marker.as_deref().filter(|id| !id.is_empty());
    let after = behind(marker, version(id)?, (prefix, by))?;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let listing = if max == 0 || prefix.len() > OBJECT_KEY_BYTES_MAX {
        VersionListing::default()
    } else {
        let query = VersionQuery {
            prefix: prefix.as_bytes().to_vec(),
            after,
            limit: usize::try_from(max).unwrap_or_default(),
            delimiter: by.map(str::to_owned),
        };
        app.objects.versions(&bucket, &query).await?
    };
    let owner = extensions.get::<Caller>().map(|Caller(known)| owner(&known.grant));
    let (versions, delete_markers) = entries(&listing.entries, written, owner.as_ref());
    let (next_key_marker, next_version_id_marker) = next(listing.next.as_ref(), written);
    Ok(S3Response::new(ListObjectVersionsOutput {
        is_truncated: Some(listing.next.is_some()),
        next_key_marker,
        next_version_id_marker,
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        common_prefixes: Some(written.prefixes(&listing.common_prefixes)),
        prefix: Some(written.name(prefix)),
        key_marker: Some(written.name(marker)),
        version_id_marker: input.version_id_marker,
        delimiter: by.map(|by| written.name(by)),
        max_keys: Some(max),
        encoding_type: written.kind(),
        name: Some(input.bucket),
        ..Default::default()
    }))
}

fn next(next: Option<&VersionCursor>, written: Written) -> (Option<String>, Option<String>) {
    match next {
        None => (None, None),
        Some(VersionCursor::Version(key, version)) => {
            (Some(written.bytes(key.as_bytes())), Some(version.to_string()))
        }
        Some(VersionCursor::Key(last) | VersionCursor::Prefix(last)) => (Some(written.bytes(last)), None),
    }
}

fn entries(
    entries: &[VersionEntry],
    written: Written,
    owner: Option<&Owner>,
) -> (Vec<ObjectVersion>, Vec<DeleteMarkerEntry>) {
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    for entry in entries {
        let key = |key: &ObjectKey| Some(written.bytes(key.as_bytes()));
        let (id, at) = (Some(entry.version.to_string()), names::timestamp(entry.created_unix_ms));
        match &entry.object {
            Some(VersionObject { upload, size_bytes, etag }) => versions.push(ObjectVersion {
                key: key(&entry.key),
                version_id: id,
                is_latest: Some(entry.latest),
                last_modified: Some(at),
                e_tag: Some(names::shown_etag(*upload, etag)),
                size: Some(names::size(*size_bytes)),
                storage_class: Some(ObjectVersionStorageClass::from_static(
                    ObjectVersionStorageClass::STANDARD,
                )),
                owner: owner.cloned(),
                ..Default::default()
            }),
            None => markers.push(DeleteMarkerEntry {
                key: key(&entry.key),
                version_id: id,
                is_latest: Some(entry.latest),
                last_modified: Some(at),
                owner: owner.cloned(),
            }),
        }
    }
    (versions, markers)
}
