//! Puts of whole objects.

use std::sync::Arc;

use datamesh_catalog::catalog::CommitObjectError;
use datamesh_catalog::{Cause, Committed, Condition, DraftBody, ObjectDraft, ObjectKey, Target, UploadId};
use datamesh_shard::BucketName;
use datamesh_shard::limits::INLINE_BYTES_MAX;

use super::{BucketContext, Durability, Meta, Objects, Stored, customer, refusals};
use crate::api::{Incoming, Told};
use crate::pipeline::{self, Chunk, Job, Record, Secrets, Written};
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// The one part of a put that is no resumable upload.
const PLAIN_PUT_PART: u32 = 0;

/// Where a put goes, and as what.
struct Putting {
    bucket: Arc<BucketContext>,
    /// What seals what it contains.
    secrets: Arc<Secrets>,
    target: Target,
    meta: Meta,
    condition: Condition,
    cause: Arc<Cause>,
}

impl Objects {
    /// Stores a body under a key.
    pub(crate) async fn put(
        &self,
        (name, key): (&BucketName, ObjectKey),
        meta: Meta,
        body: Incoming,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let bucket = self.buckets.ensure(name).await?;
        let id = bucket.id;
        match self.put_in((bucket, key), meta, body, condition, cause).await {
            // Perhaps the name is another bucket's by now: then it is worth trying again.
            Err(problem) if [Kind::NoSuchBucket, Kind::BucketState].contains(&problem.kind()) => {
                match self.buckets.recheck(name, id).await? {
                    Some(_) => {
                        Err(Problem::new(Kind::Changed, "the bucket was made anew meanwhile: send it again"))
                    }
                    None => Err(problem),
                }
            }
            put => put,
        }
    }

    /// The same in this bucket, and in no other that has its name by now.
    pub(crate) async fn put_in(
        &self,
        (bucket, key): (Arc<BucketContext>, ObjectKey),
        mut meta: Meta,
        mut body: Incoming,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let target = Target { bucket: bucket.id, key, upload: self.new_upload() };
        let cause = Arc::clone(cause);
        let salt = || random(&*self.context.surroundings);
        // Before any of the body is taken: private buckets refuse here.
        let secrets = customer::begun(bucket.secrets()?, meta.key.as_ref(), salt, &mut meta.fields);
        self.put_to(Putting { bucket, secrets, target, meta, condition, cause }, &mut body).await
    }

    async fn put_to(&self, putting: Putting, body: &mut Incoming) -> Result<Stored, Problem> {
        let Putting { bucket, target, .. } = &putting;
        let job = Job::new(&self.context, target.clone(), bucket.pool.clone()).map_err(refusals::store)?;
        let job = Arc::new(job);
        let first = pipeline::next_chunk(&self.context, &job, body).await.map_err(refusals::store)?;
        let text = first.as_ref().map_or(&[][..], Chunk::text);
        if text.len() <= INLINE_BYTES_MAX && !body.more().await? {
            return self.put_inline(&putting, text, body).await;
        }
        // From here on an end without a commit leaves something to reclaim.
        let abandon = self.abandoned.unless_done(job.target.upload);
        let written =
            pipeline::write(&self.context, &job, &putting.secrets, (PLAIN_PUT_PART, first), body).await;
        let Written { last_page, bytes, durability } = written.map_err(refusals::store)?;
        let pages = DraftBody::Pages { parts: vec![PLAIN_PUT_PART], last_page: Some(last_page) };
        let draft = self.draft(&putting, body, bytes, pages)?;
        let catalog = self.context.catalog.because_of(Arc::clone(&putting.cause));
        let committed = catalog.commit_object(target.upload, &draft, &putting.condition).await;
        let stored = stored(committed, Some(durability))?;
        abandon.done();
        Ok(stored)
    }

    async fn put_inline(
        &self,
        putting: &Putting,
        text: &[u8],
        body: &mut Incoming,
    ) -> Result<Stored, Problem> {
        let Putting { secrets, target, condition, .. } = putting;
        let sealed = secrets.seal(target, Record::Inline, text);
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal the object", &error))?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let draft = self.draft(putting, body, bytes, DraftBody::Inline { sealed })?;
        let catalog = self.context.catalog.because_of(Arc::clone(&putting.cause));
        let committed = catalog.put_inline(target, &draft, condition).await;
        stored(committed, Some(Durability::Whole))
    }

    pub(super) fn new_upload(&self) -> UploadId {
        UploadId(random(&*self.context.surroundings))
    }

    /// The object of a body that has ended: what its witness found out is known by now.
    fn draft(
        &self,
        Putting { bucket, secrets, target, meta, .. }: &Putting,
        arrived: &mut Incoming,
        size_bytes: u64,
        body: DraftBody,
    ) -> Result<ObjectDraft, Problem> {
        let Told { etag, fields: sums } = arrived.told();
        let mut fields = meta.fields.clone();
        customer::keep_sums(secrets, target, &mut fields, sums)?;
        // The tag lies open in the row, and in every list: none that is made of bytes which a customer's key keeps.
        let etag = etag.filter(|_| meta.key.is_none());
        Ok(ObjectDraft {
            size_bytes,
            content_type: meta.content_type.clone(),
            etag: etag.unwrap_or_else(|| opaque(target.upload, 1)),
            meta: fields.seal(bucket.secrets()?, target)?,
            created_unix_ms: self.now_unix_ms(),
            lock: meta.lock,
            body,
        })
    }
}

/// The entity tag of an object of so many parts whose MD5 nobody knows: no client takes this form for one.
pub(super) fn opaque(upload: UploadId, parts: usize) -> String {
    format!("{upload}-{parts}")
}

pub(super) fn stored(
    committed: Result<Committed, CommitObjectError>,
    durability: Option<Durability>,
) -> Result<Stored, Problem> {
    let Committed { object, replaced } = committed.map_err(refusals::commit)?;
    Ok(Stored { object, replaced, durability })
}
