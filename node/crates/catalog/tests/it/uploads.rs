//! Uploads: leases, references, pages, parts; everything may be repeated.

use datamesh_catalog::catalog::{
    AppendError, CommitObjectError, PutPageError, ReferenceError, Terms, UploadError,
};
use datamesh_catalog::keyspace::{Keyspace, Revision};
use datamesh_catalog::limits::META_BYTES_MAX;
use datamesh_catalog::{Catalog, Condition, DraftBody, PageAt};
use datamesh_shard::Generation;

use crate::support::{
    RETENTION_MS, catalog_on, draft, new_upload, on_all_engines, page, segment, segment_id, upload_id,
};

on_all_engines!(catalog_on:
    beginning_again, leases, an_ended_upload_takes_nothing, what_an_aborted_upload_left_counts, pages_make_parts, a_part_begins_anew,
    a_longer_try_is_dropped_whole, replaced_pages_let_segments_go, a_segment_named_twice_stays, unreferencing,
    condemned_segments_need_a_newer_generation, limits,
    one_writer_at_a_time_appends, what_no_page_names_is_let_go,
);

/// As an upload that grew at its end is committed.
fn swept(condition: &Condition, seen: Revision) -> Terms<'_> {
    Terms { condition, seen: Some(seen), sweeps: true }
}

async fn condemned<K: Keyspace>(catalog: &Catalog<K>) -> Vec<u64> {
    let all = catalog.condemned_due(u64::MAX - 1, None, 1000).await.unwrap();
    let number = |id: [u8; 32]| u64::from_be_bytes(id[..8].try_into().unwrap());
    let mut numbers: Vec<u64> = all.iter().map(|condemned| number(condemned.segment.0)).collect();
    numbers.sort_unstable();
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, u64::try_from(numbers.len()).unwrap());
    numbers
}

async fn beginning_again<K: Keyspace>(catalog: Catalog<K>) {
    let mut new = new_upload("a", 1, 0);
    new.segments = vec![segment(1)];
    let begun = catalog.begin_upload(new.clone()).await.unwrap();
    assert_eq!(begun.target, new.target);
    assert_eq!((begun.content_type.as_str(), begun.lease_until_unix_ms), ("text/plain", 100));
    assert_eq!(catalog.begin_upload(new.clone()).await.unwrap(), begun);
    assert_eq!(catalog.upload(upload_id(1)).await.unwrap(), Some(begun));
    assert_eq!(catalog.counters().await.unwrap().uploads, 1);
    let taken = catalog.begin_upload(new_upload("b", 1, 0)).await;
    assert_eq!(taken, Err(UploadError::Taken(upload_id(1))));
    assert_eq!(catalog.upload(upload_id(2)).await.unwrap(), None);
}

async fn leases<K: Keyspace>(catalog: Catalog<K>) {
    for upload in 1..=3 {
        catalog.begin_upload(new_upload("a", upload, 0)).await.unwrap();
    }
    assert_eq!(catalog.reclaim_expired(99, 10).await.unwrap(), []);
    catalog.renew_upload(upload_id(2), 500).await.unwrap();
    catalog.renew_upload(upload_id(2), 300).await.expect("shorter: nothing happens");
    assert_eq!(catalog.upload(upload_id(2)).await.unwrap().unwrap().lease_until_unix_ms, 500);
    assert_eq!(catalog.reclaim_expired(100, 0).await.unwrap(), []);
    assert_eq!(catalog.reclaim_expired(100, 1).await.unwrap(), [upload_id(1)]);
    assert_eq!(catalog.reclaim_expired(100, 10).await.unwrap(), [upload_id(3)]);
    assert_eq!(catalog.reclaim_expired(499, 10).await.unwrap(), []);
    assert_eq!(catalog.reclaim_expired(500, 10).await.unwrap(), [upload_id(2)]);
    assert_eq!(catalog.renew_upload(upload_id(2), 900).await, Err(UploadError::Gone));
    assert_eq!(catalog.counters().await.unwrap().uploads, 0);
}

