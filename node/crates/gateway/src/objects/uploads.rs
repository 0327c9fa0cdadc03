//! Resumable uploads: parts in any order, then one step that makes the object.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::{Terms, UploadError};
use datamesh_catalog::keyspace::Revision;
use datamesh_catalog::{
    BucketId, Cause, Condition, DraftBody, ListedUpload, Lock, NewUpload, ObjectDraft, ObjectKey,
    PartSummary, PartTag, TaggedPart, Target, Upload, UploadId,
};
use datamesh_seal::CustomerKey;
use datamesh_shard::BucketName;

use super::write::{opaque, stored};
use super::{
    BucketContext, Durability, Fields, KeyError, Meta, Objects, Stored, customer, growing, locks, refusals,
};
use crate::api::{Incoming, Told};
use crate::pipeline::{self, Context, Job, Record, Secrets, Written, millis};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// A part as its client knows it.
pub(crate) struct UploadedPart {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) etag: String,
    pub(crate) put_unix_ms: u64,
    /// Its checksums, by the names of their headers.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) durability: Durability,
}

/// Parts of an upload, by number, as they were at one moment.
pub(crate) struct SeenParts {
    pub(crate) parts: Vec<UploadedPart>,
    pub(crate) seen: Revision,
}

/// What an upload shall become.
#[derive(Default)]
pub(crate) struct Completion {
    /// Its parts, in order.
    pub(crate) parts: Vec<u32>,
    /// The object's entity tag; absent: one that says nothing.
    pub(crate) etag: Option<String>,
    /// Its checksums, by the names of their headers.
    pub(crate) fields: Vec<(String, String)>,
    /// The customer's key that its parts are sealed with, if it came again.
    pub(crate) key: Option<CustomerKey>,
    /// When the parts were looked at, if tag or fields say what they are: none may have been put since.
    pub(crate) seen: Option<Revision>,
}

impl Objects {
    /// Begins a resumable upload that lives so long without a sign of its client.
    pub(crate) async fn begin(
        &self,
        bucket: &BucketName,
        key: ObjectKey,
        mut meta: Meta,
        lease: Duration,
    ) -> Result<Upload, Problem> {
        locks::put_into(&meta.lock, &mut meta.fields.system)?;
        let known = self.buckets.ensure(bucket).await?;
        let bucket = self.buckets.recheck(bucket, known.id).await?.unwrap_or(known);
        let target = Target { bucket: bucket.id, key, upload: self.new_upload() };
        let salt = || random(&*self.context.surroundings);
        customer::begun(bucket.secrets()?, meta.key.as_ref(), salt, &mut meta.fields);
        let now = self.now_unix_ms();
        let new = NewUpload {
            meta: meta.fields.seal(bucket.secrets()?, &target)?,
            target,
            content_type: meta.content_type,
            created_unix_ms: now,
            lease_until_unix_ms: now.saturating_add(millis(lease)),
            segments: Vec::new(),
        };
        self.context.catalog.begin_listed_upload(new).await.map_err(|error| refusals::store(error.into()))
    }

    /// An upload that is open.
    pub(crate) async fn open_upload(&self, id: UploadId) -> Result<Option<Upload>, Problem> {
        self.context.catalog.upload(id).await.map_err(refusals::catalog)
    }

    /// An upload and the parts that have arrived.
    pub(crate) async fn upload(&self, id: UploadId) -> Result<(Upload, Vec<PartSummary>), Problem> {
        let upload = self.open_upload(id).await?.ok_or_else(refusals::no_upload)?;
        let parts = self.context.catalog.parts(id).await.map_err(refusals::catalog)?;
        Ok((upload, parts))
    }

    /// Parts of an upload that are complete, by number, as their clients know them: without their checksums where a customer's key
    /// seals those and does not come.
    pub(crate) async fn uploaded_parts(
        &self,
        upload: &Upload,
        key: Option<&CustomerKey>,
    ) -> Result<SeenParts, Problem> {
        let bucket = self.bucket_of(upload).await?;
        let mark = Fields::open(bucket.secrets()?, &upload.target, &upload.meta)?.key_mark()?;
        let secrets = match customer::unlocked(bucket.secrets()?, mark.as_ref(), key) {
            Ok(secrets) => Some(secrets),
            Err(KeyError::Missing) => None,
            Err(error) => return Err(of_upload(error)),
        };
        let tagged = self.context.catalog.tagged_parts(upload.target.upload).await;
        let (tagged, seen) = tagged.map_err(refusals::catalog)?;
        let complete = tagged.into_iter().filter(|tagged| tagged.part.complete);
        let parts = complete
            .map(|tagged| uploaded(secrets.as_deref(), &upload.target, tagged))
            .collect::<Result<_, _>>();
        Ok(SeenParts { parts: parts?, seen })
    }

    /// What was said of the object when its upload began.
    pub(crate) async fn fields_of(&self, upload: &Upload) -> Result<Fields, Problem> {
        let bucket = self.bucket_of(upload).await?;
        bucket.fields(&upload.target, &upload.meta)
    }

