//! Condemning in one row, expanding in bounded batches, forgetting.

use datamesh_catalog::engine::RocksKeyspace;
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Keyspace, RangeLimits, Revision, View};
use datamesh_catalog::{Catalog, Condition, DraftBody, PageAt};

use crate::support::{
    ALWAYS, BUCKET, RETENTION_MS, Rocks, catalog_on, draft, key, new_upload, on_all_engines, one_page, page,
    segment, upload_id,
};

on_all_engines!(catalog_on:
    a_running_read_finishes_the_old_version, shared_segments_go_with_their_last_object, many_small_objects,
);

async fn put<K: Keyspace>(catalog: &Catalog<K>, name: &str, upload: u64, segments: &[u64]) {
    catalog.begin_upload(new_upload(name, upload, 0)).await.unwrap();
    catalog.commit_object(upload_id(upload), &one_page(segments, "e", 0), &Condition::None).await.unwrap();
}

async fn a_running_read_finishes_the_old_version<K: Keyspace>(catalog: Catalog<K>) {
    put(&catalog, "a", 1, &[1]).await;
    let read = catalog.object(BUCKET, &key("a")).await.unwrap().unwrap();
    put(&catalog, "a", 2, &[2]).await;
    let first = PageAt { part: 0, page: 0 };
    assert_eq!(catalog.condemned_due(RETENTION_MS - 1, None, 10).await.unwrap(), []);
    assert_eq!(catalog.page(read.upload, first).await.unwrap(), Some(page(0, 0, &[1], true).page));
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap().len(), 1);
    assert_eq!(catalog.page(read.upload, first).await.unwrap(), None);
    assert_eq!(catalog.page(upload_id(2), first).await.unwrap(), Some(page(0, 0, &[2], true).page));
}

async fn shared_segments_go_with_their_last_object<K: Keyspace>(catalog: Catalog<K>) {
    for (name, upload) in [("a", 1), ("b", 2), ("c", 3)] {
        put(&catalog, name, upload, &[7, upload + 10]).await;
    }
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap().len(), 1, "only its own");
    for name in ["b", "c"] {
        catalog.delete_object(BUCKET, &key(name), &Condition::None, ALWAYS, 0).await.unwrap();
    }
    let due = catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap();
    assert_eq!(due.len(), 4, "expanded in one batch, the shared one is condemned once");
    let behind = |n: usize| catalog.condemned_due(RETENTION_MS, Some(&due[n]), 10);
    assert_eq!(behind(1).await.unwrap(), due[2..], "what cannot go yet is passed over");
    assert_eq!(behind(3).await.unwrap(), []);
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 4);
    assert_eq!(catalog.forget_condemned(&due[..3]).await, Ok(3));
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap(), due[3..]);
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 1);
}

async fn many_small_objects<K: Keyspace>(catalog: Catalog<K>) {
    for upload in 0..200_u64 {
        put(&catalog, &format!("k{upload}"), upload, &[upload]).await;
        catalog
            .delete_object(BUCKET, &key(&format!("k{upload}")), &Condition::None, ALWAYS, upload)
            .await
            .unwrap();
    }
    let mut forgotten = 0;
    loop {
        let due = catalog.condemned_due(10_000, None, 30).await.unwrap();
        if due.is_empty() {
            break;
        }
        assert!(due.len() <= 30);
        assert!(due.is_sorted_by_key(|condemned| condemned.due_unix_ms), "the longest due first");
        forgotten += catalog.forget_condemned(&due).await.unwrap();
    }
    assert_eq!(forgotten, 200);
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 0);
}

async fn rows(keyspace: &RocksKeyspace, table: Table) -> usize {
    let view = keyspace.view().await.unwrap();
    view.range(&keys::all(table), RangeLimits { rows: usize::MAX, bytes: usize::MAX })
        .await
        .unwrap()
        .rows
        .len()
}

