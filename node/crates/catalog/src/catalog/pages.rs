use datamesh_shard::{ErasureProfile, Generation, PoolName, SegmentId};

use super::faults::{ATTEMPTS_MAX, at_most, find, put};
use super::references::Uses;
use super::tally::Delta;
use super::uploads::{OpenUpload, open_upload};
use super::{Catalog, CatalogError, Invalid, ReferenceError};
use crate::keys;
use crate::keyspace::{Batch, Keyspace, View};
use crate::limits::{
    ETAG_BYTES_MAX, PAGE_SEALED_BYTES_MAX, PAGE_SEGMENTS_MAX, PART_PAGES_MAX, PART_TAG_SEALED_BYTES_MAX,
    PARTS_MAX,
};
use crate::model::{Page, PageAt, PartSummary, PartTag, PlacedPage, UploadId};
use crate::record::{PartRecord, PartTagRecord};

/// Left-over pages dropped in one batch at most: their segments stay within a batch's limits.
const DROPPED_PAGES_MAX: u32 = 4;

/// Why a page was not put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutPageError {
    /// It was committed, aborted, reclaimed or never begun.
    #[error("the upload is gone")]
    UploadGone,
    /// Pages of a part come in order.
    #[error("page {page} of part {part} comes before page {expected} is there")]
    Gap {
        /// The part.
        part: u32,
        /// The page given.
        page: u32,
        /// The first one missing.
        expected: u32,
    },
    /// A segment is condemned: put it again with a newer generation.
    #[error("segment {segment} is condemned: put it again with generation {needs} or later")]
    StaleGeneration {
        /// The segment.
        segment: SegmentId,
        /// The lowest generation that is safe.
        needs: Generation,
    },
    /// No layout has rows for a segment's profile any more.
    #[error("pool {pool} has nothing in {profile} any more: write the segment in the pool's present profile")]
    Closed {
        /// The pool.
        pool: PoolName,
        /// The profile.
        profile: ErasureProfile,
    },
    /// A limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Any other fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<ReferenceError> for PutPageError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::UploadGone => Self::UploadGone,
            ReferenceError::StaleGeneration { segment, needs } => Self::StaleGeneration { segment, needs },
            ReferenceError::Closed { pool, profile } => Self::Closed { pool, profile },
            ReferenceError::Invalid(invalid) => Self::Invalid(invalid),
            ReferenceError::Catalog(error) => Self::Catalog(error),
        }
    }
}

fn validate(placed: &PlacedPage) -> Result<(), Invalid> {
    let PlacedPage { at, page } = placed;
    at_most("segments of a page", page.segments.len(), PAGE_SEGMENTS_MAX)?;
    at_most("bytes of a page's sealed part", page.sealed.len(), PAGE_SEALED_BYTES_MAX)?;
    at_most("number of a part", usize::try_from(at.part).unwrap_or(usize::MAX), PARTS_MAX)?;
    let pages = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    at_most("number of a page", pages(at.page), pages(PART_PAGES_MAX - 1))
}

fn segments_of(page: &Page) -> u64 {
    u64::try_from(page.segments.len()).unwrap_or(u64::MAX)
}

impl<K: Keyspace> Catalog<K> {
    /// Writes a page of an upload. Pages of one part come in order, from 0 on; parts in any order and at once. Putting
    /// an earlier page again begins the part anew from there: pages after it are dropped, and segments that only they
    /// named are condemned. The same page again changes nothing.
    ///
    /// # Errors
    /// See [`PutPageError`].
    pub async fn put_page(
        &self,
        upload: UploadId,
        placed: &PlacedPage,
        now_unix_ms: u64,
    ) -> Result<PartSummary, PutPageError> {
        self.put_page_and(upload, placed, None, now_unix_ms).await
    }

    /// Writes the one page of a part, and in the same batch what the client is told of it.
    ///
    /// # Errors
    /// See [`PutPageError`].
    pub async fn put_part(
        &self,
        upload: UploadId,
        placed: &PlacedPage,
        tag: PartTag,
    ) -> Result<PartSummary, PutPageError> {
        at_most("bytes of the entity tag", tag.etag.len(), ETAG_BYTES_MAX)?;
        at_most("bytes of sealed checksums", tag.sealed.len(), PART_TAG_SEALED_BYTES_MAX)?;
        let PartTag { etag, put_unix_ms, sealed } = tag;
        let tag = PartTagRecord { etag, put_unix_ms, sealed };
        self.put_page_and(upload, placed, Some(&tag), put_unix_ms).await
    }

    async fn put_page_and(
        &self,
        upload: UploadId,
        placed: &PlacedPage,
        tag: Option<&PartTagRecord>,
        now_unix_ms: u64,
    ) -> Result<PartSummary, PutPageError> {
        validate(placed)?;
        self.drop_pages_after(upload, placed.at, now_unix_ms).await?;
        for _ in 0..ATTEMPTS_MAX {
            let view = self.view().await?;
            let open = open_upload(&view, upload).await?.ok_or(PutPageError::UploadGone)?;
            let mut batch = Batch::new();
            let mut delta = Delta::default();
            open.expect(&mut batch);
            let plan = PagePlan { view: &view, open: &open, due_unix_ms: self.due_unix_ms(now_unix_ms) };
            let part = plan.put(&mut batch, &mut delta, placed).await?;
            drop(view);
            if let Some(tag) = tag {
                put(&mut batch, keys::part_tag(upload, placed.at.part), tag)?;
            }
            delta.add_to(&mut batch);
            if batch.writes.is_empty() || self.try_commit(batch).await?.is_some() {
                return Ok(part.summary(placed.at.part));
            }
        }
        Err(CatalogError::Contended.into())
    }

