//! Segments that clients put by themselves: what they were told is durable stays, and is found.

use datamesh_catalog::catalog::{NotDurableError, Swap, Terms};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    BucketId, BucketKind, Catalog, Condition, Deleted, DraftBody, Grounds, Marking, NewBucket, Page, PageAt,
    PlacedPage, SegmentRef, Target, Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, ErasureProfile, PoolName};

use crate::support::{
    ALWAYS, BUCKET, RETENTION_MS, catalog_on, draft, key, new_upload, on_all_engines, segment, segment_id,
    target, upload_id,
};

on_all_engines!(catalog_on:
    only_what_is_in_use_is_promised, promises_are_listed_page_by_page, what_pages_let_go_stays_promised,
    an_object_s_segments_are_found_by_it, those_of_a_version_are_found_while_it_is_kept, what_no_page_names_is_let_go_behind_the_commit, a_committed_one_is_coded_anew_and_let_go, what_is_given_up_is_let_go,
    a_private_bucket_has_no_secret,
);

const AT: PageAt = PageAt { part: 0, page: 0 };

/// An open upload that uses these, of which those in the second list are durable.
async fn upload<K: Keyspace>(catalog: &Catalog<K>, number: u64, used: &[u64], durable: &[u64]) {
    catalog.begin_upload(new_upload("a", number, 0)).await.unwrap();
    let segments: Vec<_> = used.iter().map(|number| segment(*number)).collect();
    catalog.reference(upload_id(number), &segments).await.unwrap();
    for durable in durable {
        assert!(catalog.promise_segment(upload_id(number), segment_id(*durable)).await.unwrap());
    }
}

async fn durable<K: Keyspace>(catalog: &Catalog<K>, number: u64) -> Vec<SegmentRef> {
    catalog.durable_segments(upload_id(number), None, 1000).await.unwrap().segments
}

/// A page of durable segments.
async fn page<K: Keyspace>(catalog: &Catalog<K>, number: u64, segments: &[u64], last: bool) -> PlacedPage {
    let ids: Vec<_> = segments.iter().map(|number| segment_id(*number)).collect();
    let segments = catalog.durable(upload_id(number), &ids).await.unwrap();
    let plain_bytes = segments.iter().map(|segment| u64::from(segment.sealed_bytes)).sum();
    PlacedPage { at: AT, page: Page { segments, plain_bytes, last, sealed: b"sealed".to_vec() } }
}

async fn commit<K: Keyspace>(catalog: &Catalog<K>, number: u64, segments: &[u64]) {
    let page = page(catalog, number, segments, true).await;
    let bytes = page.page.plain_bytes;
    let body = DraftBody::Pages { parts: vec![0], last_page: Some(page) };
    let terms = Terms { condition: &Condition::None, seen: None, sweeps: true };
    catalog.commit_on(upload_id(number), &draft(body, bytes, "e", 0), terms).await.unwrap();
}

async fn only_what_is_in_use_is_promised<K: Keyspace>(catalog: Catalog<K>) {
    let promise = |number, segment| catalog.promise_segment(upload_id(number), segment_id(segment));
    assert!(!promise(1, 1).await.unwrap(), "of an upload that never began");
    upload(&catalog, 1, &[1, 2], &[1]).await;
    assert!(promise(1, 1).await.unwrap(), "again");
    assert!(!promise(1, 3).await.unwrap(), "of a segment that was never put");
    assert_eq!(durable(&catalog, 1).await, [segment(1)]);
    let named = catalog.durable(upload_id(1), &[segment_id(1), segment_id(2)]).await;
    assert_eq!(
        named,
        Err(NotDurableError::Segment { segment: segment_id(2), at: 1 }),
        "put, and not acknowledged"
    );
    let many = vec![segment_id(1); 257];
    assert!(matches!(catalog.durable(upload_id(1), &many).await, Err(NotDurableError::Invalid(_))));
    // Put once more with a later generation, it is durable still.
    let later = SegmentRef { generation: segment(1).generation.next(), ..segment(1) };
    catalog.reference(upload_id(1), std::slice::from_ref(&later)).await.unwrap();
    assert_eq!(durable(&catalog, 1).await, [later]);
    commit(&catalog, 1, &[1]).await;
    assert!(!promise(1, 2).await.unwrap(), "of an upload that ended");
    assert_eq!(durable(&catalog, 1).await, []);
}

