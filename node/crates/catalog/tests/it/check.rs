//! Rows that disagree are found, and mended where what is right follows from the rest. What others write meanwhile is no flaw.

use datamesh_catalog::catalog::{FlawKind, UnknownSegment};
use datamesh_catalog::keys;
use datamesh_catalog::keyspace::{Batch, Keyspace};
use datamesh_catalog::{Catalog, Condition, PageAt, Versioning};
use datamesh_shard::{Generation, SegmentId};

use crate::support::{
    ALWAYS, BUCKET, RETENTION_MS, catalog_on, key, new_upload, on_all_engines, one_page, page, segment,
    segment_id, upload_id,
};

on_all_engines!(catalog_on:
    what_is_as_it_should_be_has_no_flaw, a_wrong_count_is_mended, a_missing_use_is_mended,
    a_missing_reference_is_mended, what_is_used_and_condemned_is_acquitted, an_idle_reference_goes,
    what_cannot_be_mended_is_said, a_segment_that_nobody_knows_is_condemned_once,
    versions_behind_an_object_are_looked_at,
);

async fn object<K: Keyspace>(catalog: &Catalog<K>, name: &str, upload: u64, segments: &[u64]) {
    catalog.begin_upload(new_upload(name, upload, 0)).await.unwrap();
    catalog.commit_object(upload_id(upload), &one_page(segments, "e", 0), &Condition::None).await.unwrap();
}

/// Writes behind the catalog's back.
async fn tamper<K: Keyspace>(catalog: &Catalog<K>, change: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    change(&mut batch);
    catalog.keyspace().commit(batch).await.unwrap();
}

/// What is wrong with the first upload: found, found and mended, and what is left.
async fn mended<K: Keyspace>(catalog: &Catalog<K>) -> (Vec<FlawKind>, Vec<bool>) {
    let found = catalog.check_upload(upload_id(1), false, 0).await.unwrap();
    assert!(found.iter().all(|flaw| !flaw.mended), "nothing was asked for");
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), found, "nor done");
    let mended = catalog.check_upload(upload_id(1), true, 0).await.unwrap();
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), [], "{mended:?}");
    (found.iter().map(|flaw| flaw.kind).collect(), mended.iter().map(|flaw| flaw.mended).collect())
}

async fn what_is_as_it_should_be_has_no_flaw<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1, 2, 1]).await;
    catalog.begin_upload(new_upload("b", 2, 0)).await.unwrap();
    catalog.reference(upload_id(2), &[segment(2), segment(3)]).await.unwrap();
    catalog.put_page(upload_id(2), &page(1, 0, &[2], true), 0).await.unwrap();
    object(&catalog, "c", 3, &[4]).await;
    catalog.delete_object(BUCKET, &key("c"), &Condition::None, ALWAYS, 0).await.unwrap();
    catalog.begin_upload(new_upload("d", 4, 0)).await.unwrap();
    catalog.abort_upload(upload_id(4), 0).await.unwrap();
    let uploads = catalog.uploads_after(None, 100).await.unwrap();
    assert_eq!(uploads, [1, 2, 3, 4].map(upload_id));
    assert_eq!(catalog.uploads_after(Some(upload_id(1)), 1).await.unwrap(), [upload_id(2)]);
    for upload in uploads {
        assert_eq!(catalog.check_upload(upload, true, 0).await.unwrap(), []);
    }
    let references = catalog.check_references(None, 2, true).await.unwrap();
    assert_eq!((references.looked_at, references.flaws.len()), (2, 0));
    let rest = catalog.check_references(references.after.as_deref(), 100, true).await.unwrap();
    assert_eq!((rest.looked_at, rest.flaws.len(), rest.after), (3, 0, None));
    let objects = catalog.check_objects(BUCKET, None, 100).await.unwrap();
    assert_eq!((objects.looked_at, objects.broken), (1, vec![]));
    let versions = catalog.check_objects(BUCKET, objects.after.as_deref(), 100).await.unwrap();
    assert_eq!((versions.looked_at, versions.broken, versions.after), (0, vec![], None));
    let needed = catalog.needed_segments((SegmentId([0; 32]), None)).await.unwrap();
    assert_eq!(
        needed.keys().copied().collect::<Vec<_>>(),
        [1, 2, 3, 4].map(segment_id),
        "the last is kept for readers"
    );
    let some = catalog.needed_segments((segment_id(2), Some(segment_id(4)))).await.unwrap();
    assert_eq!(some.keys().copied().collect::<Vec<_>>(), [2, 3].map(segment_id));
    assert!(
        catalog.is_known(segment_id(4)).await.unwrap() && !catalog.is_known(segment_id(5)).await.unwrap()
    );
}

