//! Who may do what: what is found out of each request before it is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datamesh_catalog::{Grant, Permission};
use http::{Extensions, HeaderMap, header};
use parking_lot::Mutex;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::dto::{CopyObjectInput, CopySource, PostObjectInput, UploadPartCopyInput};
use s3s::path::S3Path;
use s3s::{S3Request, S3Result, s3_error};

use super::actions::{self, Brings};
use super::chunks::{Frames, Trailers};
use super::coverage::uncovered;
use super::front::is_served;
use super::intake::is_streamed;
use super::rates::{self, Counted};
use super::standing::{self, Asker, Standing, Wanted};
use super::{customer, fields, unsigned};
use crate::access_keys::KnownKey;
use crate::api::App;
use crate::audit::{Asked, Audit, Durable, Note, Witnessed};
use crate::auth::Address;
use crate::policy::{Action, Facts};

/// What is found out of a request while the library has it: for log, metrics and the audit.
pub(super) struct Seen {
    /// The request's id.
    pub(super) id: String,
    pub(super) from: Option<Address>,
    /// As what it was counted.
    pub(super) counted: Counted,
    /// Nobody signed it, and a policy may let it through.
    pub(super) stranger: AtomicBool,
    /// The key that its signature is of, once that was looked up: the library goes on only where the signature is right.
    pub(super) key: OnceLock<String>,
    /// Whom that key counts as.
    pub(super) owner: OnceLock<String>,
    /// The operation's name, as soon as it is known.
    pub(super) operation: OnceLock<String>,
    /// The audit's entry of a change, as soon as it is known who asks for it.
    pub(super) witnessed: Mutex<Option<Witnessed>>,
    /// What is said of it there.
    pub(super) note: Note,
}

impl Seen {
    /// The request has an entry from here on, once its note counts, whatever comes of it.
    fn witness(&self, audit: &Arc<Audit>, (asker, operation, target): (&Asker, &str, String)) {
        let durable = if need(operation) == Permission::Admin { Durable::Before } else { Durable::Soon };
        let asked = Asked {
            actor: asker.actor(),
            action: format!("s3:{operation}"),
            target,
            from: self.from,
            request: &self.id,
        };
        *self.witnessed.lock() = Some(Witnessed::new(audit, asked, (self.note.clone(), durable)));
    }
}

/// Bucket and key, however the request names them: by path or by host.
async fn target_of(app: &App, path: &S3Path) -> String {
    match path {
        S3Path::Root => "/".to_owned(),
        S3Path::Bucket { bucket } => format!("/{bucket}"),
        S3Path::Object { bucket, key } => told(app, bucket, key).await,
    }
}

