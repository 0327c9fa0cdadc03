//! Multipart uploads: the catalog's resumable uploads in S3's words.

use std::collections::BTreeMap;
use std::sync::Arc;

use datamesh_catalog::{Cause, Condition, Object, Upload, Way};
use datamesh_seal::CustomerKey;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput, Part, StorageClass, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::{
    Algorithm, Proof, TYPE, Trailing, composite, into_shape, kind_of, of_fields, of_part, of_shape, whole,
};
use super::customer::{customer, key_of, show_sealing};
use super::fields::{refuse_what_is_not_there, said, sealed_by_the_cluster};
use super::locks::lock_headers;
use super::{body, locks, names, objects, standing, versions};
use crate::api::App;
use crate::limits;
use crate::objects::{Completion, Fields, KeyError, SeenParts, UploadedPart};
use crate::problem::{Kind, Problem};

/// The field of an upload that names the algorithm its client chose.
pub(super) const ALGORITHM: &str = "x-amz-checksum-algorithm";
/// Bytes of each part but the last at least, as in S3.
const PART_BYTES_MIN: u64 = 5 << 20;
/// How often the parts are looked at for one object, while others are put.
const LOOKS_MAX: usize = 8;
/// Parts of one answer at most.
const PARTS_LISTED_MAX: i32 = 1000;

pub(super) fn number_of(number: i32) -> S3Result<u32> {
    let number = u32::try_from(number).ok().filter(|number| (1..=limits::PARTS_MAX).contains(number));
    number.ok_or_else(|| s3_error!(InvalidArgument, "a part's number is 1 to {}", limits::PARTS_MAX))
}

/// An open upload, if it is to this object.
pub(super) async fn upload_of(
    app: &Arc<App>,
    id: &str,
    (bucket, key): (&str, &str),
) -> S3Result<Option<Upload>> {
    let bucket = app.objects.bucket(&names::bucket(bucket)?).await?;
    let upload = app.objects.open_upload(names::upload(id)?).await?;
    match upload {
        Some(upload) if upload.target.bucket != bucket.id || upload.target.key != names::key(key)? => {
            Err(s3_error!(NoSuchUpload, "the upload is to another object"))
        }
        upload => Ok(upload),
    }
}

async fn open_upload(app: &Arc<App>, id: &str, object: (&str, &str)) -> S3Result<Upload> {
    let upload = upload_of(app, id, object).await?;
    upload.ok_or_else(|| {
        s3_error!(NoSuchUpload, "it was completed or aborted, or nothing came of it for too long")
    })
}

/// What its client chose to have summed, and over what.
fn summed(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<(Algorithm, &'static str)>> {
    let Some(algorithm) = algorithm.map(Algorithm::named).transpose()? else { return Ok(None) };
    let kind = match (algorithm, kind) {
        (Algorithm::Crc64Nvme, None | Some(ChecksumType::FULL_OBJECT)) => ChecksumType::FULL_OBJECT,
        (Algorithm::Crc32 | Algorithm::Crc32c, Some(ChecksumType::FULL_OBJECT)) => ChecksumType::FULL_OBJECT,
        (Algorithm::Crc64Nvme, _) | (_, Some(ChecksumType::FULL_OBJECT)) => {
            return Err(s3_error!(InvalidRequest, "{} has no such checksum of an object", algorithm.name()));
        }
        _ => ChecksumType::COMPOSITE,
    };
    Ok(Some((algorithm, kind)))
}

pub(super) async fn create(
    app: &Arc<App>,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let mut input = request.input;
    refuse_what_is_not_there!(input);
    let bucket = names::bucket(&input.bucket)?;
    app.objects.bucket(&bucket).await?;
    let customer = customer!(input)?;
    let mut meta = said!(input).meta()?;
    meta.key = key_of(customer.as_ref()).cloned();
    meta.lock = locks::wanted(app, &input.bucket, lock_headers!(input)).await?;
    let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
    let summed = summed(algorithm, input.checksum_type.as_ref().map(|kind| kind.as_str()))?;
    if let Some((algorithm, kind)) = summed {
        meta.fields.system.insert(ALGORITHM.to_owned(), algorithm.name().to_owned());
        meta.fields.system.insert(TYPE.to_owned(), kind.to_owned());
    }
    let upload = app.objects.begin(&bucket, names::key(&input.key)?, meta, limits::S3_UPLOAD_LEASE).await?;
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload.target.upload.to_string()),
        checksum_algorithm: summed.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: summed.map(|(_, kind)| ChecksumType::from_static(kind)),
        ..Default::default()
    };
    show_sealing!(output, customer);
    Ok(S3Response::new(output))
}

