//! Objects are put and deleted.

use std::sync::Arc;

use datamesh_catalog::{Cause, Condition, Grounds, Marking, ObjectKey, Version, VersionId, Way};
use datamesh_shard::BucketName;
use datamesh_shard::limits::OBJECT_BYTES_MAX;
use futures::{StreamExt as _, stream};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error, ObjectIdentifier, PutObjectInput, PutObjectOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::access::noted;
use super::checksums::{Proof, Trailing, into_shape, kind_of, of_fields, of_shape};
use super::customer::{customer, key_of, show_sealing};
use super::fields::{refuse_what_is_not_there, said};
use super::locks::lock_headers;
use super::standing::{self, Standing};
use super::{actions, body, locks, names, versions};
use crate::api::App;
use crate::objects::Removed;

/// Keys of one request to delete many at most.
const DELETED_MAX: usize = 1000;
/// Of them deleted at the same time: their commits share syncs.
const DELETED_AT_ONCE: usize = 32;

/// What must be true of the object that a write meets.
pub(super) fn condition(
    matching: Option<ETagCondition>,
    none_matching: Option<ETagCondition>,
) -> S3Result<Condition> {
    match (matching, none_matching) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::IfAbsent),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::IfMatch(etag.into_value())),
        (None, Some(_)) => Err(s3_error!(NotImplemented, "a write takes `If-None-Match: *` only")),
        (Some(ETagCondition::Any), None) => {
            Err(s3_error!(NotImplemented, "a write takes `If-Match` with one entity tag"))
        }
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "`If-Match` and `If-None-Match` exclude each other"))
        }
    }
}

pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request { mut input, headers, trailing_headers, extensions, .. } = request;
    refuse_what_is_not_there!(input);
    if input.write_offset_bytes.is_some() {
        return Err(s3_error!(NotImplemented, "objects are written whole"));
    }
    let (bucket, key) = (names::bucket(&input.bucket)?, names::key(&input.key)?);
    let condition = condition(input.if_match.take(), input.if_none_match.take())?;
    let customer = customer!(input)?;
    let mut meta = said!(input).meta()?;
    meta.key = key_of(customer.as_ref()).cloned();
    meta.lock = locks::wanted(app, &input.bucket, lock_headers!(input)).await?;
    let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
    let trailing = Trailing::of(&extensions, trailing_headers);
    let proof = Proof::new(input.content_md5.as_deref(), of_shape!(input), named, (&headers, trailing))?;
    if !meta.lock.is_none() && !proof.was_given() {
        return Err(s3_error!(
            InvalidRequest,
            "what is put with a lock comes with Content-MD5 or a checksum: it cannot be put right afterwards"
        ));
    }
    let body = body::incoming(input.body.take(), input.content_length, OBJECT_BYTES_MAX)?;
    let cause = standing::cause(&extensions, Way::Put)?;
    let body = body.witnessed(Box::new(proof));
    let stored = app.objects.put((&bucket, key), meta, body, condition, &cause).await?;
    let fields = app.objects.fields_of_object(&stored.object, key_of(customer.as_ref())).await?;
    let mut output = PutObjectOutput {
        e_tag: Some(names::etag_of(&stored.object)),
        version_id: versions::shown(stored.object.version),
        ..Default::default()
    };
    into_shape!(output, |algorithm| of_fields(&fields, algorithm));
    output.checksum_type = kind_of(&fields);
    show_sealing!(output, customer);
    Ok(S3Response::new(output))
}

pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let (note, standing) = (noted(&request.extensions), standing::of(&request.extensions)?);
    let cause = standing::cause(&request.extensions, Way::default())?;
    let input = request.input;
    if input.if_match_last_modified_time.is_some() || input.if_match_size.is_some() {
        return Err(s3_error!(NotImplemented, "a delete takes `If-Match` only"));
    }
    let version = versions::version(input.version_id.as_deref())?;
    let asked = input.bypass_governance_retention;
    let bypass = standing.sets_governance_aside(asked, &input.key, standing.facts());
    if bypass {
        note.detail("governance may be set aside".to_owned());
    }
    let condition = condition(input.if_match, None)?;
    let which = Which { key: names::key(&input.key)?, version, condition, bypass };
    let Gone { version, marker, governed } = gone(app, &names::bucket(&input.bucket)?, which, &cause).await?;
    if governed {
        note.detail("governance is set aside".to_owned());
    }
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: marker.then_some(true),
        version_id: versions::shown(version),
        ..Default::default()
    }))
}

/// What is to be deleted: a version for good, or what a key shows.
struct Which {
    key: ObjectKey,
    version: Option<VersionId>,
    condition: Condition,
    /// Governance is set aside.
    bypass: bool,
}

/// What a delete did: to which version, and whether that is a delete itself.
struct Gone {
    version: Option<VersionId>,
    marker: bool,
    /// It would have stayed, had governance not been set aside.
    governed: bool,
}

