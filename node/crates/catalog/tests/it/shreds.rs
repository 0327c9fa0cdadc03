//! An object that is shredded is deleted without delay, not forgotten before it is over, and leaves no bytes in any file.

use std::path::Path;

use datamesh_catalog::catalog::ShredError;
use datamesh_catalog::engine::RocksKeyspace;
use datamesh_catalog::keyspace::{KeyRange, Keyspace, RangeLimits, View as _};
use datamesh_catalog::limits::SHREDS_MAX;
use datamesh_catalog::record::ShredState;
use datamesh_catalog::{Catalog, Condition};
use datamesh_shard::{NodeName, PoolName};

use crate::support::{
    BUCKET, catalog_on, inline, key, new_upload, on_all_engines, one_page, open, segment_id, target,
    upload_id,
};

on_all_engines!(catalog_on: rows_lead_from_the_delete_to_the_end, one_that_is_called_off_leaves_nothing);

fn pool() -> PoolName {
    PoolName::new("fast").unwrap()
}

async fn put<K: Keyspace>(catalog: &Catalog<K>, name: &str, upload: u64, segments: &[u64]) {
    catalog.begin_upload(new_upload(name, upload, 0)).await.unwrap();
    catalog.commit_object(upload_id(upload), &one_page(segments, "e", 0), &Condition::None).await.unwrap();
}

async fn shred<K: Keyspace>(catalog: &Catalog<K>, name: &str, now: u64) {
    let gone = catalog.shred_object((BUCKET, &pool()), &key(name), &Condition::None, now).await;
    assert!(gone.unwrap().is_some());
}

async fn rows_lead_from_the_delete_to_the_end<K: Keyspace>(catalog: Catalog<K>) {
    put(&catalog, "a", 1, &[1, 2, 3]).await;
    put(&catalog, "b", 2, &[4]).await;
    let nothing = catalog.shred_object((BUCKET, &pool()), &key("no"), &Condition::None, 5).await;
    assert_eq!(nothing, Ok(None));
    assert_eq!(catalog.shreds().await.unwrap(), []);
    shred(&catalog, "a", 5).await;
    assert_eq!(catalog.object(BUCKET, &key("a")).await.unwrap(), None);
    let going = catalog.shred(upload_id(1)).await.unwrap().unwrap();
    assert_eq!(going.record.state, ShredState::Going { bucket: BUCKET, key: key("a") });
    let segments = |after| catalog.shred_segments(upload_id(1), after, 2);
    assert_eq!(segments(None).await.unwrap(), None, "it is not taken apart yet");
    // Without the retention: due at the moment of the delete.
    let due = catalog.condemned_due(5, None, 10).await.unwrap();
    assert_eq!(due.len(), 3);
    assert_eq!(segments(None).await.unwrap(), None, "nor deleted from the nodes");
    catalog.forget_condemned(&due).await.unwrap();
    assert_eq!(segments(None).await.unwrap(), Some(vec![segment_id(1), segment_id(2)]));
    assert_eq!(segments(Some(segment_id(2))).await.unwrap(), Some(vec![segment_id(3)]));
    let partly = vec![NodeName::new("n1").unwrap()];
    catalog.end_shred(upload_id(1), 9, partly.clone()).await.unwrap();
    let over = catalog.shreds().await.unwrap();
    assert_eq!(over[0].record.state, ShredState::Over { at_unix_ms: 9, partly });
    assert_eq!(segments(None).await.unwrap(), Some(Vec::new()));
    assert!(catalog.forget_shred(upload_id(1)).await.unwrap());
    assert!(!catalog.forget_shred(upload_id(1)).await.unwrap());
    assert_eq!(catalog.shreds().await.unwrap(), []);
    assert!(catalog.object(BUCKET, &key("b")).await.unwrap().is_some());
}

