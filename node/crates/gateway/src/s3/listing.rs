//! Lists of objects.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_catalog::{Cursor, Entry, ListQuery, Listing};
use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::access::Caller;
use super::buckets::owner;
use super::names;
use crate::api::App;

/// Entries of one answer at most.
pub(super) const KEYS_MAX: i32 = 1000;
/// What stays as it is where keys are encoded for URLs. A blank becomes `%20`, which every client undoes.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How names are written in an answer.
#[derive(Clone, Copy)]
pub(super) struct Written {
    encoded: bool,
}

impl Written {
    pub(super) fn new(wanted: Option<&EncodingType>) -> S3Result<Self> {
        match wanted.map(EncodingType::as_str) {
            None => Ok(Self { encoded: false }),
            Some(EncodingType::URL) => Ok(Self { encoded: true }),
            Some(other) => Err(s3_error!(InvalidArgument, "encoding-type is url, not {other}")),
        }
    }

    pub(super) fn name(self, name: &str) -> String {
        if self.encoded { utf8_percent_encode(name, PLAIN).to_string() } else { name.to_owned() }
    }

    pub(super) fn bytes(self, name: &[u8]) -> String {
        self.name(&String::from_utf8_lossy(name))
    }

    pub(super) fn kind(self) -> Option<EncodingType> {
        self.encoded.then(|| EncodingType::from_static(EncodingType::URL))
    }

    pub(super) fn prefixes(self, prefixes: &[Vec<u8>]) -> Vec<CommonPrefix> {
        let prefix = |prefix: &Vec<u8>| CommonPrefix { prefix: Some(self.bytes(prefix)) };
        prefixes.iter().map(prefix).collect()
    }

    fn objects(self, entries: &[Entry], owner: Option<&Owner>) -> Vec<Object> {
        let object = |entry: &Entry| Object {
            key: Some(self.bytes(entry.key.as_bytes())),
            e_tag: Some(names::shown_etag(entry.upload, &entry.etag)),
            last_modified: Some(names::timestamp(entry.created_unix_ms)),
            size: Some(names::size(entry.size_bytes)),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            owner: owner.cloned(),
            ..Default::default()
        };
        entries.iter().map(object).collect()
    }
}

/// Where a list goes on behind a key. A key inside of a common prefix stands for all of it: it would be listed again.
pub(super) fn behind(key: &str, prefix: &str, delimiter: Option<&str>) -> Option<Cursor> {
    if key.is_empty() {
        return None;
    }
    let rolled = delimiter.and_then(|delimiter| {
        let at = key.strip_prefix(prefix)?.find(delimiter)?;
        key.get(..prefix.len() + at + delimiter.len())
    });
    Some(match rolled {
        Some(rolled) => Cursor::Prefix(rolled.as_bytes().to_vec()),
        None => Cursor::Key(key.as_bytes().to_vec()),
    })
}

struct Asked<'a> {
    bucket: &'a str,
    prefix: Option<&'a str>,
    delimiter: Option<&'a str>,
    after: Option<Cursor>,
    max: i32,
}

async fn list(app: &Arc<App>, asked: Asked<'_>) -> S3Result<Listing> {
    let bucket = names::bucket(asked.bucket)?;
    if asked.prefix.is_some_and(|prefix| prefix.len() > OBJECT_KEY_BYTES_MAX) || asked.max == 0 {
        app.objects.bucket(&bucket).await?;
        return Ok(Listing::default());
    }
    let query = ListQuery {
        prefix: asked.prefix.unwrap_or_default().as_bytes().to_vec(),
        after: asked.after,
        limit: usize::try_from(asked.max).unwrap_or_default(),
        delimiter: asked.delimiter.map(str::to_owned),
    };
    let listing = app.objects.list(&bucket, &query).await?;
    if listing == Listing::default() {
        // Of the default bucket, which need not be there, a list is empty too.
        app.objects.bucket(&bucket).await?;
    }
    Ok(listing)
}

pub(super) fn delimiter(delimiter: Option<&str>) -> Option<&str> {
    delimiter.filter(|delimiter| !delimiter.is_empty())
}

