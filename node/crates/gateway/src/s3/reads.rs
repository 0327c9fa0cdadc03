//! Objects are read.

use std::ops::Range;
use std::sync::Arc;

use datamesh_catalog::{Body, PartSummary};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::dto::{
    Checksum, ChecksumMode, ETag, ETagCondition, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectAttributesParts, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    ObjectAttributes, ObjectPart, StorageClass, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::{into_shape, kind_of, of_fields};
use super::customer::{customer, key_of, show_sealing};
use super::locks::show_lock;
use super::{body, fields, names, tags, versions};
use crate::api::App;
use crate::objects::Found;

/// How many tags an object has.
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// Parts of one answer at most.
const PARTS_MAX: i32 = 1000;

/// Conditions of a read.
pub(super) struct Conditions {
    pub(super) matching: Option<ETagCondition>,
    pub(super) none_matching: Option<ETagCondition>,
    pub(super) modified_since: Option<Timestamp>,
    pub(super) unmodified_since: Option<Timestamp>,
}

/// What a read makes of its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Met,
    NotModified,
    Failed,
}

impl Conditions {
    /// As RFC 9110 orders them: entity tags before dates. Dates have whole seconds.
    pub(super) fn judge(&self, etag: &ETag, created_unix_ms: u64) -> Judged {
        let seconds = names::timestamp(created_unix_ms / 1000 * 1000);
        match (&self.matching, &self.unmodified_since) {
            (Some(matching), _) if !names::names(matching, etag) => return Judged::Failed,
            (None, Some(since)) if seconds > *since => return Judged::Failed,
            _ => {}
        }
        match (&self.none_matching, &self.modified_since) {
            (Some(none), _) if names::names(none, etag) => Judged::NotModified,
            (None, Some(since)) if seconds <= *since => Judged::NotModified,
            _ => Judged::Met,
        }
    }

    fn hold(&self, found: &Found) -> S3Result<()> {
        let etag = names::etag_of(&found.object);
        match self.judge(&etag, found.object.created_unix_ms) {
            Judged::Met => Ok(()),
            Judged::Failed => Err(s3_error!(PreconditionFailed, "the object is another by now")),
            Judged::NotModified => {
                let mut error = s3_error!(NotModified);
                let value = HeaderValue::try_from(format!("\"{}\"", etag.value()));
                let headers = value.map(|value| HeaderMap::from_iter([(header::ETAG, value)]));
                error.set_headers(headers.unwrap_or_default());
                Err(error)
            }
        }
    }
}

/// The part of an object that is asked for.
struct Wanted {
    range: Range<u64>,
    /// Of how many parts, where one was asked for.
    parts: Option<i32>,
    partial: bool,
}

fn wanted(found: &Found, range: Option<s3s::dto::Range>, part: Option<i32>) -> S3Result<Wanted> {
    let size = found.object.size_bytes;
    match (range, part) {
        (Some(_), Some(_)) => Err(s3_error!(InvalidRequest, "Range and partNumber exclude each other")),
        (None, None) => Ok(Wanted { range: 0..size, parts: None, partial: false }),
        (Some(range), None) => {
            let range =
                range.check(size).map_err(|_| s3_error!(InvalidRange, "the object has {size} bytes"))?;
            Ok(Wanted { range, parts: None, partial: true })
        }
        (None, Some(number)) => of_part(found, number),
    }
}

/// Parts are counted from 1 on, whatever numbers they were put with.
fn of_part(found: &Found, number: i32) -> S3Result<Wanted> {
    let sizes: Vec<u64> = match &found.object.body {
        Body::Inline { .. } => vec![found.object.size_bytes],
        Body::Pages { parts } => parts.iter().map(|part| part.plain_bytes).collect(),
    };
    let missing = || s3_error!(InvalidRange, "the object has {} parts", sizes.len());
    let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).ok_or_else(missing)?;
    let bytes = *sizes.get(at).ok_or_else(missing)?;
    let start = sizes.iter().take(at).sum();
    let parts = i32::try_from(sizes.len()).ok();
    Ok(Wanted { range: start..start + bytes, parts, partial: true })
}

