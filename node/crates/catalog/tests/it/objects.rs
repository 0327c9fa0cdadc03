//! Objects: the commit is the point at which a put has happened.

use datamesh_catalog::catalog::{CommitObjectError, DeleteObjectError, Invalid};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Body, Catalog, Condition, Deleted, DraftBody, ObjectKey, PageAt};

use crate::support::{
    ALWAYS, BUCKET, catalog_on, draft, inline, key, new_upload, on_all_engines, one_page, page, target,
    upload_id,
};

on_all_engines!(catalog_on:
    a_small_object, a_paged_object, commits_may_be_repeated, parts_must_be_whole, conditions,
    replacing_and_deleting_count, an_upload_may_become_inline, any_bytes_are_a_key, limits,
);

async fn a_small_object<K: Keyspace>(catalog: Catalog<K>) {
    assert_eq!(catalog.object(BUCKET, &key("a")).await.unwrap(), None);
    let done = catalog.put_inline(&target("a", 1), &inline("e1", 7), &Condition::None).await.unwrap();
    assert!(!done.replaced);
    let object = catalog.object(BUCKET, &key("a")).await.unwrap().unwrap();
    assert_eq!(object, done.object);
    assert_eq!((object.upload, object.size_bytes, object.etag.as_str()), (upload_id(1), 5, "e1"));
    assert_eq!((object.created_unix_ms, object.meta), (7, vec![("colour".into(), "blue".into())]));
    assert_eq!(object.body, Body::Inline { sealed: b"sealed e1".to_vec() });
    let paged = one_page(&[1], "e", 0);
    let answer = catalog.put_inline(&target("a", 2), &paged, &Condition::None).await;
    assert_eq!(answer, Err(CommitObjectError::Invalid(Invalid::BodyKind)));
}

async fn a_paged_object<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(upload, &page(1, 0, &[1, 2], true), 0).await.unwrap();
    catalog.put_page(upload, &page(5, 0, &[3], false), 0).await.unwrap();
    catalog.put_page(upload, &page(3, 0, &[9], false), 0).await.unwrap();
    let last_page = Some(page(5, 1, &[4], true));
    let body = DraftBody::Pages { parts: vec![1, 5], last_page };
    let done = catalog.commit_object(upload, &draft(body, 40, "e", 0), &Condition::IfAbsent).await.unwrap();
    let object = catalog.object(BUCKET, &key("a")).await.unwrap().unwrap();
    assert_eq!(object, done.object);
    let Body::Pages { parts } = &object.body else { panic!("{object:?}") };
    assert_eq!(parts.iter().map(|part| (part.part, part.pages)).collect::<Vec<_>>(), [(1, 1), (5, 2)]);
    let stored = catalog.page(object.upload, PageAt { part: 5, page: 1 }).await.unwrap();
    assert_eq!(stored, Some(page(5, 1, &[4], true).page));
    let counters = catalog.counters().await.unwrap();
    assert_eq!((counters.objects, counters.uploads, counters.condemned_segments), (1, 0, 0));
    assert_eq!(catalog.upload(upload).await.unwrap(), None);
}

async fn commits_may_be_repeated<K: Keyspace>(catalog: Catalog<K>) {
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    let paged = one_page(&[1], "e", 0);
    let commit = async |upload| catalog.commit_object(upload_id(upload), &paged, &Condition::IfAbsent).await;
    let first = commit(1).await.unwrap();
    assert_eq!(commit(1).await.unwrap().object, first.object);
    assert_eq!(commit(2).await, Err(CommitObjectError::UploadGone));
    let small = catalog.put_inline(&target("b", 3), &inline("e", 0), &Condition::IfAbsent).await.unwrap();
    let again = catalog.put_inline(&target("b", 3), &inline("e", 0), &Condition::IfAbsent).await.unwrap();
    assert_eq!(again.object, small.object);
    assert_eq!(catalog.counters().await.unwrap().objects, 2);
    catalog.put_inline(&target("a", 4), &inline("e", 0), &Condition::None).await.unwrap();
    assert_eq!(commit(1).await, Err(CommitObjectError::UploadGone), "it was replaced since");
}