async fn a_wrong_count_is_mended<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1, 2, 1]).await;
    object(&catalog, "b", 2, &[2]).await;
    let (one, two) =
        (keys::used_segment(upload_id(1), segment_id(1)), keys::used_segment(upload_id(2), segment_id(2)));
    let once = catalog.keyspace().get(&two).await.unwrap().unwrap().value;
    tamper(&catalog, |batch| batch.put(one, once)).await;
    let wrong = FlawKind::Miscounted { segment: segment_id(1), named: 2, counted: 1 };
    assert_eq!(mended(&catalog).await, (vec![wrong], vec![true]));
    // One that no page names keeps a segment for as long as its object is there.
    let (from, to) =
        (keys::used_segment(upload_id(2), segment_id(2)), keys::used_segment(upload_id(1), segment_id(9)));
    let once = catalog.keyspace().get(&from).await.unwrap().unwrap().value;
    let reference = keys::reference(BUCKET, segment_id(9), upload_id(1));
    let row = catalog
        .keyspace()
        .get(&keys::reference(BUCKET, segment_id(2), upload_id(2)))
        .await
        .unwrap()
        .unwrap()
        .value;
    tamper(&catalog, |batch| {
        batch.put(to, once);
        batch.put(reference, row);
    })
    .await;
    let wrong = FlawKind::Miscounted { segment: segment_id(9), named: 0, counted: 1 };
    assert_eq!(mended(&catalog).await, (vec![wrong], vec![true]));
    let due = catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| due.segment).collect::<Vec<_>>(), [segment_id(9)]);
}

async fn a_missing_use_is_mended<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1, 2, 1]).await;
    tamper(&catalog, |batch| batch.delete(keys::used_segment(upload_id(1), segment_id(1)))).await;
    let references = catalog.check_references(None, 100, false).await.unwrap();
    assert_eq!(references.flaws.len(), 1, "its reference is idle, or the use is missing");
    assert_eq!(mended(&catalog).await, (vec![FlawKind::Unused(segment_id(1))], vec![true]));
    assert_eq!(catalog.check_references(None, 100, false).await.unwrap().flaws, []);
}

async fn a_missing_reference_is_mended<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1, 2]).await;
    object(&catalog, "b", 2, &[2]).await;
    tamper(&catalog, |batch| batch.delete(keys::reference(BUCKET, segment_id(2), upload_id(1)))).await;
    assert_eq!(mended(&catalog).await, (vec![FlawKind::Unreferenced(segment_id(2))], vec![true]));
    catalog.delete_object(BUCKET, &key("b"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(
        catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap(),
        [],
        "the other object has it still"
    );
}

async fn what_is_used_and_condemned_is_acquitted<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1]).await;
    object(&catalog, "b", 2, &[1]).await;
    // As if the first had never said that it needs the segment.
    tamper(&catalog, |batch| {
        batch.delete(keys::used_segment(upload_id(1), segment_id(1)));
        batch.delete(keys::reference(BUCKET, segment_id(1), upload_id(1)));
    })
    .await;
    catalog.delete_object(BUCKET, &key("b"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(
        catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap().len(),
        1,
        "it is about to be lost"
    );
    let found = catalog.check_upload(upload_id(1), true, 0).await.unwrap();
    let kinds: Vec<_> = found.iter().map(|flaw| (flaw.kind, flaw.mended)).collect();
    let expected = [FlawKind::Condemned(segment_id(1)), FlawKind::Unused(segment_id(1))];
    assert_eq!(kinds, expected.map(|kind| (kind, true)));
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), []);
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap(), []);
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 0);
}

