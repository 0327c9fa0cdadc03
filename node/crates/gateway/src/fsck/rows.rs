//! Whether the catalog's rows agree with each other.

use datamesh_catalog::BucketSetting;
use datamesh_catalog::catalog::{CatalogError, Flaw, StraySetting, StrayShare};
use datamesh_settings::admin::{FsckFinding, FsckKind, FsckStep};

use super::{Check, finding};
use crate::lifecycle::Lifecycle;

/// Uploads, references or objects that are read at once.
const AT_ONCE: usize = 256;

impl Check {
    pub(super) async fn uploads(&mut self) -> Result<(), CatalogError> {
        let mut after = None;
        loop {
            let uploads = self.context.catalog.uploads_after(after, AT_ONCE).await?;
            after = uploads.last().copied();
            for upload in &uploads {
                let now = self.context.surroundings.now_unix_ms();
                for flaw in self.context.catalog.check_upload(*upload, self.repair, now).await? {
                    self.flaw(flaw).await?;
                }
                self.summary.uploads += 1;
                self.progress(FsckStep::Uploads, self.summary.uploads, None).await;
            }
            if uploads.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) async fn references(&mut self) -> Result<(), CatalogError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.context.catalog.check_references(after.as_deref(), AT_ONCE, self.repair).await?;
            for flaw in page.flaws {
                self.flaw(flaw).await?;
            }
            self.summary.references += page.looked_at as u64;
            let private = page.of_buckets.iter().filter(|(bucket, _)| self.private.contains(bucket));
            self.summary.private_references += private.map(|(_, count)| count).sum::<u64>();
            self.progress(FsckStep::References, self.summary.references, None).await;
            match page.after {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// What is set of buckets that are not there, and rules that do not read: nothing of such a bucket ends.
    pub(super) async fn settings(&mut self) -> Result<(), CatalogError> {
        for stray in self.context.catalog.stray_settings(self.repair).await? {
            let StraySetting { setting, bucket, mended } = stray;
            let detail = format!("setting {setting} of bucket {bucket} is there, and the bucket is not");
            self.find(FsckFinding { mended, ..finding(FsckKind::Rows, detail) }).await;
        }
        for which in Lifecycle::KEPT_AS {
            self.rules(which).await?;
        }
        Ok(())
    }

    async fn rules(&mut self, which: BucketSetting) -> Result<(), CatalogError> {
        for id in self.context.catalog.buckets_with(which).await? {
            let kept = self.context.catalog.bucket_setting(id, which).await?;
            let Some(Err(error)) = kept.map(|bytes| Lifecycle::read(which, &bytes)) else { continue };
            let what = if which == BucketSetting::Trash { "trash" } else { "lifecycle rules" };
            let detail = format!("the {what} of the bucket does not read, set it anew: {error}");
            let bucket = self.buckets.get(&id).cloned();
            self.find(FsckFinding { bucket, ..finding(FsckKind::Rows, detail) }).await;
        }
        self.notifications().await
    }

    /// Who is to be told of events, where that does not read.
    async fn notifications(&mut self) -> Result<(), CatalogError> {
        for id in self.context.catalog.buckets_with(BucketSetting::Notifications).await? {
            let Err(error) = self.context.catalog.subscriptions(id).await else { continue };
            let CatalogError::Record(error) = error else { return Err(error) };
            let detail = format!(
                "the notification configuration of the bucket does not read, so nothing can be put there: put it anew: {error}"
            );
            let bucket = self.buckets.get(&id).cloned();
            self.find(FsckFinding { bucket, ..finding(FsckKind::Rows, detail) }).await;
        }
        Ok(())
    }

    /// What is shared by users who are not there, and what was used of links that are not: nobody gets anything by them.
    pub(super) async fn shares(&mut self) -> Result<(), CatalogError> {
        for StrayShare { user, id, mended } in self.context.catalog.stray_shares(self.repair).await? {
            let detail = format!("a row of link {id} is left, and the link or its user {user} is not there");
            self.find(FsckFinding { mended, ..finding(FsckKind::Rows, detail) }).await;
        }
        Ok(())
    }

    async fn flaw(&mut self, flaw: Flaw) -> Result<(), CatalogError> {
        let found = FsckFinding {
            segment: flaw.kind.segment().map(|segment| segment.to_string()),
            mended: flaw.mended,
            ..finding(FsckKind::Rows, flaw.kind.to_string())
        };
        let found = self.about(flaw.upload, found).await?;
        self.find(found).await;
        Ok(())
    }

    pub(super) async fn objects(&mut self) -> Result<(), CatalogError> {
        let (of, mut done) = (self.context.catalog.counters().await?.objects, 0);
        for (id, name) in self.buckets.clone() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.context.catalog.check_objects(id, after.as_deref(), AT_ONCE).await?;
                for broken in page.broken {
                    let detail =
                        "rows of the object are missing: it cannot be read whole; put it again or delete it";
                    let found = FsckFinding {
                        bucket: Some(name.clone()),
                        key: Some(broken.key.to_string()),
                        ..finding(FsckKind::BrokenObject, detail)
                    };
                    self.find(found).await;
                }
                done += page.looked_at as u64;
                self.progress(FsckStep::Objects, done, Some(of.max(done))).await;
                match page.after {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok(())
    }
}