    /// Drops pages that an earlier, longer try left behind, a few at a time, the last ones first.
    pub(super) async fn drop_pages_after(
        &self,
        upload: UploadId,
        at: PageAt,
        now_unix_ms: u64,
    ) -> Result<(), PutPageError> {
        let mut conflicts = 0;
        while conflicts < ATTEMPTS_MAX {
            let view = self.view().await?;
            let open = open_upload(&view, upload).await?.ok_or(PutPageError::UploadGone)?;
            let mut batch = Batch::new();
            let mut delta = Delta::default();
            open.expect(&mut batch);
            let plan = PagePlan { view: &view, open: &open, due_unix_ms: self.due_unix_ms(now_unix_ms) };
            if !plan.truncate(&mut batch, &mut delta, at).await? {
                return Ok(());
            }
            drop(view);
            delta.add_to(&mut batch);
            if self.try_commit(batch).await?.is_none() {
                conflicts += 1;
            }
        }
        Err(CatalogError::Contended.into())
    }
}

/// Plans changes of one open upload's pages.
pub(super) struct PagePlan<'a, V> {
    pub(super) view: &'a V,
    pub(super) open: &'a OpenUpload,
    pub(super) due_unix_ms: u64,
}

impl<V: View> PagePlan<'_, V> {
    fn uses(&self) -> Uses {
        Uses::new(self.open.record.bucket, self.open.id, self.due_unix_ms).keeping_promises()
    }

    /// Adds what writes the page, as the last one of its part so far. Gives the part as it then is.
    pub(super) async fn put(
        &self,
        batch: &mut Batch,
        delta: &mut Delta,
        placed: &PlacedPage,
    ) -> Result<PartRecord, PutPageError> {
        validate(placed)?;
        let PlacedPage { at, page } = placed;
        let (part_key, page_key) = (keys::part(self.open.id, at.part), keys::page(self.open.id, *at));
        let found = find::<PartRecord>(self.view, &part_key).await?;
        let part =
            found.record.unwrap_or(PartRecord { pages: 0, segments: 0, plain_bytes: 0, complete: false });
        if at.page > part.pages {
            return Err(PutPageError::Gap { part: at.part, page: at.page, expected: part.pages });
        }
        if at.page + 1 < part.pages {
            // Left-over pages were dropped before: another writer is at the same part.
            return Err(CatalogError::Contended.into());
        }
        let old = find::<Page>(self.view, &page_key).await?.record;
        if old.as_ref() == Some(page) && at.page + 1 == part.pages {
            return Ok(part);
        }
        batch.expect(part_key.clone(), found.version);
        let mut uses = self.uses();
        page.segments.iter().for_each(|segment| uses.name(segment, 1));
        let (mut segments, mut plain_bytes) = (part.segments, part.plain_bytes);
        if let Some(old) = &old {
            old.segments.iter().for_each(|segment| uses.drop_one(segment.id, 1));
            segments = segments.saturating_sub(segments_of(old));
            plain_bytes = plain_bytes.saturating_sub(old.plain_bytes);
        }
        uses.plan(self.view, batch, delta).await?;
        let part = PartRecord {
            pages: at.page + 1,
            segments: segments + segments_of(page),
            plain_bytes: plain_bytes.saturating_add(page.plain_bytes),
            complete: page.last,
        };
        put(batch, part_key, &part)?;
        put(batch, page_key, page)?;
        Ok(part)
    }

    /// Adds what drops some pages behind `at`; false when there are none.
    async fn truncate(&self, batch: &mut Batch, delta: &mut Delta, at: PageAt) -> Result<bool, PutPageError> {
        let part_key = keys::part(self.open.id, at.part);
        let found = find::<PartRecord>(self.view, &part_key).await?;
        let Some(mut part) = found.record else { return Ok(false) };
        let keep = at.page.saturating_add(1).max(part.pages.saturating_sub(DROPPED_PAGES_MAX));
        if part.pages <= keep {
            return Ok(false);
        }
        batch.expect(part_key.clone(), found.version);
        let mut uses = self.uses();
        for page in keep..part.pages {
            let page_key = keys::page(self.open.id, PageAt { part: at.part, page });
            if let Some(page) = find::<Page>(self.view, &page_key).await?.record {
                page.segments.iter().for_each(|segment| uses.drop_one(segment.id, 1));
                part.segments = part.segments.saturating_sub(segments_of(&page));
                part.plain_bytes = part.plain_bytes.saturating_sub(page.plain_bytes);
            }
            batch.delete(page_key);
        }
        uses.plan(self.view, batch, delta).await?;
        put(batch, part_key, &PartRecord { pages: keep, complete: false, ..part })?;
        Ok(true)
    }
}
