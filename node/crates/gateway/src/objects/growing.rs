//! Uploads that grow at their end: each request goes on where the last one stopped, and the one that makes it whole makes the object. What is
//! known of them is in the catalog alone, so any gateway goes on with them.

mod metadata;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::body::Body;
use datamesh_catalog::catalog::{CommitObjectError, Terms};
use datamesh_catalog::{Cause, Condition, DraftBody, Lock, ObjectDraft, ObjectKey, Upload, UploadId};
use datamesh_shard::BucketName;
use http::{HeaderValue, header};
use parking_lot::Mutex;

use super::uploads::sweep;
use super::write::{opaque, stored};
use super::{BucketContext, Durability, Fields, Meta, Objects, Stored, refusals};
use crate::api::{Incoming, Witness};
use crate::limits;
use crate::pipeline::{self, APPENDED_PART, AppendFailure, Appender, Job, Place, Record};
use crate::problem::{Kind, Problem};

pub(crate) use metadata::{MetadataError, UploadMetadata};

/// Where an upload keeps, among its sealed fields, how long it will be.
const LENGTH: &str = "upload-length";
/// Where it keeps what its client said of it.
const METADATA: &str = "upload-metadata";

/// What a client said when it began.
struct Plan {
    length: u64,
    metadata: String,
}

impl Plan {
    /// Takes it out of the fields; none: it is an upload in parts.
    fn take_from(system: &mut BTreeMap<String, String>) -> Result<Option<Self>, Problem> {
        let (Some(length), Some(metadata)) = (system.remove(LENGTH), system.remove(METADATA)) else {
            return Ok(None);
        };
        let length = length
            .parse()
            .map_err(|error| Problem::internal("the length of an upload is malformed", &error))?;
        Ok(Some(Self { length, metadata }))
    }
}

/// Refuses to write parts to an upload that grows, or to complete it before it is whole.
pub(super) fn refuse(fields: &Fields) -> Result<(), Problem> {
    if !fields.system.contains_key(LENGTH) {
        return Ok(());
    }
    Err(Problem::new(Kind::Conflict, "this upload has no parts: go on with it at /api/v1/tus/ and its id"))
}

/// How far an upload is.
pub(crate) struct Growth {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// As its client said it; empty once there is the object.
    pub(crate) metadata: String,
    /// When it is given up; none once there is the object.
    pub(crate) expires_unix_ms: Option<u64>,
    /// What it became, if it is whole.
    pub(crate) stored: Option<Stored>,
    /// How safe what this request brought is.
    pub(crate) durability: Option<Durability>,
}

/// Bytes that are to go behind others.
pub(crate) struct Arriving {
    pub(crate) body: Body,
    /// Where their client thinks that the upload is.
    pub(crate) offset: u64,
    /// Who says whether they are the right ones, if their client gave a checksum.
    pub(crate) witness: Option<Box<dyn Witness>>,
}

/// Uploads that are written to by this gateway now.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashSet<UploadId>>);

/// The only one who writes to an upload here.
struct Turn<'a> {
    of: &'a Turns,
    id: UploadId,
}

impl Turns {
    fn take(&self, id: UploadId) -> Result<Turn<'_>, Problem> {
        if self.0.lock().insert(id) { Ok(Turn { of: self, id }) } else { Err(busy()) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.id);
    }
}

/// An upload that is open, and what writing to it needs.
struct Growing {
    upload: Upload,
    bucket: Arc<BucketContext>,
    plan: Plan,
    place: Place,
}

impl Growing {
    fn growth(&self, place: Place, expires_unix_ms: u64) -> Growth {
        Growth {
            offset: place.offset,
            length: self.plan.length,
            metadata: self.plan.metadata.clone(),
            expires_unix_ms: Some(expires_unix_ms),
            stored: None,
            durability: None,
        }
    }
}