fn content_range(wanted: &Wanted, size: u64) -> Option<String> {
    let Range { start, end } = wanted.range;
    (wanted.partial && end > start).then(|| format!("bytes {start}-{}/{size}", end - 1))
}

/// Writes what is said of an object into the shape of an answer.
macro_rules! describe {
    ($output:expr, $found:expr, $wanted:expr, $mode:expr) => {{
        let (object, kept) = (&$found.object, &$found.fields);
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control = fields::kept(kept, &header::CACHE_CONTROL);
        $output.content_disposition = fields::kept(kept, &header::CONTENT_DISPOSITION);
        $output.content_encoding = fields::kept(kept, &header::CONTENT_ENCODING);
        $output.content_language = fields::kept(kept, &header::CONTENT_LANGUAGE);
        $output.expires = fields::date(fields::kept(kept, &header::EXPIRES));
        $output.content_length = Some(names::size($wanted.range.end - $wanted.range.start));
        $output.content_range = content_range(&$wanted, object.size_bytes);
        $output.content_type = Some(object.content_type.clone());
        $output.e_tag = Some(names::etag_of(object));
        $output.last_modified = Some(names::timestamp(object.created_unix_ms));
        $output.metadata = fields::metadata(kept);
        $output.parts_count = $wanted.parts;
        $output.version_id = versions::shown(object.version);
        let asked = $mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        // A checksum is of the whole object: beside a part of it, clients would hold it against that part.
        if asked && !$wanted.partial {
            into_shape!($output, |algorithm| of_fields(kept, algorithm));
            $output.checksum_type = kind_of(kept);
        }
    }};
}

/// Finds the object that a read is of, opens it with the key that came, holds the read's conditions against it, and says which part of it is asked for.
macro_rules! sought {
    ($app:expr, $headers:expr, $input:expr) => {{
        let customer = customer!($input)?;
        let version = versions::version($input.version_id.as_deref())?;
        let key = names::key(&$input.key)?;
        let seen = $app.objects.look_up(&names::bucket(&$input.bucket)?, key, version).await?;
        let found = versions::found(seen, version)?.unlock(key_of(customer.as_ref()))?;
        Conditions {
            matching: $input.if_match,
            none_matching: $input.if_none_match,
            modified_since: $input.if_modified_since,
            unmodified_since: $input.if_unmodified_since,
        }
        .hold(&found)?;
        let range = $input.range.filter(|_| is_the_same(&$headers, &found));
        let wanted = wanted(&found, range, $input.part_number)?;
        (found, wanted, customer)
    }};
}

/// `If-Range`: whoever has a part of another object gets the whole of this one. A date proves too little to be taken.
fn is_the_same(headers: &HeaderMap, found: &Found) -> bool {
    let tag = || format!("\"{}\"", names::etag_of(&found.object).value());
    headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes().trim_ascii() == tag().as_bytes())
}

pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let mut input = request.input;
    let (found, wanted, customer) = sought!(app, request.headers, input);
    let mut output = GetObjectOutput::default();
    describe!(output, found, wanted, input.checksum_mode);
    show_lock!(output, &request.extensions, &input.key, &found);
    show_sealing!(output, customer);
    output.tag_count = tags::count(&found);
    output.body = Some(body::outgoing(app.objects.open(found, wanted.range).await?));
    Ok(S3Response::new(output))
}

pub(super) async fn head(
    app: &Arc<App>,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let mut input = request.input;
    let (found, wanted, customer) = sought!(app, request.headers, input);
    let mut output = HeadObjectOutput::default();
    describe!(output, found, wanted, input.checksum_mode);
    show_lock!(output, &request.extensions, &input.key, &found);
    show_sealing!(output, customer);
    let mut response = S3Response::new(output);
    // The library's shape has no place for it.
    if let Some(count) = tags::count(&found) {
        response.headers.insert(TAGGING_COUNT, HeaderValue::from(count));
    }
    Ok(response)
}

