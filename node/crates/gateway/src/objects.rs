//! Buckets and objects: what the HTTP handlers ask for, done by catalog and pipeline together.

mod buckets;
mod customer;
mod erasure;
mod growing;
mod locks;
mod meta;
mod policies;
pub(crate) mod refusals;
mod sealed;
mod settings;
mod shreds;
mod tags;
mod trash;
mod uploads;
mod versions;
mod write;

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use datamesh_catalog::{
    Body as ObjectBody, Bucket, BucketId, BucketKind, BucketUsage, Cause, Condition, Deleted, ListQuery,
    Listing, Locking, Marking, Object, ObjectKey, Target, UploadId,
};
use datamesh_seal::CustomerKey;
use datamesh_shard::BucketName;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::owned;
use crate::pipeline::{self, Context, GROUPS_MAX, ReadError, Record, Secrets, Segments};
use crate::problem::{Kind, Problem};
use crate::work::reclaim::Abandoned;
use crate::work::shred::Shreds;

pub(crate) use crate::pipeline::Durability;
use buckets::Buckets;
pub(crate) use buckets::{BucketContext, BucketsSource};
pub(crate) use customer::KeyError;
pub(crate) use erasure::Erasure;
pub(crate) use growing::{Arriving, Growth, UploadMetadata};
pub(crate) use meta::{Fields, Meta};
use policies::Policies;
pub(crate) use policies::PublicAccessBlock;
pub(crate) use sealed::{Arrival, ManifestPage, NewPage, Sealing};
pub(crate) use tags::{OF_BUCKET_MAX, OF_OBJECT_MAX, Tags, TagsError};
pub(crate) use trash::TrashState;
pub(crate) use uploads::{Completion, SeenParts, UploadedPart};
pub(crate) use versions::{Removed, Seen};

/// Some bytes of a read, or why there are no more.
type Read = Result<Vec<Bytes>, ReadError>;

/// A committed put.
pub(crate) struct Stored {
    pub(crate) object: Object,
    pub(crate) replaced: bool,
    /// Absent where each part's own answer said it.
    pub(crate) durability: Option<Durability>,
}

/// An object that was found, and what opens it.
pub(crate) struct Found {
    pub(crate) object: Object,
    pub(crate) fields: Fields,
    bucket: Arc<BucketContext>,
    /// What opens its bytes; absent until the customer's key comes that they are sealed with.
    opens: Option<Arc<Secrets>>,
    /// Before its row was read.
    asked: Instant,
}

/// Separates tags of metadata from every other BLAKE3 use.
const METADATA_TAG: &str = "datamesh.io 2026 tag of an object's metadata";

/// All objects of all buckets.
pub(crate) struct Objects {
    context: Arc<Context>,
    buckets: Buckets,
    abandoned: Abandoned,
    shreds: Arc<Shreds>,
    copies: Semaphore,
    policies: Policies,
    turns: growing::Turns,
}

/// Bytes of the transfers' budget to each copy that is under way. A copy holds buffers that it reads into while it waits for those it
/// writes from; with this much for each, there are always enough.
const COPY_BYTES: u64 = 64 << 20;

impl Objects {
    pub(crate) fn new(
        context: Arc<Context>,
        source: BucketsSource,
        abandoned: Abandoned,
        shreds: Arc<Shreds>,
    ) -> Self {
        let copies = usize::try_from(context.budget.bytes() / COPY_BYTES).unwrap_or(usize::MAX);
        let copies = Semaphore::new(copies.clamp(1, Semaphore::MAX_PERMITS));
        let (buckets, policies) = (Buckets::new(source), Policies::new());
        Self { context, buckets, abandoned, shreds, copies, policies, turns: growing::Turns::default() }
    }

    fn now_unix_ms(&self) -> u64 {
        self.context.surroundings.now_unix_ms()
    }

