//! What comes and goes with an object besides its bytes: headers and metadata.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use s3s::dto::{Expires, Metadata, ServerSideEncryption, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

use super::customer::AES256;
use crate::api::KEPT_HEADERS;
use crate::objects::{Fields, Meta, Tags};

/// The type of what came without one.
const TYPE_DEFAULT: &str = "binary/octet-stream";
/// Who is to seal an object.
const SSE: &str = "x-amz-server-side-encryption";

/// Headers of a request that are kept, in the order of [`KEPT_HEADERS`].
pub(super) struct Said {
    pub(super) content_type: Option<String>,
    pub(super) kept: [Option<String>; 5],
    pub(super) metadata: Option<Metadata>,
    pub(super) tags: Tags,
}

/// Takes them out of a request. The shapes of several operations have them under the same names.
macro_rules! said {
    ($input:expr) => {
        $crate::s3::fields::Said {
            content_type: $input.content_type.clone(),
            kept: [
                $input.cache_control.clone(),
                $input.content_disposition.clone(),
                $crate::s3::fields::at_rest($input.content_encoding.as_deref()),
                $input.content_language.clone(),
                $crate::s3::fields::written($input.expires.as_ref())?,
            ],
            metadata: $input.metadata.clone(),
            tags: $crate::s3::tags::of_header($input.tagging.as_deref())?,
        }
    };
}
pub(super) use said;

/// Refuses, in a request that stores an object, what would have to be ignored.
macro_rules! refuse_what_is_not_there {
    ($input:expr) => {
        $crate::s3::fields::only_private($input.acl.as_ref().map(|acl| acl.as_str()))?;
        let grants =
            [&$input.grant_full_control, &$input.grant_read, &$input.grant_read_acp, &$input.grant_write_acp];
        $crate::s3::fields::absent(&[
            ("access control lists", grants.iter().any(|grant| grant.is_some())),
            ("websites", $input.website_redirect_location.is_some()),
        ])?;
        $crate::s3::fields::one_encryption(
            $input.server_side_encryption.is_some(),
            $input.sse_customer_algorithm.is_some(),
        )?;
        $crate::s3::fields::only_sse_s3($input.server_side_encryption.as_ref().map(|kind| kind.as_str()))?;
        $crate::s3::fields::absent(&[
            ("keys of KMS", $input.ssekms_key_id.is_some() || $input.ssekms_encryption_context.is_some()),
            ("keys of buckets", $input.bucket_key_enabled == Some(true)),
        ])?;
        $crate::s3::fields::only_standard($input.storage_class.as_ref().map(|class| class.as_str()))?;
    };
}
pub(super) use refuse_what_is_not_there;

/// A content's encoding without that of its way here.
pub(super) fn at_rest(encoding: Option<&str>) -> Option<String> {
    let codings =
        encoding?.split(',').map(str::trim).filter(|coding| !coding.is_empty() && *coding != "aws-chunked");
    Some(codings.collect::<Vec<_>>().join(","))
}

pub(super) fn absent(wanted: &[(&str, bool)]) -> S3Result<()> {
    match wanted.iter().find(|(_, wanted)| *wanted) {
        Some((what, _)) => Err(s3_error!(NotImplemented, "there are no {what} here: leave them out")),
        None => Ok(()),
    }
}

/// Nothing is public here.
pub(super) fn only_private(acl: Option<&str>) -> S3Result<()> {
    match acl {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(acl) => {
            Err(s3_error!(NotImplemented, "the access control list {acl} is not there: only private is"))
        }
    }
}

/// A key of the customer, or none.
pub(super) fn one_encryption(sse_s3: bool, customer: bool) -> S3Result<()> {
    if sse_s3 && customer {
        return Err(s3_error!(
            InvalidArgument,
            "x-amz-server-side-encryption does not go with a key of the customer: leave one of them out"
        ));
    }
    Ok(())
}

/// Everything is sealed with keys of the cluster anyway.
pub(super) fn only_sse_s3(kind: Option<&str>) -> S3Result<()> {
    match kind {
        None | Some(AES256) => Ok(()),
        Some(kind) => Err(s3_error!(
            NotImplemented,
            "encryption by {kind} is not there: say AES256, or leave it out"
        )),
    }
}

/// The same of any request, so that an operation that does not read the header does not ignore it either.
pub(super) fn only_sse_s3_by_header(headers: &HeaderMap) -> S3Result<()> {
    let said = headers.get_all(SSE).iter();
    let mut others = said.filter(|kind| kind.as_bytes() != AES256.as_bytes());
    others.next().map_or(Ok(()), |kind| only_sse_s3(Some(&String::from_utf8_lossy(kind.as_bytes()))))
}

/// What an answer says of an object that only the cluster's keys seal, whatever the pool's cipher: what S3 calls SSE-S3.
pub(super) fn sealed_by_the_cluster(needs_key: bool) -> Option<ServerSideEncryption> {
    (!needs_key).then(|| ServerSideEncryption::from_static(AES256))
}

pub(super) fn only_standard(class: Option<&str>) -> S3Result<()> {
    match class {
        None | Some("STANDARD") => Ok(()),
        Some(class) => Err(s3_error!(InvalidStorageClass, "{class} is not there: only STANDARD is")),
    }
}

impl Said {
    /// As it is kept with the object.
    pub(super) fn meta(self) -> S3Result<Meta> {
        let Self { content_type, kept, metadata, tags } = self;
        let name = |name: &HeaderName| name.as_str().to_owned();
        let system = KEPT_HEADERS.iter().map(name).zip(kept).filter_map(|(name, value)| Some((name, value?)));
        let mut system = system.filter(|(_, value)| !value.is_empty()).collect();
        tags.put_into(&mut system);
        // In the order of their names, so that equal metadata is sealed as equal bytes.
        let user: BTreeMap<String, String> = metadata.unwrap_or_default().into_iter().collect();
        let fields = Fields { system, user: user.into_iter().collect() };
        let kind = content_type.filter(|kind| !kind.is_empty()).unwrap_or_else(|| TYPE_DEFAULT.to_owned());
        Meta::new(kind, fields).map_err(|error| s3_error!(MetadataTooLarge, "{error}"))
    }
}

/// A kept header.
pub(super) fn kept(fields: &Fields, name: &HeaderName) -> Option<String> {
    fields.system.get(name.as_str()).cloned()
}

/// The user's own.
pub(super) fn metadata(fields: &Fields) -> Option<Metadata> {
    (!fields.user.is_empty()).then(|| fields.user.iter().cloned().collect())
}

/// A date as it stands in a header.
pub(super) fn written(date: Option<&Expires>) -> S3Result<Option<String>> {
    let Some(date) = date else { return Ok(None) };
    let mut text = Vec::new();
    date.format(TimestampFormat::HttpDate, &mut text)
        .map_err(|error| s3_error!(InvalidArgument, "Expires: {error}"))?;
    Ok(String::from_utf8(text).ok())
}

/// And back.
pub(super) fn date(text: Option<String>) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, &text?).ok()
}