impl Objects {
    /// Begins an upload of `length` bytes. Of none, the object is made at once.
    pub(crate) async fn begin_growing(
        &self,
        (bucket, key): (&BucketName, ObjectKey),
        metadata: &UploadMetadata,
        length: u64,
        (condition, cause): (Condition, &Arc<Cause>),
    ) -> Result<(UploadId, Growth), Problem> {
        let Meta { content_type, .. } = metadata.meta()?;
        let kept = [(LENGTH, length.to_string()), (METADATA, metadata.text().to_owned())];
        let system = kept.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let meta = Meta::new(content_type, Fields { system, user: Vec::new() })
            .map_err(|_| Problem::from(MetadataError::TooLong))?;
        let id = self.begin(bucket, key, meta, limits::UPLOAD_LEASE).await?.target.upload;
        let growing = self.growing(id).await?.ok_or_else(refusals::no_upload)?;
        if length > 0 {
            let expires = growing.upload.lease_until_unix_ms;
            return Ok((id, growing.growth(growing.place, expires)));
        }
        let sealed = growing.bucket.secrets()?.seal(&growing.upload.target, Record::Inline, b"");
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal the object", &error))?;
        let whole = (DraftBody::Inline { sealed }, Durability::Whole);
        Ok((id, self.grown(growing, whole, (condition, cause)).await?))
    }

    /// How far an upload is: durable, whatever happens to this gateway.
    pub(crate) async fn growth(&self, id: UploadId) -> Result<Growth, Problem> {
        match self.growing(id).await? {
            Some(growing) => Ok(growing.growth(growing.place, growing.upload.lease_until_unix_ms)),
            None => Ok(done(self.completed(id).await?)),
        }
    }

    /// Writes behind what is there. Whatever breaks off, what came before stays, but of bytes with a checksum.
    pub(crate) async fn grow(
        &self,
        id: UploadId,
        arriving: Arriving,
        (condition, cause): (Condition, &Arc<Cause>),
    ) -> Result<Growth, Problem> {
        let _turn = self.turns.take(id)?;
        let Some(growing) = self.growing(id).await? else { return self.more_of_done(id, arriving).await };
        let Growing { upload, bucket, plan, place } = &growing;
        is_at(place.offset, arriving.offset)?;
        let (left, is_checked) = (plan.length - place.offset, arriving.witness.is_some());
        let bytes_max = if is_checked { left.min(limits::CHECKED_BYTES_MAX) } else { left };
        let mut body = Incoming::new(arriving.body, bytes_max)?.stalling(limits::APPEND_STALL);
        if let Some(witness) = arriving.witness {
            body = body.witnessed(witness);
        }
        self.renew(id, limits::UPLOAD_LEASE).await?;
        let job = Job::resumed(&self.context, upload.target.clone(), bucket.pool.clone());
        let job = Arc::new(job.map_err(refusals::store)?);
        let appender = Appender::resume(&self.context, &job, bucket.secrets()?, (*place, plan.length)).await;
        let appended = appender.map_err(failed)?.run(&mut body, is_checked).await;
        if let Some(last_page) = appended.last_page {
            let pages = DraftBody::Pages { parts: vec![APPENDED_PART], last_page: Some(last_page) };
            let growing = Growing { place: appended.place, ..growing };
            let grown = self.grown(growing, (pages, appended.durability), (condition, cause)).await;
            // Not before: what no page names may be another writer's, who goes on where this one is refused.
            match &grown {
                Ok(_) => sweep(&self.context, id).await,
                Err(_) => pipeline::let_go(&self.context, id, &appended.held).await,
            }
            return grown;
        }
        let expires = self.renew(id, limits::UPLOAD_LEASE).await;
        if let Err(failure) = appended.ended {
            return Err(self.overtaken(id, failed(failure)).await);
        }
        let durability = (appended.place.offset > place.offset).then_some(appended.durability);
        Ok(Growth { durability, ..growing.growth(appended.place, expires?) })
    }

