use std::collections::{BTreeMap, BTreeSet};

use datamesh_shard::SegmentId;

use super::{Flaw, FlawKind, MENDED_AT_ONCE};
use crate::catalog::faults::{each, find, put};
use crate::catalog::parts::parts_in;
use crate::catalog::references::Uses;
use crate::catalog::tally::Delta;
use crate::catalog::versioning::object_of_upload;
use crate::catalog::{Catalog, CatalogError, ReferenceError};
use crate::keys::{self, KeyReader, Table};
use crate::keyspace::{Batch, Keyspace, RangeLimits, Revision, View};
use crate::model::{Page, PageAt, PartSummary, SegmentRef, UploadId};
use crate::record::{
    self, CondemnedRecord, CondemnedSegmentRecord, KeyOnlyRecord, UploadRecord, UploadState,
    UsedSegmentRecord, Written as _,
};

/// Segments of an upload that are compared at a time: some 30 MiB of memory. Larger ones are read several times.
const COMPARED_AT_ONCE: u64 = 1 << 18;
/// Looks at an upload that is being mended: what keeps a segment in use can be written once it is on no list of what is deleted.
const LOOKS_MAX: usize = 3;

impl<K: Keyspace> Catalog<K> {
    /// Uploads behind one of them, also those that are objects now, at most `limit`, in an order of its own that stays.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn uploads_after(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        let all = keys::all(Table::Upload);
        let range = match after {
            None => all,
            Some(upload) => all.after(&keys::upload(upload)),
        };
        let rows = self.view().await?.range(&range, RangeLimits::rows(limit)).await?.rows;
        let id = |row: &crate::keyspace::Row| {
            let mut key = KeyReader::new(&row.key, Table::Upload)?;
            let id = UploadId(key.fixed()?);
            key.end()?;
            Ok(id)
        };
        rows.iter().map(id).collect()
    }

    /// What is wrong with the rows of an upload that is open or an object; none of one that is gone or going. With `mend`, what can
    /// be is mended, unless others write the same rows: then it is found again next time.
    ///
    /// # Errors
    /// The engine's faults.
    pub async fn check_upload(
        &self,
        upload: UploadId,
        mend: bool,
        now_unix_ms: u64,
    ) -> Result<Vec<Flaw>, CatalogError> {
        let (mut all, mut looks) = (BTreeSet::new(), 0);
        loop {
            let found: BTreeSet<FlawKind> =
                self.flaws_of(upload, mend.then_some(now_unix_ms)).await?.into_iter().collect();
            looks += 1;
            // What a first mend brings to light counts as well.
            all.extend(&found);
            if !mend || found.is_empty() || looks == LOOKS_MAX {
                let flaw = |kind| Flaw { upload, kind, mended: mend && !found.contains(&kind) };
                return Ok(all.into_iter().map(flaw).collect());
            }
        }
    }

    /// What is wrong, as it was found: mended with this time of day, where it is given.
    async fn flaws_of(&self, upload: UploadId, mend: Option<u64>) -> Result<Vec<FlawKind>, CatalogError> {
        let view = self.view().await?;
        let Some(standing) = Standing::find(&view, upload).await? else { return Ok(Vec::new()) };
        let mut all = standing.missing_pages(&view).await?;
        let named = standing.parts.iter().map(|part| part.segments).sum();
        // An upload may use many before a page names them.
        for slice in slices(standing.used(&view).await?.max(named)) {
            let compared = standing.compare(&view, slice).await?;
            all.extend(compared.iter().map(|(kind, _)| *kind));
            let Some(now_unix_ms) = mend else { continue };
            for some in compared.chunks(MENDED_AT_ONCE) {
                let due_unix_ms = self.due_unix_ms(now_unix_ms);
                if let Some(batch) = standing.mend(&view, some, due_unix_ms).await? {
                    self.try_commit(batch).await?;
                }
            }
        }
        Ok(all)
    }
}

