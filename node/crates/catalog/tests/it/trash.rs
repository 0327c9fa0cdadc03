//! What was deleted: listed, put back, and deleted for good, on what versions keep.

use datamesh_catalog::catalog::RestoreError;
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    BucketId, BucketUsage, Catalog, Condition, Grounds, Marking, Target, TrashEntry, VersionId, VersionQuery,
    Versioning,
};

use crate::support::{BUCKET, catalog_on, inline, key, new_upload, on_all_engines, one_page, upload_id};

on_all_engines!(catalog_on: coming_back, in_front_of_others, for_good, pages, suspended, at_once);

const NOW: u64 = 5000;

async fn put<K: Keyspace>(catalog: &Catalog<K>, name: &str, upload: u64) {
    let target = Target { bucket: BUCKET, key: key(name), upload: upload_id(upload) };
    let body = inline(&format!("e{upload}"), upload);
    catalog.put_inline(&target, &body, &Condition::None).await.unwrap();
}

/// With pages, so that what is let go shows.
async fn put_pages<K: Keyspace>(catalog: &Catalog<K>, name: &str, upload: u64) {
    catalog.begin_upload(new_upload(name, upload, upload)).await.unwrap();
    let draft = one_page(&[upload], &format!("e{upload}"), upload);
    catalog.commit_object(upload_id(upload), &draft, &Condition::None).await.unwrap();
}

async fn delete<K: Keyspace>(catalog: &Catalog<K>, name: &str, n: u64) {
    let marking = Marking::ToHide(upload_id(1_000_000 + n));
    catalog.delete_object(BUCKET, &key(name), &Condition::None, marking, NOW).await.unwrap();
}

async fn trash<K: Keyspace>(catalog: &Catalog<K>) -> Vec<TrashEntry> {
    let page = catalog.list_trash(BUCKET, b"", None, 1000).await.unwrap();
    assert_eq!(page.next, None);
    page.entries
}

fn names(entries: &[TrashEntry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.key, entry.object.etag)).collect()
}

async fn shown<K: Keyspace>(catalog: &Catalog<K>, name: &str) -> Option<String> {
    catalog.object(BUCKET, &key(name)).await.unwrap().map(|object| object.etag)
}

async fn restore<K: Keyspace>(
    catalog: &Catalog<K>,
    entry: &TrashEntry,
    overwrite: bool,
) -> Result<String, RestoreError> {
    let restored = catalog.restore((BUCKET, &entry.key), (entry.id, overwrite), NOW).await?;
    Ok(restored.etag)
}

/// Versions of all keys, `*` before what is shown, `-` for a delete.
async fn versions<K: Keyspace>(catalog: &Catalog<K>) -> Vec<String> {
    let query = VersionQuery { limit: 1000, ..VersionQuery::default() };
    let listing = catalog.list_versions(BUCKET, &query).await.unwrap();
    let entry = |entry: &datamesh_catalog::VersionEntry| {
        let what = entry.object.as_ref().map_or("-".to_owned(), |object| object.etag.clone());
        format!("{}{} {what}", if entry.latest { "*" } else { "" }, entry.key)
    };
    listing.entries.iter().map(entry).collect()
}

async fn usage<K: Keyspace>(catalog: &Catalog<K>) -> (u64, u64) {
    let BucketUsage { objects, versions, .. } = catalog.bucket_usage(BUCKET).await.unwrap();
    (objects, versions)
}

async fn enabled<K: Keyspace>(catalog: &Catalog<K>) {
    catalog.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
}

async fn coming_back<K: Keyspace>(catalog: Catalog<K>) {
    put(&catalog, "before", 1).await;
    enabled(&catalog).await;
    for (name, upload) in [("a", 2), ("b", 3), ("b", 4)] {
        put(&catalog, name, upload).await;
    }
    assert_eq!(trash(&catalog).await, [], "what was replaced is no trash");
    for (n, name) in ["a", "b", "before"].into_iter().enumerate() {
        delete(&catalog, name, u64::try_from(n).unwrap()).await;
    }
    let entries = trash(&catalog).await;
    assert_eq!(names(&entries), ["a e2", "b e4", "before e1"]);
    assert_eq!((entries[0].deleted_unix_ms, entries[0].object.size_bytes), (NOW, 5));
    for entry in &entries {
        assert_eq!(restore(&catalog, entry, false).await, Ok(entry.object.etag.clone()));
        assert_eq!(restore(&catalog, entry, true).await, Err(RestoreError::Nothing), "once");
    }
    assert_eq!(versions(&catalog).await, ["*a e2", "*b e4", "b e3", "*before e1"]);
    assert_eq!((trash(&catalog).await, usage(&catalog).await), (vec![], (3, 1)));
    let elsewhere = catalog.restore((BucketId(9), &key("a")), (entries[0].id, true), NOW).await;
    assert_eq!(elsewhere, Err(RestoreError::Nothing));
}

