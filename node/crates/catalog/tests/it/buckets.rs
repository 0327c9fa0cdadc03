//! Buckets are made and deleted; what races with a deletion is neither lost nor stranded.

use datamesh_catalog::catalog::{CommitObjectError, DeleteBucketError, UploadError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    Bucket, BucketId, BucketKind, BucketSetting, Catalog, Condition, DraftBody, NewBucket, Target,
    WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};

use crate::support::{
    ALWAYS, catalog_on, draft, inline, key, new_upload, on_all_engines, one_page, page, target, upload_id,
};

on_all_engines!(catalog_on:
    made_once, only_empty_ones_go, nothing_is_committed_in_a_bucket_that_is_gone, a_put_and_a_deletion_race,
    uploads_are_listed_while_they_are_open, parts_keep_their_tags,
    what_is_set_is_that_of_the_bucket_with_the_name_now,
);

fn named(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

fn new(name: &str) -> NewBucket {
    NewBucket {
        name: named(name),
        kind: BucketKind::Managed,
        pool: PoolName::new("fast").unwrap(),
        locking: None,
        created_unix_ms: 1,
    }
}

fn wrap(_: BucketId) -> WrappedSecret {
    WrappedSecret { version: 1, bytes: vec![1] }
}

async fn bucket<K: Keyspace>(catalog: &Catalog<K>, name: &str) -> Bucket {
    catalog.create_bucket(new(name), wrap).await.unwrap().unwrap()
}

fn put_to(bucket: &Bucket, name: &str, upload: u64) -> Target {
    Target { bucket: bucket.id, key: key(name), upload: upload_id(upload) }
}

async fn made_once<K: Keyspace>(catalog: Catalog<K>) {
    let made = bucket(&catalog, "photos").await;
    assert_eq!(catalog.create_bucket(new("photos"), wrap).await.unwrap(), None);
    assert_eq!(catalog.ensure_bucket(new("photos"), wrap).await.unwrap(), made);
    assert_eq!(catalog.delete_bucket(&named("photos")).await.unwrap(), Some(made.clone()));
    assert_eq!(catalog.delete_bucket(&named("photos")).await.unwrap(), None);
    assert_eq!(catalog.bucket(&named("photos")).await.unwrap(), None);
    let again = bucket(&catalog, "photos").await;
    assert!(again.id > made.id, "a number is never given twice");
}

async fn what_is_set_is_that_of_the_bucket_with_the_name_now<K: Keyspace>(catalog: Catalog<K>) {
    let name = named("photos");
    let both = [BucketSetting::Policy, BucketSetting::PublicAccessBlock];
    let set_of = async || catalog.settings_of_name(&name, both).await.unwrap();
    assert_eq!(set_of().await, None, "there is no bucket");
    let made = bucket(&catalog, "photos").await;
    assert_eq!(set_of().await, Some((made.id, [None, None])));
    let set = catalog.set_bucket_setting(made.id, BucketSetting::Policy, Some(b"{}".to_vec()));
    set.await.unwrap();
    assert_eq!(set_of().await, Some((made.id, [Some(b"{}".to_vec()), None])));
    catalog.delete_bucket(&name).await.unwrap();
    let again = bucket(&catalog, "photos").await;
    assert_eq!(set_of().await, Some((again.id, [None, None])));
    assert_eq!(catalog.bucket_setting(made.id, BucketSetting::Policy).await.unwrap(), None);
}

async fn only_empty_ones_go<K: Keyspace>(catalog: Catalog<K>) {
    let made = bucket(&catalog, "photos").await;
    catalog.put_inline(&put_to(&made, "a", 1), &inline("e", 0), &Condition::None).await.unwrap();
    assert_eq!(catalog.delete_bucket(&named("photos")).await, Err(DeleteBucketError::NotEmpty));
    assert!(catalog.object(made.id, &key("a")).await.unwrap().is_some());
    catalog.delete_object(made.id, &key("a"), &Condition::None, ALWAYS, 0).await.unwrap();
    assert_eq!(catalog.delete_bucket(&named("photos")).await, Ok(Some(made.clone())));
    assert_eq!(catalog.bucket_usage(made.id).await.unwrap(), Default::default());
}

async fn nothing_is_committed_in_a_bucket_that_is_gone<K: Keyspace>(catalog: Catalog<K>) {
    let made = bucket(&catalog, "photos").await;
    let mut upload = new_upload("b", 2, 0);
    upload.target = put_to(&made, "b", 2);
    catalog.begin_listed_upload(upload.clone()).await.unwrap();
    catalog.delete_bucket(&named("photos")).await.unwrap();
    let gone = Err(CommitObjectError::BucketGone);
    assert_eq!(catalog.put_inline(&put_to(&made, "a", 1), &inline("e", 0), &Condition::None).await, gone);
    assert_eq!(catalog.commit_object(upload_id(2), &one_page(&[7], "e", 0), &Condition::None).await, gone);
    upload.target.upload = upload_id(3);
    assert_eq!(catalog.begin_listed_upload(upload).await, Err(UploadError::BucketGone));
    assert!(catalog.abort_upload(upload_id(2), 0).await.unwrap());
    let all = catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap();
    catalog.forget_condemned(&all).await.unwrap();
    assert_eq!(catalog.counters().await.unwrap(), Default::default());
}

/// Whoever comes first: an acknowledged object is in a bucket that is there, and a deleted bucket has none.
async fn a_put_and_a_deletion_race<K: Keyspace>(catalog: Catalog<K>) {
    let (mut puts, mut deletions) = (0, 0);
    for round in 0..60 {
        let name = format!("race-{round}");
        let made = bucket(&catalog, &name).await;
        let target = put_to(&made, "a", 100 + round);
        let body = inline("e", 0);
        let put = catalog.put_inline(&target, &body, &Condition::None);
        let bucket_name = named(&name);
        let delete = catalog.delete_bucket(&bucket_name);
        let (put, deleted) = if round % 2 == 0 {
            tokio::join!(put, delete)
        } else {
            let (deleted, put) = tokio::join!(delete, put);
            (put, deleted)
        };
        let there = catalog.object(made.id, &key("a")).await.unwrap().is_some();
        let bucket_there = catalog.bucket(&bucket_name).await.unwrap().is_some();
        assert_eq!(put.is_ok(), there);
        assert_eq!(deleted.is_ok(), !bucket_there);
        assert_eq!(there, bucket_there, "{put:?} {deleted:?}");
        puts += usize::from(there);
        deletions += usize::from(!bucket_there);
    }
    println!("{puts} puts and {deletions} deletions came first");
}

async fn uploads_are_listed_while_they_are_open<K: Keyspace>(catalog: Catalog<K>) {
    let begin = async |name: &str, upload| {
        catalog.begin_listed_upload(new_upload(name, upload, 7)).await.unwrap();
    };
    begin("b", 1).await;
    begin("a/x", 2).await;
    begin("a/x", 3).await;
    begin("c", 4).await;
    catalog.begin_upload(new_upload("a/y", 5, 7)).await.unwrap();
    let bucket = target("b", 1).bucket;
    let list = async |prefix: &[u8], after: Option<(&str, Option<u64>)>, limit| {
        let after = after.map(|(name, upload)| (key(name), upload.map(upload_id)));
        let after = after.as_ref().map(|(key, upload)| (key, *upload));
        let listed = catalog.bucket_uploads(bucket, prefix, after, limit).await.unwrap();
        let name = |upload: &datamesh_catalog::ListedUpload| {
            assert_eq!(upload.created_unix_ms, 7);
            (upload.key.to_string(), u64::from_be_bytes(upload.upload.0[8..].try_into().unwrap()))
        };
        listed.iter().map(name).collect::<Vec<_>>()
    };
    let all = [("a/x".to_owned(), 2), ("a/x".to_owned(), 3), ("b".to_owned(), 1), ("c".to_owned(), 4)];
    assert_eq!(list(b"", None, 10).await, all);
    assert_eq!(list(b"", None, 2).await, all[..2]);
    assert_eq!(list(b"a/", None, 10).await, all[..2]);
    assert_eq!(list(b"", Some(("a/x", Some(2))), 10).await, all[1..]);
    assert_eq!(list(b"", Some(("a/x", None)), 10).await, all[2..]);
    assert_eq!(list(b"a/", Some(("b", None)), 10).await, []);
    catalog.commit_object(upload_id(1), &one_page(&[7], "e", 8), &Condition::None).await.unwrap();
    catalog.abort_upload(upload_id(2), 8).await.unwrap();
    assert_eq!(list(b"", None, 10).await, [all[1].clone(), all[3].clone()]);
    catalog.reclaim_expired(10_000, 10).await.unwrap();
    assert_eq!(list(b"", None, 10).await, []);
}

async fn parts_keep_their_tags<K: Keyspace>(catalog: Catalog<K>) {
    let tag = |etag: &str, put_unix_ms| datamesh_catalog::PartTag {
        etag: etag.into(),
        put_unix_ms,
        sealed: etag.as_bytes().to_vec(),
    };
    catalog.begin_listed_upload(new_upload("a", 1, 0)).await.unwrap();
    let id = upload_id(1);
    catalog.put_part(id, &page(2, 0, &[1], true), tag("two", 1)).await.unwrap();
    catalog.put_part(id, &page(1, 0, &[2, 3], true), tag("one", 2)).await.unwrap();
    catalog.put_part(id, &page(2, 0, &[4], true), tag("two again", 3)).await.unwrap();
    catalog.put_page(id, &page(3, 0, &[5], true), 4).await.unwrap();
    let (parts, _) = catalog.tagged_parts(id).await.unwrap();
    let told: Vec<_> = parts.iter().map(|tagged| (tagged.part.part, tagged.tag.clone())).collect();
    assert_eq!(told, [(1, Some(tag("one", 2))), (2, Some(tag("two again", 3))), (3, None)]);
    let body = DraftBody::Pages { parts: vec![1, 2], last_page: None };
    catalog.commit_object(id, &draft(body, 30, "e", 5), &Condition::None).await.unwrap();
    assert_eq!(catalog.tagged_parts(id).await.unwrap().0.len(), 3, "as long as the object is there");
    catalog.delete_object(target("a", 1).bucket, &key("a"), &Condition::None, ALWAYS, 6).await.unwrap();
    while !catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap().is_empty() {
        let due = catalog.condemned_due(u64::MAX - 1, None, 10).await.unwrap();
        catalog.forget_condemned(&due).await.unwrap();
    }
    assert_eq!(catalog.tagged_parts(id).await.unwrap().0, []);
}