/// An object as the audit names it: of a private bucket no name that was not sealed.
async fn told(app: &App, bucket: &str, key: &str) -> String {
    match app.objects.may_tell(bucket, &[key]).await {
        true => format!("/{bucket}/{key}"),
        false => format!("/{bucket}"),
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
        | "PutObjectRetention"
        | "PutObjectLegalHold"
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

tokio::task_local! {
    /// The request that the library has: it looks keys up without saying for which.
    pub(super) static ASKING: Arc<Seen>;
}

/// Looks keys up: the library checks signatures with their secrets.
pub(super) struct Signatures(pub(super) Arc<App>);

#[async_trait::async_trait]
impl S3Auth for Signatures {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let unknown = || s3_error!(InvalidAccessKeyId, "the access key is not known to this cluster");
        let id = access_key.parse().map_err(|_| unknown())?;
        let known = self.0.keys.find(&id).await?.ok_or_else(unknown)?;
        let _ = ASKING.try_with(|seen| {
            let _ = seen.owner.set(rates::counts_as(&id, &known.grant.owner));
            let _ = seen.key.set(id.to_string());
        });
        Ok(SecretKey::from(known.secret.as_str()))
    }
}

/// Holds each request against its key and the policy of its bucket.
pub(super) struct Rules(pub(super) Arc<App>);

impl Rules {
    fn asker(&self, credentials: Option<&Credentials>) -> S3Result<Asker> {
        let Some(credentials) = credentials else { return Ok(Asker::Anonymous) };
        let id = credentials.access_key.parse().map_err(|_| standing::denied())?;
        let known = self.0.keys.opened(&id).ok_or_else(standing::denied)?;
        Ok(Asker::Key(id, known))
    }

    /// What is known of a request besides its path.
    fn facts(&self, operation: &str, cx: &S3AccessContext<'_>, from: Option<Address>) -> Facts {
        let said = Facts {
            source: from.map(|Address(address)| address),
            now_unix_ms: self.0.surroundings.now_unix_ms(),
            ..Facts::default()
        };
        actions::facts(operation, said, (cx.headers(), cx.uri()))
    }
}

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
        if customer::is_in_query(cx.uri()) {
            return Err(s3_error!(
                InvalidArgument,
                "a key of the customer is said in headers, never in a URL: take another key, and sign with version 4"
            ));
        }
        if customer::is_empty(cx.headers()) {
            return Err(s3_error!(InvalidArgument, "a header about the key of the customer is empty"));
        }
        fields::only_sse_s3_by_header(cx.headers())?;
        if Frames::of(cx.headers()).is_some() && !is_streamed(&operation) {
            return Err(s3_error!(NotImplemented, "only objects and parts come in chunks (aws-chunked)"));
        }
        let asker = self.asker(cx.credentials())?;
        if let (Asker::Key(id, known), Some(seen)) = (&asker, &seen) {
            rates::of_key(&self.0, (id, &known.grant.owner), (seen.counted, seen.from))?;
        }
        if asker.is_anonymous() {
            if let Some(seen) = &seen {
                seen.stranger.store(true, Ordering::Relaxed);
                rates::of_nobody(&self.0, (seen.counted, seen.from))?;
            }
            let undone = cx.extensions_mut().get::<Trailers>().is_some();
            unsigned::only_plain(cx.headers(), cx.uri(), undone)?;
        }
        let facts = self.facts(&operation, cx, seen.as_ref().and_then(|seen| seen.from));
        let asked = actions::of(&operation, facts.version.is_some(), Brings::of(cx.headers()));
        // Whether what their body names lets strangers do anything is found out there, and counts there.
        let counts = !(asker.is_anonymous() && matches!(asked, actions::Asked::Later(_)));
        let path = cx.s3_path();
        let wanted = Wanted { operation: &operation, need: need(&operation), asked, path };
        let judged = Standing::judge(&self.0, (asker.clone(), facts), wanted).await;
        // Changes have an entry, and what is refused to a key. Strangers must not fill the audit with what they are refused.
        if let Some(seen) = &seen
            && match judged {
                Ok(_) => need(&operation) > Permission::ReadOnly,
                Err(_) => !asker.is_anonymous(),
            }
        {
            let target = target_of(&self.0, path).await;
            seen.witness(&self.0.audit, (&asker, &operation, target));
            if counts {
                seen.note.count();
            }
        }
        let judged = judged?;
        if !is_served(&operation) {
            return Err(s3_error!(NotImplemented, "{operation} is not here: docs/s3.md says why"));
        }
        if let Asker::Key(_, known) = asker {
            cx.extensions_mut().insert(Caller(known));
        }
        cx.extensions_mut().insert(Arc::new(judged));
        Ok(())
    }

    /// A form names its key among its fields.
    async fn post_object(&self, request: &mut S3Request<PostObjectInput>) -> S3Result<()> {
        let target = told(&self.0, &request.input.bucket, &request.input.key).await;
        noted(&request.extensions).target(target);
        let standing = standing::of(&request.extensions)?;
        customer::not_by_form(request)?;
        let input = &request.input;
        let facts = Facts {
            acl: input.acl.as_ref().map(|acl| acl.as_str().to_owned()),
            ..standing.facts().of_version(None)
        };
        let brings = Brings {
            tags: input.tagging.is_some(),
            retention: input.object_lock_mode.is_some() || input.object_lock_retain_until_date.is_some(),
            legal_hold: input.object_lock_legal_hold_status.is_some(),
        };
        standing.may(&actions::of_put(brings), Some(&input.key), &facts)?;
        noted(&request.extensions).count();
        Ok(())
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        let there = self.source(&request.extensions, &request.input.copy_source).await?;
        let here = standing::of(&request.extensions)?;
        let tagging = here.may(&[Action::PutObjectTagging], Some(&request.input.key), here.facts());
        let travel = there.tags().and(tagging).is_ok();
        request.extensions.insert(TagsTravel(travel));
        Ok(())
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        self.source(&request.extensions, &request.input.copy_source).await.map(drop)
    }
}

/// Whether who copies an object may also read its tags there and give them here.
#[derive(Clone, Copy)]
pub(super) struct TagsTravel(pub(super) bool);

/// The source of a copy, which its asker may read.
struct Source<'a> {
    standing: Standing,
    key: &'a str,
}

impl Source<'_> {
    fn tags(&self) -> S3Result<()> {
        let facts = self.standing.facts();
        self.standing.may(&actions::of_tags_read(facts.version.is_some()), Some(self.key), facts)
    }
}

impl Rules {
    /// The source of a copy may lie in another bucket than the one the request names.
    async fn source<'a>(&self, extensions: &Extensions, source: &'a CopySource) -> S3Result<Source<'a>> {
        let here = standing::of(extensions)?;
        let CopySource::Bucket { bucket, key, version_id } = source else { return Err(standing::denied()) };
        let version = version_id.as_deref().map(str::to_owned);
        let actions = actions::of_read(version.is_some());
        let standing = here.elsewhere(&self.0, bucket, version).await?;
        standing.may(&actions, Some(key), standing.facts())?;
        Ok(Source { standing, key })
    }
}

/// In URLs and forms it is taken: boto3 still signs these so by itself.
fn is_of_version_2(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS "))
}
