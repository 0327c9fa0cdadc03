//! Objects of private buckets: segments that clients sealed, and the manifests that make objects of them
//! ([ADR 52](../../../../../docs/adr/0052-private-buckets-hold-what-clients-sealed.md)).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use datamesh_catalog::catalog::{DurableSegments, NotDurableError, PutPageError, Terms};
use datamesh_catalog::{
    Body, Cause, Condition, DraftBody, Lock, NewUpload, Object, ObjectDraft, ObjectKey, Page, PageAt,
    PartSummary, PlacedPage, SegmentRef, Target, Upload, UploadId, VersionId,
};
use datamesh_seal::BucketMark;
use datamesh_shard::limits::INLINE_BYTES_MAX;
use datamesh_shard::{BucketName, Cipher, ErasureProfile, PoolName, SegmentId};

use super::buckets::is_sealed;
use super::uploads::sweep;
use super::write::{opaque, stored};
use super::{BucketContext, Durability, Found, Objects, Stored, refusals};
use crate::api::Incoming;
use crate::pipeline::{self, ArrivedError, Job, StoreError, millis};
use crate::problem::{Kind, Problem};

/// The one part of an object that was put in segments.
const PART: u32 = 0;
/// Media type of all private objects: what they are stands in what is sealed.
const TYPE: &str = "application/octet-stream";
/// Into so many steps leases are divided: within one of them an upload's lease is written once, whatever comes.
const LEASE_STEPS: u64 = 24;

/// How segments of an upload are made.
pub(crate) struct Sealing {
    pub(crate) mark: BucketMark,
    pub(crate) pool: PoolName,
    pub(crate) profile: ErasureProfile,
    pub(crate) cipher: Cipher,
}

/// A segment that was put.
pub(crate) struct Arrival {
    pub(crate) sealed_bytes: u32,
    /// Absent where it was there already.
    pub(crate) durability: Option<Durability>,
}

/// A page of a manifest as its client says it.
pub(crate) struct NewPage {
    pub(crate) number: u32,
    pub(crate) segments: Vec<SegmentId>,
    pub(crate) sealed: Vec<u8>,
}

/// A page of an object's manifest; of a small object, all of it.
pub(crate) struct ManifestPage {
    pub(crate) object: UploadId,
    pub(crate) segments: Vec<SegmentRef>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) last: bool,
}

impl Objects {
    /// Whether clients seal what is in a bucket. One that its first put makes is managed.
    pub(crate) async fn is_private(&self, name: &BucketName) -> Result<bool, Problem> {
        Ok(self.buckets.newest(name).await?.is_some_and(|bucket| bucket.mark().is_ok()))
    }

    /// Whether keys may be written down where they were asked for: any in a managed bucket, elsewhere those that clients may have sealed.
    /// A bucket that is not known may be a private one, mistyped.
    pub(crate) async fn may_tell(&self, bucket: &str, keys: &[&str]) -> bool {
        if keys.iter().all(|key| is_sealed(key.as_bytes())) {
            return true;
        }
        let Ok(name) = BucketName::new(bucket) else { return false };
        let found = self.buckets.newest(&name).await;
        found.is_ok_and(|found| found.is_none_or(|bucket| bucket.mark().is_err()))
    }

    /// Begins an upload of segments that lives so long without a sign of its client.
    pub(crate) async fn begin_sealed(
        &self,
        name: &BucketName,
        key: ObjectKey,
        lease: Duration,
    ) -> Result<Upload, Problem> {
        let bucket = self.bucket(name).await?;
        bucket.mark()?;
        bucket.check_key(&key)?;
        let now = self.now_unix_ms();
        let new = NewUpload {
            target: Target { bucket: bucket.id, key, upload: self.new_upload() },
            content_type: TYPE.to_owned(),
            meta: Vec::new(),
            created_unix_ms: now,
            lease_until_unix_ms: now.saturating_add(millis(lease)),
            segments: Vec::new(),
        };
        self.context.catalog.begin_listed_upload(new).await.map_err(|error| refusals::store(error.into()))
    }