pub(super) async fn attributes(
    app: &Arc<App>,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let mut input = request.input;
    let customer = customer!(input)?;
    let version = versions::version(input.version_id.as_deref())?;
    let seen = app.objects.look_up(&names::bucket(&input.bucket)?, names::key(&input.key)?, version).await?;
    let found = versions::found(seen, version)?.unlock(key_of(customer.as_ref()))?;
    let asks = |name: &str| input.object_attributes.iter().any(|asked| asked.as_str() == name);
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(names::timestamp(found.object.created_unix_ms)),
        version_id: versions::shown(found.object.version),
        ..Default::default()
    };
    if asks(ObjectAttributes::ETAG) {
        output.e_tag = Some(names::etag_of(&found.object));
    }
    if asks(ObjectAttributes::OBJECT_SIZE) {
        output.object_size = Some(names::size(found.object.size_bytes));
    }
    if asks(ObjectAttributes::STORAGE_CLASS) {
        output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
    }
    if asks(ObjectAttributes::CHECKSUM) {
        let mut sums = Checksum::default();
        into_shape!(sums, |algorithm| of_fields(&found.fields, algorithm));
        sums.checksum_type = kind_of(&found.fields);
        output.checksum = Some(sums);
    }
    if asks(ObjectAttributes::OBJECT_PARTS)
        && let Body::Pages { parts } = &found.object.body
        && parts.iter().all(|part| part.part > 0)
    {
        output.object_parts = Some(listed(parts, input.max_parts, input.part_number_marker.as_ref())?);
    }
    Ok(S3Response::new(output))
}

/// Parts as `partNumber` of a read counts them, behind a marker.
fn listed(parts: &[PartSummary], max: Option<i32>, marker: Option<&i32>) -> S3Result<GetObjectAttributesParts> {
    let max = names::at_most(max, PARTS_MAX, "max-parts")?;
    let behind = marker.copied().unwrap_or_default();
    let after = usize::try_from(behind)
        .map_err(|_| s3_error!(InvalidArgument, "part-number-marker is 0 or more, not {behind}"))?;
    let (limit, total) = (usize::try_from(max).unwrap_or_default(), i32::try_from(parts.len()).ok());
    let shown = |(number, part): (i32, &PartSummary)| ObjectPart {
        part_number: Some(number),
        size: Some(names::size(part.plain_bytes)),
        ..Default::default()
    };
    let shown: Vec<_> = (1..).zip(parts).skip(after).take(limit).map(shown).collect();
    let next = shown.last().and_then(|last| last.part_number).filter(|last| total > Some(*last));
    Ok(GetObjectAttributesParts {
        is_truncated: Some(next.is_some()),
        max_parts: Some(max),
        next_part_number_marker: next,
        part_number_marker: marker.copied(),
        parts: Some(shown),
        total_parts_count: total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(matching: Option<&str>, none: Option<&str>, since: [Option<u64>; 2]) -> Conditions {
        let condition = |text: &str| text.parse::<ETagCondition>().unwrap();
        let [modified_since, unmodified_since] = since.map(|ms| ms.map(names::timestamp));
        Conditions {
            matching: matching.map(condition),
            none_matching: none.map(condition),
            modified_since,
            unmodified_since,
        }
    }

    #[test]
    fn entity_tags_come_before_dates() {
        let etag = ETag::Strong("ab-1".into());
        let judge = |matching, none, since| conditions(matching, none, since).judge(&etag, 5_500);
        assert_eq!(judge(None, None, [None, None]), Judged::Met);
        assert_eq!(judge(Some("\"ab-1\""), None, [None, None]), Judged::Met);
        assert_eq!(judge(Some("*"), None, [None, None]), Judged::Met);
        assert_eq!(judge(Some("\"cd\""), None, [None, None]), Judged::Failed);
        assert_eq!(judge(Some("\"ab-1\""), None, [None, Some(1_000)]), Judged::Met, "the tag decides");
        assert_eq!(judge(None, None, [None, Some(4_000)]), Judged::Failed);
        assert_eq!(judge(None, None, [None, Some(5_000)]), Judged::Met, "within the second");
        assert_eq!(judge(None, Some("\"ab-1\""), [None, None]), Judged::NotModified);
        assert_eq!(judge(None, Some("\"cd\""), [Some(9_000), None]), Judged::Met, "the tag decides");
        assert_eq!(judge(None, None, [Some(5_000), None]), Judged::NotModified);
        assert_eq!(judge(None, None, [Some(4_000), None]), Judged::Met);
    }
}