/// First bytes of segment ids, in slices that hold not too many of so many segments.
fn slices(segments: u64) -> impl Iterator<Item = (u8, Option<u8>)> {
    let wanted = segments.div_ceil(COMPARED_AT_ONCE).clamp(1, 256).next_power_of_two();
    let width = 256 / wanted;
    (0..wanted).map(move |slice| {
        let first = |slice: u64| u8::try_from(slice * width).ok();
        (first(slice).unwrap_or(u8::MAX), first(slice + 1))
    })
}

/// An upload that is open, or an object.
struct Standing {
    id: UploadId,
    record: UploadRecord,
    version: Option<Revision>,
    parts: Vec<PartSummary>,
}

/// What pages and rows say of a segment.
#[derive(Default)]
struct Said {
    named: u32,
    segment: Option<SegmentRef>,
    used: Option<UsedSegmentRecord>,
}

impl Standing {
    async fn find(view: &impl View, id: UploadId) -> Result<Option<Self>, CatalogError> {
        let found = find::<UploadRecord>(view, &keys::upload(id)).await?;
        let Some(record) = found.record else { return Ok(None) };
        let stands = match record.state {
            UploadState::Open => true,
            // What was replaced or deleted is let go step by step: its rows are incomplete meanwhile.
            UploadState::Committed => object_of_upload(view, id).await?.is_some(),
            UploadState::Aborted => false,
        };
        let parts = if stands { parts_in(view, id).await? } else { Vec::new() };
        Ok(stands.then_some(Self { id, record, version: found.version, parts }))
    }

    /// Segments that it uses.
    async fn used(&self, view: &impl View) -> Result<u64, CatalogError> {
        let mut used = 0;
        each(view, keys::of_upload(Table::UsedSegment, self.id), |_| {
            used += 1;
            Ok(())
        })
        .await?;
        Ok(used)
    }

    async fn missing_pages(&self, view: &impl View) -> Result<Vec<FlawKind>, CatalogError> {
        let mut missing = Vec::new();
        for part in &self.parts {
            for page in 0..part.pages {
                let at = PageAt { part: part.part, page };
                if view.get(&keys::page(self.id, at)).await?.is_none() {
                    missing.push(FlawKind::PageMissing(at));
                }
            }
        }
        Ok(missing)
    }

    /// What is wrong with the segments whose ids are in a slice, and what is said of each.
    async fn compare(
        &self,
        view: &impl View,
        (first, end): (u8, Option<u8>),
    ) -> Result<Vec<(FlawKind, Said)>, CatalogError> {
        let mut said: BTreeMap<SegmentId, Said> = BTreeMap::new();
        let in_slice = |id: &SegmentId| id.0[0] >= first && end.is_none_or(|end| id.0[0] < end);
        each(view, keys::of_upload(Table::Page, self.id), |row| {
            let page: Page = record::decode(&row.value)?;
            for segment in page.segments.into_iter().filter(|segment| in_slice(&segment.id)) {
                let entry = said.entry(segment.id).or_default();
                entry.named += 1;
                entry.segment = Some(segment);
            }
            Ok(())
        })
        .await?;
        each(view, keys::of_upload(Table::UsedSegment, self.id), |row| {
            let mut key = KeyReader::new(&row.key, Table::UsedSegment)?;
            let (_, segment) = (key.fixed::<16>()?, SegmentId(key.fixed()?));
            key.end()?;
            if in_slice(&segment) {
                said.entry(segment).or_default().used = Some(UsedSegmentRecord::decode(&row.value)?);
            }
            Ok(())
        })
        .await?;
        let mut flaws = Vec::new();
        for (segment, said) in said {
            if let Some(kind) = self.flaw(view, segment, &said).await? {
                flaws.push((kind, said));
            }
        }
        Ok(flaws)
    }

