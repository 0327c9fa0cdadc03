//! What must hold of the catalog's rows at any time.

use std::collections::{BTreeMap, BTreeSet};

use datamesh_catalog::keys::{self, KeyReader, Table};
use datamesh_catalog::keyspace::{Keyspace, RangeLimits, Row, View};
use datamesh_catalog::record::{
    self, BehindRecord, BodyRecord, CurrentRecord, PartRecord, UsedSegmentRecord, VersionBodyRecord,
    Written as _,
};
use datamesh_catalog::{EmbeddedCatalog, ListQuery, Page, UploadId, VersionQuery};
use datamesh_shard::SegmentId;

use super::Model;
use crate::support::BUCKET;
use crate::versions::model;

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

/// The upload at the end of a key, after when it is due.
fn upload_of(row: &Row, table: Table) -> UploadId {
    let mut key = KeyReader::new(&row.key, table).unwrap();
    key.u64().unwrap();
    UploadId(key.fixed().unwrap())
}

/// What must hold of the rows at any time.
pub(super) async fn check(catalog: &EmbeddedCatalog, model: &Model) {
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
        let record = UsedSegmentRecord::decode(&row.value).unwrap();
        assert_eq!(record.uses, uses.remove(&row.key[2..]).unwrap_or(0), "how many pages name a segment");
    }
    assert_eq!(uses.len(), 0, "a page names a segment without a reference");
    all_of_each_version_is_there(catalog, model).await;
    for row in rows(catalog, Table::Part).await {
        let part: PartRecord = record::decode(&row.value).unwrap();
        assert_eq!(pages.remove(&row.key[2..]), Some((u64::from(part.pages), part.plain_bytes)));
    }
    assert_eq!(pages.len(), 0, "a page without a part");
    let counters = catalog.counters().await.unwrap();
    let number = |len: usize| u64::try_from(len).unwrap();
    let shown = model.kept.shown();
    assert_eq!((counters.objects, counters.uploads), (number(shown.len()), number(model.open.len())));
    assert_eq!(catalog.bucket_usage(BUCKET).await.unwrap(), model.kept.usage());
    assert_eq!(rows(catalog, Table::Lease).await.len(), model.open.len());
    assert_eq!(rows(catalog, Table::LeaseDue).await.len(), model.open.len());
    if rows(catalog, Table::CondemnedUpload).await.is_empty() {
        assert_eq!(counters.condemned_segments, number(condemned.len()));
    }
    let listing = catalog.list(BUCKET, &ListQuery { limit: 10_000, ..ListQuery::default() }).await.unwrap();
    let listed: Vec<_> =
        listing.entries.iter().map(|entry| (entry.key.to_string(), entry.etag.clone())).collect();
    assert_eq!(listed, shown);
    let query = VersionQuery { limit: 7, ..VersionQuery::default() };
    assert_eq!(model::pages(catalog, BUCKET, query).await, model.kept.listed("", None));
}

/// Uploads, and their parts, of all objects and of all versions behind them. Of each, no page is missing or let go.
async fn all_of_each_version_is_there(catalog: &EmbeddedCatalog, model: &Model) {
    let mut objects: Vec<_> = Vec::new();
    for row in rows(catalog, Table::Object).await {
        objects.push(CurrentRecord::decode(&row.value).unwrap().object);
    }
    let behind = rows(catalog, Table::Version).await;
    let all = objects.len() + behind.len();
    assert_eq!(all, model.kept.keys.values().map(Vec::len).sum::<usize>());
    for row in &behind {
        if let VersionBodyRecord::Object(object) = BehindRecord::decode(&row.value).unwrap().what {
            objects.push(object);
        }
    }
    let let_go = rows(catalog, Table::CondemnedUpload).await;
    let let_go: BTreeSet<UploadId> =
        let_go.iter().map(|row| upload_of(row, Table::CondemnedUpload)).collect();
    // Pages are held against their parts, and segments against their pages, by the caller.
    let parts: BTreeMap<_, PartRecord> = rows(catalog, Table::Part)
        .await
        .into_iter()
        .map(|row| (row.key[2..].to_vec(), record::decode(&row.value).unwrap()))
        .collect();
    for object in objects {
        assert!(!let_go.contains(&object.upload), "{:?} is needed", object.upload);
        let BodyRecord::Pages(of_object) = object.body else { continue };
        for part in of_object {
            let there = &parts[&[&object.upload.0[..], &part.part.to_be_bytes()].concat()];
            assert_eq!((there.pages, there.plain_bytes), (part.pages, part.plain_bytes));
        }
    }
}