/// Before anything is known of its segments one by one: whoever asks what waits is told at once.
async fn what_an_aborted_upload_left_counts<K: Keyspace>(catalog: Catalog<K>) {
    let mut new = new_upload("a", 1, 0);
    new.segments = vec![segment(1), segment(2)];
    catalog.begin_upload(new).await.unwrap();
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 0);
    assert!(catalog.abort_upload(upload_id(1), 0).await.unwrap());
    assert_eq!(catalog.counters().await.unwrap().condemned_segments, 2);
    catalog.begin_upload(new_upload("large", 2, 0)).await.unwrap();
    for from in (10..5000).step_by(512) {
        let some: Vec<_> = (from..from + 512).map(segment).collect();
        catalog.reference(upload_id(2), &some).await.unwrap();
    }
    assert!(catalog.abort_upload(upload_id(2), 0).await.unwrap());
    let counters = catalog.counters().await.unwrap();
    assert_eq!((counters.condemned_segments, counters.uncounted_uploads), (2, 1), "too many to be counted");
    assert_eq!(catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap().len(), 10);
    let counters = catalog.counters().await.unwrap();
    assert_eq!(
        (counters.condemned_segments, counters.uncounted_uploads),
        (5122, 0),
        "found one by one by now"
    );
}

async fn an_ended_upload_takes_nothing<K: Keyspace>(catalog: Catalog<K>) {
    let gone = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(gone, &page(0, 0, &[1, 2], true), 0).await.unwrap();
    assert!(catalog.abort_upload(gone, 10).await.unwrap());
    assert!(!catalog.abort_upload(gone, 10).await.unwrap(), "the same again");
    assert_eq!(catalog.reference(gone, &[segment(3)]).await, Err(ReferenceError::UploadGone));
    assert_eq!(catalog.put_page(gone, &page(0, 0, &[3], true), 0).await, Err(PutPageError::UploadGone));
    assert_eq!(
        catalog.begin_upload(new_upload("a", 1, 0)).await,
        Err(UploadError::Gone),
        "its garbage has its id"
    );
    assert_eq!(catalog.condemned_due(10 + RETENTION_MS - 1, None, 10).await.unwrap(), []);
    assert_eq!(catalog.condemned_due(10 + RETENTION_MS, None, 10).await.unwrap().len(), 2);
    assert_eq!(catalog.page(gone, PageAt { part: 0, page: 0 }).await.unwrap(), None);
    catalog.begin_upload(new_upload("a", 1, 0)).await.expect("all of it is gone now");
}

async fn pages_make_parts<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    let gap = catalog.put_page(upload, &page(7, 1, &[9], true), 0).await;
    assert_eq!(gap, Err(PutPageError::Gap { part: 7, page: 1, expected: 0 }));
    let first = catalog.put_page(upload, &page(7, 0, &[1, 2], false), 0).await.unwrap();
    assert_eq!(
        (first.part, first.pages, first.segments, first.plain_bytes, first.complete),
        (7, 1, 2, 20, false)
    );
    let second = catalog.put_page(upload, &page(7, 1, &[3], true), 0).await.unwrap();
    assert_eq!((second.pages, second.segments, second.plain_bytes, second.complete), (2, 3, 30, true));
    let again = catalog.put_page(upload, &page(7, 1, &[3], true), 0).await.unwrap();
    assert_eq!(again, second, "the same again");
    let other = catalog.put_page(upload, &page(2, 0, &[4], true), 0).await.unwrap();
    assert_eq!(catalog.parts(upload).await.unwrap(), [other, second], "by number");
    let stored = catalog.page(upload, PageAt { part: 7, page: 0 }).await.unwrap();
    assert_eq!(stored, Some(page(7, 0, &[1, 2], false).page));
    assert_eq!(catalog.parts(upload_id(2)).await.unwrap(), []);
    assert_eq!(condemned(&catalog).await, [0_u64; 0]);
}