    /// The first thing that is wrong; the next look finds the next.
    async fn flaw(
        &self,
        view: &impl View,
        segment: SegmentId,
        said: &Said,
    ) -> Result<Option<FlawKind>, CatalogError> {
        if view.get(&keys::condemned_segment(segment)).await?.is_some() {
            return Ok(Some(FlawKind::Condemned(segment)));
        }
        let Some(used) = &said.used else { return Ok(Some(FlawKind::Unused(segment))) };
        if view.get(&keys::reference(self.record.bucket, segment, self.id)).await?.is_none() {
            return Ok(Some(FlawKind::Unreferenced(segment)));
        }
        let (named, counted) = (said.named, used.uses);
        Ok((named != counted).then_some(FlawKind::Miscounted { segment, named, counted }))
    }

    /// What mends some of it, resting on all that was compared; `None` if a segment cannot be written down any more.
    async fn mend(
        &self,
        view: &impl View,
        flaws: &[(FlawKind, Said)],
        due_unix_ms: u64,
    ) -> Result<Option<Batch>, CatalogError> {
        let (mut batch, mut delta) = (Batch::new(), Delta::default());
        batch.expect(keys::upload(self.id), self.version);
        batch.expect_unchanged(keys::of_upload(Table::Page, self.id), view.revision().await?);
        let mut uses = Uses::new(self.record.bucket, self.id, due_unix_ms);
        if self.record.state == UploadState::Open {
            uses = uses.keeping_promises();
        }
        for (kind, said) in flaws {
            match *kind {
                FlawKind::Condemned(segment) => acquit(view, &mut batch, &mut delta, segment).await?,
                FlawKind::Unused(_) => {
                    if let Some(segment) = &said.segment {
                        uses.name(segment, said.named.into());
                    }
                }
                FlawKind::Miscounted { segment, named, counted } => match &said.segment {
                    Some(segment) => uses.name(segment, i64::from(named) - i64::from(counted)),
                    None => uses.drop_one(segment, counted.into()),
                },
                FlawKind::Unreferenced(segment) => {
                    let row = keys::reference(self.record.bucket, segment, self.id);
                    let used = find::<UsedSegmentRecord>(view, &keys::used_segment(self.id, segment)).await?;
                    batch.expect(keys::used_segment(self.id, segment), used.version);
                    put(&mut batch, row, &KeyOnlyRecord)?;
                }
                FlawKind::Idle(_) | FlawKind::PageMissing(_) => {}
            }
        }
        match uses.plan(view, &mut batch, &mut delta).await {
            Ok(()) => {}
            Err(ReferenceError::Catalog(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(upload = %self.id, %error, "a flaw of the catalog cannot be mended");
                return Ok(None);
            }
        }
        delta.add_to(&mut batch);
        Ok(Some(batch))
    }
}

/// Takes a segment off the list of what is to be deleted.
async fn acquit(
    view: &impl View,
    batch: &mut Batch,
    delta: &mut Delta,
    segment: SegmentId,
) -> Result<(), CatalogError> {
    let key = keys::condemned_segment(segment);
    let found = find::<CondemnedSegmentRecord>(view, &key).await?;
    let Some(CondemnedSegmentRecord { due_unix_ms, .. }) = found.record else { return Ok(()) };
    batch.expect(key.clone(), found.version);
    batch.delete(key);
    let listed = keys::condemned(due_unix_ms, segment);
    if let Some(CondemnedRecord { pool, profile, .. }) = find::<CondemnedRecord>(view, &listed).await?.record
    {
        batch.delete(listed);
        delta.condemned -= 1;
        delta.profile(&pool, profile, (-1, 0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_ids_once() {
        for segments in [0, 1, COMPARED_AT_ONCE, COMPARED_AT_ONCE + 1, 5 * COMPARED_AT_ONCE, u64::MAX] {
            let all: Vec<_> = slices(segments).collect();
            assert_eq!((all[0].0, all[all.len() - 1].1), (0, None));
            assert!(all.windows(2).all(|pair| pair[0].1 == Some(pair[1].0) && pair[0].0 < pair[1].0));
        }
        assert_eq!(slices(COMPARED_AT_ONCE).count(), 1);
        assert_eq!(slices(5 * COMPARED_AT_ONCE).count(), 8);
    }
}
