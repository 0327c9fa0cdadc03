//! Pages that go behind those an upload has, by writers of whom one at a time gets on.

use super::faults::ATTEMPTS_MAX;
use super::pages::PagePlan;
use super::parts::expect_seen;
use super::tally::Delta;
use super::uploads::open_upload;
use super::{Catalog, CatalogError, PutPageError};
use crate::keyspace::{Batch, Keyspace, Revision};
use crate::model::{PlacedPage, UploadId};

/// Why a page was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer was faster.
    #[error("another has written to the upload meanwhile: look at its parts again")]
    PartsChanged,
    /// The page was refused.
    #[error(transparent)]
    Page(#[from] PutPageError),
}

impl From<CatalogError> for AppendError {
    fn from(error: CatalogError) -> Self {
        Self::Page(error.into())
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Writes a page as [`Catalog::put_page`] does, the next one of its part or the last one anew, for a caller who has looked at the
    /// upload's parts: they must still be as they were at `seen`. Gives the moment as of which they are seen then.
    ///
    /// # Errors
    /// See [`AppendError`]: nothing has changed then.
    pub async fn append_page(
        &self,
        upload: UploadId,
        placed: &PlacedPage,
        seen: Revision,
        now_unix_ms: u64,
    ) -> Result<Revision, AppendError> {
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let open = open_upload(&view, upload).await?.ok_or(PutPageError::UploadGone)?;
            let mut batch = Batch::new();
            let mut delta = Delta::default();
            open.expect(&mut batch);
            if !expect_seen(&view, &mut batch, (upload, seen)).await? {
                return Err(AppendError::PartsChanged);
            }
            let plan = PagePlan { view: &view, open: &open, due_unix_ms: self.due_unix_ms(now_unix_ms) };
            plan.put(&mut batch, &mut delta, placed).await?;
            drop(view);
            delta.add_to(&mut batch);
            if batch.writes.is_empty() {
                return Ok(seen);
            }
            if let Some(revision) = self.try_commit(batch).await? {
                return Ok(revision);
            }
        }
        Err(CatalogError::Contended.into())
    }
}