async fn promises_are_listed_page_by_page<K: Keyspace>(catalog: Catalog<K>) {
    let used: Vec<u64> = (0..20).collect();
    upload(&catalog, 1, &used, &[0, 3, 4, 19]).await;
    upload(&catalog, 2, &[5], &[5]).await;
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = catalog.durable_segments(upload_id(1), after, 3).await.unwrap();
        all.extend(page.segments.into_iter().map(|segment| segment.id));
        pages += 1;
        match page.after {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    assert_eq!((all, pages), ([0, 3, 4, 19].map(segment_id).to_vec(), 7));
}

async fn what_pages_let_go_stays_promised<K: Keyspace>(catalog: Catalog<K>) {
    upload(&catalog, 1, &[1, 2, 3], &[1, 2]).await;
    let first = page(&catalog, 1, &[1, 2], false).await;
    catalog.put_page(upload_id(1), &first, 0).await.unwrap();
    let other = page(&catalog, 1, &[2], false).await;
    catalog.put_page(upload_id(1), &other, 0).await.unwrap();
    assert_eq!(durable(&catalog, 1).await.len(), 2, "its client was told of both");
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 0);
    let first = page(&catalog, 1, &[1, 2], false).await;
    catalog.put_page(upload_id(1), &first, 0).await.unwrap();
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), []);
}

async fn an_object_s_segments_are_found_by_it<K: Keyspace>(catalog: Catalog<K>) {
    upload(&catalog, 1, &[1, 2], &[1, 2]).await;
    let find = |target: Target, number| {
        let catalog = catalog.clone();
        async move { catalog.segment_of(&target, None, segment_id(number)).await.unwrap() }
    };
    assert_eq!(find(target("a", 1), 1).await, None, "it is no object yet");
    commit(&catalog, 1, &[1]).await;
    assert_eq!(find(target("a", 1), 1).await, Some(segment(1)));
    assert_eq!(find(target("a", 1), 2).await, None, "no page names it");
    assert_eq!(find(target("b", 1), 1).await, None, "another key");
    assert_eq!(find(Target { bucket: BucketId(9), ..target("a", 1) }, 1).await, None, "another bucket");
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), []);
    // Once another object has the key, or none, it is gone.
    upload(&catalog, 2, &[7], &[7]).await;
    commit(&catalog, 2, &[7]).await;
    assert_eq!(find(target("a", 1), 1).await, None);
    assert_eq!(find(target("a", 2), 7).await, Some(segment(7)));
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(find(target("a", 2), 7).await, None);
    upload(&catalog, 3, &[8], &[8]).await;
    commit(&catalog, 3, &[8]).await;
    assert_eq!((find(target("a", 2), 7).await, find(target("a", 3), 8).await), (None, Some(segment(8))));
}

async fn those_of_a_version_are_found_while_it_is_kept<K: Keyspace>(catalog: Catalog<K>) {
    catalog.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    let mut versions = Vec::new();
    for number in [1, 2] {
        upload(&catalog, number, &[number], &[number]).await;
        commit(&catalog, number, &[number]).await;
        versions.push(catalog.object(BUCKET, &key("a")).await.unwrap().unwrap().version);
    }
    let marking = Marking::ToHide(upload_id(3));
    let marked = catalog.delete_object(BUCKET, &key("a"), &Condition::None, marking, 0).await.unwrap();
    let Deleted::Marked { marker, .. } = marked else { panic!("{marked:?}") };
    let find = async |version, number| {
        catalog.segment_of(&target("a", number), version, segment_id(number)).await.unwrap()
    };
    for (number, version) in [1, 2].into_iter().zip(&versions) {
        assert_eq!(find(*version, number).await, Some(segment(number)), "{number}");
        assert_eq!(find(None, number).await, None, "the key has no object: {number}");
        assert_eq!(find(*version, 3 - number).await, None, "of another upload: {number}");
    }
    assert_eq!(find(Some(marker.version), 3).await, None, "a delete has none");
    let gone = catalog.delete_version((BUCKET, &key("a")), versions[0].unwrap(), Grounds::at(0)).await;
    assert!(gone.unwrap().is_some());
    assert_eq!((find(versions[0], 1).await, find(versions[1], 2).await), (None, Some(segment(2))));
}

