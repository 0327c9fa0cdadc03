use std::collections::BTreeMap;

use datamesh_shard::limits::{INLINE_BYTES_MAX, OBJECT_BYTES_MAX};

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::garbage::condemn_upload;
use super::notifications::Change;
use super::objects::{Present, object_of};
use super::pages::PagePlan;
use super::parts::{expect_seen, parts_in};
use super::tally::Delta;
use super::uploads::{OpenUpload, open_upload, plan_end};
use super::versioning::object_of_upload;
use super::versions::{Edit, History, RemovalError};
use super::{Catalog, CatalogError, Invalid, PutPageError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, Revision, View};
use crate::limits::{
    CONTENT_TYPE_BYTES_MAX, ETAG_BYTES_MAX, INLINE_SEALED_BYTES_MAX, META_BYTES_MAX, PARTS_MAX,
};
use crate::model::{
    BucketId, Committed, Condition, DraftBody, Grounds, Lock, Locked, Object, ObjectDraft, Page, PartSummary,
    PlacedPage, Target, UploadId,
};
use crate::record::{
    BodyRecord, CurrentRecord, KeyOnlyRecord, ObjectRecord, UploadRecord, UploadState, meta_bytes,
};

/// Why an object was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitObjectError {
    /// It was aborted, reclaimed, never begun, or committed and since replaced.
    #[error("the upload is gone")]
    UploadGone,
    /// The bucket was deleted meanwhile.
    #[error("the bucket is gone")]
    BucketGone,
    /// The present object is not as the condition wants it.
    #[error("the present object does not meet the condition")]
    PreconditionFailed {
        /// The present object's entity tag, if there is one.
        current_etag: Option<String>,
    },
    /// It would take the place of a version that a lock keeps.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// It is to have a lock, and its bucket has none for its versions.
    #[error("versions of the bucket are never locked: enable object lock for it first")]
    NotLockable,
    /// A part of the list is not there.
    #[error("part {part} was not put")]
    PartMissing {
        /// The part.
        part: u32,
    },
    /// A part of the list has no last page yet.
    #[error("part {part} is not complete")]
    PartIncomplete {
        /// The part.
        part: u32,
    },
    /// A part was put since the caller saw them.
    #[error("a part was put meanwhile: look at the parts again")]
    PartsChanged,
    /// The parts do not add up.
    #[error("the parts have {parts_bytes} bytes, the object is said to have {size_bytes}")]
    SizeDiffers {
        /// Of the parts together.
        parts_bytes: u64,
        /// Of the draft.
        size_bytes: u64,
    },
    /// The last page was refused.
    #[error(transparent)]
    Page(PutPageError),
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<PutPageError> for CommitObjectError {
    fn from(error: PutPageError) -> Self {
        match error {
            PutPageError::UploadGone => Self::UploadGone,
            PutPageError::Invalid(invalid) => Self::Invalid(invalid),
            PutPageError::Catalog(error) => Self::Catalog(error),
            page => Self::Page(page),
        }
    }
}

impl From<RemovalError> for CommitObjectError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Locked(locked) => Self::Locked(locked),
            RemovalError::Catalog(error) => Self::Catalog(error),
        }
    }
}

/// How an upload is committed.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What the object that it replaces must be like.
    pub condition: &'a Condition,
    /// When its caller looked at its parts: they must still be as [`Catalog::tagged_parts`] gave them then.
    pub seen: Option<Revision>,
    /// Whether segments that no page names, which its writers put and wrote down nowhere, are to be let go by [`Catalog::let_go_idle`]. A
    /// row says so until it is done, whoever dies meanwhile.
    pub sweeps: bool,
}

/// What one attempt found out.
enum Plan {
    /// It is committed already.
    Done(Committed),
    /// To be committed.
    Commit { batch: Batch, target: Target, current: CurrentRecord, replaced: bool },
}