    /// How the segments of an upload are made; none of one to a managed bucket.
    pub(crate) async fn sealing(&self, upload: &Upload) -> Result<Option<Sealing>, Problem> {
        let bucket = self.bucket_of(upload).await?;
        let Ok(mark) = bucket.mark() else { return Ok(None) };
        let job = self.sealed_job(upload, &bucket)?;
        let profile = job.profile(&self.context).map_err(refusals::store)?;
        Ok(Some(Sealing { mark, pool: bucket.pool.clone(), profile, cipher: job.cipher }))
    }

    /// Stores a segment under the id that its bytes have; what is there already is not stored again.
    pub(crate) async fn put_segment(
        &self,
        id: UploadId,
        segment: SegmentId,
        mut body: Incoming,
        lease: Duration,
    ) -> Result<Arrival, Problem> {
        let (upload, bucket) = self.private_upload(id).await?;
        let mark = bucket.mark()?;
        self.keep_alive(id, lease).await?;
        let job = Arc::new(self.sealed_job(&upload, &bucket)?);
        // What is durable has the name of the profile in which it was put.
        let known = self.known(id, segment).await?;
        let profile = known.as_ref().map(|known| known.profile);
        let coded = pipeline::arrive(&self.context, (&job, profile), mark, &mut body).await;
        let coded = coded.map_err(|error| not_taken(error, mark))?;
        if coded.id() != segment {
            return Err(differs(segment, &coded));
        }
        let sealed_bytes = coded.sealed_bytes();
        if known.is_some() {
            return Ok(Arrival { sealed_bytes, durability: None });
        }
        let durability = pipeline::keep(&self.context, &job, &coded).await.map_err(refusals::store)?;
        let promised = self.context.catalog.promise_segment(id, segment).await.map_err(refusals::catalog)?;
        if !promised {
            return Err(refusals::no_upload());
        }
        Ok(Arrival { sealed_bytes, durability: Some(durability) })
    }

    /// A segment that is durable.
    async fn known(&self, id: UploadId, segment: SegmentId) -> Result<Option<SegmentRef>, Problem> {
        match self.context.catalog.durable(id, &[segment]).await {
            Ok(known) => Ok(known.into_iter().next()),
            Err(NotDurableError::Segment { .. }) => Ok(None),
            Err(error) => Err(not_named(error)),
        }
    }

