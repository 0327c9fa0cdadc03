//! Puts: whole ones, and resumable ones part by part.

use std::collections::BTreeSet;
use std::sync::Arc;

use datamesh_catalog::catalog::UploadError;
use datamesh_catalog::{
    Bucket, Committed, Condition, DraftBody, NewUpload, ObjectDraft, ObjectKey, PartSummary, Target, Upload,
    UploadId,
};
use datamesh_shard::BucketName;
use datamesh_shard::limits::INLINE_BYTES_MAX;

use super::{BucketContext, Durability, Meta, Objects, Stored, refusals};
use crate::api::Incoming;
use crate::limits;
use crate::pipeline::{self, Chunk, Job, Record, Written, millis};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// The one part of a put that is no resumable upload.
const PLAIN_PUT_PART: u32 = 0;

impl Objects {
    /// Stores a body under a key.
    pub(crate) async fn put(
        &self,
        bucket: &BucketName,
        key: ObjectKey,
        meta: Meta,
        mut body: Incoming,
        condition: Condition,
    ) -> Result<Stored, Problem> {
        let bucket = self.buckets.ensure(bucket).await?;
        let target = Target { bucket: bucket.id, key, upload: self.new_upload() };
        let sealed_meta = meta.seal(&bucket.secrets, &target)?;
        let job = Job::new(&self.context, target, bucket.pool.clone(), (meta.content_type, sealed_meta));
        let job = Arc::new(job.map_err(refusals::store)?);
        let first = pipeline::next_chunk(&self.context, &job, &mut body).await.map_err(refusals::store)?;
        let text = first.as_ref().map_or(&[][..], Chunk::text);
        if text.len() <= INLINE_BYTES_MAX && !body.more().await? {
            return self.put_inline(&bucket, &job, text, condition).await;
        }
        // From here on an end without a commit leaves something to reclaim.
        let abandon = self.abandoned.unless_done(job.target.upload);
        let written =
            pipeline::write(&self.context, &job, &bucket.secrets, (PLAIN_PUT_PART, first), &mut body).await;
        let Written { last_page, bytes, durability } = written.map_err(refusals::store)?;
        let body = DraftBody::Pages { parts: vec![PLAIN_PUT_PART], last_page: Some(last_page) };
        let draft = self.draft(&job, bytes, body);
        let committed = self.context.catalog.commit_object(job.target.upload, &draft, &condition).await;
        let stored = stored(committed.map_err(refusals::commit)?, Some(durability));
        abandon.done();
        Ok(stored)
    }

    async fn put_inline(
        &self,
        bucket: &BucketContext,
        job: &Job,
        text: &[u8],
        condition: Condition,
    ) -> Result<Stored, Problem> {
        let sealed = bucket.secrets.seal(&job.target, Record::Inline, text);
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal the object", &error))?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let draft = self.draft(job, bytes, DraftBody::Inline { sealed });
        let committed = self.context.catalog.put_inline(&job.target, &draft, &condition).await;
        Ok(stored(committed.map_err(refusals::commit)?, Some(Durability::Whole)))
    }

    /// Begins a resumable upload.
    pub(crate) async fn begin(
        &self,
        bucket: &BucketName,
        key: ObjectKey,
        meta: Meta,
    ) -> Result<Upload, Problem> {
        let bucket = self.buckets.ensure(bucket).await?;
        let target = Target { bucket: bucket.id, key, upload: self.new_upload() };
        let now = self.now_unix_ms();
        let new = NewUpload {
            meta: meta.seal(&bucket.secrets, &target)?,
            target,
            content_type: meta.content_type,
            created_unix_ms: now,
            lease_until_unix_ms: now.saturating_add(millis(limits::UPLOAD_LEASE)),
            segments: Vec::new(),
        };
        self.context.catalog.begin_upload(new).await.map_err(|error| refusals::store(error.into()))
    }

    /// An upload and the parts that have arrived.
    pub(crate) async fn upload(&self, id: UploadId) -> Result<(Upload, Vec<PartSummary>), Problem> {
        let upload = self.context.catalog.upload(id).await.map_err(refusals::catalog)?;
        let upload = upload.ok_or_else(refusals::no_upload)?;
        let parts = self.context.catalog.parts(id).await.map_err(refusals::catalog)?;
        Ok((upload, parts))
    }