/// What was deleted and put again under another one's name.
async fn in_front_of_others<K: Keyspace>(catalog: Catalog<K>) {
    enabled(&catalog).await;
    put_pages(&catalog, "a", 1).await;
    delete(&catalog, "a", 1).await;
    put_pages(&catalog, "a", 2).await;
    let entries = trash(&catalog).await;
    assert_eq!(names(&entries), ["a e1"]);
    assert_eq!(restore(&catalog, &entries[0], false).await, Err(RestoreError::Taken("e2".into())));
    assert_eq!(shown(&catalog, "a").await, Some("e2".into()), "refused is untouched");
    assert_eq!(restore(&catalog, &entries[0], true).await, Ok("e1".into()));
    assert_eq!(versions(&catalog).await, ["*a e1", "a e2"], "what it replaced is kept");
    let object = catalog.object(BUCKET, &key("a")).await.unwrap().unwrap();
    assert_eq!(object.created_unix_ms, NOW, "rules count from then on how long the other has been behind");
    for upload in [1, 2] {
        let found = catalog.object_of(upload_id(upload)).await.unwrap();
        assert_eq!(found.unwrap().upload, upload_id(upload), "its pages are found");
    }
    assert_eq!((trash(&catalog).await, usage(&catalog).await), (vec![], (1, 1)));
    assert_eq!(catalog.condemned_due(u64::MAX - 1, None, 100).await.unwrap(), [], "nothing is let go");
    // Twice deleted: the earlier one comes back while the key shows nothing.
    delete(&catalog, "a", 2).await;
    put_pages(&catalog, "a", 3).await;
    delete(&catalog, "a", 3).await;
    let entries = trash(&catalog).await;
    assert_eq!(names(&entries), ["a e3", "a e1"]);
    assert_eq!(restore(&catalog, &entries[1], false).await, Ok("e1".into()));
    assert_eq!(versions(&catalog).await, ["*a e1", "a -", "a e3", "a e2"]);
    assert_eq!(names(&trash(&catalog).await), ["a e3"]);
}

async fn for_good<K: Keyspace>(catalog: Catalog<K>) {
    enabled(&catalog).await;
    for (name, upload) in [("a", 1), ("a", 2), ("b", 3)] {
        put_pages(&catalog, name, upload).await;
    }
    delete(&catalog, "a", 1).await;
    put_pages(&catalog, "a", 4).await;
    let entry = trash(&catalog).await.remove(0);
    let purge = async || catalog.purge((BUCKET, &entry.key), entry.id, NOW).await.unwrap();
    assert_eq!(purge().await, Some(2), "with what stood behind it");
    assert_eq!(purge().await, None);
    assert_eq!(versions(&catalog).await, ["*a e4", "*b e3"]);
    let due = catalog.condemned_due(u64::MAX - 1, None, 100).await.unwrap();
    assert_eq!(due.len(), 2, "and its segments are let go");
    delete(&catalog, "a", 2).await;
    let entry = trash(&catalog).await.remove(0);
    assert_eq!(catalog.purge((BUCKET, &entry.key), entry.id, NOW).await.unwrap(), Some(1));
    assert_eq!((versions(&catalog).await, usage(&catalog).await), (vec!["*b e3".to_owned()], (1, 0)));
    let object = catalog.object(BUCKET, &key("b")).await.unwrap().unwrap();
    let shown = catalog.purge((BUCKET, &key("b")), object.version.unwrap(), NOW).await.unwrap();
    assert_eq!((shown, usage(&catalog).await), (None, (1, 0)), "what is no delete is no trash");
}

/// Every entry once, whatever the pages are.
async fn pages<K: Keyspace>(catalog: Catalog<K>) {
    enabled(&catalog).await;
    for n in 0..30 {
        put(&catalog, &format!("k{n:02}"), n + 1).await;
        if n % 3 > 0 {
            delete(&catalog, &format!("k{n:02}"), n).await;
        }
    }
    let all = names(&trash(&catalog).await);
    assert_eq!(all.len(), 20);
    for limit in [1, 2, 3, 7, 19, 20, 21] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.list_trash(BUCKET, b"", after, limit).await.unwrap();
            assert!(page.entries.len() <= limit);
            seen.extend(names(&page.entries));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    let some = catalog.list_trash(BUCKET, b"k1", None, 100).await.unwrap();
    assert_eq!(some.entries.len(), 7);
}

async fn suspended<K: Keyspace>(catalog: Catalog<K>) {
    enabled(&catalog).await;
    put(&catalog, "a", 1).await;
    delete(&catalog, "a", 1).await;
    catalog.set_versioning(BUCKET, Versioning::Suspended).await.unwrap();
    let entry = trash(&catalog).await.remove(0);
    put(&catalog, "a", 2).await;
    assert_eq!(restore(&catalog, &entry, true).await, Err(RestoreError::NotKept));
    assert_eq!(shown(&catalog, "a").await, Some("e2".into()));
    catalog.delete_version((BUCKET, &key("a")), VersionId::Null, Grounds::at(NOW)).await.unwrap();
    assert_eq!(restore(&catalog, &entry, false).await, Ok("e1".into()), "where nothing is in front of it");
}

/// Somebody puts it back while another deletes it for good: one of the two happens.
async fn at_once<K: Keyspace>(catalog: Catalog<K>) {
    enabled(&catalog).await;
    for n in 0..10 {
        put_pages(&catalog, "a", n + 1).await;
        delete(&catalog, "a", n).await;
        let entry = trash(&catalog).await.remove(0);
        let (back, gone) = futures::join!(
            restore(&catalog, &entry, false),
            catalog.purge((BUCKET, &entry.key), entry.id, NOW)
        );
        let there = shown(&catalog, "a").await.is_some();
        assert_eq!((back.is_ok(), gone.unwrap() == Some(1)), (there, !there));
        if there {
            delete(&catalog, "a", 100 + n).await;
            let entry = trash(&catalog).await.remove(0);
            catalog.purge((BUCKET, &entry.key), entry.id, NOW).await.unwrap();
        }
        assert_eq!((versions(&catalog).await, usage(&catalog).await), (vec![], (0, 0)));
    }
}
