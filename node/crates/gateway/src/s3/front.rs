//! The operations there are. What is not here is answered with `NotImplemented`, before anything of it is read.

use std::sync::Arc;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteBucketCorsInput, DeleteBucketCorsOutput,
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, DeleteBucketInput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketOutput,
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput,
    GetBucketCorsInput, GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput, GetBucketPolicyInput,
    GetBucketPolicyOutput, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetBucketTaggingInput,
    GetBucketTaggingOutput, GetBucketVersioningInput, GetBucketVersioningOutput, GetObjectAttributesInput,
    GetObjectAttributesOutput, GetObjectInput, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectOutput,
    GetObjectRetentionInput, GetObjectRetentionOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    GetPublicAccessBlockInput, GetPublicAccessBlockOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutBucketCorsInput, PutBucketCorsOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput, PutBucketPolicyInput, PutBucketPolicyOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
    PutObjectInput, PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectOutput, PutObjectRetentionInput, PutObjectRetentionOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::{
    buckets, copy, cors, lifecycle, listing, locks, multipart, notifications, objects, policies, reads, tags,
    uploads, versions,
};
use crate::api::App;

/// The gateway as the library sees it.
pub(super) struct Front {
    pub(super) app: Arc<App>,
}

/// Done by the library: it hands a form's file to `PutObject`.
pub(super) const BY_THE_LIBRARY: &str = "PostObject";

/// Whether there is an operation of this name, as S3 writes it.
pub(super) fn is_served(operation: &str) -> bool {
    let same = |name: &&str| {
        let letters = name.bytes().filter(|byte| *byte != b'_');
        letters.eq(operation.bytes().map(|byte| byte.to_ascii_lowercase()))
    };
    operation == BY_THE_LIBRARY || OPERATIONS.iter().any(same)
}

/// One operation: its name, its shapes and the function that does it.
macro_rules! operations {
    ($($name:ident: $input:ty => $output:ty = $does:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Front {
            $(
                async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    Box::pin($does(&self.app, request)).await
                }
            )*
        }

        /// All of them.
        pub(super) const OPERATIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

operations! {
    list_buckets: ListBucketsInput => ListBucketsOutput = buckets::list;
    create_bucket: CreateBucketInput => CreateBucketOutput = buckets::create;
    head_bucket: HeadBucketInput => HeadBucketOutput = buckets::head;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput = buckets::delete;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput = buckets::location;
    get_bucket_encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput = buckets::encryption;
    put_bucket_encryption: PutBucketEncryptionInput => PutBucketEncryptionOutput = buckets::set_encryption;
    delete_bucket_encryption: DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput = buckets::forget_encryption;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput = versions::get;
    put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput = versions::put;
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput = versions::list;
    put_object: PutObjectInput => PutObjectOutput = objects::put;
    delete_object: DeleteObjectInput => DeleteObjectOutput = objects::delete;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput = objects::delete_many;
    get_object: GetObjectInput => GetObjectOutput = reads::get;
    head_object: HeadObjectInput => HeadObjectOutput = reads::head;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput = reads::attributes;
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput = tags::get;
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput = tags::put;
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput = tags::delete;
    get_object_lock_configuration: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput = locks::configuration;
    put_object_lock_configuration: PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput = locks::configure;
    get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput = locks::retention;
    put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput = locks::retain;
    get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput = locks::legal_hold;
    put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput = locks::hold;
    get_bucket_tagging: GetBucketTaggingInput => GetBucketTaggingOutput = tags::of_bucket;
    put_bucket_tagging: PutBucketTaggingInput => PutBucketTaggingOutput = tags::set_of_bucket;
    delete_bucket_tagging: DeleteBucketTaggingInput => DeleteBucketTaggingOutput = tags::forget_of_bucket;
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput = lifecycle::get;
    put_bucket_lifecycle_configuration: PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput = lifecycle::put;
    delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput = lifecycle::delete;
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput = policies::get;
    put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput = policies::put;
    delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput = policies::delete;
    get_bucket_policy_status: GetBucketPolicyStatusInput => GetBucketPolicyStatusOutput = policies::status;
    get_public_access_block: GetPublicAccessBlockInput => GetPublicAccessBlockOutput = policies::block;
    put_public_access_block: PutPublicAccessBlockInput => PutPublicAccessBlockOutput = policies::set_block;
    delete_public_access_block: DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput = policies::forget_block;
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput = cors::get;
    put_bucket_cors: PutBucketCorsInput => PutBucketCorsOutput = cors::put;
    delete_bucket_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput = cors::delete;
    get_bucket_notification_configuration: GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput = notifications::get;
    put_bucket_notification_configuration: PutBucketNotificationConfigurationInput => PutBucketNotificationConfigurationOutput = notifications::put;
    copy_object: CopyObjectInput => CopyObjectOutput = copy::object;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput = copy::part;
    list_objects: ListObjectsInput => ListObjectsOutput = listing::first;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output = listing::second;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput = multipart::create;
    upload_part: UploadPartInput => UploadPartOutput = multipart::part;
    list_parts: ListPartsInput => ListPartsOutput = multipart::parts;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput = uploads::list;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput = multipart::abort;
}
