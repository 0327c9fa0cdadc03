//! Copies inside the store: the bytes are read and put anew, sealed for their new place.

use std::sync::Arc;

use datamesh_catalog::{VersionId, Way};
use datamesh_seal::CustomerKey;
use datamesh_shard::limits::OBJECT_BYTES_MAX;
use http::{Extensions, HeaderMap, HeaderName, header};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETagCondition,
    MetadataDirective, TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::access::TagsTravel;
use super::checksums::{Algorithm, Proof, into_shape, kind_of, of_fields, of_part};
use super::customer::{customer, customer_of_source, key_of, show_sealing};
use super::fields::{refuse_what_is_not_there, said};
use super::locks::lock_headers;
use super::multipart::{number_of, upload_of};
use super::reads::{Conditions, Judged};
use super::{locks, names, objects, standing, tags, versions};
use crate::api::{App, Incoming, Inherited, Told, Witness};
use crate::limits;
use crate::objects::{Found, Meta, Seen, Tags};
use crate::problem::Problem;

fn named(source: &CopySource) -> S3Result<(&str, &str, Option<VersionId>)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "copy from a bucket of this store"));
    };
    Ok((bucket, key, versions::version(version_id.as_deref())?))
}

async fn found(
    app: &Arc<App>,
    (source, source_key): (&CopySource, Option<&CustomerKey>),
    conditions: Conditions,
) -> S3Result<Found> {
    let (bucket, key, version) = named(source)?;
    let seen = app.objects.look_up(&names::bucket(bucket)?, names::key(key)?, version).await?;
    if version.is_some() && matches!(seen, Seen::Marker(_)) {
        return Err(s3_error!(InvalidRequest, "the source is a delete: name a version that has bytes"));
    }
    let found = versions::found(seen, version)?.unlock(source_key)?;
    match conditions.judge(&names::etag_of(&found.object), found.object.created_unix_ms) {
        Judged::Met => Ok(found),
        _ => Err(s3_error!(PreconditionFailed, "the source is not in the expected state")),
    }
}

/// What stays true of a copy, if the checksum that is wanted is in it.
fn inherited(found: &Found, wanted: Option<Algorithm>) -> Option<Told> {
    let told = found.told()?;
    wanted.is_none_or(|wanted| of_part(&told.fields, wanted).is_some()).then_some(told)
}

/// The tags of a copy: those of its source, unless it is said to have others.
fn tags_of_copy(input: &CopyObjectInput, source: &Found, extensions: &Extensions) -> S3Result<Tags> {
    let directive = input.tagging_directive.as_ref().map(TaggingDirective::as_str);
    if directive == Some(TaggingDirective::REPLACE) {
        return tags::of_header(input.tagging.as_deref());
    }
    let tags = Tags::of_fields(&source.fields.system);
    let travel = extensions.get::<TagsTravel>().is_some_and(|TagsTravel(travel)| *travel);
    if travel || tags == Tags::default() {
        Ok(tags)
    } else {
        Err(s3_error!(AccessDenied, "the source has tags, which this key may not read there or put here"))
    }
}

fn replaces(input: &CopyObjectInput) -> bool {
    input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE)
}

/// Type, metadata and tags of a copy.
fn meta_of_copy(input: &CopyObjectInput, found: &Found, extensions: &Extensions) -> S3Result<Meta> {
    let mut meta = if replaces(input) { said!(input).meta()? } else { found.meta() };
    tags_of_copy(input, found, extensions)?.put_into(&mut meta.fields.system);
    Ok(Meta::new(meta.content_type, meta.fields).map_err(Problem::from)?)
}

