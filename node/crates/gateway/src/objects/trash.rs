//! What was deleted, in buckets that keep it for a while: versions by which it is kept, a rule by which it ends.

use std::sync::Arc;

use datamesh_catalog::catalog::{Keeping, PurgeError, PurgeStopped, RestoreError};
use datamesh_catalog::{Cause, Object, ObjectKey, TrashPage, VersionCursor, VersionId, Versioning};

use super::{BucketContext, Objects, locks, refusals, settings};
use crate::problem::{Kind, Problem};
use crate::trash::Trash;

/// Entries that are looked up at once while a trash is emptied.
const EMPTIED_AT_ONCE: usize = 256;

/// Where a bucket's deletes go.
pub(crate) struct TrashState {
    /// For how many days they are kept; absent: there is no such rule.
    pub(crate) days: Option<u32>,
    /// Whether what is deleted now is kept.
    pub(crate) keeps: bool,
}

fn no_entry() -> Problem {
    Problem::new(Kind::NoSuchObject, "it was put back or has ended; the list says what there is")
        .in_body("id")
}

fn not_restored(error: RestoreError) -> Problem {
    match error {
        RestoreError::Nothing => no_entry(),
        RestoreError::Taken(etag) => {
            let detail = format!(
                "there is an object of this key, with the entity tag \"{etag}\": send `overwrite: true` to have it replaced and \
                 kept as a version"
            );
            Problem::new(Kind::Conflict, detail).in_body("overwrite")
        }
        error @ RestoreError::NotKept => Problem::new(Kind::Conflict, error.to_string()),
        RestoreError::Locked(locked) => locks::locked(locked),
        RestoreError::Catalog(error) => refusals::catalog(error),
    }
}

fn not_purged(error: PurgeError) -> Problem {
    match error {
        PurgeError::Locked(PurgeStopped { objects: 0, by }) => locks::locked(by),
        PurgeError::Locked(PurgeStopped { objects, by }) => {
            let kept = locks::locked(by);
            let detail =
                format!("objects in front are gone, {objects} of them; of the next: {}", kept.detail());
            Problem::new(kept.kind(), detail)
        }
        PurgeError::Delete(error) => refusals::delete(error),
    }
}

impl Objects {
    /// Where a bucket's deletes go.
    pub(crate) async fn trash(&self, bucket: &BucketContext) -> Result<TrashState, Problem> {
        let (_, state) = self.kept(bucket).await?;
        Ok(state)
    }

    async fn kept(&self, bucket: &BucketContext) -> Result<(Keeping, TrashState), Problem> {
        let kept = self.context.catalog.keeping(bucket.id).await.map_err(refusals::catalog)?;
        let rule = kept.trash.as_deref().map(settings::read::<Trash>).transpose()?;
        let keeps = kept.versioning == Some(Versioning::Enabled);
        Ok((kept, TrashState { days: rule.map(|trash| trash.days), keeps }))
    }

    /// Keeps what is deleted from now on for so many days.
    ///
    /// # Errors
    /// `conflict` where the bucket has kept versions before, for another purpose, or keeps what is deleted for longer: the rule would
    /// end them.
    pub(crate) async fn keep_deleted(&self, bucket: &BucketContext, days: u32) -> Result<(), Problem> {
        let (was, state) = self.kept(bucket).await?;
        match state {
            TrashState { days: None, .. } if was.versioning.is_some() => {
                let detail = "the bucket keeps versions, which a trash would end after its days: what is deleted is listed and put back \
                              without; when it ends is a matter of lifecycle rules";
                return Err(Problem::new(Kind::Conflict, detail).in_parameter("bucket"));
            }
            TrashState { days: Some(longer), keeps: true } if days < longer => {
                let detail = format!(
                    "it is kept for {longer} days, and what has been in the trash for {days} would be gone at once: if that is \
                     meant, turn the trash off (DELETE) and on again"
                );
                return Err(Problem::new(Kind::Conflict, detail).in_body("days"));
            }
            TrashState { .. } => {}
        }
        let rule = serde_json::to_vec(&Trash { days });
        let rule = rule.map_err(|error| Problem::internal("cannot write a setting", &error))?;
        // Rule and versions are one commit: neither is left without the other.
        let set = self.context.catalog.set_keeping(bucket.id, &was, (Versioning::Enabled, Some(rule))).await;
        set.map_err(refusals::setting)
    }

