//! Segments that give way to others, and profiles that open and close.

use datamesh_catalog::catalog::{CommitLayoutError, ProfileChange, ReferenceError, Swap, SwapError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Catalog, Condition, Grounds, PageAt, SegmentRef, VersionId, Versioning};
use datamesh_shard::{Epoch, ErasureProfile, Generation, PoolName};

use crate::support::{
    ALWAYS, BUCKET, RETENTION_MS, catalog_on, key, new_upload, on_all_engines, one_page, segment, segment_id,
    upload_id,
};

on_all_engines!(catalog_on:
    segments_change_places_and_the_old_ones_go, what_is_gone_is_not_swapped, what_a_crash_leaves_is_reclaimed,
    a_profile_closes_only_when_nothing_is_left_of_it, the_highest_generation_outlives_its_reference,
    what_is_let_go_together_goes_with_the_highest_generation, what_is_shredded_is_not_swapped,
    a_version_behind_is_coded_anew_while_it_is_there,
);

const AT: PageAt = PageAt { part: 0, page: 0 };

fn old() -> ErasureProfile {
    segment(1).profile
}

fn new() -> ErasureProfile {
    ErasureProfile::new(2, 1).unwrap()
}

fn anew(number: u64) -> SegmentRef {
    SegmentRef { profile: new(), ..segment(number) }
}

fn fast() -> PoolName {
    segment(1).pool
}

async fn object<K: Keyspace>(catalog: &Catalog<K>, segments: &[u64]) {
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.commit_object(upload_id(1), &one_page(segments, "e", 0), &Condition::None).await.unwrap();
}

/// An upload that has put these in the new profile.
async fn writer<K: Keyspace>(catalog: &Catalog<K>, upload: u64, segments: &[u64]) {
    catalog.begin_upload(new_upload("a", upload, 0)).await.unwrap();
    let segments: Vec<_> = segments.iter().map(|number| anew(*number)).collect();
    catalog.reference(upload_id(upload), &segments).await.unwrap();
}

fn swap(writer: u64, pairs: &[(u64, u64)]) -> Swap {
    let segments = pairs.iter().map(|(old, new)| (segment_id(*old), anew(*new))).collect();
    Swap { object: upload_id(1), at: AT, writer: upload_id(writer), segments }
}

/// Rows of a profile's segments, and bytes of used ones in units of one.
async fn usage<K: Keyspace>(catalog: &Catalog<K>, profile: ErasureProfile) -> (u64, u64) {
    let usage = catalog.profile_usage(&fast(), profile).await.unwrap();
    (usage.segments, usage.bytes / u64::from(segment(1).sealed_bytes))
}

async fn segments_change_places_and_the_old_ones_go<K: Keyspace>(catalog: Catalog<K>) {
    // One of them twice.
    object(&catalog, &[1, 2, 1]).await;
    assert_eq!(usage(&catalog, old()).await, (2, 2));
    writer(&catalog, 2, &[11, 99]).await;
    assert_eq!(usage(&catalog, new()).await, (2, 2));
    catalog.swap_segments(&swap(2, &[(1, 11)]), 50).await.unwrap();
    let page = catalog.page(upload_id(1), AT).await.unwrap().unwrap();
    let ids: Vec<_> = page.segments.iter().map(|segment| segment.id).collect();
    assert_eq!(ids, [segment_id(11), segment_id(2), segment_id(11)]);
    assert_eq!(page.sealed, b"sealed 0/0 of [1, 2, 1]", "what opens them is as it was");
    assert_eq!(catalog.upload(upload_id(2)).await.unwrap(), None, "the writer has nothing else to do");
    assert_eq!((usage(&catalog, old()).await, usage(&catalog, new()).await), ((2, 1), (2, 2)));
    assert_eq!(catalog.condemned_due(RETENTION_MS + 49, None, 10).await.unwrap(), [], "kept for readers");
    let due = catalog.condemned_due(RETENTION_MS + 50, None, 10).await.unwrap();
    let mut ids: Vec<_> = due.iter().map(|condemned| condemned.segment).collect();
    ids.sort_unstable();
    assert_eq!(ids, [segment_id(1), segment_id(99)], "what the writer put besides goes, too");
    assert_eq!(catalog.forget_condemned(&due).await, Ok(2));
    writer(&catalog, 3, &[12]).await;
    catalog.swap_segments(&swap(3, &[(2, 12)]), 60).await.unwrap();
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 100).await.unwrap();
    let due = catalog.condemned_due(RETENTION_MS + 100, None, 10).await.unwrap();
    assert_eq!(due.len(), 3, "the last old one, and both new ones");
    catalog.forget_condemned(&due).await.unwrap();
    assert_eq!((usage(&catalog, old()).await, usage(&catalog, new()).await), ((0, 0), (0, 0)));
    let counters = catalog.counters().await.unwrap();
    assert_eq!((counters.uploads, counters.condemned_segments, counters.uncounted_uploads), (0, 0, 0));
}