    /// Gives an upload up; what came of it goes as that of any upload does.
    pub(crate) async fn end_growing(&self, id: UploadId) -> Result<(), Problem> {
        self.growing(id).await?.ok_or_else(refusals::no_upload)?;
        self.abort(id).await
    }

    /// An upload that is open and grows.
    async fn growing(&self, id: UploadId) -> Result<Option<Growing>, Problem> {
        let Some(upload) = self.open_upload(id).await? else { return Ok(None) };
        let bucket = self.bucket_of(&upload).await?;
        let mut fields = Fields::open(bucket.secrets()?, &upload.target, &upload.meta)?;
        let plan = Plan::take_from(&mut fields.system)?.ok_or_else(refusals::no_upload)?;
        let (parts, seen) = self.context.catalog.tagged_parts(id).await.map_err(refusals::catalog)?;
        let part = parts.iter().map(|tagged| tagged.part).find(|part| part.part == APPENDED_PART);
        let (pages, offset) = part.map_or((0, 0), |part| (part.pages, part.plain_bytes));
        Ok(Some(Growing { upload, bucket, plan, place: Place { pages, offset, seen } }))
    }

    /// Makes the object of an upload that is whole.
    async fn grown(
        &self,
        Growing { upload, bucket, plan, place }: Growing,
        (body, durability): (DraftBody, Durability),
        (condition, cause): (Condition, &Arc<Cause>),
    ) -> Result<Growth, Problem> {
        let id = upload.target.upload;
        let Meta { content_type, fields, .. } = UploadMetadata::parse(&plan.metadata)?.meta()?;
        let draft = ObjectDraft {
            size_bytes: plan.length,
            content_type,
            etag: opaque(id, 1),
            meta: fields.seal(bucket.secrets()?, &upload.target)?,
            created_unix_ms: self.now_unix_ms(),
            lock: Lock::default(),
            body,
        };
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let terms = Terms { condition: &condition, seen: Some(place.seen), sweeps: true };
        match catalog.commit_on(id, &draft, terms).await {
            Err(CommitObjectError::PartsChanged) => Err(busy()),
            committed => Ok(done(stored(committed, Some(durability))?)),
        }
    }

    /// An upload that is gone under a request because another has made the object is not lost: its client asks how far it is.
    async fn overtaken(&self, id: UploadId, problem: Problem) -> Problem {
        let is_gone = problem.kind() == Kind::NoSuchUpload;
        if is_gone && self.completed(id).await.is_ok() { busy() } else { problem }
    }

    /// Nothing goes behind what is whole; whoever sends nothing there is told that it is.
    async fn more_of_done(&self, id: UploadId, arriving: Arriving) -> Result<Growth, Problem> {
        let done = done(self.completed(id).await?);
        is_at(done.offset, arriving.offset)?;
        Incoming::new(arriving.body, 0)?.stalling(limits::APPEND_STALL).more().await?;
        Ok(done)
    }
}

fn done(stored: Stored) -> Growth {
    let (length, durability) = (stored.object.size_bytes, stored.durability);
    let (metadata, stored) = (String::new(), Some(stored));
    Growth { offset: length, length, metadata, expires_unix_ms: None, stored, durability }
}

fn is_at(is: u64, said: u64) -> Result<(), Problem> {
    if is == said {
        return Ok(());
    }
    let detail = format!("the upload is at {is}: ask with HEAD, and go on there");
    Err(Problem::new(Kind::Conflict, detail).in_header("Upload-Offset"))
}

fn busy() -> Problem {
    Problem::new(Kind::UploadBusy, "ask with HEAD in a moment how far it is, and go on there")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

fn failed(failure: AppendFailure) -> Problem {
    match failure {
        AppendFailure::Overtaken => busy(),
        AppendFailure::Store(error) => refusals::store(error),
        AppendFailure::Page(error) => refusals::page(error),
        error @ AppendFailure::Full => Problem::new(Kind::TooLarge, format!("{error}: send larger ones")),
    }
}