    /// Keeps nothing of what is deleted from now on. What is there stays until its days are over. Where versions may be locked, all are
    /// kept from now on, without an end.
    pub(crate) async fn keep_deleted_no_more(&self, bucket: &BucketContext) -> Result<(), Problem> {
        let (was, state) = self.kept(bucket).await?;
        if state.days.is_none() {
            return Err(Problem::new(Kind::Conflict, "the bucket has no trash").in_parameter("bucket"));
        }
        let becomes = match self.locking(bucket).await? {
            // Such a bucket keeps versions for good: the rule alone is taken back.
            Some(_) => (Versioning::Enabled, None),
            None => (Versioning::Suspended, was.trash.clone()),
        };
        self.context.catalog.set_keeping(bucket.id, &was, becomes).await.map_err(refusals::setting)
    }

    /// Some of what was deleted.
    pub(crate) async fn deleted(
        &self,
        bucket: &BucketContext,
        prefix: &[u8],
        (after, limit): (Option<VersionCursor>, usize),
    ) -> Result<TrashPage, Problem> {
        self.context.catalog.list_trash(bucket.id, prefix, after, limit).await.map_err(refusals::catalog)
    }

    /// Puts an object back that was deleted.
    pub(crate) async fn restore(
        &self,
        bucket: &BucketContext,
        key: &ObjectKey,
        (id, overwrite): (VersionId, bool),
        cause: &Arc<Cause>,
    ) -> Result<Object, Problem> {
        let whose = (bucket.id, key);
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let restored = catalog.restore(whose, (id, overwrite), self.now_unix_ms()).await;
        restored.map_err(not_restored)
    }

    /// Versions that a bucket keeps for another purpose are not a trash's to end.
    pub(super) async fn has_trash(&self, bucket: &BucketContext) -> Result<(), Problem> {
        if self.kept(bucket).await?.1.days.is_some() {
            return Ok(());
        }
        let detail = "the bucket has no trash: versions that it keeps are ended by S3, or by lifecycle rules";
        Err(Problem::new(Kind::Conflict, detail).in_parameter("bucket"))
    }

    /// Deletes for good what was deleted.
    pub(crate) async fn purge(
        &self,
        bucket: &BucketContext,
        key: &ObjectKey,
        id: VersionId,
        cause: &Arc<Cause>,
    ) -> Result<usize, Problem> {
        self.has_trash(bucket).await?;
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let purged = catalog.purge((bucket.id, key), id, self.now_unix_ms()).await;
        purged.map_err(not_purged)?.ok_or_else(no_entry)
    }

    /// The same with all that was deleted of keys that begin so. Gives how many objects went.
    pub(crate) async fn empty_trash(
        &self,
        bucket: &BucketContext,
        prefix: &[u8],
        cause: &Arc<Cause>,
    ) -> Result<usize, Problem> {
        self.has_trash(bucket).await?;
        let catalog = self.context.catalog.because_of(Arc::clone(cause));
        let (mut gone, mut after) = (0, None);
        loop {
            let page = self.deleted(bucket, prefix, (after, EMPTIED_AT_ONCE)).await?;
            for entry in page.entries {
                let purged = catalog.purge((bucket.id, &entry.key), entry.id, self.now_unix_ms()).await;
                gone += match purged {
                    // It stays, and what is left of the trash goes.
                    Err(PurgeError::Locked(stopped)) => stopped.objects,
                    purged => purged.map_err(not_purged)?.unwrap_or_default(),
                };
            }
            after = page.next;
            if after.is_none() {
                return Ok(gone);
            }
        }
    }
}
