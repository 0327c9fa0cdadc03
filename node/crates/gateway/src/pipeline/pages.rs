//! The segments of an object, page by page, and which of their bytes a range needs.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{Page, PageAt, PartSummary, SegmentRef, Target};
use tokio::time::Instant;

use super::context::Context;
use super::get::Item;
use super::manifest::{self, ManifestError};
use super::records::{OpenRecordError, Record, Secrets};

/// Why a page cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("page {} of part {} is gone: the object was deleted or replaced longer ago than reads may take", .0.page, .0.part)]
    Gone(PageAt),
    #[error(
        "the object was deleted or replaced during this read, which has lasted longer than what was deleted is kept"
    )]
    Outlived,
    #[error("the object was deleted or replaced during this read, and its bytes with it")]
    Taken,
    #[error(transparent)]
    Record(#[from] OpenRecordError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("page {} of part {} lists {got} keys for {expected} segments", at.page, at.part)]
    Count { at: PageAt, expected: usize, got: usize },
}

/// Longer than the fetch of one segment takes at most, with all its tries; half the shortest retention there may be.
const FETCH_MAX: Duration = Duration::from_secs(300);

/// Who reads which object since when: decides how long the read may go on.
pub(super) struct Reader {
    target: Target,
    /// Before the object's row was read.
    begun: Instant,
}

impl Reader {
    /// Whether a segment is still there, asked right before it is fetched. What was deleted since a young read began stays until
    /// this fetch is over, too. An older one goes on while its object is there: should that be deleted a moment later, the
    /// segment stays for the retention, and no fetch takes that long.
    ///
    /// What an older read learned of its segments when it read their page may be deleted by now without the object being so: they
    /// may have been coded anew. It gets the segment that has their place now.
    pub(super) async fn may_fetch(
        &self,
        context: &Context,
        (at, nth): (PageAt, usize),
    ) -> Result<Option<SegmentRef>, PageError> {
        let retention = Duration::from_millis(context.catalog.options().retention_ms);
        if self.begun.elapsed() + FETCH_MAX.min(retention / 2) < retention {
            return Ok(None);
        }
        if !self.is_there(context).await? {
            return Err(PageError::Outlived);
        }
        let page = context.catalog.page(self.target.upload, at).await?.ok_or(PageError::Gone(at))?;
        Ok(page.segments.into_iter().nth(nth))
    }

    /// Whether the object still is what it was, or a version behind. One that is shredded is not kept for those who read it.
    pub(super) async fn is_there(&self, context: &Context) -> Result<bool, PageError> {
        let object = context.catalog.object(self.target.bucket, &self.target.key).await?;
        if object.is_some_and(|object| object.upload == self.target.upload) {
            return Ok(true);
        }
        Ok(context.catalog.object_of(self.target.upload).await?.is_some())
    }
}

/// Walks an object's segments that lie in a range.
pub(crate) struct Segments {
    secrets: Arc<Secrets>,
    reader: Arc<Reader>,
    /// Pages still to be read, in order.
    pages: VecDeque<PageAt>,
    /// Segments of pages that were read.
    ready: VecDeque<Item>,
    /// Plaintext bytes of the object in front of the next page.
    at: u64,
    range: Range<u64>,
}

impl Segments {
    /// The segments of these parts that lie in `range`, bytes of the object whose row was read after `begun`. Parts in front of
    /// the range are passed over.
    pub(crate) fn new(
        secrets: Arc<Secrets>,
        (target, begun): (Target, Instant),
        parts: &[PartSummary],
        range: Range<u64>,
    ) -> Self {
        let (mut at, mut pages) = (0_u64, VecDeque::new());
        let mut start = None;
        for part in parts {
            let end = at.saturating_add(part.plain_bytes);
            if end > range.start && at < range.end {
                start.get_or_insert(at);
                pages.extend((0..part.pages).map(|page| PageAt { part: part.part, page }));
            }
            at = end;
        }
        let reader = Arc::new(Reader { target, begun });
        Self { secrets, reader, pages, ready: VecDeque::new(), at: start.unwrap_or_default(), range }
    }

    /// The next segment; `None` at the end of the range.
    pub(super) async fn next(&mut self, context: &Context) -> Result<Option<Item>, PageError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.at >= self.range.end {
                return Ok(None);
            }
            let Some(at) = self.pages.pop_front() else { return Ok(None) };
            let page =
                context.catalog.page(self.reader.target.upload, at).await?.ok_or(PageError::Gone(at))?;
            self.take(at, page)?;
        }
    }

    fn take(&mut self, at: PageAt, page: Page) -> Result<(), PageError> {
        let end = self.at.saturating_add(page.plain_bytes);
        if end <= self.range.start {
            self.at = end;
            return Ok(());
        }
        let opened = self.secrets.open(&self.reader.target, Record::Page(at), &page.sealed)?;
        let secrets = manifest::decode(&opened)?;
        if secrets.len() != page.segments.len() {
            return Err(PageError::Count { at, expected: page.segments.len(), got: secrets.len() });
        }
        for (nth, (reference, secret)) in page.segments.into_iter().zip(secrets).enumerate() {
            let (start, bytes) = (self.at, u64::from(secret.plain_bytes));
            self.at = start.saturating_add(bytes);
            let within =
                |bound: u64| usize::try_from(bound.saturating_sub(start).min(bytes)).unwrap_or_default();
            let range = within(self.range.start)..within(self.range.end);
            if !range.is_empty() {
                self.ready.push_back(Item::new(&self.reader, (at, nth), (reference, secret), range));
            }
        }
        Ok(())
    }
}
