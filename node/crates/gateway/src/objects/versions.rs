//! Versions of objects, in buckets that keep them.

use std::sync::Arc;

use datamesh_catalog::{
    Cause, Condition, Grounds, Marker, ObjectKey, Version, VersionId, VersionListing, VersionQuery,
    Versioning, Way,
};
use datamesh_shard::BucketName;
use datamesh_shard::limits::OBJECT_BYTES_MAX;
use tokio::time::Instant;

use super::{BucketContext, Erasure, Found, Meta, Objects, Stored, erasure, refusals};
use crate::api::{Incoming, Inherited, Told};
use crate::problem::{Kind, Problem};

/// Fields of an object's metadata that say checksums of its bytes.
const CHECKSUMS: &str = "x-amz-checksum-";
/// The one of them that says of what: where it is this, of the parts that the object came in.
const CHECKSUM_TYPE: (&str, &str) = ("x-amz-checksum-type", "COMPOSITE");

/// What there is of a key, or of one of its versions.
pub(crate) enum Seen {
    /// An object.
    Object(Box<Found>),
    /// A delete.
    Marker(Marker),
    /// Nothing.
    Nothing,
}

/// What a delete did.
pub(crate) enum Removed {
    /// There was nothing.
    Nothing,
    /// The object is gone.
    Gone(Erasure),
    /// The bucket keeps versions: a marker hides the object.
    Marked {
        /// What hides it.
        marker: Marker,
        /// Of the version without an id, where the marker took its place.
        erasure: Option<Erasure>,
    },
}

