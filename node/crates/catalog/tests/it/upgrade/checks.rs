//! What holds of the catalog wherever it is kept.

use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    Bucket, BucketSetting, Catalog, Condition, ListQuery, Marking, Target, UserName, VersionQuery,
};
use datamesh_shard::BucketName;

use super::LATER;
use crate::support::{OPTIONS, inline, key, put, upload_id};

const ALL: usize = 1000;

pub(super) async fn bucket<K: Keyspace>(catalog: &Catalog<K>, name: &str) -> Bucket {
    catalog.bucket(&BucketName::new(name).unwrap()).await.unwrap().unwrap()
}

async fn keys_of<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket) -> Vec<String> {
    let query = ListQuery { limit: ALL, ..ListQuery::default() };
    let listed = catalog.list(bucket.id, &query).await.unwrap();
    listed.entries.iter().map(|entry| entry.key.to_string()).collect()
}

pub(super) async fn everything_is_there<K: Keyspace>(catalog: &Catalog<K>) {
    let (photos, plain) = (bucket(catalog, "photos").await, bucket(catalog, "default").await);
    assert_eq!(catalog.buckets().await.unwrap().len(), 3);
    let keys = ["a/0", "a/2", "a/3", "a/4", "deleted", "large", "parts"];
    assert_eq!(keys_of(catalog, &photos).await, keys);
    assert_eq!(keys_of(catalog, &plain).await, ["empty", "plain", "shred1", "shred2"]);
    let query = VersionQuery { limit: ALL, ..VersionQuery::default() };
    assert_eq!(catalog.list_versions(photos.id, &query).await.unwrap().entries.len(), 13);
    for key_of in keys {
        let object = catalog.object(photos.id, &key(key_of)).await.unwrap();
        assert!(object.is_some_and(|object| object.size_bytes > 0), "{key_of}");
    }
    let under_way = catalog.bucket_uploads(photos.id, b"", None, ALL).await.unwrap();
    assert_eq!(under_way.iter().map(|upload| upload.key.to_string()).collect::<Vec<_>>(), ["unfinished"]);
    for which in [BucketSetting::Lifecycle, BucketSetting::Cors, BucketSetting::Tags, BucketSetting::Policy] {
        assert!(catalog.bucket_setting(photos.id, which).await.unwrap().is_some(), "{which:?}");
    }
    accounts_are_there(catalog).await;
}

async fn accounts_are_there<K: Keyspace>(catalog: &Catalog<K>) {
    let (users, more) = catalog.users(None, ALL).await.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.name.as_str().to_owned()).collect();
    assert_eq!((names, more), (["ada", "ann", "bob", "eve"].map(String::from).to_vec(), false));
    let ann = catalog.user_of(&"ann".parse::<UserName>().unwrap()).await.unwrap().unwrap();
    let factor = catalog.second_factor(ann.id).await.unwrap().unwrap();
    assert!(factor.since_unix_ms > 0, "it was confirmed");
    assert_eq!(
        catalog.credentials(ann.id).await.unwrap().len(),
        1,
        "her session: tokens ended with the second factor"
    );
    assert_eq!(catalog.access_keys().await.unwrap().len(), 1);
    assert!(catalog.audit((0, u64::MAX), None, ALL).await.unwrap().rows.len() > 20);
}

/// Each upload, reference and object agrees with the others, and work goes on.
pub(super) async fn it_is_sound_and_goes_on<K: Keyspace>(catalog: &Catalog<K>) {
    let photos = bucket(catalog, "photos").await;
    for upload in catalog.uploads_after(None, ALL).await.unwrap() {
        assert_eq!(catalog.check_upload(upload, false, 0).await.unwrap(), []);
    }
    let references = catalog.check_references(None, ALL, false).await.unwrap();
    assert!(references.looked_at > 5 && references.flaws.is_empty(), "{references:?}");
    let objects = catalog.check_objects(photos.id, None, ALL).await.unwrap();
    assert!(objects.looked_at > 5 && objects.broken.is_empty(), "{objects:?}");

    let target = Target { bucket: photos.id, key: key("a/0"), upload: upload_id(1) };
    catalog.put_inline(&target, &inline("e", 1), &Condition::None).await.unwrap();
    let marker = Marking::Always(upload_id(2));
    catalog.delete_object(photos.id, &key("large"), &Condition::None, marker, 2).await.unwrap();
    let keys = ["a/0", "a/2", "a/3", "a/4", "deleted", "parts"];
    assert_eq!(keys_of(catalog, &photos).await, keys);
}

/// What is refused is the record: the engines' own formats are each engine's matter.
pub(super) async fn a_record_of_a_later_version_is_refused<K: Keyspace + Clone>(catalog: &Catalog<K>) {
    let (keyspace, cluster) = (catalog.keyspace(), keys::only(Table::Cluster));
    let mut row = keyspace.get(&cluster).await.unwrap().unwrap().value;
    row[0] = LATER;
    put(keyspace, &cluster, &row).await.unwrap();
    let refused = Catalog::with_keyspace(keyspace.clone(), "any", OPTIONS).await.err().unwrap().to_string();
    assert_eq!(refused, "version 200 of a cluster record is not known to this version");
}
