//! Policies of buckets, and what they may not open.

use std::collections::BTreeSet;
use std::sync::Arc;

use datamesh_catalog::BucketSetting;
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeletePublicAccessBlockInput,
    DeletePublicAccessBlockOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, PolicyStatus,
    PublicAccessBlockConfiguration, PutBucketPolicyInput, PutBucketPolicyOutput, PutPublicAccessBlockInput,
    PutPublicAccessBlockOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::access::noted;
use super::names;
use crate::api::App;
use crate::objects::PublicAccessBlock;
use crate::policy::Policy;

/// The library has no word for it.
const NO_BLOCK: &str = "NoSuchPublicAccessBlockConfiguration";

/// `PutBucketPolicy`.
pub(super) async fn put(
    app: &Arc<App>,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let S3Request { input, extensions, .. } = request;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let policy =
        Policy::parse(&input.policy, &input.bucket).map_err(|error| s3_error!(MalformedPolicy, "{error}"))?;
    only_known_keys(app, &policy).await?;
    let public = policy.is_public();
    noted(&extensions).detail(format!("public={public}"));
    let block = app.objects.setting::<PublicAccessBlock>(&bucket, BucketSetting::PublicAccessBlock).await?;
    if public && block.unwrap_or_default().block_public_policy {
        return Err(s3_error!(
            AccessDenied,
            "the policy lets everybody in, and the bucket's public access block refuses such policies"
        ));
    }
    app.objects.set_setting(&bucket, BucketSetting::Policy, &input.policy).await?;
    Ok(S3Response::new(PutBucketPolicyOutput::default()))
}

/// A key that is mistyped in a denial would be denied nothing.
async fn only_known_keys(app: &Arc<App>, policy: &Policy) -> S3Result<()> {
    if policy.keys_named().next().is_none() {
        return Ok(());
    }
    let all = app.keys.list().await?;
    let known: BTreeSet<_> = all.iter().map(|key| key.id.as_str()).collect();
    match policy.keys_named().find(|named| !known.contains(named)) {
        Some(named) => Err(s3_error!(MalformedPolicy, "there is no access key {named}")),
        None => Ok(()),
    }
}

async fn kept(app: &Arc<App>, bucket: &str) -> S3Result<String> {
    let bucket = app.objects.bucket(&names::bucket(bucket)?).await?;
    let kept = app.objects.setting::<String>(&bucket, BucketSetting::Policy).await?;
    kept.ok_or_else(no_policy)
}

fn no_policy() -> S3Error {
    s3_error!(NoSuchBucketPolicy, "the bucket has no policy")
}

/// `GetBucketPolicy`.
pub(super) async fn get(
    app: &Arc<App>,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let policy = Some(kept(app, &request.input.bucket).await?);
    Ok(S3Response::new(GetBucketPolicyOutput { policy }))
}

/// `DeleteBucketPolicy`.
pub(super) async fn delete(
    app: &Arc<App>,
    request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    app.objects.clear_setting(&bucket, BucketSetting::Policy).await?;
    Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
}

/// `GetBucketPolicyStatus`.
pub(super) async fn status(
    app: &Arc<App>,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let bucket = names::bucket(&request.input.bucket)?;
    app.objects.bucket(&bucket).await?;
    let policy = app.objects.policy(&bucket).await?.ok_or_else(no_policy)?;
    let policy_status = Some(PolicyStatus { is_public: Some(policy.is_public()) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}

/// `GetPublicAccessBlock`.
pub(super) async fn block(
    app: &Arc<App>,
    request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    let kept = app.objects.setting::<PublicAccessBlock>(&bucket, BucketSetting::PublicAccessBlock).await?;
    let kept = kept.ok_or_else(|| {
        let mut error = s3s::S3Error::with_message(
            s3s::S3ErrorCode::Custom(NO_BLOCK.into()),
            "the bucket has no public access block",
        );
        error.set_status_code(http::StatusCode::NOT_FOUND);
        error
    })?;
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(kept.block_public_acls),
        block_public_policy: Some(kept.block_public_policy),
        ignore_public_acls: Some(kept.ignore_public_acls),
        restrict_public_buckets: Some(kept.restrict_public_buckets),
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) }))
}

/// `PutPublicAccessBlock`. What it does not name it does not want.
pub(super) async fn set_block(
    app: &Arc<App>,
    request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let input = request.input;
    let bucket = app.objects.bucket(&names::bucket(&input.bucket)?).await?;
    let wanted = input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_public_acls: wanted.block_public_acls.unwrap_or_default(),
        ignore_public_acls: wanted.ignore_public_acls.unwrap_or_default(),
        block_public_policy: wanted.block_public_policy.unwrap_or_default(),
        restrict_public_buckets: wanted.restrict_public_buckets.unwrap_or_default(),
    };
    app.objects.set_setting(&bucket, BucketSetting::PublicAccessBlock, &block).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

/// `DeletePublicAccessBlock`.
pub(super) async fn forget_block(
    app: &Arc<App>,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let bucket = app.objects.bucket(&names::bucket(&request.input.bucket)?).await?;
    app.objects.clear_setting(&bucket, BucketSetting::PublicAccessBlock).await?;
    Ok(S3Response::new(DeletePublicAccessBlockOutput::default()))
}