async fn one_that_is_called_off_leaves_nothing<K: Keyspace>(catalog: Catalog<K>) {
    put(&catalog, "a", 1, &[1, 2, 3]).await;
    shred(&catalog, "a", 5).await;
    assert!(catalog.forget_shred(upload_id(1)).await.unwrap());
    assert_eq!(catalog.condemned_due(5, None, 10).await.unwrap().len(), 3, "it stays deleted");
    assert_eq!(catalog.shred_segments(upload_id(1), None, 9).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn so_many_and_no_more() {
    let catalog = catalog_on(crate::support::memory()).await;
    for upload in 0..=SHREDS_MAX as u64 {
        let name = format!("k{upload}");
        catalog.put_inline(&target(&name, upload), &inline("e", 0), &Condition::None).await.unwrap();
        let done = catalog.shred_object((BUCKET, &pool()), &key(&name), &Condition::None, 1).await;
        assert_eq!(done == Err(ShredError::TooMany), upload == SHREDS_MAX as u64, "{upload}: {done:?}");
    }
}

/// Rows that went stay in the engine's files until what they were in is purged.
#[tokio::test]
async fn no_row_that_had_the_name_is_forgotten() {
    let catalog = catalog_on(crate::support::memory()).await;
    let name = "a name that goes";
    let named = async || {
        let (all, view) =
            (KeyRange { start: Vec::new(), end: None }, catalog.keyspace().view().await.unwrap());
        let limits = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
        let rows = view.range(&all, limits).await.unwrap().rows;
        let has = |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        rows.into_iter().filter(|row| has(&row.key) || has(&row.value)).map(|row| row.key).collect::<Vec<_>>()
    };
    catalog.begin_listed_upload(new_upload(name, 1, 0)).await.unwrap();
    let mut rows = named().await;
    catalog.commit_object(upload_id(1), &one_page(&[1], "e", 0), &Condition::None).await.unwrap();
    rows.extend(named().await);
    shred(&catalog, name, 5).await;
    rows.extend(named().await);
    assert!(rows.len() > 3, "the control");
    let ranges =
        Catalog::<datamesh_catalog::engine::MemoryKeyspace>::shred_ranges(upload_id(1), BUCKET, &key(name));
    for row in rows {
        assert!(ranges.iter().any(|range| range.contains(&row)), "{}", row.escape_ascii());
    }
}

/// Files of the database in which these bytes stand.
fn holding(dir: &Path, needle: &[u8]) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle)).count()
}

/// Bytes that no compression hides.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| byte()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_is_in_no_file_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let rocks: RocksKeyspace = open(&dir);
    let catalog = catalog_on(rocks.clone()).await;
    let sealed = |upload: u64| noise(upload, 300);
    for upload in 0..30 {
        let mut draft = one_page(&[upload], "e", 0);
        if let datamesh_catalog::DraftBody::Pages { last_page: Some(last), .. } = &mut draft.body {
            last.page.sealed = sealed(upload);
        }
        // Listed, as those in parts are: then the key stands in one more row.
        catalog.begin_listed_upload(new_upload(&format!("k{upload}"), upload, 0)).await.unwrap();
        catalog.commit_object(upload_id(upload), &draft, &Condition::None).await.unwrap();
        if upload == 20 {
            // Some of it lies in tables already, the rest in the log.
            rocks.purge(&[]).unwrap();
        }
    }
    let gone = [7, 25];
    for upload in gone {
        assert!(holding(dir.path(), &sealed(upload)[100..132]) > 0, "the control");
        shred(&catalog, &format!("k{upload}"), 5).await;
    }
    catalog.condemned_due(5, None, 10).await.unwrap();
    for upload in gone {
        assert!(holding(dir.path(), &sealed(upload)[100..132]) > 0, "deleted rows stay in the files");
    }
    for upload in gone {
        let ranges =
            Catalog::<RocksKeyspace>::shred_ranges(upload_id(upload), BUCKET, &key(&format!("k{upload}")));
        rocks.purge(&ranges).unwrap();
        assert_eq!(holding(dir.path(), &sealed(upload)[100..132]), 0);
        assert_eq!(holding(dir.path(), format!("k{upload}\0\0").as_bytes()), 0);
    }
    for upload in (0..30).filter(|upload| !gone.contains(upload)) {
        let at = datamesh_catalog::PageAt { part: 0, page: 0 };
        let page = catalog.page(upload_id(upload), at).await.unwrap().unwrap();
        assert_eq!(page.sealed, sealed(upload));
        assert!(holding(dir.path(), &sealed(upload)[100..132]) > 0);
    }
}