pub(super) async fn part(
    app: &Arc<App>,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let S3Request { mut input, headers, trailing_headers, extensions, .. } = request;
    let trailing = Trailing::of(&extensions, trailing_headers);
    let number = number_of(input.part_number)?;
    let customer = customer!(input)?;
    let upload = open_upload(app, &input.upload_id, (&input.bucket, &input.key)).await?;
    let chosen = app.objects.fields_of(&upload).await?.system.remove(ALGORITHM);
    let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned()).or(chosen);
    let proof =
        Proof::new(input.content_md5.as_deref(), of_shape!(input), named.as_deref(), (&headers, trailing))?;
    let body = body::incoming(input.body.take(), input.content_length, limits::PART_BYTES_MAX)?;
    let body = body.witnessed(Box::new(proof));
    let (id, lease) = (upload.target.upload, limits::S3_UPLOAD_LEASE);
    let part = app.objects.part(id, number, body, lease, key_of(customer.as_ref())).await?;
    let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(part.etag)), ..Default::default() };
    show_sealing!(output, customer);
    into_shape!(output, |algorithm| of_part(&part.fields, algorithm));
    Ok(S3Response::new(output))
}

pub(super) async fn parts(
    app: &Arc<App>,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let mut input = request.input;
    let customer = customer!(input)?;
    let upload = open_upload(app, &input.upload_id, (&input.bucket, &input.key)).await?;
    let max = names::at_most(input.max_parts, PARTS_LISTED_MAX, "max-parts")?;
    let after = u32::try_from(input.part_number_marker.unwrap_or_default()).unwrap_or_default();
    let chosen = app.objects.fields_of(&upload).await?;
    let all = app.objects.uploaded_parts(&upload, key_of(customer.as_ref())).await?;
    let mut rest = all.parts.into_iter().filter(|part| part.number > after);
    let listed: Vec<_> = rest.by_ref().take(usize::try_from(max).unwrap_or_default()).map(shown).collect();
    let last = listed.last().and_then(|part| part.part_number);
    // Whoever asks for none is not sent on: there is no last part to go on from.
    let is_truncated = max > 0 && rest.next().is_some();
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(max),
        part_number_marker: input.part_number_marker,
        next_part_number_marker: last.filter(|_| is_truncated),
        is_truncated: Some(is_truncated),
        parts: Some(listed),
        checksum_algorithm: chosen.system.get(ALGORITHM).cloned().map(ChecksumAlgorithm::from),
        checksum_type: kind_of(&chosen),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..Default::default()
    }))
}

fn shown(part: UploadedPart) -> Part {
    let mut shown = Part {
        part_number: i32::try_from(part.number).ok(),
        size: Some(names::size(part.bytes)),
        last_modified: Some(names::timestamp(part.put_unix_ms)),
        e_tag: Some(ETag::Strong(part.etag)),
        ..Default::default()
    };
    into_shape!(shown, |algorithm| of_part(&part.fields, algorithm));
    shown
}

pub(super) async fn abort(
    app: &Arc<App>,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let upload = open_upload(app, &input.upload_id, (&input.bucket, &input.key)).await?;
    app.objects.abort(upload.target.upload).await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// Makes the object. Asked again after it was made, it answers the same.
pub(super) async fn complete(
    app: &Arc<App>,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let cause = standing::cause(&request.extensions, Way::Parts)?;
    let mut input = request.input;
    let customer = customer!(input)?;
    let key = key_of(customer.as_ref());
    let condition = objects::condition(input.if_match.take(), input.if_none_match.take())?;
    let named = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    let object = match upload_of(app, &input.upload_id, (&input.bucket, &input.key)).await? {
        Some(upload) => made(app, (upload, key), (&input, &named), condition, &cause).await?,
        None => made_before(app, &input).await?,
    };
    let kept = app.objects.fields_of_object(&object, key).await?;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(names::etag_of(&object)),
        version_id: versions::shown(object.version),
        checksum_type: kind_of(&kept),
        server_side_encryption: sealed_by_the_cluster(kept.needs_key()),
        ..Default::default()
    };
    into_shape!(output, |algorithm| of_fields(&kept, algorithm));
    Ok(S3Response::new(output))
}

async fn made_before(app: &Arc<App>, input: &CompleteMultipartUploadInput) -> S3Result<Object> {
    let object = app.objects.completed(names::upload(&input.upload_id)?).await?.object;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let same = object.bucket == bucket.id && object.key == names::key(&input.key)?;
    if same { Ok(object) } else { Err(s3_error!(NoSuchUpload, "the upload was to another object")) }
}