async fn a_part_begins_anew<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    for (number, last) in [(0, false), (1, false), (2, true)] {
        catalog.put_page(upload, &page(0, number, &[u64::from(number)], last), 0).await.unwrap();
    }
    let part = catalog.put_page(upload, &page(0, 0, &[10], false), 0).await.unwrap();
    assert_eq!((part.pages, part.segments, part.plain_bytes, part.complete), (1, 1, 10, false));
    assert_eq!(catalog.page(upload, PageAt { part: 0, page: 1 }).await.unwrap(), None);
    assert_eq!(condemned(&catalog).await, [0, 1, 2]);
    let part = catalog.put_page(upload, &page(0, 1, &[11], true), 0).await.unwrap();
    assert_eq!((part.pages, part.segments, part.complete), (2, 2, true));
}

async fn a_longer_try_is_dropped_whole<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    for number in 0..11_u32 {
        catalog.put_page(upload, &page(0, number, &[u64::from(number)], false), 0).await.unwrap();
    }
    let part = catalog.put_page(upload, &page(0, 1, &[100], true), 0).await.unwrap();
    assert_eq!((part.pages, part.segments, part.plain_bytes, part.complete), (2, 2, 20, true));
    assert_eq!(condemned(&catalog).await, (1..11).collect::<Vec<_>>());
}

async fn replaced_pages_let_segments_go<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(upload, &page(0, 0, &[1, 2, 3], true), 50).await.unwrap();
    catalog.put_page(upload, &page(0, 0, &[3, 4], true), 50).await.unwrap();
    assert_eq!(catalog.condemned_due(50 + RETENTION_MS - 1, None, 10).await.unwrap(), []);
    assert_eq!(condemned(&catalog).await, [1, 2]);
    let due = catalog.condemned_due(50 + RETENTION_MS, None, 10).await.unwrap();
    let first = &due[0];
    assert_eq!((first.segment, first.due_unix_ms), (segment_id(1), 50 + RETENTION_MS));
    assert_eq!(
        (first.generation, &first.pool, first.epoch),
        (Generation(0), &segment(1).pool, segment(1).epoch)
    );
    assert_eq!((first.profile, first.sealed_bytes), (segment(1).profile, segment(1).sealed_bytes));
}

async fn a_segment_named_twice_stays<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(upload, &page(0, 0, &[1, 1, 2], true), 0).await.unwrap();
    catalog.put_page(upload, &page(1, 0, &[1], true), 0).await.unwrap();
    catalog.put_page(upload, &page(0, 0, &[2], true), 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [0_u64; 0], "part 1 still names it");
    catalog.begin_upload(new_upload("b", 2, 0)).await.unwrap();
    catalog.reference(upload_id(2), &[segment(1)]).await.unwrap();
    catalog.put_page(upload, &page(1, 0, &[5], true), 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [0_u64; 0], "another upload still needs it");
    catalog.abort_upload(upload_id(2), 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [1]);
}

async fn unreferencing<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.reference(upload, &[segment(1), segment(2)]).await.unwrap();
    catalog.reference(upload, &[segment(2), segment(3)]).await.expect("the same again");
    catalog.put_page(upload, &page(0, 0, &[3], true), 0).await.unwrap();
    let all = [segment_id(1), segment_id(3), segment_id(4)];
    catalog.unreference(upload, &all, 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [1], "3 is named by a page, 4 was never referenced");
    catalog.unreference(upload, &all, 0).await.expect("the same again");
    assert_eq!(condemned(&catalog).await, [1]);
}