impl Plan {
    /// Makes a record the object of its key, in front of what was there, or in its place.
    fn of(
        mut edit: Edit,
        (present, history): (&Present, Option<History>),
        target: Target,
        (record, lock): (&ObjectRecord, Lock),
    ) -> Result<Self, CommitObjectError> {
        let now_unix_ms = record.created_unix_ms;
        let lock = match history.as_ref().and_then(History::locking) {
            Some(locking) => locking.complete(lock, now_unix_ms),
            None if lock.is_none() => lock,
            None => return Err(CommitObjectError::NotLockable),
        };
        let current = match history {
            Some(history) => history.replace(&mut edit, present, (record, lock))?,
            None => {
                edit.without_versions(present, Some(record), Grounds::at(now_unix_ms))?;
                CurrentRecord::plain(record.clone())
            }
        };
        let version = current.kept.map(|kept| kept.id(record.upload));
        let (kind, at_unix_ms) = (edit.put_kind(), record.created_unix_ms);
        let batch = edit.finish(&Change { kind, version, object: Some(record), at_unix_ms })?;
        Ok(Self::Commit { batch, target, current, replaced: present.version.is_some() })
    }

    fn bucket(&self) -> BucketId {
        match self {
            Self::Done(committed) => committed.object.bucket,
            Self::Commit { target, .. } => target.bucket,
        }
    }
}

fn validate(draft: &ObjectDraft) -> Result<(), Invalid> {
    at_most("bytes of the content type", draft.content_type.len(), CONTENT_TYPE_BYTES_MAX)?;
    at_most("bytes of the entity tag", draft.etag.len(), ETAG_BYTES_MAX)?;
    at_most("bytes of metadata", meta_bytes(&draft.meta), META_BYTES_MAX)?;
    let size_max = match &draft.body {
        DraftBody::Inline { sealed } => {
            at_most("bytes of a sealed inline object", sealed.len(), INLINE_SEALED_BYTES_MAX)?;
            u64::try_from(INLINE_BYTES_MAX).unwrap_or(u64::MAX)
        }
        DraftBody::Pages { parts, .. } => {
            at_most("parts of an object", parts.len(), PARTS_MAX)?;
            if let Some(pair) = parts.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(Invalid::PartOrder { part: pair[1] });
            }
            OBJECT_BYTES_MAX
        }
    };
    if draft.size_bytes > size_max { Err(Invalid::TooLarge { size_bytes: draft.size_bytes }) } else { Ok(()) }
}

fn record_of(upload: UploadId, draft: &ObjectDraft, body: BodyRecord) -> ObjectRecord {
    ObjectRecord {
        upload,
        size_bytes: draft.size_bytes,
        created_unix_ms: draft.created_unix_ms,
        content_type: draft.content_type.clone(),
        etag: draft.etag.clone(),
        meta: draft.meta.clone(),
        body,
    }
}

/// Where a first attempt begins: what is to be locked is not put on a guess that its bucket keeps nothing.
fn first_attempt(draft: &ObjectDraft) -> usize {
    usize::from(!draft.lock.is_none())
}

impl<K: Keyspace> Catalog<K> {
    /// Makes an open upload the object of its key, in one batch at any size: this is when a put has happened. What it
    /// replaces is let go after the retention. Repeating it with the same upload gives the same object.
    ///
    /// # Errors
    /// See [`CommitObjectError`].
    pub async fn commit_object(
        &self,
        upload: UploadId,
        draft: &ObjectDraft,
        condition: &Condition,
    ) -> Result<Committed, CommitObjectError> {
        self.commit_on(upload, draft, Terms { condition, seen: None, sweeps: false }).await
    }