    /// A copy's turn, for as long as what this gives lives.
    pub(crate) async fn copying(&self) -> Option<SemaphorePermit<'_>> {
        // Nothing closes it.
        self.copies.acquire().await.ok()
    }

    /// The object of a key.
    pub(crate) async fn find(&self, bucket: &BucketName, key: ObjectKey) -> Result<Found, Problem> {
        let nothing = || Problem::new(Kind::NoSuchObject, "there is no object of this key in the bucket");
        let mut context = self.buckets.find(bucket).await?.ok_or_else(nothing)?;
        loop {
            let asked = Instant::now();
            let object = self.context.catalog.object(context.id, &key).await.map_err(refusals::catalog)?;
            if let Some(object) = object {
                return Found::new(object, context, asked);
            }
            context = self.buckets.recheck(bucket, context.id).await?.ok_or_else(nothing)?;
        }
    }

    /// What is kept with an object that was just stored, with what its customer's key opens of that, if it is the right one.
    pub(crate) async fn fields_of_object(
        &self,
        object: &Object,
        key: Option<&CustomerKey>,
    ) -> Result<Fields, Problem> {
        let bucket = self.buckets.of_id(object.bucket).await?.ok_or_else(refusals::bucket_gone)?;
        let mut fields = bucket.fields(&target_of(object), &object.meta)?;
        let Ok(sealing) = bucket.secrets() else { return Ok(fields) };
        if let Ok(secrets) = customer::unlocked(sealing, fields.key_mark()?.as_ref(), key) {
            customer::show_sums(&secrets, &target_of(object), &mut fields)?;
        }
        Ok(fields)
    }

    /// The bucket of a name, which must be there.
    pub(crate) async fn bucket(&self, name: &BucketName) -> Result<Arc<BucketContext>, Problem> {
        self.buckets.newest(name).await?.ok_or_else(|| buckets::none_of(name))
    }

    /// All buckets, by name.
    pub(crate) async fn buckets(&self) -> Result<Vec<Bucket>, Problem> {
        self.buckets.all().await
    }

    /// A bucket, and what it has.
    pub(crate) async fn bucket_and_usage(&self, name: &BucketName) -> Result<(Bucket, BucketUsage), Problem> {
        let catalog = &self.context.catalog;
        let found = catalog.bucket(name).await.map_err(refusals::catalog)?;
        let bucket = found.ok_or_else(|| buckets::none_of(name))?;
        let usage = catalog.bucket_usage(bucket.id).await.map_err(refusals::catalog)?;
        Ok((bucket, usage))
    }

    /// Makes a bucket of this kind, whose versions may be locked if that is said.
    pub(crate) async fn create_bucket(
        &self,
        name: &BucketName,
        how: (BucketKind, Option<Locking>),
    ) -> Result<Bucket, Problem> {
        self.buckets.create(name, how).await
    }

    /// Deletes a bucket without objects. Its open uploads can become nothing any more and are given up.
    pub(crate) async fn delete_bucket(&self, name: &BucketName) -> Result<(), Problem> {
        let bucket = self.buckets.delete(name).await?;
        self.abort_all(bucket.id).await
    }

    /// The object's bytes in `range`, as a body. What goes wrong before its first byte is a problem; later the body
    /// breaks off.
    ///
    /// # Errors
    /// `customer-key` for what its customer's key seals, and that was not unlocked; what reads come to.
    pub(crate) async fn open(&self, found: Found, range: Range<u64>) -> Result<Body, Problem> {
        let (target, secrets) = (target_of(&found.object), Arc::clone(found.opened_by()?));
        match &found.object.body {
            ObjectBody::Inline { sealed } => {
                let plain = secrets.open(&target, Record::Inline, sealed).map_err(refusals::record)?;
                let bound = |at| usize::try_from(at).unwrap_or(usize::MAX);
                let part = plain.get(bound(range.start)..bound(range.end)).unwrap_or_default();
                self.context.metrics.sent(u64::try_from(part.len()).unwrap_or_default());
                Ok(Body::from(part.to_vec()))
            }
            ObjectBody::Pages { parts } => {
                self.stream(Segments::new(secrets, (target, found.asked), parts, range)).await
            }
        }
    }

    async fn stream(&self, segments: Segments) -> Result<Body, Problem> {
        let context = Arc::clone(&self.context);
        Self::streamed(|to| pipeline::read(context, segments, to)).await
    }

    /// What a read sends, as a body. What goes wrong before its first byte is a problem; later the body breaks off.
    async fn streamed<R>(read: impl FnOnce(mpsc::Sender<Read>) -> R) -> Result<Body, Problem>
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let (to, mut groups) = mpsc::channel(GROUPS_MAX);
        // Dropped with the body: a client that goes away ends its read.
        let reader = owned::spawn(read(to));
        let first = match groups.recv().await {
            None => return Ok(Body::empty()),
            Some(first) => first.map_err(refusals::read)?,
        };
        let rest = stream::unfold((groups, reader), |(mut groups, reader)| async move {
            let group = groups.recv().await?;
            Some((group, (groups, reader)))
        });
        let groups = stream::iter([Ok(first)]).chain(rest);
        Ok(Body::from_stream(
            groups.map_ok(|group| stream::iter(group).map(Ok::<_, ReadError>)).try_flatten(),
        ))
    }

    /// Some of a bucket's objects.
    pub(crate) async fn list(&self, bucket: &BucketName, query: &ListQuery) -> Result<Listing, Problem> {
        let Some(mut context) = self.buckets.find(bucket).await? else { return Ok(Listing::default()) };
        loop {
            let listing = self.list_in(context.id, query).await?;
            if listing != Listing::default() {
                return Ok(listing);
            }
            match self.buckets.recheck(bucket, context.id).await? {
                Some(newer) => context = newer,
                None => return Ok(listing),
            }
        }
    }

    /// The same of the bucket of this number, and of no other that has its name by now.
    pub(crate) async fn list_in(&self, bucket: BucketId, query: &ListQuery) -> Result<Listing, Problem> {
        self.context.catalog.list(bucket, query).await.map_err(refusals::catalog)
    }

    /// Deletes an object and says what becomes of the shards of what the bucket does not keep.
    pub(crate) async fn delete(
        &self,
        (bucket, key): (&BucketName, ObjectKey),
        condition: Condition,
        marking: fn(UploadId) -> Marking,
        cause: &Arc<Cause>,
    ) -> Result<Removed, Problem> {
        let Some(mut context) = self.buckets.find(bucket).await? else { return Ok(Removed::Nothing) };
        let marking = marking(self.new_upload());
        loop {
            context.check_key(&key)?;
            let now_unix_ms = self.now_unix_ms();
            let catalog = self.context.catalog.because_of(Arc::clone(cause));
            let deleted = catalog.delete_object(context.id, &key, &condition, marking, now_unix_ms).await;
            let erasure =
                async |object| erasure::of(&self.context, (object, &context.pool), now_unix_ms).await;
            match deleted.map_err(refusals::delete)? {
                Deleted::Object(object) => return Ok(Removed::Gone(erasure(&object).await)),
                Deleted::Marked { marker, gone: None } => {
                    return Ok(Removed::Marked { marker, erasure: None });
                }
                Deleted::Marked { marker, gone: Some(object) } => {
                    return Ok(Removed::Marked { marker, erasure: Some(erasure(&object).await) });
                }
                Deleted::Nothing => match self.buckets.recheck(bucket, context.id).await? {
                    Some(newer) => context = newer,
                    None => return Ok(Removed::Nothing),
                },
            }
        }
    }
}

