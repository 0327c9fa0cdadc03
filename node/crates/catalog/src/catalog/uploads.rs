use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::garbage::condemn_upload;
use super::references::Uses;
use super::tally::Delta;
use super::{Catalog, CatalogError, Invalid, ReferenceError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Revision, View};
use crate::limits::{CONTENT_TYPE_BYTES_MAX, META_BYTES_MAX, SEGMENTS_PER_CALL_MAX};
use crate::model::{NewUpload, Target, Upload, UploadId};
use crate::record::{KeyOnlyRecord, LeaseRecord, ListedRecord, UploadRecord, UploadState, meta_bytes};

/// Why an upload was not begun or renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It was committed, aborted, reclaimed or never begun.
    #[error("the upload is gone")]
    Gone,
    /// The bucket was deleted.
    #[error("the bucket is gone")]
    BucketGone,
    /// The id is in use for another bucket or key.
    #[error("upload {0} writes to another object")]
    Taken(UploadId),
    /// A first segment was refused.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// An upload that is open in a view.
pub(super) struct OpenUpload {
    pub(super) id: UploadId,
    pub(super) record: UploadRecord,
    version: Revision,
}

impl OpenUpload {
    /// Requires that it still is when the batch is committed. (Its row changes only when it ends.)
    pub(super) fn expect(&self, batch: &mut Batch) {
        batch.expect(keys::upload(self.id), Some(self.version));
    }
}

/// The upload, if it is open.
pub(super) async fn open_upload(view: &impl View, id: UploadId) -> Result<Option<OpenUpload>, CatalogError> {
    let found = find::<UploadRecord>(view, &keys::upload(id)).await?;
    match (found.record, found.version) {
        (Some(record), Some(version)) if record.state == UploadState::Open => {
            Ok(Some(OpenUpload { id, record, version }))
        }
        _ => Ok(None),
    }
}

/// Ends an open upload: it keeps a bare row, and loses its lease.
pub(super) async fn plan_end(
    view: &impl View,
    batch: &mut Batch,
    open: &OpenUpload,
    state: UploadState,
) -> Result<(), CatalogError> {
    open.expect(batch);
    let ended = UploadRecord { state, content_type: String::new(), meta: Vec::new(), ..open.record.clone() };
    put(batch, keys::upload(open.id), &ended)?;
    let listed = keys::bucket_upload(open.record.bucket, &open.record.key, open.id);
    if view.get(&listed).await.map_err(CatalogError::from)?.is_some() {
        batch.delete(listed);
    }
    let key = keys::lease(open.id);
    let lease = find::<LeaseRecord>(view, &key).await?;
    batch.expect(key.clone(), lease.version);
    batch.delete(key);
    if let Some(lease) = lease.record {
        batch.delete(keys::lease_due(lease.until_unix_ms, open.id));
    }
    Ok(())
}