async fn parts_must_be_whole<K: Keyspace>(catalog: Catalog<K>) {
    let upload = upload_id(1);
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(upload, &page(1, 0, &[1], true), 0).await.unwrap();
    catalog.put_page(upload, &page(2, 0, &[2], false), 0).await.unwrap();
    let commit = async |parts: &[u32], size, last_page| {
        let body = DraftBody::Pages { parts: parts.to_vec(), last_page };
        catalog.commit_object(upload, &draft(body, size, "e", 0), &Condition::None).await.map(|_| ())
    };
    assert_eq!(commit(&[1, 3], 10, None).await, Err(CommitObjectError::PartMissing { part: 3 }));
    assert_eq!(commit(&[1, 2], 20, None).await, Err(CommitObjectError::PartIncomplete { part: 2 }));
    let differs = CommitObjectError::SizeDiffers { parts_bytes: 10, size_bytes: 11 };
    assert_eq!(commit(&[1], 11, None).await, Err(differs));
    for parts in [[2, 1], [1, 1]] {
        let order = CommitObjectError::Invalid(Invalid::PartOrder { part: 1 });
        assert_eq!(commit(&parts, 20, None).await, Err(order));
    }
    let gap = commit(&[1, 2], 20, Some(page(2, 3, &[3], true))).await;
    assert!(matches!(gap, Err(CommitObjectError::Page(_))), "{gap:?}");
    assert_eq!(catalog.parts(upload).await.unwrap().len(), 2, "a refused commit changes nothing");
    commit(&[1, 2], 30, Some(page(2, 1, &[3], true))).await.unwrap();
}

async fn conditions<K: Keyspace>(catalog: Catalog<K>) {
    let put = async |upload, etag: &str, condition: Condition| {
        catalog.put_inline(&target("a", upload), &inline(etag, 0), &condition).await.map(|done| done.replaced)
    };
    let if_match = |etag: &str| Condition::IfMatch(etag.into());
    let failed = |etag: Option<&str>| {
        Err(CommitObjectError::PreconditionFailed { current_etag: etag.map(str::to_owned) })
    };
    assert_eq!(put(1, "e1", if_match("e0")).await, failed(None));
    assert_eq!(put(2, "e2", Condition::IfAbsent).await, Ok(false));
    assert_eq!(put(3, "e3", Condition::IfAbsent).await, failed(Some("e2")));
    assert_eq!(put(4, "e4", if_match("e1")).await, failed(Some("e2")));
    assert_eq!(put(5, "e5", if_match("e2")).await, Ok(true));
    catalog.begin_upload(new_upload("a", 6, 0)).await.unwrap();
    let paged = one_page(&[1], "e6", 0);
    let refused = catalog.commit_object(upload_id(6), &paged, &if_match("e2")).await;
    assert_eq!(refused.map(|done| done.replaced), failed(Some("e5")));
    assert!(catalog.upload(upload_id(6)).await.unwrap().is_some(), "the upload stays open");
    assert!(catalog.commit_object(upload_id(6), &paged, &if_match("e5")).await.unwrap().replaced);
    let delete = async |condition| catalog.delete_object(BUCKET, &key("a"), &condition, ALWAYS, 0).await;
    let failed = DeleteObjectError::PreconditionFailed { current_etag: Some("e6".into()) };
    assert_eq!(delete(if_match("e5")).await, Err(failed));
    assert_eq!(delete(if_match("e6")).await.unwrap().object().unwrap().etag, "e6");
    assert_eq!(delete(Condition::None).await, Ok(Deleted::Nothing));
    assert!(delete(if_match("e6")).await.is_err());
}