    /// Stores a part. It becomes visible in one step, when all of it is there: a part is one page at most.
    pub(crate) async fn part(
        &self,
        id: UploadId,
        number: u32,
        mut body: Incoming,
        lease: Duration,
        key: Option<&CustomerKey>,
    ) -> Result<UploadedPart, Problem> {
        let upload = self.open_upload(id).await?.ok_or_else(refusals::no_upload)?;
        let bucket = self.bucket_of(&upload).await?;
        let sealing = bucket.secrets()?;
        let kept = Fields::open(sealing, &upload.target, &upload.meta)?;
        growing::refuse(&kept)?;
        let mark = kept.key_mark()?;
        let secrets = customer::unlocked(sealing, mark.as_ref(), key).map_err(of_upload)?;
        self.renew(id, lease).await?;
        let target = upload.target;
        let job =
            Job::resumed(&self.context, target.clone(), bucket.pool.clone()).map_err(refusals::store)?;
        let job = Arc::new(job);
        let first = pipeline::next_chunk(&self.context, &job, &mut body).await.map_err(refusals::store)?;
        if first.is_none() {
            return Err(Problem::new(Kind::InvalidBody, "a part has at least one byte"));
        }
        let written = pipeline::write(&self.context, &job, &secrets, (number, first), &mut body).await;
        let Written { last_page, bytes, durability } = written.map_err(refusals::store)?;
        let Told { etag, fields } = body.told();
        let etag = etag.filter(|_| mark.is_none());
        let etag = etag.unwrap_or_else(|| opaque(UploadId(random(&*self.context.surroundings)), 1));
        let put_unix_ms = self.now_unix_ms();
        let sealed = customer::sealed_sums(&secrets, &target, Record::Part(number), &fields)?;
        let tag = PartTag { etag: etag.clone(), put_unix_ms, sealed };
        let put = self.context.catalog.put_part(id, &last_page, tag).await;
        put.map_err(|error| refusals::store(error.into()))?;
        self.renew(id, lease).await?;
        Ok(UploadedPart { number, bytes, etag, put_unix_ms, fields, durability })
    }

    /// Has an upload live for so long from now on; until when that is.
    pub(super) async fn renew(&self, id: UploadId, lease: Duration) -> Result<u64, Problem> {
        let until = self.now_unix_ms().saturating_add(millis(lease));
        self.renew_until(id, until).await?;
        Ok(until)
    }

    pub(super) async fn renew_until(&self, id: UploadId, until: u64) -> Result<(), Problem> {
        match self.context.catalog.renew_upload(id, until).await {
            Ok(()) => Ok(()),
            Err(UploadError::Gone) => Err(refusals::no_upload()),
            Err(error) => Err(refusals::store(error.into())),
        }
    }

    /// Makes the object of the named parts, or of all that arrived, by number.
    pub(crate) async fn complete(
        &self,
        id: UploadId,
        parts: Option<Vec<u32>>,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let Some(upload) = self.open_upload(id).await? else { return self.completed(id).await };
        self.bucket_of(&upload).await?.secrets()?;
        let parts = match parts {
            Some(parts) => parts,
            None => self.upload(id).await?.1.iter().map(|part| part.part).collect(),
        };
        if parts.is_empty() {
            return Err(Problem::new(Kind::Conflict, "no part has arrived yet").in_body("parts"));
        }
        let completion = Completion { parts, ..Completion::default() };
        self.complete_as(upload, completion, condition, cause).await
    }

    /// Makes an open upload what it shall become.
    pub(crate) async fn complete_as(
        &self,
        upload: Upload,
        Completion { parts, etag, fields, key, seen }: Completion,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let id = upload.target.upload;
        let arrived = self.context.catalog.parts(id).await.map_err(refusals::catalog)?;
        let wanted: BTreeSet<u32> = parts.iter().copied().collect();
        let listed = arrived.iter().filter(|part| wanted.contains(&part.part));
        let bucket = self.bucket_of(&upload).await?;
        let mut kept = Fields::open(bucket.secrets()?, &upload.target, &upload.meta)?;
        growing::refuse(&kept)?;
        let lock = locks::take_from(&mut kept.system)?;
        let mut seen = seen;
        if kept.needs_key() {
            let now = self.sealed_with_key(&bucket, (&upload.target, &wanted)).await?;
            seen = seen.or(Some(now));
        }
        if key.is_some() || !fields.is_empty() {
            let mark = kept.key_mark()?;
            let secrets =
                customer::unlocked(bucket.secrets()?, mark.as_ref(), key.as_ref()).map_err(of_upload)?;
            customer::keep_sums(&secrets, &upload.target, &mut kept, fields)?;
        }
        let draft = ObjectDraft {
            size_bytes: listed.map(|part| part.plain_bytes).sum(),
            content_type: upload.content_type,
            etag: etag.unwrap_or_else(|| opaque(id, parts.len())),
            meta: kept.seal(bucket.secrets()?, &upload.target)?,
            created_unix_ms: self.now_unix_ms(),
            lock,
            body: DraftBody::Pages { parts, last_page: None },
        };
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let terms = Terms { condition: &condition, seen, sweeps: true };
        let done = stored(catalog.commit_on(id, &draft, terms).await, None)?;
        // What a part that was cut off brought is in no page.
        let context = Arc::clone(&self.context);
        self.context.spawn_tail(async move { sweep(&context, id).await });
        Ok(done)
    }