impl Objects {
    /// The object of a key, or one version of it.
    pub(crate) async fn look_up(
        &self,
        bucket: &BucketName,
        key: ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Seen, Problem> {
        let Some(version) = version else { return self.newest(bucket, key).await };
        let Some(mut context) = self.buckets.find(bucket).await? else { return Ok(Seen::Nothing) };
        loop {
            let asked = Instant::now();
            let found = self.context.catalog.object_version(context.id, &key, version).await;
            match found.map_err(refusals::catalog)? {
                Some(Version::Object(object)) => {
                    return Ok(Seen::Object(Box::new(Found::new(object, context, asked)?)));
                }
                Some(Version::Marker(marker)) => return Ok(Seen::Marker(marker)),
                None => match self.buckets.recheck(bucket, context.id).await? {
                    Some(newer) => context = newer,
                    None => return Ok(Seen::Nothing),
                },
            }
        }
    }

    /// One version of a key, which must be an object.
    pub(crate) async fn find_version(
        &self,
        bucket: &BucketName,
        key: ObjectKey,
        version: VersionId,
    ) -> Result<Found, Problem> {
        let no = |detail: &'static str| Problem::new(Kind::NoSuchObject, detail).in_parameter("version");
        match self.look_up(bucket, key, Some(version)).await? {
            Seen::Object(found) => Ok(*found),
            Seen::Marker(_) => Err(no("the version is a delete: it has no bytes")),
            Seen::Nothing => Err(no("there is no such version of this key; the list says which there are")),
        }
    }

    /// Puts a copy of a version in front of what its key has. What the bucket does with what that replaces it does as with a put.
    pub(crate) async fn restore_version(
        &self,
        (bucket, key): (&BucketName, ObjectKey),
        version: VersionId,
        condition: Condition,
        cause: &Arc<Cause>,
    ) -> Result<Stored, Problem> {
        let found = self.find_version(bucket, key.clone(), version).await?.unlock(None)?;
        let (meta, told, size) = (found.meta(), found.told(), found.object.size_bytes);
        let _turn = self.copying().await;
        let body = self.open(found, 0..size).await?;
        let body = Incoming::announced(body, size, OBJECT_BYTES_MAX)?.witnessed(Box::new(Inherited(told)));
        let cause = Arc::new(Cause { way: Way::Copy, ..Cause::clone(cause) });
        self.put((bucket, key), meta, body, condition, &cause).await
    }

    async fn newest(&self, bucket: &BucketName, key: ObjectKey) -> Result<Seen, Problem> {
        match self.find(bucket, key.clone()).await {
            Ok(found) => Ok(Seen::Object(Box::new(found))),
            Err(problem) if problem.kind() == Kind::NoSuchObject => {
                let Some(context) = self.buckets.find(bucket).await? else { return Ok(Seen::Nothing) };
                let marker =
                    self.context.catalog.marker(context.id, &key).await.map_err(refusals::catalog)?;
                Ok(marker.map_or(Seen::Nothing, Seen::Marker))
            }
            Err(problem) => Err(problem),
        }
    }

    /// Deletes a version for good; `None` when there was none, which is fine.
    pub(crate) async fn delete_version(
        &self,
        (bucket, key): (&BucketName, ObjectKey),
        version: VersionId,
        cause: &Arc<Cause>,
        bypass_governance: bool,
    ) -> Result<Option<Version>, Problem> {
        let Some(mut context) = self.buckets.find(bucket).await? else { return Ok(None) };
        loop {
            let grounds = Grounds { now_unix_ms: self.now_unix_ms(), bypass_governance };
            let whose = (context.id, &key);
            let catalog = self.context.catalog.because_of(Arc::clone(cause));
            let deleted = catalog.delete_version(whose, version, grounds).await;
            if let Some(version) = deleted.map_err(refusals::delete)? {
                return Ok(Some(version));
            }
            match self.buckets.recheck(bucket, context.id).await? {
                Some(newer) => context = newer,
                None => return Ok(None),
            }
        }
    }

    /// The same where a bucket has a trash, and says what becomes of the shards.
    ///
    /// # Errors
    /// `conflict` where it has none: versions that it keeps for another purpose are S3's to end.
    pub(crate) async fn purge_version(
        &self,
        (name, key): (&BucketName, ObjectKey),
        version: VersionId,
        cause: &Arc<Cause>,
    ) -> Result<Removed, Problem> {
        let Some(bucket) = self.buckets.find(name).await? else { return Ok(Removed::Nothing) };
        self.has_trash(&bucket).await?;
        match self.delete_version((name, key), version, cause, false).await? {
            Some(Version::Object(object)) => {
                let whose = (&object, &bucket.pool);
                Ok(Removed::Gone(erasure::of(&self.context, whose, self.now_unix_ms()).await))
            }
            Some(Version::Marker(_)) | None => Ok(Removed::Nothing),
        }
    }

    /// Whether a bucket keeps versions; `None`: it never did.
    pub(crate) async fn versioning(&self, bucket: &BucketContext) -> Result<Option<Versioning>, Problem> {
        self.context.catalog.versioning(bucket.id).await.map_err(refusals::catalog)
    }

    /// Sets it, as their owner wants it. The rule of a trash that was turned off goes when versions are turned on: they are kept for
    /// another purpose from then on, and it would end them.
    ///
    /// # Errors
    /// `bucket-state` while the bucket has a trash.
    pub(crate) async fn set_versioning(
        &self,
        bucket: &BucketContext,
        state: Versioning,
    ) -> Result<(), Problem> {
        let was = self.context.catalog.keeping(bucket.id).await.map_err(refusals::catalog)?;
        if was.trash.is_some() && was.versioning == Some(Versioning::Enabled) {
            let detail = "the bucket has a trash, whose rule ends its versions: turn it off first (DELETE of its trash by REST)";
            return Err(Problem::new(Kind::BucketState, detail));
        }
        let trash = was.trash.clone().filter(|_| state == Versioning::Suspended);
        self.context.catalog.set_keeping(bucket.id, &was, (state, trash)).await.map_err(refusals::setting)
    }

    /// Some of a bucket's versions.
    pub(crate) async fn versions(
        &self,
        bucket: &BucketContext,
        query: &VersionQuery,
    ) -> Result<VersionListing, Problem> {
        self.context.catalog.list_versions(bucket.id, query).await.map_err(refusals::catalog)
    }
}

impl Found {
    /// What is known of its bytes and stays true of a copy of them all; absent: of the parts that it came in. A tag that is no MD5 names
    /// one object alone.
    pub(crate) fn told(&self) -> Option<Told> {
        let system = &self.fields.system;
        let (name, of_parts) = CHECKSUM_TYPE;
        if system.get(name).is_some_and(|kind| kind == of_parts) {
            return None;
        }
        let sums = system.iter().filter(|(name, _)| name.starts_with(CHECKSUMS));
        let fields = sums.map(|(name, value)| (name.clone(), value.clone())).collect();
        let etag = Some(self.object.etag.clone());
        let etag = etag.filter(|etag| etag.len() == 32 && *etag != self.object.upload.to_string());
        Some(Told { etag, fields })
    }

    /// Type, metadata and tags, as a copy has them.
    pub(crate) fn meta(&self) -> Meta {
        let mut fields = self.fields.clone();
        fields.system.retain(|name, _| !name.starts_with(CHECKSUMS));
        fields.forget_key();
        Meta { content_type: self.object.content_type.clone(), fields, ..Meta::default() }
    }
}