async fn what_is_gone_is_not_swapped<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    writer(&catalog, 2, &[11]).await;
    let before = catalog.page(upload_id(1), AT).await.unwrap();
    let swapped = async |swap: Swap| catalog.swap_segments(&swap, 50).await;
    assert_eq!(swapped(swap(2, &[(5, 11)])).await, Err(SwapError::PageGone), "no such segment");
    assert_eq!(swapped(swap(2, &[(1, 12)])).await, Err(SwapError::WriterGone), "not of this writer");
    assert_eq!(swapped(swap(3, &[(1, 11)])).await, Err(SwapError::WriterGone));
    let elsewhere = Swap { at: PageAt { page: 1, ..AT }, ..swap(2, &[(1, 11)]) };
    assert_eq!(swapped(elsewhere).await, Err(SwapError::PageGone));
    let open = Swap { object: upload_id(2), ..swap(2, &[(1, 11)]) };
    assert_eq!(swapped(open).await, Err(SwapError::PageGone), "not an object yet");
    assert_eq!(catalog.page(upload_id(1), AT).await.unwrap(), before);
    // A deleted object keeps its page for readers. Swapping there is of no use, and what it condemned would outlast the object.
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(catalog.object_of(upload_id(1)).await.unwrap(), None);
    assert_eq!(swapped(swap(2, &[(1, 11)])).await, Err(SwapError::PageGone), "deleted");
    assert_eq!(catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap().len(), 1);
    assert_eq!(swapped(swap(2, &[(1, 11)])).await, Err(SwapError::PageGone), "taken apart");
    assert!(catalog.upload(upload_id(2)).await.unwrap().is_some(), "nothing has changed");
}

async fn what_a_crash_leaves_is_reclaimed<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    writer(&catalog, 2, &[11]).await;
    assert_eq!(catalog.reclaim_expired(100, 10).await.unwrap(), [upload_id(2)]);
    let late = catalog.swap_segments(&swap(2, &[(1, 11)]), 101).await;
    assert_eq!(late, Err(SwapError::WriterGone), "its segments may be deleted by now");
    let due = catalog.condemned_due(RETENTION_MS + 100, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|condemned| condemned.segment).collect::<Vec<_>>(), [segment_id(11)]);
    catalog.forget_condemned(&due).await.unwrap();
    assert_eq!((usage(&catalog, old()).await, usage(&catalog, new()).await), ((1, 1), (0, 0)));
    let pages = catalog.pages_after(None, 10).await.unwrap();
    assert_eq!(pages.iter().map(|(upload, at, _)| (*upload, *at)).collect::<Vec<_>>(), [(upload_id(1), AT)]);
    assert_eq!(catalog.pages_after(Some((upload_id(1), AT)), 10).await.unwrap(), []);
}

async fn a_profile_closes_only_when_nothing_is_left_of_it<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    let commit = async |epoch: u64, open: &[ErasureProfile], closed: &[ErasureProfile]| {
        let profiles = ProfileChange { open: open.to_vec(), closed: closed.to_vec() };
        let previous = (epoch > 1).then(|| Epoch(epoch - 1));
        catalog.commit_layout(&fast(), Epoch(epoch), previous, vec![1], &profiles).await
    };
    commit(1, &[old()], &[]).await.unwrap();
    commit(2, &[new(), old()], &[]).await.unwrap();
    assert_eq!(commit(3, &[new()], &[old()]).await, Err(CommitLayoutError::InUse(old())));
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    let due = catalog.condemned_due(RETENTION_MS, None, 10).await.unwrap();
    assert_eq!(commit(3, &[new()], &[old()]).await, Err(CommitLayoutError::InUse(old())), "condemned");
    catalog.forget_condemned(&due).await.unwrap();
    commit(3, &[new()], &[old()]).await.unwrap();
    // Whoever has made a segment by the layout before comes too late.
    catalog.begin_upload(new_upload("b", 2, 0)).await.unwrap();
    let late = catalog.reference(upload_id(2), &[segment(2)]).await;
    assert_eq!(late, Err(ReferenceError::Closed { pool: fast(), profile: old() }));
    catalog.reference(upload_id(2), &[anew(3)]).await.unwrap();
    commit(4, &[old(), new()], &[]).await.unwrap();
    catalog.reference(upload_id(2), &[segment(2)]).await.unwrap();
}