async fn condemned_segments_need_a_newer_generation<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.reference(upload, &[segment(1)]).await.unwrap();
    catalog.unreference(upload, &[segment_id(1)], 0).await.unwrap();
    let stale = ReferenceError::StaleGeneration { segment: segment_id(1), needs: Generation(1) };
    assert_eq!(catalog.reference(upload, &[segment(2), segment(1)]).await, Err(stale));
    let stale = PutPageError::StaleGeneration { segment: segment_id(1), needs: Generation(1) };
    assert_eq!(catalog.put_page(upload, &page(0, 0, &[1], true), 0).await, Err(stale));
    let old = catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap();
    let mut newer = segment(1);
    newer.generation = Generation(1);
    catalog.reference(upload, std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(condemned(&catalog).await, [0_u64; 0]);
    assert_eq!(catalog.forget_condemned(&old).await, Ok(0), "it is needed again");
    catalog.unreference(upload, &[segment_id(1)], 0).await.unwrap();
    let again = catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap();
    assert_eq!(again[0].generation, Generation(1));
    assert_eq!(catalog.forget_condemned(&old).await, Ok(0), "the delete of an older generation");
    assert_eq!(catalog.forget_condemned(&[again[0].clone(), again[0].clone()]).await, Ok(1));
    assert_eq!(condemned(&catalog).await, [0_u64; 0]);
}

async fn limits<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    let mut new = new_upload("a", 1, 0);
    new.content_type = "x".repeat(256);
    assert!(matches!(catalog.begin_upload(new.clone()).await, Err(UploadError::Invalid(_))));
    new.content_type.clear();
    new.meta = vec![("k".into(), "v".repeat(META_BYTES_MAX))];
    assert!(matches!(catalog.begin_upload(new).await, Err(UploadError::Invalid(_))));
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    let full: Vec<u64> = (0..256).collect();
    assert_eq!(catalog.put_page(upload, &page(0, 0, &full, true), 0).await.unwrap().segments, 256);
    let fuller: Vec<u64> = (0..257).collect();
    let mut long = page(0, 0, &[1], true);
    long.page.sealed = vec![0; 64 * 1024 + 1];
    for bad in [page(0, 0, &fuller, true), long, page(10_001, 0, &[1], true), page(0, 10_240, &[1], true)] {
        let answer = catalog.put_page(upload, &bad, 0).await;
        assert!(matches!(answer, Err(PutPageError::Invalid(_))), "{answer:?}");
    }
    let many: Vec<_> = (0..1025).map(segment).collect();
    assert!(matches!(catalog.reference(upload, &many).await, Err(ReferenceError::Invalid(_))));
    catalog.reference(upload, &many[..1024]).await.unwrap();
}

async fn one_writer_at_a_time_appends<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    let (parts, nothing) = catalog.tagged_parts(upload).await.unwrap();
    assert_eq!(parts, []);
    let one = catalog.append_page(upload, &page(0, 0, &[1], false), nothing, 0).await.unwrap();
    assert!(one > nothing);
    // Whoever saw nothing would write over it.
    for late in [page(0, 0, &[2], false), page(0, 1, &[2], false), page(3, 0, &[2], false)] {
        let refused = catalog.append_page(upload, &late, nothing, 0).await;
        assert_eq!(refused, Err(AppendError::PartsChanged));
    }
    let two = catalog.append_page(upload, &page(0, 0, &[1, 2], false), one, 0).await.unwrap();
    let again = catalog.append_page(upload, &page(0, 0, &[1, 2], false), two, 0).await.unwrap();
    assert_eq!(again, two, "the same page again");
    let three = catalog.append_page(upload, &page(0, 1, &[3], false), two, 0).await.unwrap();
    let part = catalog.parts(upload).await.unwrap()[0];
    assert_eq!((part.pages, part.segments, part.plain_bytes, part.complete), (2, 3, 30, false));
    assert_eq!(condemned(&catalog).await, [0_u64; 0], "the page that grew has what it had");
    catalog.reference(upload, &[segment(6)]).await.unwrap();
    let last_page = Some(page(0, 1, &[3, 4], true));
    let last = draft(DraftBody::Pages { parts: vec![0], last_page }, 40, "tag", 1);
    let late = catalog.commit_on(upload, &last, swept(&Condition::None, two)).await;
    assert_eq!(late, Err(CommitObjectError::PartsChanged));
    let last_page = Some(page(0, 0, &[1, 2, 5], true));
    let earlier = draft(DraftBody::Pages { parts: vec![0], last_page }, 30, "tag", 1);
    let late = catalog.commit_on(upload, &earlier, swept(&Condition::None, two)).await;
    assert_eq!(late, Err(CommitObjectError::PartsChanged));
    assert_eq!(
        catalog.parts(upload).await.unwrap(),
        [part],
        "whoever is late takes nothing of what is there"
    );
    let stored = catalog.commit_on(upload, &last, swept(&Condition::None, three)).await.unwrap();
    assert_eq!(stored.object.size_bytes, 40);
    assert_eq!(
        catalog.commit_on(upload, &last, swept(&Condition::None, three)).await.unwrap().object.size_bytes,
        40
    );
    let last_page = Some(page(0, 1, &[3, 7], true));
    let other = draft(DraftBody::Pages { parts: vec![0], last_page }, 40, "tag", 1);
    let late = catalog.commit_on(upload, &other, swept(&Condition::None, three)).await;
    assert_eq!(late, Err(CommitObjectError::PartsChanged), "the object is another writer's");
    let last_page = Some(page(0, 7, &[3, 4], true));
    let nowhere = draft(DraftBody::Pages { parts: vec![0], last_page }, 40, "tag", 1);
    let late = catalog.commit_on(upload, &nowhere, swept(&Condition::None, three)).await;
    assert_eq!(late, Err(CommitObjectError::PartsChanged), "the object has no such page");
    // What another had referenced before is let go, though there is the object; what is the object's stays.
    assert_eq!(condemned(&catalog).await, [0_u64; 0]);
    catalog.unreference(upload, &[segment_id(6), segment_id(4)], 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [6]);
    let gone = catalog.append_page(upload, &page(0, 1, &[9], false), three, 0).await;
    assert_eq!(gone, Err(PutPageError::UploadGone.into()));
}