    /// Makes sure that these parts are sealed with the key of their upload. A gateway of an earlier version knows no such keys, and may have
    /// taken one without. Gives when it was so.
    async fn sealed_with_key(
        &self,
        bucket: &BucketContext,
        (target, wanted): (&Target, &BTreeSet<u32>),
    ) -> Result<Revision, Problem> {
        let (tagged, seen) =
            self.context.catalog.tagged_parts(target.upload).await.map_err(refusals::catalog)?;
        for TaggedPart { part: PartSummary { part: number, .. }, tag } in tagged {
            let sealed = tag.map(|tag| tag.sealed).unwrap_or_default();
            let is_sealed = bucket.secrets()?.is_sealed_twice(target, Record::Part(number), &sealed);
            if wanted.contains(&number) && !is_sealed {
                let detail =
                    format!("part {number} came to a gateway that knows no keys of customers: put it again");
                return Err(Problem::new(Kind::CustomerKey, detail));
            }
        }
        Ok(seen)
    }

    /// The object of an upload that was completed before, for a client that missed the answer.
    pub(crate) async fn completed(&self, id: UploadId) -> Result<Stored, Problem> {
        let nothing = ObjectDraft {
            size_bytes: 0,
            content_type: String::new(),
            etag: String::new(),
            meta: Vec::new(),
            created_unix_ms: self.now_unix_ms(),
            lock: Lock::default(),
            body: DraftBody::Pages { parts: Vec::new(), last_page: None },
        };
        // An upload that has ended is never committed by this: the catalog gives what it became, or refuses.
        stored(self.context.catalog.commit_object(id, &nothing, &Condition::None).await, None)
    }

    /// Gives an upload up.
    pub(crate) async fn abort(&self, id: UploadId) -> Result<(), Problem> {
        self.context.catalog.abort_upload(id, self.now_unix_ms()).await.map(drop).map_err(refusals::catalog)
    }

    /// Open uploads of a bucket, by key and id, at most `limit`; those behind `after` where given.
    pub(crate) async fn uploads(
        &self,
        bucket: &BucketContext,
        prefix: &[u8],
        after: Option<(&ObjectKey, Option<UploadId>)>,
        limit: usize,
    ) -> Result<Vec<ListedUpload>, Problem> {
        self.context.catalog.bucket_uploads(bucket.id, prefix, after, limit).await.map_err(refusals::catalog)
    }

    /// Gives up all uploads of a bucket that is gone. If this gateway dies on the way, the ends of their leases do it.
    pub(super) async fn abort_all(&self, bucket: BucketId) -> Result<(), Problem> {
        let now_unix_ms = self.now_unix_ms();
        self.context.catalog.abort_bucket_uploads(bucket, now_unix_ms).await.map_err(refusals::catalog)
    }

    pub(super) async fn bucket_of(&self, upload: &Upload) -> Result<Arc<BucketContext>, Problem> {
        self.buckets.of_id(upload.target.bucket).await?.ok_or_else(refusals::bucket_gone)
    }
}

/// Lets go of what no page names of an upload that has just become an object. If this gateway dies on the way, the worker does it.
pub(super) async fn sweep(context: &Context, upload: UploadId) {
    if let Err(error) = context.catalog.let_go_idle(upload, context.surroundings.now_unix_ms()).await {
        tracing::debug!(%upload, %error, "segments that no page names are let go later");
    }
}

/// A part with another key than its upload began with is no matter of rights, as S3 sees it.
fn of_upload(error: KeyError) -> Problem {
    Problem::new(Kind::CustomerKey, format!("the upload: {error}"))
}

fn uploaded(secrets: Option<&Secrets>, target: &Target, tagged: TaggedPart) -> Result<UploadedPart, Problem> {
    let PartSummary { part: number, plain_bytes: bytes, .. } = tagged.part;
    let durability = Durability::Whole;
    let Some(PartTag { etag, put_unix_ms, sealed }) = tagged.tag else {
        // Put by a version that told its client nothing.
        let etag = opaque(target.upload, 1);
        return Ok(UploadedPart { number, bytes, etag, put_unix_ms: 0, fields: Vec::new(), durability });
    };
    let record = Record::Part(number);
    let fields = match secrets {
        // Completion refuses such a part.
        Some(secrets) if secrets.has_customer() && !secrets.is_sealed_twice(target, record, &sealed) => {
            Vec::new()
        }
        Some(secrets) => customer::opened_sums(secrets, target, record, &sealed)?,
        None => Vec::new(),
    };
    Ok(UploadedPart { number, bytes, etag, put_unix_ms, fields, durability })
}