async fn made(
    app: &Arc<App>,
    (upload, key): (Upload, Option<&CustomerKey>),
    asked: (&CompleteMultipartUploadInput, &[CompletedPart]),
    condition: Condition,
    cause: &Arc<Cause>,
) -> S3Result<Object> {
    let mut looks = 1;
    loop {
        let completion = completion(app, (&upload, key), asked).await?;
        match app.objects.complete_as(upload.clone(), completion, condition.clone(), cause).await {
            // A part was put meanwhile: perhaps it is another one by now.
            Err(problem) if problem.kind() == Kind::Changed && looks < LOOKS_MAX => looks += 1,
            made => return Ok(made?.object),
        }
    }
}

/// What the upload becomes out of the named parts, held against all that its client says of them.
async fn completion(
    app: &Arc<App>,
    (upload, key): (&Upload, Option<&CustomerKey>),
    (input, named): (&CompleteMultipartUploadInput, &[CompletedPart]),
) -> S3Result<Completion> {
    let begun = app.objects.fields_of(upload).await?;
    if begun.needs_key() && begun.system.contains_key(ALGORITHM) && key.is_none() {
        // Without it nobody knows the checksums of the parts.
        return Err(Problem::from(KeyError::Missing).into());
    }
    let SeenParts { parts: there, seen } = app.objects.uploaded_parts(upload, key).await?;
    let there: BTreeMap<u32, UploadedPart> = there.into_iter().map(|part| (part.number, part)).collect();
    let parts = listed(&there, named)?;
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if input.mpu_object_size.is_some_and(|said| said != names::size(bytes)) {
        return Err(s3_error!(InvalidRequest, "the parts have {bytes} bytes together"));
    }
    let sums = sum_of(&begun, &parts)?;
    hold(input, sums.as_ref())?;
    Ok(Completion {
        parts: parts.iter().map(|part| part.number).collect(),
        etag: etag_of(&parts),
        fields: sums.map(|(algorithm, sum)| (algorithm.header().to_owned(), sum)).into_iter().collect(),
        key: key.cloned(),
        seen: Some(seen),
    })
}

/// The named parts, if they are in order, there as their client knows them, and large enough.
fn listed<'a>(
    there: &'a BTreeMap<u32, UploadedPart>,
    named: &[CompletedPart],
) -> S3Result<Vec<&'a UploadedPart>> {
    let mut listed: Vec<&UploadedPart> = Vec::with_capacity(named.len());
    for wanted in named {
        let number = number_of(wanted.part_number.unwrap_or_default())?;
        if listed.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(InvalidPartOrder, "part {number} is out of order or named twice"));
        }
        let part = there.get(&number).ok_or_else(|| s3_error!(InvalidPart, "part {number} was not put"))?;
        let unknown = |(algorithm, sum): &&(Algorithm, Option<String>)| {
            sum.is_some() && of_part(&part.fields, *algorithm).is_none()
        };
        let tag_differs = wanted.e_tag.as_ref().is_none_or(|etag| etag.value() != part.etag);
        let given = of_shape!(wanted);
        let sum_differs =
            given.iter().any(|(algorithm, sum)| sum.is_some() && *sum != of_part(&part.fields, *algorithm));
        if let Some((algorithm, _)) = given.iter().find(unknown).filter(|_| !tag_differs) {
            return Err(s3_error!(InvalidRequest, "part {number} came without {}", algorithm.header()));
        }
        if tag_differs || sum_differs {
            return Err(s3_error!(InvalidPart, "part {number} is another one by now"));
        }
        listed.push(part);
    }
    let Some((_, all_but_last)) = listed.split_last() else {
        return Err(s3_error!(MalformedXML, "name the parts: at least one"));
    };
    match all_but_last.iter().find(|part| part.bytes < PART_BYTES_MIN) {
        Some(small) => {
            Err(s3_error!(EntityTooSmall, "part {} has fewer than {PART_BYTES_MIN} bytes", small.number))
        }
        None => Ok(listed),
    }
}

/// Where each part's tag is a verified MD5, the object's is what S3 makes of them; clients compute it too.
fn etag_of(parts: &[&UploadedPart]) -> Option<String> {
    let mut all = Md5::new();
    for part in parts {
        let mut md5 = [0; 16];
        hex::decode_to_slice(&part.etag, &mut md5).ok()?;
        all.update(&md5);
    }
    Some(format!("{}-{}", hex::encode(all.finalize()), parts.len()))
}