impl Found {
    fn new(object: Object, bucket: Arc<BucketContext>, asked: Instant) -> Result<Self, Problem> {
        let fields = bucket.fields(&target_of(&object), &object.meta)?;
        let opens = bucket.secrets().ok().filter(|_| !fields.needs_key()).map(Arc::clone);
        Ok(Self { object, fields, bucket, opens, asked })
    }

    /// The same to be opened with the customer's key, or without one, as it was put.
    ///
    /// # Errors
    /// `customer-key` where a key is missing or not applicable, `forbidden` where it is another one.
    pub(crate) fn unlock(mut self, key: Option<&CustomerKey>) -> Result<Self, Problem> {
        // What its clients sealed is shown, and opened by nobody here.
        if key.is_none() && self.bucket.mark().is_ok() {
            return Ok(self);
        }
        let secrets = customer::unlocked(self.bucket.secrets()?, self.fields.key_mark()?.as_ref(), key)?;
        customer::show_sums(&secrets, &target_of(&self.object), &mut self.fields)?;
        Ok(Self { opens: Some(secrets), ..self })
    }

    fn opened_by(&self) -> Result<&Arc<Secrets>, Problem> {
        // A private bucket's says how it is read.
        self.bucket.secrets()?;
        self.opens.as_ref().ok_or_else(|| KeyError::Missing.into())
    }

    /// Whether its bytes can be read: asked before an answer begins.
    ///
    /// # Errors
    /// `customer-key` for what its customer's key seals, and that was not unlocked.
    pub(crate) fn readable(&self) -> Result<(), Problem> {
        if self.fields.needs_key() { self.opened_by().map(drop) } else { Ok(()) }
    }

    /// Changes whenever its bytes, its type, its metadata or its lock do: hexadecimal digits. The metadata is taken as it is sealed.
    pub(crate) fn metadata_tag(&self) -> String {
        let Object { etag, upload, content_type, meta, lock, .. } = &self.object;
        let pairs = meta.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let mut hasher = blake3::Hasher::new_derive_key(METADATA_TAG);
        // What keeps it is shown beside its metadata.
        let lock = (!lock.is_none()).then(|| serde_json::to_vec(lock).unwrap_or_default());
        let all = [etag.as_bytes(), &upload.0, content_type.as_bytes()].into_iter().chain(pairs);
        for part in all.chain(lock.as_deref()) {
            // With its length: the same bytes, split elsewhere, are other metadata.
            hasher.update(&part.len().to_le_bytes()).update(part);
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn target_of(object: &Object) -> Target {
    Target { bucket: object.bucket, key: object.key.clone(), upload: object.upload }
}