async fn gone(app: &Arc<App>, bucket: &BucketName, which: Which, cause: &Arc<Cause>) -> S3Result<Gone> {
    let Which { key, version, condition, bypass } = which;
    let Some(version) = version else {
        let removed = app.objects.delete((bucket, key), condition, Marking::Always, cause).await?;
        return Ok(match removed {
            Removed::Marked { marker, .. } => {
                Gone { version: Some(marker.version), marker: true, governed: false }
            }
            Removed::Nothing | Removed::Gone(_) => Gone { version: None, marker: false, governed: false },
        });
    };
    if condition != Condition::None {
        return Err(s3_error!(NotImplemented, "a delete of a version takes no condition: its id names it"));
    }
    let deleted = app.objects.delete_version((bucket, key), version, cause, bypass).await?;
    let plain = Grounds::at(app.surroundings.now_unix_ms());
    let (marker, governed) = match &deleted {
        Some(Version::Object(object)) => (false, object.lock.lets_go(plain).is_err()),
        Some(Version::Marker(_)) => (true, false),
        None => (false, false),
    };
    Ok(Gone { version: Some(version), marker, governed })
}

/// Each on its own: what fails does not keep the others.
pub(super) async fn delete_many(
    app: &Arc<App>,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let (note, standing) = (noted(&request.extensions), standing::of(&request.extensions)?);
    let cause = &standing::cause(&request.extensions, Way::default())?;
    let input = request.input;
    let objects = input.delete.objects;
    let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    let mut said = match app.objects.may_tell(&input.bucket, &keys).await {
        true => format!("{} keys: {keys:?}", keys.len()),
        false => format!("{} keys", keys.len()),
    };
    if input.bypass_governance_retention == Some(true) {
        said.push_str("; governance is to be set aside where they may");
    }
    note.detail(said.clone());
    if objects.is_empty() || objects.len() > DELETED_MAX {
        return Err(s3_error!(MalformedXML, "1 to {DELETED_MAX} keys are deleted at once"));
    }
    // Its absence is the whole request's fault.
    app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let asked = input.bypass_governance_retention;
    let (bucket, standing, note) = (input.bucket.as_str(), &*standing, &note);
    let done = stream::iter(objects).map(|object| async move {
        let (key, version_id) = (object.key.clone(), object.version_id.clone());
        let outcome = match may_delete(standing, &object) {
            Ok(()) => {
                note.count();
                let facts = standing.facts().of_version(version_id.clone());
                let bypass = standing.sets_governance_aside(asked, &key, &facts);
                delete_one(app, bucket, object, (cause, bypass)).await
            }
            Err(error) => {
                // To judge a thousand keys takes a while, and others wait for this thread.
                tokio::task::yield_now().await;
                Err(error)
            }
        };
        (key, version_id, outcome)
    });
    let done: Vec<_> = done.buffered(DELETED_AT_ONCE).collect().await;
    let governed = |(key, _, outcome): &(String, _, S3Result<Gone>)| {
        outcome.as_ref().is_ok_and(|gone| gone.governed).then(|| key.clone())
    };
    let governed: Vec<_> = done.iter().filter_map(governed).collect();
    if !governed.is_empty() {
        note.detail(format!("{said}; it is set aside for {governed:?}"));
    }
    let quiet = input.delete.quiet == Some(true);
    let mut output = DeleteObjectsOutput::default();
    for (key, version_id, outcome) in done {
        match outcome {
            Ok(_) if quiet => {}
            Ok(gone) => output.deleted.get_or_insert_default().push(deleted(key, version_id, &gone)),
            Err(error) => output.errors.get_or_insert_default().push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id,
            }),
        }
    }
    Ok(S3Response::new(output))
}

fn deleted(key: String, version_id: Option<String>, gone: &Gone) -> DeletedObject {
    let marker = versions::shown(gone.version).filter(|_| gone.marker);
    DeletedObject {
        delete_marker: gone.marker.then_some(true),
        delete_marker_version_id: marker,
        key: Some(key),
        version_id,
    }
}

fn may_delete(standing: &Standing, object: &ObjectIdentifier) -> S3Result<()> {
    let action = actions::of_delete(object.version_id.is_some());
    standing.may(&[action], Some(&object.key), &standing.facts().of_version(object.version_id.clone()))
}

async fn delete_one(
    app: &Arc<App>,
    bucket: &str,
    object: ObjectIdentifier,
    (cause, bypass): (&Arc<Cause>, bool),
) -> Result<Gone, S3Error> {
    let ObjectIdentifier { e_tag, key, last_modified_time, size, version_id } = object;
    if last_modified_time.is_some() || size.is_some() {
        return Err(s3_error!(NotImplemented, "a delete takes an entity tag only"));
    }
    let version = versions::version(version_id.as_deref())?;
    let condition = condition(e_tag.map(ETagCondition::ETag), None)?;
    let which = Which { key: names::key(&key)?, version, condition, bypass };
    gone(app, &names::bucket(bucket)?, which, cause).await
}