pub(super) async fn object(
    app: &Arc<App>,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let mut input = request.input;
    refuse_what_is_not_there!(input);
    let (customer, of_source) = (customer!(input)?, customer_of_source!(input)?);
    let (bucket, key) = (names::bucket(&input.bucket)?, names::key(&input.key)?);
    let lock = locks::wanted(app, &input.bucket, lock_headers!(input)).await?;
    let other_key = customer.is_some() || of_source.is_some();
    if !replaces(&input)
        && !other_key
        && named(&input.copy_source)? == (input.bucket.as_str(), input.key.as_str(), None)
    {
        return Err(s3_error!(
            InvalidRequest,
            "a copy onto itself replaces the metadata or the customer's key, or it does nothing"
        ));
    }
    let found = found(
        app,
        (&input.copy_source, key_of(of_source.as_ref())),
        Conditions {
            matching: input.copy_source_if_match.clone(),
            none_matching: input.copy_source_if_none_match.clone(),
            modified_since: input.copy_source_if_modified_since.clone(),
            unmodified_since: input.copy_source_if_unmodified_since.clone(),
        },
    )
    .await?;
    let sealed_with = key_of(customer.as_ref()).cloned();
    let meta = Meta { lock, key: sealed_with, ..meta_of_copy(&input, &found, &request.extensions)? };
    let wanted =
        input.checksum_algorithm.as_ref().map(|named| Algorithm::named(named.as_str())).transpose()?;
    let witness: Box<dyn Witness> = match inherited(&found, wanted) {
        Some(told) => Box::new(Inherited(Some(told))),
        None => {
            let none = Algorithm::ALL.map(|algorithm| (algorithm, None));
            Box::new(Proof::new(None, none, wanted.map(Algorithm::name), (&request.headers, None))?)
        }
    };
    let size = found.object.size_bytes;
    let copy_source_version_id = versions::shown(found.object.version);
    // The library has no fields for what must be true of the object in the way.
    let in_the_way = objects::condition(
        tags_of(&request.headers, &header::IF_MATCH)?,
        tags_of(&request.headers, &header::IF_NONE_MATCH)?,
    )?;
    let _turn = app.objects.copying().await;
    let body = app.objects.open(found, 0..size).await?;
    let body = Incoming::announced(body, size, OBJECT_BYTES_MAX)?.witnessed(witness);
    let cause = standing::cause(&request.extensions, Way::Copy)?;
    let stored = app.objects.put((&bucket, key), meta, body, in_the_way, &cause).await?;
    let kept = app.objects.fields_of_object(&stored.object, key_of(customer.as_ref())).await?;
    let mut result = CopyObjectResult {
        e_tag: Some(names::etag_of(&stored.object)),
        last_modified: Some(names::timestamp(stored.object.created_unix_ms)),
        checksum_type: kind_of(&kept),
        ..Default::default()
    };
    into_shape!(result, |algorithm| of_fields(&kept, algorithm));
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id,
        version_id: versions::shown(stored.object.version),
        ..Default::default()
    };
    show_sealing!(output, customer);
    Ok(S3Response::new(output))
}

fn tags_of(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let tags = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    tags.map(Some).ok_or_else(|| s3_error!(InvalidArgument, "{name} is `*`, or an entity tag in quotes"))
}

/// A part out of an object, or of a range of it.
pub(super) async fn part(
    app: &Arc<App>,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let mut input = request.input;
    let (customer, of_source) = (customer!(input)?, customer_of_source!(input)?);
    let number = number_of(input.part_number)?;
    let upload = upload_of(app, &input.upload_id, (&input.bucket, &input.key)).await?;
    let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
    let found = found(
        app,
        (&input.copy_source, key_of(of_source.as_ref())),
        Conditions {
            matching: input.copy_source_if_match,
            none_matching: input.copy_source_if_none_match,
            modified_since: input.copy_source_if_modified_since,
            unmodified_since: input.copy_source_if_unmodified_since,
        },
    )
    .await?;
    let size = found.object.size_bytes;
    let copy_source_version_id = versions::shown(found.object.version);
    let range = match input.copy_source_range.as_deref() {
        None => 0..size,
        Some(text) => exact(text, size)?,
    };
    let algorithm = app.objects.fields_of(&upload).await?.system.get(super::multipart::ALGORITHM).cloned();
    let none = Algorithm::ALL.map(|algorithm| (algorithm, None));
    let proof = Proof::new(None, none, algorithm.as_deref(), (&request.headers, None))?;
    let bytes = range.end - range.start;
    let _turn = app.objects.copying().await;
    let body = app.objects.open(found, range).await?;
    let body = Incoming::announced(body, bytes, limits::PART_BYTES_MAX)?.witnessed(Box::new(proof));
    let (id, lease) = (upload.target.upload, limits::S3_UPLOAD_LEASE);
    let part = app.objects.part(id, number, body, lease, key_of(customer.as_ref())).await?;
    let mut result = CopyPartResult {
        e_tag: Some(s3s::dto::ETag::Strong(part.etag)),
        last_modified: Some(names::timestamp(part.put_unix_ms)),
        ..Default::default()
    };
    into_shape!(result, |algorithm| of_part(&part.fields, algorithm));
    let mut output =
        UploadPartCopyOutput { copy_part_result: Some(result), copy_source_version_id, ..Default::default() };
    show_sealing!(output, customer);
    Ok(S3Response::new(output))
}

/// `bytes=first-last`, which must lie within the source.
fn exact(text: &str, size: u64) -> S3Result<std::ops::Range<u64>> {
    let wrong =
        || s3_error!(InvalidArgument, "x-amz-copy-source-range is bytes=first-last, within {size} bytes");
    match s3s::dto::Range::parse(text).map_err(|_| wrong())? {
        s3s::dto::Range::Int { first, last: Some(last) } if last < size => Ok(first..last + 1),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_to_copy_is_exact() {
        assert_eq!(exact("bytes=0-9", 10).unwrap(), 0..10);
        assert_eq!(exact("bytes=3-3", 10).unwrap(), 3..4);
        for wrong in ["bytes=0-10", "bytes=3-", "bytes=-3", "0-3", "bytes=5-4", "bytes=99999999999999999999-"]
        {
            assert!(exact(wrong, 10).is_err(), "{wrong}");
        }
    }
}
