//! Random work on a catalog over RocksDB, held against a plain model, with reopening, and with every invariant of the
//! rows checked along the way.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::catalog::{PutPageError, ReferenceError};
use datamesh_catalog::keys::{self, KeyReader, Table};
use datamesh_catalog::keyspace::{Keyspace, RangeLimits, Row, View};
use datamesh_catalog::record::{self, PartRecord, UsedSegmentRecord};
use datamesh_catalog::{Condition, DraftBody, EmbeddedCatalog, ListQuery, Page, PlacedPage, SegmentRef};
use datamesh_shard::{Generation, SegmentId};

use crate::support::{
    BUCKET, Dice, RETENTION_MS, Rocks, catalog_on, draft, inline, key, new_upload, page, segment, upload_id,
};

const STEPS: usize = 900;
const SEGMENTS: usize = 40;

#[derive(Default)]
struct Model {
    /// name -> entity tag
    objects: BTreeMap<String, String>,
    open: BTreeMap<u64, String>,
    now: u64,
    uploads: u64,
    done: BTreeMap<&'static str, usize>,
}

async fn rows(catalog: &EmbeddedCatalog, table: Table) -> Vec<Row> {
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    catalog.keyspace().view().await.unwrap().range(&keys::all(table), all).await.unwrap().rows
}

