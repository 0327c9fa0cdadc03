//! What policies call an operation, and what they can know of a request for it.

use axum::extract::Query;
use http::{HeaderMap, Uri, header};

use crate::policy::{Action, Facts};

/// Brings tags along.
const TAGGING: &str = "x-amz-tagging";
const ACL: &str = "x-amz-acl";

const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCK_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";

/// What a request that makes an object says of it, besides its bytes, that needs an action of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brings {
    pub(super) tags: bool,
    pub(super) retention: bool,
    pub(super) legal_hold: bool,
}

impl Brings {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            tags: headers.contains_key(TAGGING),
            retention: headers.contains_key(LOCK_MODE) || headers.contains_key(LOCK_UNTIL),
            legal_hold: headers.contains_key(LEGAL_HOLD),
        }
    }
}

/// What an operation asks of a bucket's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is of no bucket that could have one, or there is no such operation here: the key decides.
    Nothing,
    /// All of these, of what the path names.
    Now(Vec<Action>),
    /// One of these, of keys that its body names.
    Later(&'static [Action]),
}

/// What this operation asks for. `versioned`: it names a version.
pub(super) fn of(operation: &str, versioned: bool, brings: Brings) -> Asked {
    use Action::{
        AbortMultipartUpload, DeleteBucket, DeleteBucketPolicy, GetBucketCORS, GetBucketLocation,
        GetBucketNotification, GetBucketObjectLockConfiguration, GetBucketPolicy, GetBucketPolicyStatus,
        GetBucketPublicAccessBlock, GetBucketTagging, GetBucketVersioning, GetEncryptionConfiguration, GetLifecycleConfiguration,
        ListBucket, ListBucketMultipartUploads, ListBucketVersions, ListMultipartUploadParts, PutBucketCORS,
        PutBucketNotification, PutBucketObjectLockConfiguration, PutBucketPolicy, PutBucketPublicAccessBlock,
        PutBucketTagging, PutBucketVersioning, PutEncryptionConfiguration, PutLifecycleConfiguration, PutObject,
    };
    let either = |plain: Action, of_version: Action| vec![if versioned { of_version } else { plain }];
    Asked::Now(match operation {
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => vec![ListBucket],
        "ListObjectVersions" => vec![ListBucketVersions],
        "ListMultipartUploads" => vec![ListBucketMultipartUploads],
        "GetBucketLocation" => vec![GetBucketLocation],
        "DeleteBucket" => vec![DeleteBucket],
        "GetBucketEncryption" => vec![GetEncryptionConfiguration],
        "PutBucketEncryption" | "DeleteBucketEncryption" => vec![PutEncryptionConfiguration],
        "GetBucketVersioning" => vec![GetBucketVersioning],
        "PutBucketVersioning" => vec![PutBucketVersioning],
        "GetBucketTagging" => vec![GetBucketTagging],
        "PutBucketTagging" | "DeleteBucketTagging" => vec![PutBucketTagging],
        "GetBucketLifecycleConfiguration" => vec![GetLifecycleConfiguration],
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => vec![PutLifecycleConfiguration],
        "GetBucketCors" => vec![GetBucketCORS],
        "PutBucketCors" | "DeleteBucketCors" => vec![PutBucketCORS],
        "GetBucketNotificationConfiguration" => vec![GetBucketNotification],
        "PutBucketNotificationConfiguration" => vec![PutBucketNotification],
        "GetBucketPolicy" => vec![GetBucketPolicy],
        "PutBucketPolicy" => vec![PutBucketPolicy],
        "DeleteBucketPolicy" => vec![DeleteBucketPolicy],
        "GetBucketPolicyStatus" => vec![GetBucketPolicyStatus],
        "GetPublicAccessBlock" => vec![GetBucketPublicAccessBlock],
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => vec![PutBucketPublicAccessBlock],
        "GetObject" | "HeadObject" => of_read(versioned),
        "GetObjectAttributes" if versioned => {
            vec![Action::GetObjectVersion, Action::GetObjectVersionAttributes]
        }
        "GetObjectAttributes" => vec![Action::GetObject, Action::GetObjectAttributes],
        "GetObjectTagging" => of_tags_read(versioned),
        "PutObjectTagging" => either(Action::PutObjectTagging, Action::PutObjectVersionTagging),
        "DeleteObjectTagging" => either(Action::DeleteObjectTagging, Action::DeleteObjectVersionTagging),
        "GetObjectLockConfiguration" => vec![GetBucketObjectLockConfiguration],
        "PutObjectLockConfiguration" => vec![PutBucketObjectLockConfiguration],
        "GetObjectRetention" => vec![Action::GetObjectRetention],
        "PutObjectRetention" => vec![Action::PutObjectRetention],
        "GetObjectLegalHold" => vec![Action::GetObjectLegalHold],
        "PutObjectLegalHold" => vec![Action::PutObjectLegalHold],
        "PutObject" | "CopyObject" | "CreateMultipartUpload" => of_put(brings),
        "UploadPart" | "UploadPartCopy" | "CompleteMultipartUpload" => vec![PutObject],
        "ListParts" => vec![ListMultipartUploadParts],
        "AbortMultipartUpload" => vec![AbortMultipartUpload],
        "DeleteObject" => vec![of_delete(versioned)],
        "DeleteObjects" => return Asked::Later(&[Action::DeleteObject, Action::DeleteObjectVersion]),
        "PostObject" => return Asked::Later(&[PutObject]),
        _ => return Asked::Nothing,
    })
}

/// To read an object.
pub(super) fn of_read(versioned: bool) -> Vec<Action> {
    vec![if versioned { Action::GetObjectVersion } else { Action::GetObject }]
}

/// To read its tags.
pub(super) fn of_tags_read(versioned: bool) -> Vec<Action> {
    vec![if versioned { Action::GetObjectVersionTagging } else { Action::GetObjectTagging }]
}

/// To put one.
pub(super) fn of_put(brings: Brings) -> Vec<Action> {
    let tagging = brings.tags.then_some(Action::PutObjectTagging);
    let retention = brings.retention.then_some(Action::PutObjectRetention);
    let legal_hold = brings.legal_hold.then_some(Action::PutObjectLegalHold);
    [Some(Action::PutObject), tagging, retention, legal_hold].into_iter().flatten().collect()
}

/// To delete one.
pub(super) const fn of_delete(versioned: bool) -> Action {
    if versioned { Action::DeleteObjectVersion } else { Action::DeleteObject }
}

/// What a request says, added to what is known of it. A parameter that means nothing to the operation says nothing. One that is there
/// twice is refused by the library afterwards.
pub(super) fn facts(operation: &str, known: Facts, (headers, uri): (&HeaderMap, &Uri)) -> Facts {
    // As the library reads them.
    let parameters =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(all)| all).unwrap_or_default();
    let parameter =
        |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let said =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut facts = Facts {
        user_agent: said(header::USER_AGENT.as_str()),
        referer: said(header::REFERER.as_str()),
        version: parameter("versionId"),
        ..known
    };
    if ["ListObjects", "ListObjectsV2", "ListObjectVersions"].contains(&operation) {
        facts.prefix = parameter("prefix");
        facts.delimiter = parameter("delimiter");
        facts.max_keys = parameter("max-keys").and_then(|max| max.parse().ok());
    }
    if ["PutObject", "CopyObject", "CreateMultipartUpload"].contains(&operation) {
        facts.acl = said(ACL);
    }
    facts
}