/// An upload that has put the segment in the new profile, with this generation.
async fn attempt<K: Keyspace>(catalog: &Catalog<K>, upload: u64, generation: u64) {
    catalog.begin_upload(new_upload("a", upload, 0)).await.unwrap();
    let segment = SegmentRef { generation: Generation(generation), ..anew(11) };
    catalog.reference(upload_id(upload), &[segment]).await.unwrap();
}

/// What is to be deleted by then: numbers of generations.
async fn due<K: Keyspace>(catalog: &Catalog<K>, now: u64) -> Vec<u64> {
    let due = catalog.condemned_due(now, None, 10).await.unwrap();
    due.iter().filter(|due| due.segment == segment_id(11)).map(|due| due.generation.0).collect()
}

async fn the_highest_generation_outlives_its_reference<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    // Of three attempts to code it anew the first put last: its shards have the highest generation.
    for (upload, generation) in [(2, 9), (3, 5), (4, 7)] {
        attempt(&catalog, upload, generation).await;
    }
    for (upload, now) in [(2, 10), (3, 20)] {
        assert!(catalog.abort_upload(upload_id(upload), now).await.unwrap());
        assert_eq!(due(&catalog, RETENTION_MS + now).await, [0; 0], "others refer to it");
    }
    catalog.swap_segments(&swap(4, &[(1, 11)]), 30).await.unwrap();
    catalog.delete_object(BUCKET, &key("a"), &Condition::None, ALWAYS, 40).await.unwrap();
    assert_eq!(due(&catalog, RETENTION_MS + 40).await, [9], "a delete of less would leave shards");
    attempt(&catalog, 5, 10).await;
    let late = catalog.condemned_due(RETENTION_MS + 40, None, 10).await.unwrap();
    assert!(late.iter().all(|due| due.segment != segment_id(11)), "it is in use again");
}

async fn what_is_let_go_together_goes_with_the_highest_generation<K: Keyspace>(catalog: Catalog<K>) {
    for (upload, generation) in [(2, 9), (3, 5), (4, 7)] {
        attempt(&catalog, upload, generation).await;
    }
    for upload in [2, 3, 4] {
        assert!(catalog.abort_upload(upload_id(upload), 10).await.unwrap());
    }
    assert_eq!(due(&catalog, RETENTION_MS + 10).await, [9]);
}

/// A page that is read before the delete is coded anew after it: nothing of it may stay for a retention of its own.
async fn what_is_shredded_is_not_swapped<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    writer(&catalog, 2, &[11]).await;
    let gone = catalog.shred_object((BUCKET, &fast()), &key("a"), &Condition::None, 5).await.unwrap();
    assert!(gone.is_some());
    assert_eq!(catalog.swap_segments(&swap(2, &[(1, 11)]), 6).await, Err(SwapError::PageGone));
    let due = catalog.condemned_due(6, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| due.segment).collect::<Vec<_>>(), [segment_id(1)]);
    catalog.forget_condemned(&due).await.unwrap();
    let shredded = catalog.shred_segments(upload_id(1), None, 9).await.unwrap();
    assert_eq!(shredded, Some(vec![segment_id(1)]));
}

async fn a_version_behind_is_coded_anew_while_it_is_there<K: Keyspace>(catalog: Catalog<K>) {
    object(&catalog, &[1]).await;
    catalog.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    catalog.begin_upload(new_upload("a", 5, 0)).await.unwrap();
    catalog.commit_object(upload_id(5), &one_page(&[1, 7], "e", 0), &Condition::None).await.unwrap();
    let behind = catalog.object_of(upload_id(1)).await.unwrap().unwrap();
    assert_eq!(behind.version, Some(VersionId::Null));
    writer(&catalog, 2, &[11]).await;
    catalog.swap_segments(&swap(2, &[(1, 11)]), 50).await.unwrap();
    assert_eq!(catalog.page(upload_id(1), AT).await.unwrap().unwrap().segments[0].id, segment_id(11));
    assert_eq!(usage(&catalog, old()).await, (2, 2), "what the newer version needs stays");
    assert_eq!(catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap(), []);
    let whose = (BUCKET, &key("a"));
    assert!(catalog.delete_version(whose, VersionId::Null, Grounds::at(100)).await.unwrap().is_some());
    writer(&catalog, 3, &[12]).await;
    assert_eq!(catalog.swap_segments(&swap(3, &[(11, 12)]), 120).await, Err(SwapError::PageGone));
    let due = catalog.condemned_due(RETENTION_MS + 100, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|condemned| condemned.segment).collect::<Vec<_>>(), [segment_id(11)]);
}