/// The segment at the end of a key, after these other columns.
fn segment_of(row: &Row, table: Table, columns: impl Fn(&mut KeyReader<'_>)) -> SegmentId {
    let mut key = KeyReader::new(&row.key, table).unwrap();
    columns(&mut key);
    SegmentId(key.fixed().unwrap())
}

/// What must hold of the rows at any time.
async fn check(catalog: &EmbeddedCatalog, model: &Model) {
    let used = rows(catalog, Table::UsedSegment).await;
    let references = rows(catalog, Table::Reference).await;
    assert_eq!(used.len(), references.len(), "a reference for each used segment");
    let skip_upload = |key: &mut KeyReader<'_>| assert!(key.fixed::<16>().is_ok());
    let used_ids: BTreeSet<_> =
        used.iter().map(|row| segment_of(row, Table::UsedSegment, skip_upload)).collect();
    let skip_u64 = |key: &mut KeyReader<'_>| assert!(key.u64().is_ok());
    let referenced: BTreeSet<_> =
        references.iter().map(|row| segment_of(row, Table::Reference, skip_u64)).collect();
    assert_eq!(used_ids, referenced);
    let condemned = rows(catalog, Table::Condemned).await;
    let condemned: BTreeSet<_> =
        condemned.iter().map(|row| segment_of(row, Table::Condemned, skip_u64)).collect();
    let index = rows(catalog, Table::CondemnedSegment).await;
    let index: BTreeSet<_> =
        index.iter().map(|row| segment_of(row, Table::CondemnedSegment, |_| ())).collect();
    assert_eq!(condemned, index, "each condemned segment is found by its id");
    assert!(condemned.is_disjoint(&referenced), "no segment is both needed and condemned");
    let mut uses: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut pages: BTreeMap<Vec<u8>, (u64, u64)> = BTreeMap::new();
    for row in rows(catalog, Table::Page).await {
        let page: Page = record::decode(&row.value).unwrap();
        let part = pages.entry(row.key[2..22].to_vec()).or_default();
        *part = (part.0 + 1, part.1 + page.plain_bytes);
        for segment in &page.segments {
            *uses.entry([&row.key[2..18], &segment.id.0].concat()).or_default() += 1;
        }
    }
    for row in &used {
        let record: UsedSegmentRecord = record::decode(&row.value).unwrap();
        assert_eq!(record.uses, uses.remove(&row.key[2..]).unwrap_or(0), "how many pages name a segment");
    }
    assert_eq!(uses.len(), 0, "a page names a segment without a reference");
    for row in rows(catalog, Table::Part).await {
        let part: PartRecord = record::decode(&row.value).unwrap();
        assert_eq!(pages.remove(&row.key[2..]), Some((u64::from(part.pages), part.plain_bytes)));
    }
    assert_eq!(pages.len(), 0, "a page without a part");
    let counters = catalog.counters().await.unwrap();
    let number = |len: usize| u64::try_from(len).unwrap();
    assert_eq!((counters.objects, counters.uploads), (number(model.objects.len()), number(model.open.len())));
    assert_eq!(rows(catalog, Table::Lease).await.len(), model.open.len());
    assert_eq!(rows(catalog, Table::LeaseDue).await.len(), model.open.len());
    if rows(catalog, Table::CondemnedUpload).await.is_empty() {
        assert_eq!(counters.condemned_segments, number(condemned.len()));
    }
    let listing = catalog.list(BUCKET, &ListQuery { limit: 10_000, ..ListQuery::default() }).await.unwrap();
    let listed: Vec<_> =
        listing.entries.iter().map(|entry| (entry.key.to_string(), entry.etag.clone())).collect();
    assert_eq!(listed, model.objects.clone().into_iter().collect::<Vec<_>>());
}

impl Model {
    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn condition(&self, dice: &mut Dice, name: &str) -> (Condition, bool) {
        let current = self.objects.get(name);
        match dice.below(4) {
            0 => (Condition::IfAbsent, current.is_none()),
            1 => (Condition::IfMatch("no".into()), false),
            2 => (Condition::IfMatch(current.cloned().unwrap_or_default()), current.is_some()),
            _ => (Condition::None, true),
        }
    }

    async fn step(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog) {
        let name = format!("k{}", dice.below(6));
        let open: Vec<u64> = self.open.keys().copied().collect();
        match dice.below(12) {
            0 => self.inline(dice, catalog, &name).await,
            1 | 2 => self.begin(catalog, name).await,
            3 => {
                let (condition, met) = self.condition(dice, &name);
                let deleted = catalog.delete_object(BUCKET, &key(&name), &condition, self.now).await;
                assert_eq!(deleted.is_ok(), met);
                if met {
                    assert_eq!(
                        deleted.unwrap().object().map(|object| object.etag),
                        self.objects.remove(&name)
                    );
                    self.count("deletes");
                }
            }
            4 => self.now += u64::try_from(dice.below(400)).unwrap(),
            5 => self.collect(dice, catalog).await,
            6 if !open.is_empty() => {
                let upload = *dice.pick(&open);
                assert!(catalog.abort_upload(upload_id(upload), self.now).await.unwrap());
                self.open.remove(&upload);
                self.count("aborts");
            }
            7 if !open.is_empty() => {
                let upload = *dice.pick(&open);
                self.commit(dice, catalog, upload).await;
            }
            _ if !open.is_empty() => {
                let upload = *dice.pick(&open);
                self.page(dice, catalog, upload).await;
            }
            _ => {}
        }
    }

    async fn inline(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, name: &str) {
        self.uploads += 1;
        let (condition, met) = self.condition(dice, name);
        let etag = format!("inline {}", self.uploads);
        let target = crate::support::target(name, self.uploads);
        let done = catalog.put_inline(&target, &inline(&etag, self.now), &condition).await;
        assert_eq!(done.is_ok(), met, "{done:?}");
        if met {
            assert_eq!(done.unwrap().replaced, self.objects.insert(name.into(), etag).is_some());
            self.count("inline puts");
        }
    }

    async fn begin(&mut self, catalog: &EmbeddedCatalog, name: String) {
        self.uploads += 1;
        let mut new = new_upload(&name, self.uploads, self.now);
        new.lease_until_unix_ms = self.now + 700;
        catalog.begin_upload(new).await.unwrap();
        self.open.insert(self.uploads, name);
    }

    /// Puts a page of segments that others may use, too; a condemned one gets a newer generation, as a gateway does.
    async fn page(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, upload: u64) {
        let part = u32::try_from(dice.below(3)).unwrap();
        let parts = catalog.parts(upload_id(upload)).await.unwrap();
        let pages = parts.iter().find(|there| there.part == part).map_or(0, |there| there.pages);
        let number = if dice.once_in(3) { 0 } else { pages };
        let segments: Vec<u64> =
            (0..dice.below(6)).map(|_| u64::try_from(dice.below(SEGMENTS)).unwrap()).collect();
        let mut placed = page(part, number, &segments, dice.once_in(2));
        if dice.once_in(2) {
            self.reference(catalog, upload, &mut placed).await;
        }
        loop {
            match catalog.put_page(upload_id(upload), &placed, self.now).await {
                Ok(summary) => break assert_eq!(summary.pages, number + 1),
                Err(PutPageError::StaleGeneration { segment, needs }) => {
                    self.renew(&mut placed, segment, needs)
                }
                Err(error) => panic!("{error}"),
            }
        }
        self.count("pages");
    }

    async fn reference(&mut self, catalog: &EmbeddedCatalog, upload: u64, placed: &mut PlacedPage) {
        while let Err(error) = catalog.reference(upload_id(upload), &placed.page.segments).await {
            let ReferenceError::StaleGeneration { segment, needs } = error else { panic!("{error}") };
            self.renew(placed, segment, needs);
        }
    }

    fn renew(&mut self, placed: &mut PlacedPage, segment: SegmentId, needs: Generation) {
        self.count("renewed generations");
        for named in placed.page.segments.iter_mut().filter(|named| named.id == segment) {
            named.generation = needs;
        }
    }

    async fn commit(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, upload: u64) {
        let name = self.open[&upload].clone();
        let parts = catalog.parts(upload_id(upload)).await.unwrap();
        let listed: Vec<_> = parts.iter().filter(|part| part.complete && !dice.once_in(4)).collect();
        let size = listed.iter().map(|part| part.plain_bytes).sum();
        let body = DraftBody::Pages { parts: listed.iter().map(|part| part.part).collect(), last_page: None };
        let (condition, met) = self.condition(dice, &name);
        let etag = format!("paged {upload}");
        let done =
            catalog.commit_object(upload_id(upload), &draft(body, size, &etag, self.now), &condition).await;
        assert_eq!(done.is_ok(), met, "{done:?}");
        if met {
            assert_eq!(done.unwrap().replaced, self.objects.insert(name, etag).is_some());
            self.open.remove(&upload);
            self.count("commits");
        }
    }

    async fn collect(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog) {
        for reclaimed in catalog.reclaim_expired(self.now, 3).await.unwrap() {
            let number = u64::from_be_bytes(reclaimed.0[8..].try_into().unwrap());
            assert!(self.open.remove(&number).is_some(), "an upload that was not open was reclaimed");
            self.count("reclaimed uploads");
        }
        let due = catalog.condemned_due(self.now, None, 1 + dice.below(20)).await.unwrap();
        assert!(due.iter().all(|condemned| condemned.due_unix_ms <= self.now));
        assert_eq!(catalog.forget_condemned(&due).await, Ok(due.len()));
        *self.done.entry("forgotten segments").or_default() += due.len();
    }
}

#[tokio::test]
async fn random_work() {
    let mut dice = Dice::new("random_work");
    let mut rocks = Rocks::new();
    let mut catalog = catalog_on(rocks.any()).await;
    let mut model = Model::default();
    for step in 0..STEPS {
        model.step(&mut dice, &catalog).await;
        if step % 10 == 0 {
            check(&catalog, &model).await;
        }
        if dice.once_in(150) {
            drop(catalog);
            rocks = rocks.reopen();
            catalog = catalog_on(rocks.any()).await;
        }
    }
    println!("{:?}", model.done);
    for what in
        ["inline puts", "deletes", "aborts", "pages", "commits", "renewed generations", "forgotten segments"]
    {
        assert!(model.done.get(what).is_some_and(|times| *times > 3), "too few {what}: {:?}", model.done);
    }
    everything_goes(&catalog, &mut model).await;
}

/// Once all is deleted and collected, only what belongs to no object is left.
async fn everything_goes(catalog: &EmbeddedCatalog, model: &mut Model) {
    for name in std::mem::take(&mut model.objects).keys() {
        catalog.delete_object(BUCKET, &key(name), &Condition::None, model.now).await.unwrap();
    }
    for upload in std::mem::take(&mut model.open).keys() {
        catalog.abort_upload(upload_id(*upload), model.now).await.unwrap();
    }
    loop {
        let due = catalog.condemned_due(model.now + RETENTION_MS, None, 100).await.unwrap();
        if due.is_empty() {
            break;
        }
        catalog.forget_condemned(&due).await.unwrap();
    }
    check(catalog, model).await;
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    let everything = datamesh_catalog::keyspace::KeyRange::prefix(b"");
    let left = catalog.keyspace().view().await.unwrap().range(&everything, all).await.unwrap().rows;
    let counters = [Table::Counter as u8, Table::BucketCounter as u8, Table::ProfileCounter as u8];
    let kept = [&[Table::Cluster as u8][..], &counters].concat();
    let strangers: Vec<_> = left.iter().filter(|row| !kept.contains(&row.key[1])).collect();
    assert_eq!(strangers, Vec::<&Row>::new());
    assert_eq!(catalog.counters().await.unwrap(), Default::default());
    let SegmentRef { pool, profile, .. } = segment(0);
    assert_eq!(catalog.profile_usage(&pool, profile).await.unwrap(), Default::default());
    assert_eq!(catalog.bucket_usage(BUCKET).await.unwrap(), Default::default());
}