/// `ListObjects`.
pub(super) async fn first(
    app: &Arc<App>,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let S3Request { input, extensions, .. } = request;
    let written = Written::new(input.encoding_type.as_ref())?;
    let max = names::at_most(input.max_keys, KEYS_MAX, "max-keys")?;
    let (prefix, by) = (input.prefix.as_deref(), delimiter(input.delimiter.as_deref()));
    let marker = input.marker.as_deref().unwrap_or_default();
    let after = behind(marker, prefix.unwrap_or_default(), by);
    let listing = list(app, Asked { bucket: &input.bucket, prefix, delimiter: by, after, max }).await?;
    let next = listing.next.as_ref().map(|next| match next {
        Cursor::Key(last) | Cursor::Prefix(last) => written.bytes(last),
    });
    let owner = extensions.get::<Caller>().map(|Caller(known)| owner(&known.grant));
    Ok(S3Response::new(ListObjectsOutput {
        is_truncated: Some(listing.next.is_some()),
        next_marker: next,
        contents: Some(written.objects(&listing.entries, owner.as_ref())),
        common_prefixes: Some(written.prefixes(&listing.common_prefixes)),
        prefix: Some(written.name(prefix.unwrap_or_default())),
        marker: Some(written.name(marker)),
        delimiter: by.map(|by| written.name(by)),
        max_keys: Some(max),
        encoding_type: written.kind(),
        name: Some(input.bucket),
        ..Default::default()
    }))
}

/// `ListObjectsV2`.
pub(super) async fn second(
    app: &Arc<App>,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let S3Request { input, extensions, .. } = request;
    let written = Written::new(input.encoding_type.as_ref())?;
    let max = names::at_most(input.max_keys, KEYS_MAX, "max-keys")?;
    let (prefix, by) = (input.prefix.as_deref(), delimiter(input.delimiter.as_deref()));
    let after = match input.continuation_token.as_deref() {
        Some(token) => Some(cursor(token)?),
        None => behind(input.start_after.as_deref().unwrap_or_default(), prefix.unwrap_or_default(), by),
    };
    let listing = list(app, Asked { bucket: &input.bucket, prefix, delimiter: by, after, max }).await?;
    let asks = input.fetch_owner == Some(true);
    let owner = extensions.get::<Caller>().filter(|_| asks).map(|Caller(known)| owner(&known.grant));
    let count = listing.entries.len() + listing.common_prefixes.len();
    Ok(S3Response::new(ListObjectsV2Output {
        is_truncated: Some(listing.next.is_some()),
        next_continuation_token: listing.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next.encode())),
        continuation_token: input.continuation_token,
        key_count: i32::try_from(count).ok(),
        contents: Some(written.objects(&listing.entries, owner.as_ref())),
        common_prefixes: Some(written.prefixes(&listing.common_prefixes)),
        prefix: Some(written.name(prefix.unwrap_or_default())),
        start_after: input.start_after.as_deref().map(|start| written.name(start)),
        delimiter: by.map(|by| written.name(by)),
        max_keys: Some(max),
        encoding_type: written.kind(),
        name: Some(input.bucket),
        ..Default::default()
    }))
}

fn cursor(token: &str) -> S3Result<Cursor> {
    let wrong =
        || s3_error!(InvalidArgument, "continuation-token: take it from the answer before, unchanged");
    // Base64 is a third longer than what it stands for; the length is checked before it is decoded.
    if token.len() > 2 * OBJECT_KEY_BYTES_MAX {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    Cursor::decode(&bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_inside_of_a_common_prefix_stands_for_all_of_it() {
        let key = |text: &str| Some(Cursor::Key(text.into()));
        let all = |text: &str| Some(Cursor::Prefix(text.into()));
        assert_eq!(behind("", "", None), None);
        assert_eq!(behind("a/b", "", None), key("a/b"));
        assert_eq!(behind("a/b", "", Some("/")), all("a/"));
        assert_eq!(behind("a/", "", Some("/")), all("a/"));
        assert_eq!(behind("a/b", "a/", Some("/")), key("a/b"));
        assert_eq!(behind("a/b/c", "a/", Some("/")), all("a/b/"));
        assert_eq!(behind("b", "a/", Some("/")), key("b"));
        assert_eq!(behind("x--y--z", "", Some("--")), all("x--"));
    }

    proptest::proptest! {
        #[test]
        fn any_token_is_read_or_refused(token in "[-_A-Za-z0-9]{0,40}|\\PC{0,30}") {
            if let Ok(cursor) = cursor(&token) {
                proptest::prop_assert_eq!(URL_SAFE_NO_PAD.encode(cursor.encode()).len(), token.len());
            }
        }

        #[test]
        fn encoded_names_are_plain_and_read_back(name in "\\PC{0,40}|[\\x00-\\x20]{0,5}") {
            let encoded = Written { encoded: true }.name(&name);
            proptest::prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            let back = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
            proptest::prop_assert_eq!(back.as_ref(), name.as_str());
        }
    }
}