async fn changes_since(keyspace: &RocksKeyspace, since: Revision) -> usize {
    keyspace.changes_since(since, 1_000_000).await.unwrap().changes.len()
}

/// 20,480 segments in 80 pages: the commit and the delete write a handful of rows, the expansion is in bounded batches.
#[tokio::test]
async fn a_large_object_is_condemned_by_one_row() {
    let rocks = Rocks::new();
    let keyspace = &rocks.keyspace;
    let catalog = catalog_on(keyspace.clone()).await;
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    for number in 0..80_u32 {
        let from = u64::from(number) * 256;
        let segments: Vec<u64> = (from..from + 256).collect();
        catalog.put_page(upload_id(1), &page(0, number, &segments, number == 79), 0).await.unwrap();
    }
    let body = DraftBody::Pages { parts: vec![0], last_page: None };
    let before = keyspace.view().await.unwrap().revision().await.unwrap();
    catalog.commit_object(upload_id(1), &draft(body, 204_800, "e", 0), &Condition::None).await.unwrap();
    let committed = changes_since(keyspace, before).await;
    assert!(committed <= 10, "the commit wrote {committed} rows");
    let before = keyspace.view().await.unwrap().revision().await.unwrap();
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    let deleted = changes_since(keyspace, before).await;
    assert!(deleted <= 6, "the delete wrote {deleted} rows");
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 20_480);
    let mut forgotten = 0;
    loop {
        let due = catalog.condemned_due(RETENTION_MS, None, 1024).await.unwrap();
        if due.is_empty() {
            break;
        }
        forgotten += catalog.forget_condemned(&due).await.unwrap();
    }
    assert_eq!(forgotten, 20_480);
    for table in [
        Table::Upload,
        Table::Lease,
        Table::LeaseDue,
        Table::Part,
        Table::Page,
        Table::UsedSegment,
        Table::Reference,
        Table::Object,
        Table::CondemnedUpload,
        Table::Condemned,
        Table::CondemnedSegment,
    ] {
        assert_eq!(rows(keyspace, table).await, 0, "{table:?}");
    }
    assert_eq!(catalog.counters().await.unwrap(), Default::default());
}

/// References come and go while segments are let go: none is both needed and condemned, and none is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_race_with_expansion() {
    let rocks = Rocks::new();
    let catalog = catalog_on(rocks.keyspace.clone()).await;
    for round in 0..30_u64 {
        let (old, new) = (1000 + 2 * round, 1001 + 2 * round);
        let shared: Vec<u64> = (round * 20..round * 20 + 20).collect();
        put(&catalog, "old", old, &shared).await;
        catalog.delete_object(BUCKET, &key("old"), &Condition::None, ALWAYS, 0).await.unwrap();
        catalog.begin_upload(new_upload("new", new, 0)).await.unwrap();
        let mut referencing = {
            let (catalog, shared) = (catalog.clone(), shared.clone());
            let mut task = tokio::task::JoinSet::new();
            task.spawn(async move {
                let mut taken = Vec::new();
                for number in shared {
                    if catalog.reference(upload_id(new), &[segment(number)]).await.is_ok() {
                        taken.push(number);
                    }
                }
                taken
            });
            task
        };
        let mut condemned = catalog.condemned_due(RETENTION_MS, None, 1000).await.unwrap();
        let taken = referencing.join_next().await.unwrap().unwrap();
        condemned.extend(catalog.condemned_due(RETENTION_MS, None, 1000).await.unwrap());
        let condemned: std::collections::BTreeSet<_> =
            condemned.iter().map(|condemned| condemned.segment).collect();
        for number in &shared {
            let id = segment(*number).id;
            assert_ne!(
                taken.contains(number),
                condemned.contains(&id),
                "segment {number}: exactly one of the two"
            );
        }
        let due = catalog.condemned_due(RETENTION_MS, None, 1000).await.unwrap();
        catalog.forget_condemned(&due).await.unwrap();
    }
}