/// The checksum that the client chose at the beginning, if each part came with it.
fn sum_of(chosen: &Fields, parts: &[&UploadedPart]) -> S3Result<Option<(Algorithm, String)>> {
    let Some(name) = chosen.system.get(ALGORITHM) else { return Ok(None) };
    let algorithm = Algorithm::named(name)?;
    let sums: Option<Vec<_>> =
        parts.iter().map(|part| Some((of_part(&part.fields, algorithm)?, part.bytes))).collect();
    let Some(sums) = sums else { return Ok(None) };
    let sum = match chosen.system.get(TYPE).map(String::as_str) {
        Some(ChecksumType::FULL_OBJECT) => whole(algorithm, &sums)?,
        _ => Some(composite(algorithm, &sums)?),
    };
    Ok(sum.map(|sum| (algorithm, sum)))
}

/// Holds the object's checksum against what the client says it is.
fn hold(input: &CompleteMultipartUploadInput, sum: Option<&(Algorithm, String)>) -> S3Result<()> {
    for (algorithm, said) in of_shape!(input) {
        let Some(said) = said else { continue };
        let header = algorithm.header();
        match sum.filter(|(known, _)| *known == algorithm) {
            Some((_, sum)) if *sum == said => {}
            Some(_) => {
                return Err(s3_error!(BadDigest, "the object does not have the {header} it came with"));
            }
            None => {
                return Err(s3_error!(
                    InvalidRequest,
                    "there is no {header} to compare: choose it when the upload begins, and send it with each part"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Durability;

    fn part(number: u32, bytes: u64, etag: &str) -> (u32, UploadedPart) {
        let etag = etag.to_owned();
        (
            number,
            UploadedPart {
                number,
                bytes,
                etag,
                put_unix_ms: 0,
                fields: Vec::new(),
                durability: Durability::Whole,
            },
        )
    }

    fn named(number: i32, etag: &str) -> CompletedPart {
        let e_tag = Some(ETag::Strong(etag.to_owned()));
        CompletedPart { part_number: Some(number), e_tag, ..Default::default() }
    }

    #[test]
    fn parts_are_named_in_order_as_they_are() {
        let there = BTreeMap::from([part(1, 5 << 20, "a"), part(3, 5 << 20, "b"), part(4, 7, "c")]);
        let code = |parts: &[CompletedPart]| {
            let numbers =
                |listed: Vec<&UploadedPart>| listed.iter().map(|part| part.number).collect::<Vec<_>>();
            listed(&there, parts).map(numbers).map_err(|error| error.code().as_str().to_owned())
        };
        assert_eq!(code(&[named(1, "a"), named(3, "b"), named(4, "c")]), Ok(vec![1, 3, 4]));
        assert_eq!(code(&[named(4, "c")]), Ok(vec![4]), "what is not named is left out");
        let refused = |what: &str| Err(what.to_owned());
        assert_eq!(code(&[named(3, "b"), named(1, "a")]), refused("InvalidPartOrder"));
        assert_eq!(code(&[named(1, "a"), named(1, "a")]), refused("InvalidPartOrder"));
        assert_eq!(code(&[named(2, "a")]), refused("InvalidPart"));
        assert_eq!(code(&[named(1, "b")]), refused("InvalidPart"));
        assert_eq!(code(&[named(0, "a")]), refused("InvalidArgument"));
        assert_eq!(code(&[named(10_001, "a")]), refused("InvalidArgument"));
        assert_eq!(code(&[]), refused("MalformedXML"));
        let small = BTreeMap::from([part(1, (5 << 20) - 1, "a"), part(2, 1, "b")]);
        let refused = listed(&small, &[named(1, "a"), named(2, "b")]);
        assert_eq!(refused.map(|_| ()).unwrap_err().code().as_str(), "EntityTooSmall");
    }

    #[test]
    fn the_tag_of_verified_parts_is_the_one_that_s3_gives() {
        // As documented: the MD5 of the parts' MD5s, and their number.
        let (_, one) = part(1, 1, "0cc175b9c0f1b6a831c399e269772661");
        let (_, two) = part(2, 1, "92eb5ffee6ae2fec3ad71c777531578f");
        assert_eq!(etag_of(&[&one, &two]).as_deref(), Some("96e024ba2074fe77e8e965ba43a704be-2"));
        let (_, opaque) = part(3, 1, "0cc175b9c0f1b6a831c399e269772661-1");
        assert_eq!(etag_of(&[&one, &opaque]), None);
    }
}