async fn what_no_page_names_is_let_go_behind_the_commit<K: Keyspace>(catalog: Catalog<K>) {
    // 600 durable ones, in more than one batch, and one whose put was overtaken.
    let used: Vec<u64> = (0..601).collect();
    upload(&catalog, 1, &used[..300], &used[..300]).await;
    let rest: Vec<_> = used[300..].iter().map(|number| segment(*number)).collect();
    catalog.reference(upload_id(1), &rest).await.unwrap();
    for number in 300..600 {
        catalog.promise_segment(upload_id(1), segment_id(number)).await.unwrap();
    }
    assert_eq!(catalog.leftovers(10).await.unwrap(), []);
    catalog.let_go_idle(upload_id(1), 0).await.unwrap();
    assert_eq!(durable(&catalog, 1).await.len(), 600, "it goes on");
    commit(&catalog, 1, &[5, 599]).await;
    assert_eq!(catalog.leftovers(10).await.unwrap(), [upload_id(1)]);
    let profile = segment(1).profile;
    for _ in 0..2 {
        catalog.let_go_idle(upload_id(1), 0).await.unwrap();
        assert_eq!(catalog.leftovers(10).await.unwrap(), []);
        assert_eq!(catalog.counters().await.unwrap().condemned_segments, 599);
    }
    let due = catalog.condemned_due(RETENTION_MS, None, 1000).await.unwrap();
    assert_eq!(due.len(), 599);
    assert!(due.iter().all(|due| ![segment_id(5), segment_id(599)].contains(&due.segment)));
    assert_eq!(catalog.forget_condemned(&due).await, Ok(599));
    assert_eq!(catalog.profile_usage(&segment(1).pool, profile).await.unwrap().segments, 2);
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), []);
    // One that goes as a whole takes them along.
    upload(&catalog, 2, &[700, 701], &[700, 701]).await;
    commit(&catalog, 2, &[700]).await;
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    catalog.let_go_idle(upload_id(2), 0).await.unwrap();
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 1000).await.unwrap().len(), 4);
}

async fn a_committed_one_is_coded_anew_and_let_go<K: Keyspace>(catalog: Catalog<K>) {
    upload(&catalog, 1, &[1, 2], &[1, 2]).await;
    commit(&catalog, 1, &[1, 2]).await;
    let anew = SegmentRef { profile: ErasureProfile::new(2, 1).unwrap(), ..segment(9) };
    catalog.begin_upload(new_upload("a", 5, 0)).await.unwrap();
    catalog.reference(upload_id(5), std::slice::from_ref(&anew)).await.unwrap();
    let segments = vec![(segment_id(1), anew.clone())];
    let swap = Swap { object: upload_id(1), at: AT, writer: upload_id(5), segments };
    catalog.swap_segments(&swap, 0).await.unwrap();
    assert_eq!(catalog.segment_of(&target("a", 1), None, segment_id(1)).await.unwrap(), None);
    assert_eq!(catalog.segment_of(&target("a", 1), None, segment_id(9)).await.unwrap(), Some(anew));
    let due = catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|due| due.segment).collect::<Vec<_>>(),
        [segment_id(1)],
        "the promise was kept"
    );
    assert_eq!(catalog.check_upload(upload_id(1), false, 0).await.unwrap(), []);
}

async fn what_is_given_up_is_let_go<K: Keyspace>(catalog: Catalog<K>) {
    upload(&catalog, 1, &[1, 2, 3], &[1, 2]).await;
    let first = page(&catalog, 1, &[1], false).await;
    catalog.put_page(upload_id(1), &first, 0).await.unwrap();
    catalog.abort_upload(upload_id(1), 0).await.unwrap();
    assert_eq!(durable(&catalog, 1).await, []);
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap().len(), 3);
    // Deleted once, it comes back with a later generation only.
    catalog.begin_upload(new_upload("a", 2, 0)).await.unwrap();
    assert!(catalog.reference(upload_id(2), &[segment(1)]).await.is_err());
}

async fn a_private_bucket_has_no_secret<K: Keyspace>(catalog: Catalog<K>) {
    let new = |name: &str, kind| NewBucket {
        name: BucketName::new(name).unwrap(),
        kind,
        pool: PoolName::new("fast").unwrap(),
        locking: None,
        created_unix_ms: 1,
    };
    let secret = |_| WrappedSecret { version: 1, bytes: vec![1] };
    let private = catalog.create_bucket(new("private", BucketKind::Private), secret).await.unwrap().unwrap();
    assert_eq!((private.kind, private.secrets.len()), (BucketKind::Private, 0));
    // Whoever asks for it by another kind gets the bucket that there is.
    let there = catalog.ensure_bucket(new("private", BucketKind::Managed), secret).await.unwrap();
    assert_eq!(there, private);
    let managed = catalog.create_bucket(new("managed", BucketKind::Managed), secret).await.unwrap().unwrap();
    assert_eq!((managed.kind, managed.secrets.len()), (BucketKind::Managed, 1));
}
