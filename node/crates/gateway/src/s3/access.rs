//! Who may do what: a key pair's permission and buckets, held against each operation.

use std::sync::{Arc, OnceLock};

use datamesh_catalog::{AccessKeyId, Grant, Permission};
use http::{Extensions, HeaderMap, header};
use parking_lot::Mutex;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{CopyObjectInput, CopySource, UploadPartCopyInput};
use s3s::path::S3Path;
use s3s::{S3Request, S3Result, s3_error};

use super::coverage::uncovered;
use crate::access_keys::KnownKey;
use crate::api::App;
use crate::audit::{Actor, Asked, Audit, Durable, Note, Witnessed};
use crate::auth::Address;

/// What is found out of a request while the library has it: for log, metrics and the audit.
pub(super) struct Seen {
    /// The request's id.
    pub(super) id: String,
    pub(super) from: Option<Address>,
    /// The operation's name, as soon as it is known.
    pub(super) operation: OnceLock<String>,
    /// The audit's entry of a change, as soon as it is known who asks for it.
    pub(super) witnessed: Mutex<Option<Witnessed>>,
    /// What is said of it there.
    pub(super) note: Note,
}

impl Seen {
    /// The request has an entry from here on, whatever comes of it.
    fn witness(&self, audit: &Arc<Audit>, (key, operation, path): (&AccessKeyId, &str, &S3Path)) {
        let durable = if need(operation) == Permission::Admin { Durable::Before } else { Durable::Soon };
        let (name, credential) = (format!("key:{key}"), key.to_string());
        let asked = Asked {
            actor: Actor { name, credential, ..Actor::default() },
            action: format!("s3:{operation}"),
            target: target_of(path),
            from: self.from,
            request: &self.id,
        };
        self.note.count();
        *self.witnessed.lock() = Some(Witnessed::new(audit, asked, (self.note.clone(), durable)));
    }
}

/// Bucket and key, however the request names them: by path or by host.
fn target_of(path: &S3Path) -> String {
    match path {
        S3Path::Root => "/".to_owned(),
        S3Path::Bucket { bucket } => format!("/{bucket}"),
        S3Path::Object { bucket, key } => format!("/{bucket}/{key}"),
    }
}

/// Where an operation says more of itself for the audit.
pub(super) fn noted(extensions: &Extensions) -> Note {
    extensions.get::<Arc<Seen>>().map(|seen| seen.note.clone()).unwrap_or_default()
}

/// Whose request it is.
#[derive(Clone)]
pub(super) struct Caller(pub(super) Arc<KnownKey>);

/// What an operation asks of a key.
pub(super) fn need(operation: &str) -> Permission {
    match operation {
        "PutObject"
        | "PostObject"
        | "CopyObject"
        | "DeleteObject"
        | "DeleteObjects"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload"
        | "PutObjectTagging"
        | "DeleteObjectTagging"
        | "RestoreObject" => Permission::ReadWrite,
        read if ["Get", "Head", "List", "Select"].iter().any(|verb| read.starts_with(verb)) => {
            Permission::ReadOnly
        }
        // Whatever there may be besides changes buckets.
        _ => Permission::Admin,
    }
}

/// Whether a key may do this to a bucket; absent: to none in particular.
pub(super) fn allows(grant: &Grant, need: Permission, bucket: Option<&str>) -> bool {
    let named = |bucket: &str| grant.buckets.iter().any(|allowed| allowed.as_str() == bucket);
    grant.permission >= need && (grant.buckets.is_empty() || bucket.is_none_or(named))
}

fn denied() -> s3s::S3Error {
    s3_error!(AccessDenied, "the access key does not allow this")
}

/// Looks keys up: the library checks signatures with their secrets.
pub(super) struct Signatures(pub(super) Arc<App>);

#[async_trait::async_trait]
impl S3Auth for Signatures {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let unknown = || s3_error!(InvalidAccessKeyId, "the access key is not known to this cluster");
        let id = access_key.parse().map_err(|_| unknown())?;
        let known = self.0.keys.find(&id).await?.ok_or_else(unknown)?;
        Ok(SecretKey::from(known.secret.as_str()))
    }
}

/// Holds each request against its key.
pub(super) struct Rules(pub(super) Arc<App>);

#[async_trait::async_trait]
impl S3Access for Rules {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let seen = cx.extensions_mut().get::<Arc<Seen>>().cloned();
        if let Some(seen) = &seen {
            let _ = seen.operation.set(operation.clone());
        }
        if is_of_version_2(cx.headers()) {
            return Err(s3_error!(AccessDenied, "sign with version 4: version 2 does not cover the headers"));
        }
        if let Some(name) = uncovered(cx.headers(), cx.uri()) {
            return Err(s3_error!(
                AccessDenied,
                "sign the header {name} too: what the request does hangs on it"
            ));
        }
        let credentials = cx.credentials().ok_or_else(|| s3_error!(AccessDenied, "sign the request"))?;
        let id = credentials.access_key.parse().map_err(|_| denied())?;
        let (known, need) = (self.0.keys.opened(&id), need(&operation));
        let bucket = cx.s3_path().get_bucket_name();
        let known = known.filter(|known| allows(&known.grant, need, bucket));
        // Changes have an entry, and what is refused.
        if let Some(seen) = &seen
            && (known.is_none() || need > Permission::ReadOnly)
        {
            seen.witness(&self.0.audit, (&id, &operation, cx.s3_path()));
        }
        let known = known.ok_or_else(denied)?;
        cx.extensions_mut().insert(Caller(known));
        Ok(())
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        may_read(&request.extensions, &request.input.copy_source)
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        may_read(&request.extensions, &request.input.copy_source)
    }
}

/// The source of a copy may lie in another bucket than the one the request names.
fn may_read(extensions: &Extensions, source: &CopySource) -> S3Result<()> {
    let Caller(known) = extensions.get().ok_or_else(denied)?;
    match source {
        CopySource::Bucket { bucket, .. } if allows(&known.grant, Permission::ReadOnly, Some(bucket)) => {
            Ok(())
        }
        _ => Err(denied()),
    }
}

/// In URLs and forms it is taken: boto3 still signs these so by itself.
fn is_of_version_2(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS "))
}
