//! Backups of rows: whatever is written meanwhile, each part leads to the rows of one revision.

use datamesh_catalog::backup::{BACKUP_BUCKET, Changed, PIECE_BYTES_MAX, Restore, RestoreError, RowPieces};
use datamesh_catalog::engine::MemoryKeyspace;
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{
    Batch, ChangesError, KeyRange, Keyspace, RangeLimits, Revision, VALUE_BYTES_MAX, View,
};
use datamesh_catalog::record::{self, ClusterRecord, RestoredRecord};
use datamesh_catalog::{BucketId, Catalog, CatalogOptions, NewUpload, Target, UploadId};
use datamesh_shard::{Incarnation, SegmentId};

use crate::support::{bare, delete, new_upload, on_all_engines, put, segment, target, upload_id};

on_all_engines!(bare: each_part_leads_to_the_rows_of_its_revision,);

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// All rows, in the order of their keys.
async fn rows(view: &impl View) -> Rows {
    let (mut range, mut all) = (KeyRange { start: vec![1], end: None }, Rows::new());
    loop {
        let page = view.range(&range, RangeLimits::default()).await.unwrap();
        if let Some(last) = page.rows.last() {
            range = range.after(&last.key);
        }
        all.extend(page.rows.into_iter().map(|row| (row.key, row.value)));
        if !page.more {
            return all;
        }
    }
}

async fn snapshot<K: Keyspace>(keyspace: &K) -> (Vec<Vec<u8>>, Revision, Rows) {
    let view = keyspace.view().await.unwrap();
    // What comes later does not show.
    put(keyspace, b"k-late", b"late").await.unwrap();
    let (mut reading, mut pieces) = (RowPieces::of(&view), Vec::new());
    while let Some(piece) = reading.next().await.unwrap() {
        assert!(piece.len() <= PIECE_BYTES_MAX);
        pieces.push(piece);
    }
    (pieces, view.revision().await.unwrap(), rows(&view).await)
}

async fn each_part_leads_to_the_rows_of_its_revision<K: Keyspace>(keyspace: K) {
    for n in 0..50_u8 {
        put(&keyspace, &[b'k', n], &[n; 9]).await.unwrap();
    }
    // More than one piece has room for.
    for n in 0..3_u8 {
        put(&keyspace, &[b'l', n], &vec![n; VALUE_BYTES_MAX - 100]).await.unwrap();
    }
    let (pieces, revision, expected) = snapshot(&keyspace).await;
    assert!(pieces.len() >= 2, "{}", pieces.len());
    let into = MemoryKeyspace::default();
    let restore = Restore::into_empty(into.clone()).await.unwrap();
    for piece in &pieces {
        restore.write(piece).await.unwrap();
    }
    assert_eq!(rows(&into.view().await.unwrap()).await, expected);
    let mut changed = Changed::since(revision);
    for round in 0..4_u8 {
        for n in 0..10 {
            put(&keyspace, &[b'k', n], &[round; 3]).await.unwrap();
            delete(&keyspace, &[b'k', 20 + round * 5 + n % 5]).await.unwrap();
        }
        changed.follow(&keyspace).await.unwrap();
        put(&keyspace, b"l-also", &[round]).await.unwrap();
        let view = keyspace.view().await.unwrap();
        // After the view, and followed before its part is written.
        put(&keyspace, &[b'k', 5], b"after the view").await.unwrap();
        put(&keyspace, &[b'm', round], b"after the view").await.unwrap();
        changed.follow(&keyspace).await.unwrap();
        let mut reading = changed.pieces(&view);
        while let Some(piece) = reading.next().await.unwrap() {
            restore.write(&piece).await.unwrap();
        }
        assert!(changed.through() >= view.revision().await.unwrap(), "all of the view's is known");
        changed.forget_through(view.revision().await.unwrap());
        assert_eq!(changed.bytes(), 4 + 2 * 80, "two keys changed after the view");
        assert_eq!(rows(&into.view().await.unwrap()).await, rows(&view).await, "round {round}");
    }
}

#[tokio::test]
async fn what_the_engine_forgot_is_not_passed_over() {
    let keyspace = MemoryKeyspace::default();
    put(&keyspace, b"a", b"1").await.unwrap();
    let mut of_another = Changed::since(Revision(9));
    assert!(matches!(of_another.follow(&keyspace).await, Err(ChangesError::Future { .. })));
    let mut late = Changed::since(Revision(0));
    keyspace.forget_changes();
    put(&keyspace, b"b", b"2").await.unwrap();
    assert!(matches!(late.follow(&keyspace).await, Err(ChangesError::Forgotten { .. })));
}

#[tokio::test]
async fn a_catalog_is_restored_into_nothing_and_under_a_later_incarnation() {
    let keyspace = MemoryKeyspace::default();
    let restore = Restore::into_empty(keyspace.clone()).await.unwrap();
    assert!(matches!(restore.finish(Incarnation(0), (&restored(), false)).await, Err(RestoreError::Nobodys)));
    let cluster = ClusterRecord { fingerprint: "f".into(), incarnation: Incarnation(41) };
    let mut batch = Batch::new();
    batch.put(keys::only(Table::Cluster), record::encode(&cluster).unwrap());
    keyspace.commit(batch).await.unwrap();
    assert!(matches!(Restore::into_empty(keyspace.clone()).await, Err(RestoreError::NotEmpty)));
    for (at_least, raised) in [(5, 42), (1_800_000_000, 1_800_000_000)] {
        let into = MemoryKeyspace::default();
        let restore = Restore::into_empty(into.clone()).await.unwrap();
        let view = keyspace.view().await.unwrap();
        restore.write(&RowPieces::of(&view).next().await.unwrap().unwrap()).await.unwrap();
        restore.finish(Incarnation(at_least), (&restored(), false)).await.unwrap();
        let row = into.get(&keys::only(Table::Cluster)).await.unwrap().unwrap();
        let found: ClusterRecord = record::decode(&row.value).unwrap();
        assert_eq!(found, ClusterRecord { fingerprint: "f".into(), incarnation: Incarnation(raised) });
        let catalog = Catalog::with_keyspace(into, "f", CatalogOptions::default()).await.unwrap();
        assert_eq!(catalog.restored().await.unwrap(), Some(restored()));
    }
}

