//! Tags of objects and of buckets.

use std::sync::Arc;

use datamesh_catalog::BucketSetting;
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
    TagSet,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{names, versions};
use crate::api::App;
use crate::objects::{Found, OF_BUCKET_MAX, OF_OBJECT_MAX, Tags, TagsError};

/// How often an object is looked at whose tags change, while others write it.
const LOOKS_MAX: usize = 8;

fn refused(error: TagsError) -> s3s::S3Error {
    s3_error!(InvalidTag, "{error}")
}

/// Tags of a request's header.
pub(super) fn of_header(header: Option<&str>) -> S3Result<Tags> {
    Tags::of_query(header.unwrap_or_default()).map_err(refused)
}

pub(super) fn of_set(set: TagSet, most: usize) -> S3Result<Tags> {
    let pairs =
        set.into_iter().map(|Tag { key, value }| (key.unwrap_or_default(), value.unwrap_or_default()));
    Tags::new(pairs, most).map_err(refused)
}

pub(super) fn shown(tags: &Tags) -> TagSet {
    tags.pairs().map(|(name, value)| Tag { key: Some(name.clone()), value: Some(value.clone()) }).collect()
}

/// How many an object has; nothing where it has none.
pub(super) fn count(found: &Found) -> Option<i32> {
    let count = Tags::of_fields(&found.fields.system).pairs().len();
    i32::try_from(count).ok().filter(|count| *count > 0)
}

struct Whose<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
}

async fn found(app: &Arc<App>, Whose { bucket, key, version }: &Whose<'_>) -> S3Result<Found> {
    let version = versions::version(*version)?;
    versions::found(app.objects.look_up(&names::bucket(bucket)?, names::key(key)?, version).await?, version)
}

async fn set(app: &Arc<App>, whose: Whose<'_>, tags: &Tags) -> S3Result<Option<String>> {
    for _ in 0..LOOKS_MAX {
        let found = found(app, &whose).await?;
        let version = versions::shown(found.object.version);
        if app.objects.set_tags(&found, tags).await? {
            return Ok(version);
        }
    }
    Err(s3_error!(OperationAborted, "the object is being written: try again"))
}

/// `GetObjectTagging`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let GetObjectTaggingInput { bucket, key, version_id, .. } = request.input;
    let found = found(app, &Whose { bucket: &bucket, key: &key, version: version_id.as_deref() }).await?;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: shown(&Tags::of_fields(&found.fields.system)),
        version_id: versions::shown(found.object.version),
    }))
}

/// `PutObjectTagging`.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let PutObjectTaggingInput { bucket, key, version_id, tagging, .. } = request.input;
    let tags = of_set(tagging.tag_set, OF_OBJECT_MAX)?;
    let whose = Whose { bucket: &bucket, key: &key, version: version_id.as_deref() };
    Ok(S3Response::new(PutObjectTaggingOutput { version_id: set(app, whose, &tags).await? }))
}

/// `DeleteObjectTagging`.
pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let DeleteObjectTaggingInput { bucket, key, version_id, .. } = request.input;
    let whose = Whose { bucket: &bucket, key: &key, version: version_id.as_deref() };
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id: set(app, whose, &Tags::default()).await? }))
}

/// `GetBucketTagging`.
pub(super) async fn of_bucket(
    app: &Arc<App>,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let kept = app.objects.setting::<Tags>(&bucket, BucketSetting::Tags).await?;
    let tags = kept.ok_or_else(|| s3_error!(NoSuchTagSet, "the bucket has no tags"))?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: shown(&tags) }))
}

/// `PutBucketTagging`.
pub(super) async fn set_of_bucket(
    app: &Arc<App>,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let tags = of_set(request.input.tagging.tag_set, OF_BUCKET_MAX)?;
    app.objects.set_setting(&bucket, BucketSetting::Tags, &tags).await?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

/// `DeleteBucketTagging`.
pub(super) async fn forget_of_bucket(
    app: &Arc<App>,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    app.objects.clear_setting(&bucket, BucketSetting::Tags).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}