async fn what_no_page_names_is_let_go<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    // By several gateways, of which some died before they had written anything down.
    catalog.reference(upload, &(1..=5).map(segment).collect::<Vec<_>>()).await.unwrap();
    let (_, nothing) = catalog.tagged_parts(upload).await.unwrap();
    let seen = catalog.append_page(upload, &page(0, 0, &[2], false), nothing, 0).await.unwrap();
    catalog.let_go_idle(upload, 0).await.unwrap();
    assert_eq!(condemned(&catalog).await, [0_u64; 0], "another may be about to write it down");
    let last_page = Some(page(0, 0, &[2, 4], true));
    let last = draft(DraftBody::Pages { parts: vec![0], last_page }, 20, "tag", 1);
    let refused = catalog.commit_on(upload, &last, swept(&Condition::IfMatch("other".into()), seen)).await;
    assert!(matches!(refused, Err(CommitObjectError::PreconditionFailed { .. })), "{refused:?}");
    assert_eq!(catalog.leftovers(10).await.unwrap(), []);
    catalog.commit_on(upload, &last, swept(&Condition::None, seen)).await.unwrap();
    // Whoever dies here leaves the word that there is something to do.
    assert_eq!(catalog.leftovers(10).await.unwrap(), [upload]);
    for _ in 0..2 {
        catalog.let_go_idle(upload, 0).await.unwrap();
        assert_eq!(catalog.leftovers(10).await.unwrap(), []);
        assert_eq!(condemned(&catalog).await, [1, 3, 5]);
    }
    let late = catalog.reference(upload, &[segment(6)]).await;
    assert_eq!(late, Err(ReferenceError::UploadGone), "nobody brings anything any more");
    assert_eq!(catalog.check_upload(upload, false, 0).await.unwrap(), []);
    // A small object has no pages, and leaves nothing to look at.
    catalog.begin_upload(new_upload("b", 2, 0)).await.unwrap();
    let (_, nothing) = catalog.tagged_parts(upload_id(2)).await.unwrap();
    let inline = draft(DraftBody::Inline { sealed: vec![1] }, 1, "tag", 1);
    catalog.commit_on(upload_id(2), &inline, swept(&Condition::None, nothing)).await.unwrap();
    assert_eq!(catalog.leftovers(10).await.unwrap(), []);
}