fn upload_of(id: UploadId, record: UploadRecord, lease_until_unix_ms: u64) -> Upload {
    let UploadRecord { bucket, key, state: _, content_type, meta, created_unix_ms } = record;
    Upload {
        target: Target { bucket, key, upload: id },
        content_type,
        meta,
        created_unix_ms,
        lease_until_unix_ms,
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Begins an upload: a lease, which its client renews. The same again is fine and changes nothing but references.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn begin_upload(&self, new: NewUpload) -> Result<Upload, UploadError> {
        self.begin_as(new, false).await
    }

    /// Begins an upload as [`Catalog::begin_upload`] does; it is shown by [`Catalog::bucket_uploads`] while it is open.
    ///
    /// # Errors
    /// See [`UploadError`]; `BucketGone` too.
    pub async fn begin_listed_upload(&self, new: NewUpload) -> Result<Upload, UploadError> {
        self.begin_as(new, true).await
    }

    async fn begin_as(&self, new: NewUpload, listed: bool) -> Result<Upload, UploadError> {
        at_most("bytes of the content type", new.content_type.len(), CONTENT_TYPE_BYTES_MAX)?;
        at_most("bytes of metadata", meta_bytes(&new.meta), META_BYTES_MAX)?;
        at_most("segments of one call", new.segments.len(), SEGMENTS_PER_CALL_MAX)?;
        let id = new.target.upload;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let gone = keys::bucket_gone(new.target.bucket);
            if listed && view.get(&gone).await.map_err(CatalogError::from)?.is_some() {
                return Err(UploadError::BucketGone);
            }
            let found = find::<UploadRecord>(&view, &keys::upload(id)).await?.record;
            if let Some(record) = found {
                drop(view);
                return self.begin_again(new, record).await;
            }
            let (mut batch, record) = plan_begin(&view, &new).await?;
            if listed {
                // Whoever deletes the bucket either finds the row below, or comes first.
                batch.expect(gone, None);
                let key = keys::bucket_upload(record.bucket, &record.key, id);
                put(&mut batch, key, &ListedRecord { created_unix_ms: record.created_unix_ms })?;
            }
            drop(view);
            if self.try_commit(batch).await?.is_some() {
                return Ok(upload_of(id, record, new.lease_until_unix_ms));
            }
        }
        Err(CatalogError::Contended.into())
    }

    async fn begin_again(&self, new: NewUpload, record: UploadRecord) -> Result<Upload, UploadError> {
        let Target { bucket, key, upload } = new.target;
        if record.state != UploadState::Open {
            return Err(UploadError::Gone);
        }
        if record.bucket != bucket || record.key != key {
            return Err(UploadError::Taken(upload));
        }
        if !new.segments.is_empty() {
            self.reference(upload, &new.segments).await?;
        }
        self.upload(upload).await?.ok_or(UploadError::Gone)
    }

    /// The upload, if it is open.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, CatalogError> {
        let view = self.view().await?;
        let Some(open) = open_upload(&view, upload).await? else { return Ok(None) };
        let lease = find::<LeaseRecord>(&view, &keys::lease(upload)).await?.record;
        Ok(Some(upload_of(upload, open.record, lease.map_or(0, |lease| lease.until_unix_ms))))
    }

    /// Extends an upload's lease. It never gets shorter.
    ///
    /// # Errors
    /// `Gone` when it is not open.
    pub async fn renew_upload(&self, upload: UploadId, lease_until_unix_ms: u64) -> Result<(), UploadError> {
        let key = keys::lease(upload);
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let open = open_upload(&view, upload).await?.ok_or(UploadError::Gone)?;
            let lease = find::<LeaseRecord>(&view, &key).await?;
            drop(view);
            let old = lease.record.map(|lease| lease.until_unix_ms);
            if old.is_some_and(|old| old >= lease_until_unix_ms) {
                return Ok(());
            }
            let mut batch = Batch::new();
            open.expect(&mut batch);
            batch.expect(key.clone(), lease.version);
            if let Some(old) = old {
                batch.delete(keys::lease_due(old, upload));
            }
            plan_lease(&mut batch, upload, lease_until_unix_ms)?;
            if self.try_commit(batch).await?.is_some() {
                return Ok(());
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Gives an upload up; its segments are let go after the retention. Gives whether it was open.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn abort_upload(&self, upload: UploadId, now_unix_ms: u64) -> Result<bool, CatalogError> {
        self.abort_if(upload, now_unix_ms, |_| true).await
    }

    /// Aborts an upload whose lease's end is as asked.
    pub(super) async fn abort_if(
        &self,
        upload: UploadId,
        now_unix_ms: u64,
        ends: impl Fn(u64) -> bool,
    ) -> Result<bool, CatalogError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(done) = self.try_abort(upload, now_unix_ms, &ends, |_| {}).await? {
                return Ok(done);
            }
        }
        Err(CatalogError::Contended)
    }

    /// The same once, with what else must be so; `None`: something of it changed meanwhile.
    pub(super) async fn try_abort(
        &self,
        upload: UploadId,
        now_unix_ms: u64,
        ends: impl Fn(u64) -> bool,
        expect: impl Fn(&mut Batch),
    ) -> Result<Option<bool>, CatalogError> {
        let view = self.view().await?;
        let Some(open) = open_upload(&view, upload).await? else { return Ok(Some(false)) };
        let lease = find::<LeaseRecord>(&view, &keys::lease(upload)).await?.record;
        if !ends(lease.map_or(0, |lease| lease.until_unix_ms)) {
            return Ok(Some(false));
        }
        let mut batch = Batch::new();
        expect(&mut batch);
        plan_end(&view, &mut batch, &open, UploadState::Aborted).await?;
        let mut delta = Delta { uploads: -1, ..Delta::default() };
        let whose = (open.record.bucket, upload);
        let due = self.upload_due_unix_ms(open.record.bucket, now_unix_ms);
        condemn_upload(&view, (&mut batch, &mut delta), whose, due).await?;
        drop(view);
        delta.add_to(&mut batch);
        Ok(self.try_commit(batch).await?.map(|_| true))
    }
}

fn plan_lease(batch: &mut Batch, upload: UploadId, until_unix_ms: u64) -> Result<(), CatalogError> {
    put(batch, keys::lease(upload), &LeaseRecord { until_unix_ms })?;
    put(batch, keys::lease_due(until_unix_ms, upload), &KeyOnlyRecord)
}

async fn plan_begin(view: &impl View, new: &NewUpload) -> Result<(Batch, UploadRecord), UploadError> {
    let Target { bucket, key, upload } = new.target.clone();
    let mut batch = Batch::new();
    let mut delta = Delta { uploads: 1, ..Delta::default() };
    batch.expect(keys::upload(upload), None);
    let record = UploadRecord {
        bucket,
        key,
        state: UploadState::Open,
        content_type: new.content_type.clone(),
        meta: new.meta.clone(),
        created_unix_ms: new.created_unix_ms,
    };
    put(&mut batch, keys::upload(upload), &record)?;
    plan_lease(&mut batch, upload, new.lease_until_unix_ms)?;
    let mut uses = Uses::new(bucket, upload, 0);
    new.segments.iter().for_each(|segment| uses.name(segment, 0));
    uses.plan(view, &mut batch, &mut delta).await?;
    delta.add_to(&mut batch);
    Ok((batch, record))
}