    /// The same on further terms.
    ///
    /// # Errors
    /// See [`CommitObjectError`]; where parts were seen, `PartsChanged` too.
    pub async fn commit_on(
        &self,
        upload: UploadId,
        draft: &ObjectDraft,
        terms: Terms<'_>,
    ) -> Result<Committed, CommitObjectError> {
        validate(draft)?;
        // Whoever saw the parts saw no page behind: one that is there now is another writer's, whom this must not cost anything.
        if let DraftBody::Pages { last_page: Some(PlacedPage { at, .. }), .. } = &draft.body
            && terms.seen.is_none()
        {
            match self.drop_pages_after(upload, *at, draft.created_unix_ms).await {
                // Perhaps it is committed: the plan below finds out.
                Ok(()) | Err(PutPageError::UploadGone) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for attempt in first_attempt(draft)..ATTEMPTS_MAX {
            let plan = self.plan_commit(upload, draft, terms, attempt).await?;
            let bucket = plan.bucket();
            if let Some(committed) = self.carry_out(plan).await? {
                return Ok(committed);
            }
            if self.is_bucket_gone(bucket).await? {
                return Err(CommitObjectError::BucketGone);
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Commits a small object without an upload, in one batch. `target.upload` names this version of the object:
    /// repeating it gives the same one while it is the key's object. Once another one is, it is put anew.
    ///
    /// # Errors
    /// See [`CommitObjectError`].
    pub async fn put_inline(
        &self,
        target: &Target,
        draft: &ObjectDraft,
        condition: &Condition,
    ) -> Result<Committed, CommitObjectError> {
        validate(draft)?;
        let DraftBody::Inline { sealed } = &draft.body else { return Err(Invalid::BodyKind.into()) };
        let record = record_of(target.upload, draft, BodyRecord::Inline(sealed.clone()));
        for attempt in first_attempt(draft)..ATTEMPTS_MAX {
            let (present, history, watchers) = self.look(target.bucket, &target.key, attempt).await?;
            let plan = match present.object() {
                Some(object) if object.upload == target.upload => {
                    Plan::Done(Committed { object, replaced: false })
                }
                _ => {
                    present.check(condition)?;
                    let edit = Edit::new(&present, self.due_unix_ms(record.created_unix_ms), watchers);
                    Plan::of(edit, (&present, history), target.clone(), (&record, draft.lock))?
                }
            };
            let bucket = plan.bucket();
            if let Some(committed) = self.carry_out(plan).await? {
                return Ok(committed);
            }
            if self.is_bucket_gone(bucket).await? {
                return Err(CommitObjectError::BucketGone);
            }
        }
        Err(CatalogError::Contended.into())
    }

    async fn carry_out(&self, plan: Plan) -> Result<Option<Committed>, CommitObjectError> {
        let (mut batch, target, current, replaced) = match plan {
            Plan::Done(committed) => return Ok(Some(committed)),
            Plan::Commit { batch, target, current, replaced } => (batch, target, current, replaced),
        };
        // The number is never given again, so its absence is all that a commit must know of its bucket.
        batch.expect(keys::bucket_gone(target.bucket), None);
        let Some(revision) = self.try_commit(batch).await? else { return Ok(None) };
        let object = object_of(target.bucket, target.key, current, revision);
        Ok(Some(Committed { object, replaced }))
    }

    async fn plan_commit(
        &self,
        upload: UploadId,
        draft: &ObjectDraft,
        Terms { condition, seen, sweeps }: Terms<'_>,
        attempt: usize,
    ) -> Result<Plan, CommitObjectError> {
        let view = self.view().await?;
        let Some(open) = open_upload(&view, upload).await? else {
            let object = committed_as(&view, upload).await?;
            if seen.is_some() && !has_last_page(&view, upload, &draft.body).await? {
                return Err(CommitObjectError::PartsChanged);
            }
            return Ok(Plan::Done(Committed { object, replaced: false }));
        };
        let UploadRecord { bucket, key, .. } = open.record.clone();
        let present = Present::find(&view, bucket, &key).await?;
        present.check(condition)?;
        let due_unix_ms = self.due_unix_ms(draft.created_unix_ms);
        let watchers = self.watchers(&view, &present, attempt).await?;
        let mut edit = Edit::new(&present, due_unix_ms, watchers);
        let (batch, delta) = (&mut edit.batch, &mut edit.delta);
        if let Some(seen) = seen
            && !expect_seen(&view, batch, (upload, seen)).await?
        {
            return Err(CommitObjectError::PartsChanged);
        }
        if sweeps && matches!(draft.body, DraftBody::Pages { .. }) {
            put(batch, keys::leftover(upload), &KeyOnlyRecord)?;
        }
        delta.uploads -= 1;
        plan_end(&view, batch, &open, UploadState::Committed).await?;
        let plan = PagePlan { view: &view, open: &open, due_unix_ms };
        let body = match &draft.body {
            DraftBody::Inline { sealed } => {
                // Whatever the upload put before it became a small object goes.
                condemn_upload(&view, (batch, delta), (bucket, upload), due_unix_ms).await?;
                BodyRecord::Inline(sealed.clone())
            }
            DraftBody::Pages { parts, last_page } => {
                let there = gather_parts(&plan, (batch, delta), last_page.as_ref()).await?;
                BodyRecord::Pages(listed(parts, &there, draft.size_bytes)?)
            }
        };
        let record = record_of(upload, draft, body);
        let attempt = attempt.max(usize::from(present.has_place()));
        let history = self.history(&view, (bucket, &key), attempt).await?;
        Plan::of(edit, (&present, history), Target { bucket, key, upload }, (&record, draft.lock))
    }
}

/// Whether what an upload became ends with the page that a caller wanted: if not, another made it.
async fn has_last_page(view: &impl View, upload: UploadId, body: &DraftBody) -> Result<bool, CatalogError> {
    let DraftBody::Pages { last_page: Some(PlacedPage { at, page }), .. } = body else { return Ok(true) };
    let there = find::<Page>(view, &keys::page(upload, *at)).await?.record;
    Ok(there.is_some_and(|there| there == *page))
}

/// The object that a committed upload still is, or a version of.
async fn committed_as(view: &impl View, upload: UploadId) -> Result<Object, CommitObjectError> {
    let object = object_of_upload(view, upload).await?;
    object.map(|(object, _)| object).ok_or(CommitObjectError::UploadGone)
}

/// The upload's parts, with the last page in, and the check that they stay so until the commit.
async fn gather_parts<V: View>(
    plan: &PagePlan<'_, V>,
    (batch, delta): (&mut Batch, &mut Delta),
    last_page: Option<&PlacedPage>,
) -> Result<BTreeMap<u32, PartSummary>, CommitObjectError> {
    let PagePlan { view, open: OpenUpload { id, .. }, .. } = plan;
    let parts = parts_in(*view, *id).await?;
    batch.expect_unchanged(keys::parts(*id), view.revision().await.map_err(CatalogError::from)?);
    let mut parts: BTreeMap<u32, PartSummary> = parts.into_iter().map(|part| (part.part, part)).collect();
    if let Some(placed) = last_page {
        let part = plan.put(batch, delta, placed).await?;
        parts.insert(placed.at.part, part.summary(placed.at.part));
    }
    Ok(parts)
}

/// The parts the caller named, if all are there, complete, and of the object's size together.
fn listed(
    parts: &[u32],
    there: &BTreeMap<u32, PartSummary>,
    size_bytes: u64,
) -> Result<Vec<PartSummary>, CommitObjectError> {
    let mut listed = Vec::with_capacity(parts.len());
    for &part in parts {
        let summary = *there.get(&part).ok_or(CommitObjectError::PartMissing { part })?;
        if !summary.complete {
            return Err(CommitObjectError::PartIncomplete { part });
        }
        listed.push(summary);
    }
    let parts_bytes = listed.iter().fold(0_u64, |sum, part| sum.saturating_add(part.plain_bytes));
    if parts_bytes != size_bytes {
        return Err(CommitObjectError::SizeDiffers { parts_bytes, size_bytes });
    }
    Ok(listed)
}