fn restored() -> RestoredRecord {
    let (until_unix_ms, at_unix_ms) = (1_800_000_000_000, 1_800_000_060_000);
    RestoredRecord { generation: 7, wish: "newest".into(), until_unix_ms, at_unix_ms, revision: 300 }
}

#[tokio::test]
async fn a_backup_knows_its_own_rows_from_others() {
    let (own, other, segment) = (UploadId([7; 16]), UploadId([8; 16]), SegmentId([1; 32]));
    let keyspace = MemoryKeyspace::default();
    for key in [
        keys::upload(own),
        keys::lease(own),
        keys::lease_due(9, own),
        keys::used_segment(own, segment),
        keys::reference(BucketId(0), segment, own),
        keys::counter(1),
    ] {
        put(&keyspace, &key, b"1").await.unwrap();
    }
    let mut changed = Changed::since(Revision(0));
    changed.follow(&keyspace).await.unwrap();
    assert!(changed.is_only_of(own));
    assert!(!changed.is_only_of(other));
    for key in [keys::upload(other), keys::reference(BucketId(1), segment, other), keys::lease_due(9, other)]
    {
        let mut with_it = changed.clone();
        put(&keyspace, &key, b"1").await.unwrap();
        with_it.follow(&keyspace).await.unwrap();
        assert!(!with_it.is_only_of(own), "{}", hex::encode(&key));
    }
}

#[tokio::test]
async fn what_a_chain_had_is_kept_for_a_day_at_most() {
    let day = 24 * 3_600_000;
    for (retention_ms, kept_ms) in [(day / 24, day / 24), (30 * day, day)] {
        let catalog = Catalog::with_keyspace(MemoryKeyspace::default(), "f", CatalogOptions { retention_ms });
        let catalog = catalog.await.unwrap();
        for (n, bucket) in [(1, BACKUP_BUCKET), (2, BucketId(7))] {
            let target = Target { bucket, ..target("k", n) };
            let new = NewUpload { target, segments: vec![segment(n)], ..new_upload("k", n, 0) };
            catalog.begin_upload(new).await.unwrap();
            assert!(catalog.abort_upload(upload_id(n), 1000).await.unwrap());
        }
        let due = async |at| catalog.condemned_due(at, None, 10).await.unwrap().len();
        assert_eq!(due(1000 + kept_ms - 1).await, 0);
        assert!(due(1000 + kept_ms).await >= 1, "the chain's");
        assert_eq!(due(1000 + retention_ms).await, 2, "and that of objects");
    }
}

#[tokio::test]
async fn the_last_snapshots_are_remembered_and_a_generation_only_rises() {
    let catalog = Catalog::with_keyspace(MemoryKeyspace::default(), "f", CatalogOptions::default());
    let catalog = catalog.await.unwrap();
    assert!(catalog.snapshots_begun().await.unwrap().is_empty());
    for n in 0..20 {
        catalog.note_snapshot(n).await.unwrap();
    }
    assert_eq!(catalog.snapshots_begun().await.unwrap(), (12..20).collect::<Vec<_>>());
    for (generation, stands) in [(7, 7), (6, 7), (9, 9)] {
        catalog.begin_generation(&RestoredRecord { generation, ..restored() }).await.unwrap();
        assert_eq!(catalog.restored().await.unwrap().unwrap().generation, stands);
    }
}

#[tokio::test]
async fn a_backup_that_is_asked_for_must_lead_up_to_the_asking() {
    let catalog = Catalog::with_keyspace(MemoryKeyspace::default(), "f", CatalogOptions::default());
    let catalog = catalog.await.unwrap();
    assert_eq!(catalog.backup_asked().await.unwrap(), None);
    let first = catalog.ask_for_backup(5).await.unwrap();
    catalog.note_snapshot(6).await.unwrap();
    assert_eq!(catalog.backup_asked().await.unwrap(), Some((first, 5)));
    let again = catalog.ask_for_backup(4).await.unwrap();
    assert!(again > first, "whatever clocks say");
    assert_eq!(catalog.backup_asked().await.unwrap(), Some((again, 4)));
}

#[tokio::test]
async fn a_chain_whose_lease_ended_is_spared_where_that_is_asked() {
    let catalog = Catalog::with_keyspace(MemoryKeyspace::default(), "f", CatalogOptions::default());
    let catalog = catalog.await.unwrap();
    for (n, bucket) in [(1, BACKUP_BUCKET), (2, BucketId(7))] {
        let target = Target { bucket, ..target("k", n) };
        catalog.begin_upload(NewUpload { target, ..new_upload("k", n, 0) }).await.unwrap();
    }
    let aborted = catalog.reclaim_expired_beside(BACKUP_BUCKET, 100, 10).await.unwrap();
    assert_eq!(aborted, [upload_id(2)]);
    assert_eq!(catalog.reclaim_expired(100, 10).await.unwrap(), [upload_id(1)]);
}
