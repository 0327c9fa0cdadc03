//! Buckets.

use std::sync::Arc;

use datamesh_catalog::{BucketKind, Grant, Locking, Permission};
use s3s::dto::{
    Bucket, CreateBucketInput, CreateBucketOutput, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, Owner, PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::access::{Caller, allows};
use super::customer::AES256;
use super::fields::{absent, only_private, only_sse_s3};
use super::names;
use crate::api::App;

/// Buckets of one answer at most.
const BUCKETS_MAX: i32 = 10_000;

/// Whom all buckets belong to: there are no accounts yet.
pub(super) fn owner(grant: &Grant) -> Owner {
    Owner { display_name: Some(grant.owner.clone()), id: Some(grant.owner.clone()) }
}

/// Those that the key may touch, by name.
pub(super) async fn list(
    app: &Arc<App>,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let S3Request { input, extensions, .. } = request;
    let Caller(known) = extensions.get().ok_or_else(|| s3_error!(AccessDenied))?;
    let max = names::at_most(input.max_buckets, BUCKETS_MAX, "max-buckets")?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let after = input.continuation_token.as_deref().unwrap_or_default();
    let may = |name: &str| allows(&known.grant, Permission::ReadOnly, Some(name));
    let all = app.objects.buckets().await?;
    let mut rest = all.into_iter().filter(|bucket| {
        let name = bucket.name.as_str();
        may(name) && name.starts_with(prefix) && name > after
    });
    let taken = rest.by_ref().take(usize::try_from(max).unwrap_or_default()).map(|bucket| Bucket {
        bucket_region: None,
        creation_date: Some(names::timestamp(bucket.created_unix_ms)),
        name: Some(bucket.name.to_string()),
    });
    let buckets: Vec<_> = taken.collect();
    let last = buckets.last().and_then(|bucket| bucket.name.clone());
    let continuation_token = if rest.next().is_some() { last } else { None };
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(owner(&known.grant)),
        prefix: input.prefix,
    }))
}

/// Makes one. Where it lies is the cluster's business: a wanted region is as good as any other.
pub(super) async fn create(
    app: &Arc<App>,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let input = request.input;
    only_private(input.acl.as_ref().map(|acl| acl.as_str()))?;
    let locking = (input.object_lock_enabled_for_bucket == Some(true)).then(Locking::default);
    let bucket =
        app.objects.create_bucket(&names::bucket(&input.bucket)?, (BucketKind::Managed, locking)).await?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", bucket.name)) }))
}

pub(super) async fn head(
    app: &Arc<App>,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    Ok(S3Response::new(HeadBucketOutput::default()))
}

pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    app.objects.delete_bucket(&names::bucket(&request.input.bucket)?).await?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

/// The region without a name, which clients call us-east-1.
pub(super) async fn location(
    app: &Arc<App>,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    Ok(S3Response::new(GetBucketLocationOutput::default()))
}

/// Everything is sealed with keys of the cluster, with every bucket: it is what S3 itself answers where nobody chose.
pub(super) async fn encryption(
    app: &Arc<App>,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let by_default = ServerSideEncryptionByDefault {
        kms_master_key_id: None,
        sse_algorithm: ServerSideEncryption::from_static(AES256),
    };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(by_default),
        bucket_key_enabled: Some(false),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(configuration),
    }))
}

/// Takes what is so anyway.
pub(super) async fn set_encryption(
    app: &Arc<App>,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let input = request.input;
    app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let [rule] = &input.server_side_encryption_configuration.rules[..] else {
        return Err(s3_error!(MalformedXML, "a ServerSideEncryptionConfiguration has one Rule"));
    };
    let Some(by_default) = &rule.apply_server_side_encryption_by_default else {
        return Err(s3_error!(MalformedXML, "the Rule has no ApplyServerSideEncryptionByDefault"));
    };
    only_sse_s3(Some(by_default.sse_algorithm.as_str()))?;
    absent(&[
        ("keys of KMS", by_default.kms_master_key_id.is_some()),
        ("keys of buckets", rule.bucket_key_enabled == Some(true)),
    ])?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

/// Back to what is so anyway.
pub(super) async fn forget_encryption(
    app: &Arc<App>,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
}