    /// Stores a part. It becomes visible in one step, when all of it is there: a part is one page at most.
    pub(crate) async fn part(
        &self,
        id: UploadId,
        part: u32,
        mut body: Incoming,
    ) -> Result<(u64, Durability), Problem> {
        let (upload, _) = self.upload(id).await?;
        let bucket = self.bucket_of(&upload).await?;
        self.renew(id).await?;
        let job = Job::resumed(&self.context, upload.target, bucket.pool.clone()).map_err(refusals::store)?;
        let job = Arc::new(job);
        let first = pipeline::next_chunk(&self.context, &job, &mut body).await.map_err(refusals::store)?;
        if first.is_none() {
            return Err(Problem::new(Kind::InvalidBody, "a part has at least one byte"));
        }
        let written = pipeline::write(&self.context, &job, &bucket.secrets, (part, first), &mut body).await;
        let Written { last_page, bytes, durability } = written.map_err(refusals::store)?;
        let put = self.context.catalog.put_page(id, &last_page, self.now_unix_ms()).await;
        put.map_err(|error| refusals::store(error.into()))?;
        self.renew(id).await?;
        Ok((bytes, durability))
    }

    async fn renew(&self, id: UploadId) -> Result<(), Problem> {
        let until = self.now_unix_ms().saturating_add(millis(limits::UPLOAD_LEASE));
        match self.context.catalog.renew_upload(id, until).await {
            Ok(()) => Ok(()),
            Err(UploadError::Gone) => Err(refusals::no_upload()),
            Err(error) => Err(refusals::store(error.into())),
        }
    }

    /// Makes the object. Absent `parts`: all that arrived, by number.
    pub(crate) async fn complete(
        &self,
        id: UploadId,
        parts: Option<Vec<u32>>,
        condition: Condition,
    ) -> Result<Stored, Problem> {
        let Some(upload) = self.context.catalog.upload(id).await.map_err(refusals::catalog)? else {
            return self.completed(id).await;
        };
        let arrived = self.context.catalog.parts(id).await.map_err(refusals::catalog)?;
        let parts = parts.unwrap_or_else(|| arrived.iter().map(|part| part.part).collect());
        if parts.is_empty() {
            return Err(Problem::new(Kind::Conflict, "no part has arrived yet").field("parts"));
        }
        let wanted: BTreeSet<u32> = parts.iter().copied().collect();
        let listed = arrived.iter().filter(|part| wanted.contains(&part.part));
        let draft = ObjectDraft {
            size_bytes: listed.map(|part| part.plain_bytes).sum(),
            content_type: upload.content_type,
            etag: id.to_string(),
            meta: upload.meta,
            created_unix_ms: self.now_unix_ms(),
            body: DraftBody::Pages { parts, last_page: None },
        };
        let committed = self.context.catalog.commit_object(id, &draft, &condition).await;
        Ok(stored(committed.map_err(refusals::commit)?, None))
    }

    /// The object of an upload that was completed before, for a client that missed the answer.
    async fn completed(&self, id: UploadId) -> Result<Stored, Problem> {
        let nothing = ObjectDraft {
            size_bytes: 0,
            content_type: String::new(),
            etag: String::new(),
            meta: Vec::new(),
            created_unix_ms: self.now_unix_ms(),
            body: DraftBody::Pages { parts: Vec::new(), last_page: None },
        };
        // An upload that has ended is never committed by this: the catalog gives what it became, or refuses.
        let committed = self.context.catalog.commit_object(id, &nothing, &Condition::None).await;
        Ok(stored(committed.map_err(refusals::commit)?, None))
    }

    /// Gives an upload up.
    pub(crate) async fn abort(&self, id: UploadId) -> Result<(), Problem> {
        self.context.catalog.abort_upload(id, self.now_unix_ms()).await.map(drop).map_err(refusals::catalog)
    }

    async fn bucket_of(&self, upload: &Upload) -> Result<Arc<BucketContext>, Problem> {
        let buckets = self.context.catalog.buckets().await.map_err(refusals::catalog)?;
        let name = buckets
            .into_iter()
            .find(|Bucket { id, .. }| *id == upload.target.bucket)
            .map(|bucket| bucket.name);
        let gone = || Problem::new(Kind::NoSuchBucket, "the upload's bucket is gone");
        self.buckets.find(&name.ok_or_else(gone)?).await?.ok_or_else(gone)
    }

    fn new_upload(&self) -> UploadId {
        UploadId(random(&*self.context.surroundings))
    }

    fn draft(&self, job: &Job, size_bytes: u64, body: DraftBody) -> ObjectDraft {
        ObjectDraft {
            size_bytes,
            content_type: job.content_type.clone(),
            etag: job.target.upload.to_string(),
            meta: job.meta.clone(),
            created_unix_ms: self.now_unix_ms(),
            body,
        }
    }
}

fn stored(committed: Committed, durability: Option<Durability>) -> Stored {
    Stored { object: committed.object, replaced: committed.replaced, durability }
}