async fn replacing_and_deleting_count<K: Keyspace>(catalog: Catalog<K>) {
    let usage = async || {
        let usage = catalog.bucket_usage(BUCKET).await.unwrap();
        let counters = catalog.counters().await.unwrap();
        assert_eq!(counters.objects, usage.objects);
        (usage.objects, usage.plain_bytes, counters.condemned_segments)
    };
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.commit_object(upload_id(1), &one_page(&[1, 2, 3], "e", 0), &Condition::None).await.unwrap();
    assert_eq!(usage().await, (1, 30, 0));
    catalog.put_inline(&target("b", 2), &inline("e", 0), &Condition::None).await.unwrap();
    assert_eq!(usage().await, (2, 35, 0));
    assert!(catalog.put_inline(&target("a", 3), &inline("e", 0), &Condition::None).await.unwrap().replaced);
    assert_eq!(usage().await, (2, 10, 3), "its segments are condemned from the commit on");
    catalog.delete_object(BUCKET, &key("b"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(usage().await, (1, 5, 3));
}

async fn an_upload_may_become_inline<K: Keyspace>(catalog: Catalog<K>) {
    catalog.begin_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_page(upload_id(1), &page(0, 0, &[1], true), 0).await.unwrap();
    let done = catalog.commit_object(upload_id(1), &inline("e", 0), &Condition::None).await.unwrap();
    assert!(matches!(done.object.body, Body::Inline { .. }));
    assert_eq!(catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap().len(), 1, "what it had put goes");
    assert_eq!(catalog.object(BUCKET, &key("a")).await.unwrap(), Some(done.object));
}

async fn any_bytes_are_a_key<K: Keyspace>(catalog: Catalog<K>) {
    let keys =
        [vec![0], vec![0, 0], vec![0, 1], vec![255; 1024], vec![0; 1024], b"a\0/b".to_vec(), vec![255]];
    for (n, bytes) in keys.iter().enumerate() {
        let mut target = target("x", u64::try_from(n).unwrap());
        target.key = ObjectKey::new(bytes).unwrap();
        catalog.put_inline(&target, &inline(&n.to_string(), 0), &Condition::IfAbsent).await.unwrap();
    }
    for (n, bytes) in keys.iter().enumerate() {
        let object = catalog.object(BUCKET, &ObjectKey::new(bytes).unwrap()).await.unwrap().unwrap();
        assert_eq!((object.etag, object.key.as_bytes()), (n.to_string(), bytes.as_slice()));
    }
    assert!(ObjectKey::new(b"").is_err());
    assert!(ObjectKey::new([1; 1025]).is_err());
}

async fn limits<K: Keyspace>(catalog: Catalog<K>) {
    let sealed = |bytes| DraftBody::Inline { sealed: vec![0; bytes] };
    let mut long_etag = inline("e", 0);
    long_etag.etag = "e".repeat(129);
    for bad in [
        draft(sealed(4096 + 257), 1, "e", 0),
        draft(sealed(10), 4097, "e", 0),
        draft(DraftBody::Pages { parts: (0..10_001).collect(), last_page: None }, 1, "e", 0),
        draft(DraftBody::Pages { parts: Vec::new(), last_page: None }, (5 << 40) + 1, "e", 0),
        long_etag,
    ] {
        let answer = catalog.commit_object(upload_id(1), &bad, &Condition::None).await;
        assert!(matches!(answer, Err(CommitObjectError::Invalid(_))), "{answer:?}");
    }
    let largest = draft(sealed(4096 + 256), 4096, "e", 0);
    catalog.put_inline(&target("a", 1), &largest, &Condition::None).await.unwrap();
    catalog.begin_upload(new_upload("empty", 2, 0)).await.unwrap();
    let nothing = draft(DraftBody::Pages { parts: Vec::new(), last_page: None }, 0, "e", 0);
    catalog.commit_object(upload_id(2), &nothing, &Condition::None).await.unwrap();
}