async fn an_idle_reference_goes<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1]).await;
    let row = catalog
        .keyspace()
        .get(&keys::reference(BUCKET, segment_id(1), upload_id(1)))
        .await
        .unwrap()
        .unwrap()
        .value;
    let idle = keys::reference(BUCKET, segment_id(7), upload_id(9));
    tamper(&catalog, |batch| batch.put(idle.clone(), row)).await;
    let found = catalog.check_references(None, 100, false).await.unwrap();
    assert_eq!(
        (found.flaws.len(), found.flaws[0].kind, found.flaws[0].mended),
        (1, FlawKind::Idle(segment_id(7)), false)
    );
    assert!(catalog.check_references(None, 100, true).await.unwrap().flaws[0].mended);
    assert_eq!(catalog.check_references(None, 100, false).await.unwrap().flaws, []);
    assert_eq!(catalog.keyspace().get(&idle).await.unwrap(), None);
}

async fn what_cannot_be_mended_is_said<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1]).await;
    object(&catalog, "b", 2, &[2]).await;
    let at = PageAt { part: 0, page: 0 };
    tamper(&catalog, |batch| {
        batch.delete(keys::page(upload_id(1), at));
        batch.delete(keys::upload(upload_id(2)));
    })
    .await;
    let flaws = catalog.check_upload(upload_id(1), true, 0).await.unwrap();
    let missing = flaws.iter().find(|flaw| flaw.kind == FlawKind::PageMissing(at)).unwrap();
    assert!(!missing.mended, "its keys are gone");
    let first = catalog.check_objects(BUCKET, None, 1).await.unwrap();
    assert_eq!((first.looked_at, first.broken.len()), (1, 0));
    let rest = catalog.check_objects(BUCKET, first.after.as_deref(), 10).await.unwrap();
    let broken: Vec<_> = rest.broken.iter().map(|broken| broken.key.clone()).collect();
    assert_eq!((rest.looked_at, broken), (1, vec![key("b")]));
}

async fn a_segment_that_nobody_knows_is_condemned_once<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, "a", 1, &[1]).await;
    let unknown = |number| UnknownSegment {
        segment: segment_id(number),
        pool: segment(number).pool,
        profile: segment(number).profile,
        generation: Generation(4),
        sealed_bytes: 100,
        epoch: segment(number).epoch,
    };
    assert!(!catalog.condemn_unknown(&unknown(1), 0).await.unwrap(), "it is needed");
    assert!(catalog.condemn_unknown(&unknown(2), 0).await.unwrap());
    assert!(!catalog.condemn_unknown(&unknown(2), 5).await.unwrap(), "it is known by now");
    let due = catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|due| (due.segment, due.generation)).collect::<Vec<_>>(),
        [(segment_id(2), Generation(4))]
    );
    assert_eq!(catalog.forget_condemned(&due).await, Ok(1));
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 0);
}

async fn versions_behind_an_object_are_looked_at<K: Keyspace>(catalog: Catalog<K>) {
    catalog.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    object(&catalog, "a", 1, &[1]).await;
    object(&catalog, "a", 2, &[2]).await;
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    tamper(&catalog, |batch| batch.delete(keys::used_segment(upload_id(1), segment_id(1)))).await;
    assert_eq!(mended(&catalog).await, (vec![FlawKind::Unused(segment_id(1))], vec![true]));
    tamper(&catalog, |batch| batch.delete(keys::upload(upload_id(1)))).await;
    let first = catalog.check_objects(BUCKET, None, 100).await.unwrap();
    assert_eq!((first.looked_at, first.broken.len()), (0, 0), "the key has no object any more");
    let behind = catalog.check_objects(BUCKET, first.after.as_deref(), 100).await.unwrap();
    assert_eq!(
        (behind.looked_at, behind.broken.len(), behind.after),
        (3, 1, None),
        "two versions and a marker"
    );
}
