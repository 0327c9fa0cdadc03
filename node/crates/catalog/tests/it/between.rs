//! What others do between the moment an operation looks and the moment it commits.

use datamesh_catalog::catalog::{CommitObjectError, Terms, UploadError};
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keys;
use datamesh_catalog::keyspace::{Keyspace, Revision};
use datamesh_catalog::{
    BucketKind, Condition, DraftBody, EmbeddedCatalog, NewBucket, NewUpload, ObjectDraft, PartTag, Target,
    WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};

use crate::support::{
    bare, catalog_on, draft, key, new_upload, on_all_engines, page, put, target, upload_id,
};

on_all_engines!(bare:
    no_upload_begins_in_a_bucket_that_goes, a_part_that_is_another_one_by_now_is_not_committed,
    uploads_of_a_bucket_that_is_gone_are_looked_at_once, leases_end_what_a_deletion_left_behind,
);

fn photos() -> BucketName {
    BucketName::new("photos").unwrap()
}

/// An upload to a new bucket.
async fn to_photos(catalog: &EmbeddedCatalog, upload: u64) -> NewUpload {
    let new = NewBucket {
        name: photos(),
        kind: BucketKind::Managed,
        pool: PoolName::new("fast").unwrap(),
        locking: None,
        created_unix_ms: 1,
    };
    let bucket = catalog.ensure_bucket(new, |_| WrappedSecret { version: 1, bytes: vec![1] }).await.unwrap();
    let target = Target { bucket: bucket.id, key: key("a"), upload: upload_id(upload) };
    NewUpload { target, ..new_upload("a", upload, 0) }
}

async fn no_upload_begins_in_a_bucket_that_goes(keyspace: AnyKeyspace) {
    let (catalog, beginning) = (catalog_on(keyspace.clone()).await, catalog_on(keyspace).await);
    let new = to_photos(&catalog, 1).await;
    let deleting = catalog.clone();
    beginning.before_the_next_commit(async move {
        deleting.delete_bucket(&photos()).await.unwrap().unwrap();
    });
    assert_eq!(beginning.begin_listed_upload(new.clone()).await, Err(UploadError::BucketGone));
    assert_eq!(catalog.bucket_uploads(new.target.bucket, b"", None, 10).await.unwrap(), []);
    assert_eq!(catalog.counters().await.unwrap().uploads, 0);
}

fn tag(etag: &str) -> PartTag {
    PartTag { etag: etag.into(), put_unix_ms: 1, sealed: Vec::new() }
}

fn unchanged_since(seen: Revision) -> Terms<'static> {
    Terms { condition: &Condition::None, seen: Some(seen), sweeps: false }
}

fn of_part_one() -> ObjectDraft {
    draft(DraftBody::Pages { parts: vec![1], last_page: None }, 10, "e", 5)
}

/// The part's bytes are replaced, or only what its client was told: before the commit looks, or after.
async fn a_part_that_is_another_one_by_now_is_not_committed(keyspace: AnyKeyspace) {
    let (catalog, committing) = (catalog_on(keyspace.clone()).await, catalog_on(keyspace).await);
    let id = upload_id(1);
    catalog.begin_listed_upload(new_upload("a", 1, 0)).await.unwrap();
    catalog.put_part(id, &page(1, 0, &[1], true), tag("one")).await.unwrap();
    let changed = Err(CommitObjectError::PartsChanged);
    for (segments, etag) in [(vec![2], "two"), (vec![2], "two again")] {
        let (_, seen) = catalog.tagged_parts(id).await.unwrap();
        catalog.put_part(id, &page(1, 0, &segments, true), tag(etag)).await.unwrap();
        assert_eq!(catalog.commit_on(id, &of_part_one(), unchanged_since(seen)).await, changed, "{etag}");
    }
    for (segments, etag) in [(vec![3], "three"), (vec![3], "three again")] {
        let (_, seen) = catalog.tagged_parts(id).await.unwrap();
        let putting = catalog.clone();
        committing.before_the_next_commit(async move {
            putting.put_part(id, &page(1, 0, &segments, true), tag(etag)).await.unwrap();
        });
        assert_eq!(committing.commit_on(id, &of_part_one(), unchanged_since(seen)).await, changed, "{etag}");
    }
    assert!(catalog.object(target("a", 1).bucket, &key("a")).await.unwrap().is_none());
    let (parts, seen) = catalog.tagged_parts(id).await.unwrap();
    assert_eq!(parts[0].tag, Some(tag("three again")));
    catalog.commit_on(id, &of_part_one(), unchanged_since(seen)).await.unwrap();
}

async fn uploads_of_a_bucket_that_is_gone_are_looked_at_once(keyspace: AnyKeyspace) {
    let catalog = catalog_on(keyspace.clone()).await;
    let new = to_photos(&catalog, 1).await;
    let bucket = new.target.bucket;
    catalog.begin_listed_upload(new).await.unwrap();
    // A row whose upload is over: nothing makes one, and nothing may depend on that.
    let (over, stale) = (upload_id(2), keys::bucket_upload(bucket, &key("a"), upload_id(2)));
    let listed = keyspace.get(&keys::bucket_upload(bucket, &key("a"), upload_id(1))).await.unwrap().unwrap();
    put(&keyspace, &stale, &listed.value).await.unwrap();
    assert!(catalog.upload(over).await.unwrap().is_none());
    catalog.abort_bucket_uploads(bucket, 5).await.unwrap();
    assert_eq!(catalog.bucket_uploads(bucket, b"", None, 10).await.unwrap(), []);
    assert_eq!(catalog.counters().await.unwrap().uploads, 0);
}

async fn leases_end_what_a_deletion_left_behind(keyspace: AnyKeyspace) {
    let catalog = catalog_on(keyspace).await;
    let new = to_photos(&catalog, 1).await;
    let bucket = new.target.bucket;
    let begun = catalog.begin_listed_upload(new).await.unwrap();
    catalog.delete_bucket(&photos()).await.unwrap().unwrap();
    assert_eq!(catalog.reclaim_expired(begun.lease_until_unix_ms, 10).await.unwrap(), [upload_id(1)]);
    assert_eq!(catalog.bucket_uploads(bucket, b"", None, 10).await.unwrap(), []);
    assert_eq!(catalog.counters().await.unwrap().uploads, 0);
}