    /// Durable segments of an upload, by id.
    pub(crate) async fn segments_put(
        &self,
        id: UploadId,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<DurableSegments, Problem> {
        self.private_upload(id).await?;
        self.context.catalog.durable_segments(id, after, limit).await.map_err(refusals::catalog)
    }

    /// Writes a page of a manifest that goes on. The pages before it must be there; those behind it go.
    pub(crate) async fn put_manifest_page(
        &self,
        id: UploadId,
        page: NewPage,
        lease: Duration,
    ) -> Result<PartSummary, Problem> {
        self.private_upload(id).await?;
        self.keep_alive(id, lease).await?;
        let placed = self.placed(id, page, false).await?;
        let put = self.context.catalog.put_page(id, &placed, self.now_unix_ms()).await;
        put.map_err(|error| not_placed(error, |problem| problem.in_parameter("page")))
    }

    /// Makes an upload the object of its key, with this as the last page of its manifest.
    pub(crate) async fn commit_sealed(
        &self,
        id: UploadId,
        page: NewPage,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let Some(upload) = self.open_upload(id).await? else { return self.completed(id).await };
        self.bucket_of(&upload).await?.mark()?;
        let last_page = self.placed(id, page, true).await?;
        let before = self.context.catalog.parts(id).await.map_err(refusals::catalog)?;
        let (pages, bytes) = before.first().map_or((0, 0), |part| (part.pages, part.plain_bytes));
        let number = last_page.at.page;
        // It may take the place of the last one that was put, in the one batch that commits: nothing changes where that fails.
        let replaced = match number.checked_add(1) {
            _ if number == pages => 0,
            Some(next) if next == pages => self.page_bytes(id, last_page.at).await?,
            _ => return Err(page_out_of_place(number, pages)),
        };
        let size_bytes = bytes.saturating_sub(replaced).saturating_add(last_page.page.plain_bytes);
        let draft = ObjectDraft {
            size_bytes,
            content_type: upload.content_type,
            etag: opaque(id, 1),
            meta: Vec::new(),
            created_unix_ms: self.now_unix_ms(),
            lock: Lock::default(),
            body: DraftBody::Pages { parts: vec![PART], last_page: Some(last_page) },
        };
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let terms = Terms { condition: &condition, seen: None, sweeps: true };
        let done = stored(catalog.commit_on(id, &draft, terms).await, None)?;
        let context = Arc::clone(&self.context);
        self.context.spawn_tail(async move { sweep(&context, id).await });
        Ok(done)
    }

    /// Sealed bytes of the segments of a page.
    async fn page_bytes(&self, id: UploadId, at: PageAt) -> Result<u64, Problem> {
        let page = self.context.catalog.page(id, at).await.map_err(refusals::catalog)?;
        Ok(page.map_or(0, |page| page.plain_bytes))
    }

    /// A page as the catalog keeps it: its segments as they were put. Sizes are of what is sealed, nobody here knows others.
    async fn placed(&self, id: UploadId, page: NewPage, last: bool) -> Result<PlacedPage, Problem> {
        let NewPage { number, segments, sealed } = page;
        if segments.is_empty() {
            return Err(
                Problem::new(Kind::InvalidBody, "a page names at least one segment").in_body("segments")
            );
        }
        let segments = self.context.catalog.durable(id, &segments).await.map_err(not_named)?;
        let plain_bytes = segments.iter().map(|segment| u64::from(segment.sealed_bytes)).sum();
        let at = PageAt { part: PART, page: number };
        Ok(PlacedPage { at, page: Page { segments, plain_bytes, last, sealed } })
    }

    /// Stores a small object: what is sealed of it is all of it.
    pub(crate) async fn put_sealed(
        &self,
        (name, key): (&BucketName, ObjectKey),
        sealed: Vec<u8>,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        if sealed.is_empty() || sealed.len() > INLINE_BYTES_MAX {
            let detail = format!(
                "1 to {INLINE_BYTES_MAX} sealed bytes are stored like this; put more in segments (POST /api/v1/uploads)"
            );
            return Err(Problem::new(Kind::InvalidBody, detail).in_body("sealed"));
        }
        let bucket = self.bucket(name).await?;
        bucket.mark()?;
        bucket.check_key(&key)?;
        let target = Target { bucket: bucket.id, key, upload: self.new_upload() };
        let draft = ObjectDraft {
            size_bytes: u64::try_from(sealed.len()).unwrap_or(u64::MAX),
            content_type: TYPE.to_owned(),
            etag: opaque(target.upload, 1),
            meta: Vec::new(),
            created_unix_ms: self.now_unix_ms(),
            lock: Lock::default(),
            body: DraftBody::Inline { sealed },
        };
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        stored(catalog.put_inline(&target, &draft, &condition).await, Some(Durability::Whole))
    }

    /// A page of the manifest of an object as it is now.
    pub(crate) async fn manifest(&self, found: &Found, number: u32) -> Result<ManifestPage, Problem> {
        found.bucket.mark()?;
        let Object { upload, body, .. } = &found.object;
        if let Body::Inline { sealed } = body {
            let page =
                ManifestPage { object: *upload, segments: Vec::new(), sealed: sealed.clone(), last: true };
            return if number == 0 { Ok(page) } else { Err(no_page(number)) };
        }
        let at = PageAt { part: PART, page: number };
        let page = self.context.catalog.page(*upload, at).await.map_err(refusals::catalog)?;
        let Page { segments, sealed, last, .. } = page.ok_or_else(|| no_page(number))?;
        Ok(ManifestPage { object: *upload, segments, sealed, last })
    }

    /// A segment of the object of a key, or of this version of it, while it is that.
    pub(crate) async fn segment(
        &self,
        (name, key): (&BucketName, ObjectKey),
        (object, version): (UploadId, Option<VersionId>),
        segment: SegmentId,
    ) -> Result<SegmentRef, Problem> {
        let bucket = self.bucket(name).await?;
        bucket.mark()?;
        let target = Target { bucket: bucket.id, key, upload: object };
        let found = self.context.catalog.segment_of(&target, version, segment).await;
        found.map_err(refusals::catalog)?.ok_or_else(|| {
            let detail = "the object has no such segment, or was replaced, or its segments were coded anew: read its manifest again";
            Problem::new(Kind::NoSuchObject, detail).in_parameter("segment")
        })
    }

    /// Some of its sealed bytes.
    pub(crate) async fn read_segment(
        &self,
        segment: SegmentRef,
        range: Range<usize>,
    ) -> Result<HttpBody, Problem> {
        let context = Arc::clone(&self.context);
        Self::streamed(|to| pipeline::read_sealed(context, (segment, range), to)).await
    }

    /// An open upload to a private bucket.
    async fn private_upload(&self, id: UploadId) -> Result<(Upload, Arc<BucketContext>), Problem> {
        let upload = self.open_upload(id).await?.ok_or_else(refusals::no_upload)?;
        let bucket = self.bucket_of(&upload).await?;
        bucket.mark()?;
        Ok((upload, bucket))
    }

    fn sealed_job(&self, upload: &Upload, bucket: &BucketContext) -> Result<Job, Problem> {
        Job::sealed(&self.context, upload.target.clone(), bucket.pool.clone()).map_err(refusals::store)
    }

    /// Renews a lease as of the end of the present step.
    async fn keep_alive(&self, id: UploadId, lease: Duration) -> Result<(), Problem> {
        let (now, lease) = (self.now_unix_ms(), millis(lease));
        let step = (lease / LEASE_STEPS).max(1);
        self.renew_until(id, (now - now % step).saturating_add(step).saturating_add(lease)).await
    }
}

fn no_page(number: u32) -> Problem {
    let detail = format!(
        "there is no page {number} of the object, or it was replaced: read its manifest again from page 0"
    );
    Problem::new(Kind::NoSuchObject, detail).in_parameter("page")
}

fn page_out_of_place(number: u32, pages: u32) -> Problem {
    let detail = format!(
        "page {number} cannot be the last one: {pages} are there; put those before it, or put it by PUT first: those behind it go"
    );
    Problem::new(Kind::Conflict, detail).in_body("page")
}

fn not_taken(error: ArrivedError, mark: BucketMark) -> Problem {
    let wrong = |detail: String| Problem::new(Kind::InvalidBody, detail);
    match error {
        ArrivedError::Empty => wrong("a segment has at least the bucket's mark and a byte".into()),
        ArrivedError::Mark => {
            wrong(format!("a segment of this bucket begins with its mark, {mark}: seal it for this bucket"))
        }
        ArrivedError::Store(error) => refusals::store(error),
    }
}

fn differs(claimed: SegmentId, coded: &pipeline::Coded) -> Problem {
    let (id, profile) = (coded.id(), coded.profile());
    let detail = format!(
        "the bytes are segment {id} in the pool's profile {profile}, not {claimed}: code them in that profile, and send them under \
         their id"
    );
    Problem::new(Kind::SegmentDiffers, detail).in_parameter("segment")
}

fn not_placed(error: PutPageError, naming: fn(Problem) -> Problem) -> Problem {
    match error {
        PutPageError::Gap { .. } => naming(Problem::new(Kind::Conflict, error.to_string())),
        PutPageError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        error => refusals::store(StoreError::Page(error)),
    }
}

fn not_named(error: NotDurableError) -> Problem {
    match error {
        NotDurableError::Segment { at, .. } => {
            Problem::new(Kind::Conflict, error.to_string()).in_body(format!("segments/{at}"))
        }
        NotDurableError::Invalid(invalid) => {
            Problem::new(Kind::InvalidBody, invalid.to_string()).in_body("segments")
        }
        NotDurableError::Catalog(error) => refusals::catalog(error),
    }
}
