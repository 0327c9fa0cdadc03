//! Random work on a catalog over RocksDB, held against a plain model, with reopening, and with every invariant of the
//! rows checked along the way.

mod rows;

use std::collections::BTreeMap;

use datamesh_catalog::catalog::{PutPageError, ReferenceError};
use datamesh_catalog::keys::Table;
use datamesh_catalog::keyspace::{Keyspace, RangeLimits, Row, View};
use datamesh_catalog::{
    Condition, Deleted, DraftBody, EmbeddedCatalog, Grounds, Marking, Object, PlacedPage, SegmentRef,
    VersionId, Versioning,
};
use datamesh_shard::{Generation, SegmentId};

use crate::support::{
    BUCKET, Dice, RETENTION_MS, Rocks, catalog_on, draft, inline, key, new_upload, page, segment, upload_id,
};
use crate::versions::model;
use rows::check;

const STEPS: usize = 1200;
const SEGMENTS: usize = 40;

#[derive(Default)]
struct Model {
    kept: model::Model,
    open: BTreeMap<u64, String>,
    now: u64,
    uploads: u64,
    done: BTreeMap<&'static str, usize>,
}

impl Model {
    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn condition(&self, dice: &mut Dice, name: &str) -> (Condition, bool) {
        let current = self.kept.current(name);
        match dice.below(4) {
            0 => (Condition::IfAbsent, current.is_none()),
            1 => (Condition::IfMatch("no".into()), false),
            2 => (Condition::IfMatch(current.clone().unwrap_or_default()), current.is_some()),
            _ => (Condition::None, true),
        }
    }

    async fn step(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog) {
        let name = format!("k{}", dice.below(6));
        let open: Vec<u64> = self.open.keys().copied().collect();
        match dice.below(14) {
            0 => self.inline(dice, catalog, &name).await,
            1 | 2 => self.begin(catalog, name).await,
            3 => self.delete(dice, catalog, &name).await,
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
            12 => self.delete_version(dice, catalog, &name).await,
            13 if self.done.get("commits").is_some_and(|commits| *commits > 3) && dice.once_in(3) => {
                let state = *dice.pick(&[Versioning::Enabled, Versioning::Enabled, Versioning::Suspended]);
                catalog.set_versioning(BUCKET, state).await.unwrap();
                self.kept.state = Some(state);
                self.count("switches");
            }
            _ if !open.is_empty() => {
                let upload = *dice.pick(&open);
                self.page(dice, catalog, upload).await;
            }
            _ => {}
        }
    }

    async fn delete(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, name: &str) {
        self.uploads += 1;
        let (condition, met) = self.condition(dice, name);
        let before = self.kept.current(name);
        let marking = Marking::Always(upload_id(self.uploads));
        let deleted = catalog.delete_object(BUCKET, &key(name), &condition, marking, self.now).await;
        assert_eq!(deleted.is_ok(), met);
        match deleted {
            Err(_) => return,
            Ok(Deleted::Nothing) => assert_eq!((self.kept.state, before), (None, None)),
            Ok(Deleted::Object(object)) => {
                assert_eq!((self.kept.state, before), (None, Some(object.etag)));
                self.kept.remove(name, VersionId::Null);
            }
            Ok(Deleted::Marked { marker, gone }) => {
                let of_model = self.kept.push(name, Some(marker.version), None);
                assert_eq!(gone.map(|object| object.etag), of_model.map(|(etag, _)| etag));
                self.count("markers");
            }
        }
        self.count("deletes");
    }

    async fn delete_version(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, name: &str) {
        let Some(versions) = self.kept.keys.get(name) else { return };
        let id = dice.pick(versions).id;
        assert!(
            catalog.delete_version((BUCKET, &key(name)), id, Grounds::at(self.now)).await.unwrap().is_some()
        );
        self.kept.remove(name, id);
        self.count("deletes of versions");
    }

    /// An object was put; says whether it replaced what was shown.
    fn put(&mut self, name: &str, Object { version, etag, size_bytes, .. }: Object) -> bool {
        let replaced = self.kept.current(name).is_some();
        self.kept.push(name, version, Some((etag, size_bytes)));
        replaced
    }

    async fn inline(&mut self, dice: &mut Dice, catalog: &EmbeddedCatalog, name: &str) {
        self.uploads += 1;
        let (condition, met) = self.condition(dice, name);
        let etag = format!("inline {}", self.uploads);
        let target = crate::support::target(name, self.uploads);
        let done = catalog.put_inline(&target, &inline(&etag, self.now), &condition).await;
        assert_eq!(done.is_ok(), met, "{done:?}");
        if met {
            let done = done.unwrap();
            assert_eq!(done.replaced, self.put(name, done.object));
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
            let done = done.unwrap();
            assert_eq!(done.replaced, self.put(&name, done.object));
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
    for what in [
        "inline puts",
        "deletes",
        "aborts",
        "pages",
        "commits",
        "renewed generations",
        "forgotten segments",
        "switches",
        "markers",
        "deletes of versions",
    ] {
        assert!(model.done.get(what).is_some_and(|times| *times > 3), "too few {what}: {:?}", model.done);
    }
    everything_goes(&catalog, &mut model).await;
}

/// Once all is deleted and collected, only what belongs to no object is left.
async fn everything_goes(catalog: &EmbeddedCatalog, model: &mut Model) {
    for (name, versions) in std::mem::take(&mut model.kept.keys) {
        for version in versions {
            let whose = (BUCKET, &key(&name));
            assert!(
                catalog.delete_version(whose, version.id, Grounds::at(model.now)).await.unwrap().is_some()
            );
        }
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
    let kept = [&[Table::Cluster as u8, Table::Versioning as u8][..], &counters].concat();
    let strangers: Vec<_> = left.iter().filter(|row| !kept.contains(&row.key[1])).collect();
    assert_eq!(strangers, Vec::<&Row>::new());
    assert_eq!(catalog.counters().await.unwrap(), Default::default());
    let SegmentRef { pool, profile, .. } = segment(0);
    assert_eq!(catalog.profile_usage(&pool, profile).await.unwrap(), Default::default());
    assert_eq!(catalog.bucket_usage(BUCKET).await.unwrap(), Default::default());
}
