//! Versions: kept, found, listed and let go as a plain model says.

use std::collections::BTreeMap;

use datamesh_catalog::catalog::DeleteBucketError;
use datamesh_catalog::keys::Table;
use datamesh_catalog::keyspace::{KeyRange, Keyspace, RangeLimits, View};
use datamesh_catalog::{
    Bucket, BucketKind, BucketUsage, Catalog, Condition, Deleted, NewBucket, ObjectKey, Target, Version,
    VersionId, VersionListing, VersionQuery, Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};

use crate::support::{Dice, catalog_on, inline, key, new_upload, on_all_engines, one_page, upload_id};

on_all_engines!(catalog_on:
    a_bucket_keeps_what_is_replaced, suspended_buckets_replace_the_null_version, another_handle_finds_out,
    a_bucket_with_versions_is_not_deleted, puts_and_deletes_race, as_the_model,
);

fn name() -> BucketName {
    BucketName::new("photos").unwrap()
}

async fn bucket<K: Keyspace>(catalog: &Catalog<K>) -> Bucket {
    let pool = PoolName::new("fast").unwrap();
    let new = NewBucket { name: name(), kind: BucketKind::Managed, pool, created_unix_ms: 1 };
    catalog.create_bucket(new, |_| WrappedSecret { version: 1, bytes: vec![1] }).await.unwrap().unwrap()
}

/// Puts a small object and gives its version.
async fn put<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: &Bucket,
    name: &str,
    upload: u64,
) -> Option<VersionId> {
    let target = Target { bucket: bucket.id, key: key(name), upload: upload_id(upload) };
    let body = inline(&format!("e{upload}"), upload);
    catalog.put_inline(&target, &body, &Condition::None).await.unwrap().object.version
}

/// Puts an object with one page of these segments.
async fn put_pages<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: &Bucket,
    (name, upload): (&str, u64),
    segments: &[u64],
) -> Option<VersionId> {
    let mut new = new_upload(name, upload, upload);
    new.target.bucket = bucket.id;
    catalog.begin_upload(new).await.unwrap();
    let draft = one_page(segments, &format!("e{upload}"), upload);
    catalog.commit_object(upload_id(upload), &draft, &Condition::None).await.unwrap().object.version
}

async fn etag<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket, name: &str) -> Option<String> {
    catalog.object(bucket.id, &key(name)).await.unwrap().map(|object| object.etag)
}

/// `*` before what is latest, `-` where it is a delete.
async fn listed<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket) -> Vec<String> {
    let query = VersionQuery { limit: 1000, ..VersionQuery::default() };
    let listing = catalog.list_versions(bucket.id, &query).await.unwrap();
    let entry = |entry: &datamesh_catalog::VersionEntry| {
        let what = entry.object.as_ref().map_or("-".to_owned(), |object| object.etag.clone());
        let null = if entry.version == VersionId::Null { " null" } else { "" };
        format!("{}{} {what}{null}", if entry.latest { "*" } else { "" }, entry.key)
    };
    listing.entries.iter().map(entry).collect()
}

async fn usage<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket) -> (u64, u64) {
    let BucketUsage { objects, versions, .. } = catalog.bucket_usage(bucket.id).await.unwrap();
    (objects, versions)
}

/// Lets all that is condemned go.
async fn collect<K: Keyspace>(catalog: &Catalog<K>) -> usize {
    let mut gone = 0;
    loop {
        let due = catalog.condemned_due(u64::MAX - 1, None, 100).await.unwrap();
        if due.is_empty() {
            return gone;
        }
        gone += catalog.forget_condemned(&due).await.unwrap();
    }
}

async fn a_bucket_keeps_what_is_replaced<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    assert_eq!(put_pages(&catalog, &photos, ("a", 1), &[1, 2]).await, None);
    assert_eq!(catalog.versioning(photos.id).await.unwrap(), None);
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    assert_eq!(catalog.versioning(photos.id).await.unwrap(), Some(Versioning::Enabled));
    let second = put_pages(&catalog, &photos, ("a", 2), &[3]).await.unwrap();
    let third = put(&catalog, &photos, "a", 3).await.unwrap();
    put(&catalog, &photos, "b", 4).await;
    assert_eq!(listed(&catalog, &photos).await, ["*a e3", "a e2", "a e1 null", "*b e4"]);
    assert_eq!(usage(&catalog, &photos).await, (2, 2));
    assert_eq!(collect(&catalog).await, 0, "nothing is let go");
    for (upload, version) in [(1, VersionId::Null), (2, second), (3, third)] {
        let found = catalog.object_version(photos.id, &key("a"), version).await.unwrap();
        let Some(Version::Object(object)) = found else { panic!("{found:?}") };
        assert_eq!((object.upload, object.version), (upload_id(upload), Some(version)));
        let pages = catalog.object_of(upload_id(upload)).await.unwrap();
        assert_eq!(pages.is_some(), upload != 3, "found by its upload, where it has pages");
    }
    let other = VersionId::Numbered { order: 2, upload: upload_id(9) };
    assert_eq!(catalog.object_version(photos.id, &key("a"), other).await.unwrap(), None);
    // A commit that is repeated after it was replaced.
    let again =
        catalog.commit_object(upload_id(2), &one_page(&[3], "e2", 2), &Condition::None).await.unwrap();
    assert_eq!(again.object.version, Some(second));
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, 5).await.unwrap();
    let Deleted::Marked(marker) = deleted else { panic!("{deleted:?}") };
    assert_eq!(catalog.marker(photos.id, &key("a")).await.unwrap(), Some(marker.clone()));
    assert_eq!(listed(&catalog, &photos).await, ["*a -", "a e3", "a e2", "a e1 null", "*b e4"]);
    assert_eq!((etag(&catalog, &photos, "a").await, usage(&catalog, &photos).await), (None, (1, 4)));
    let delete = async |version| catalog.delete_version((photos.id, &key("a")), version, 6).await.unwrap();
    assert_eq!(delete(marker.version).await, Some(Version::Marker(marker.clone())));
    assert_eq!(delete(marker.version).await, None);
    assert_eq!(etag(&catalog, &photos, "a").await.as_deref(), Some("e3"), "it shows again");
    assert!(delete(third).await.is_some());
    assert_eq!(etag(&catalog, &photos, "a").await.as_deref(), Some("e2"));
    assert!(delete(VersionId::Null).await.is_some());
    assert_eq!(listed(&catalog, &photos).await, ["*a e2", "*b e4"]);
    assert_eq!(collect(&catalog).await, 2, "the segments of the first version");
    assert!(delete(second).await.is_some());
    assert_eq!((collect(&catalog).await, usage(&catalog, &photos).await), (1, (1, 0)));
}

async fn suspended_buckets_replace_the_null_version<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    put_pages(&catalog, &photos, ("a", 1), &[1]).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    put_pages(&catalog, &photos, ("a", 2), &[2]).await;
    catalog.set_versioning(photos.id, Versioning::Suspended).await.unwrap();
    assert_eq!(put_pages(&catalog, &photos, ("a", 3), &[3]).await, Some(VersionId::Null));
    assert_eq!(listed(&catalog, &photos).await, ["*a e3 null", "a e2"]);
    assert_eq!(collect(&catalog).await, 1, "the null version from before");
    assert_eq!(put(&catalog, &photos, "a", 4).await, Some(VersionId::Null));
    assert_eq!((collect(&catalog).await, listed(&catalog, &photos).await.len()), (1, 2));
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, 5).await.unwrap();
    assert!(matches!(deleted, Deleted::Marked(marker) if marker.version == VersionId::Null));
    assert_eq!(listed(&catalog, &photos).await, ["*a - null", "a e2"]);
    assert_eq!(put(&catalog, &photos, "a", 6).await, Some(VersionId::Null));
    assert_eq!(listed(&catalog, &photos).await, ["*a e6 null", "a e2"], "the marker was the null version");
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    put(&catalog, &photos, "a", 7).await;
    assert_eq!(listed(&catalog, &photos).await, ["*a e7", "a e6 null", "a e2"]);
}

/// As another gateway would: it has not seen that the bucket keeps versions.
async fn another_handle_finds_out<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    put(&catalog, &photos, "a", 1).await;
    for round in 0..4_u64 {
        let other = catalog_on(catalog.keyspace().clone()).await;
        match round {
            0 => drop(put(&other, &photos, "a", 2).await.unwrap()),
            1 => drop(put_pages(&other, &photos, ("a", 3), &[1]).await.unwrap()),
            2 => {
                let gone = other.delete_object(photos.id, &key("a"), &Condition::None, 4).await.unwrap();
                assert!(matches!(gone, Deleted::Marked(_)), "{gone:?}");
            }
            _ => {
                let gone = other.delete_object(photos.id, &key("none"), &Condition::None, 5).await.unwrap();
                assert!(matches!(gone, Deleted::Marked(_)), "there was none, and a marker says so: {gone:?}");
            }
        }
    }
    assert_eq!(listed(&catalog, &photos).await, ["*a -", "a e3", "a e2", "a e1", "*none -"]);
}

async fn a_bucket_with_versions_is_not_deleted<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    let version = put(&catalog, &photos, "a", 1).await.unwrap();
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, 2).await.unwrap();
    let Deleted::Marked(marker) = deleted else { panic!("{deleted:?}") };
    for version in [version, marker.version] {
        assert_eq!(catalog.delete_bucket(&name()).await, Err(DeleteBucketError::NotEmpty));
        assert!(catalog.delete_version((photos.id, &key("a")), version, 3).await.unwrap().is_some());
    }
    assert!(catalog.delete_bucket(&name()).await.unwrap().is_some());
    assert_eq!(catalog.versioning(photos.id).await.unwrap(), None);
    assert!(catalog.set_versioning(photos.id, Versioning::Enabled).await.is_err());
    assert_eq!(catalog.bucket_usage(photos.id).await.unwrap(), BucketUsage::default());
}

/// None of many writes at once to one key is lost, and each version is there once.
async fn puts_and_deletes_race<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    let one = async |n: u64| {
        if n.is_multiple_of(3) {
            let gone = catalog.delete_object(photos.id, &key("a"), &Condition::None, n).await.unwrap();
            assert!(matches!(gone, Deleted::Marked(_)));
        } else {
            assert!(put(&catalog, &photos, "a", n).await.is_some());
        }
    };
    futures::future::join_all((1..25).map(one)).await;
    let query = VersionQuery { limit: 1000, ..VersionQuery::default() };
    let listing = catalog.list_versions(photos.id, &query).await.unwrap();
    assert_eq!(listing.entries.len(), 24);
    assert_eq!(listing.entries.iter().filter(|entry| entry.latest).count(), 1);
    let remove = async |entry: &datamesh_catalog::VersionEntry| {
        let gone = catalog.delete_version((photos.id, &entry.key), entry.version, 100).await.unwrap();
        assert!(gone.is_some(), "{entry:?}");
    };
    futures::future::join_all(listing.entries.iter().map(remove)).await;
    assert_eq!(catalog.list_versions(photos.id, &query).await.unwrap(), VersionListing::default());
    assert_eq!((etag(&catalog, &photos, "a").await, usage(&catalog, &photos).await), (None, (0, 0)));
}

/// A version as the model has it: its id, and its tag, or none where it is a delete.
type Modelled = (VersionId, Option<String>);

/// Versions of keys, the newest first.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Vec<Modelled>>,
    state: Option<Versioning>,
}

impl Model {
    fn push(&mut self, key: &[u8], id: Option<VersionId>, etag: Option<String>) {
        let versions = self.keys.entry(key.to_vec()).or_default();
        if self.state != Some(Versioning::Enabled) {
            assert_eq!(id.unwrap_or(VersionId::Null), VersionId::Null);
            versions.retain(|(id, _)| *id != VersionId::Null);
        }
        versions.insert(0, (id.unwrap_or(VersionId::Null), etag));
    }

    fn remove(&mut self, key: &[u8], id: VersionId) {
        let versions = self.keys.get_mut(key).unwrap();
        versions.retain(|(there, _)| *there != id);
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }

    fn current(&self, key: &[u8]) -> Option<String> {
        self.keys.get(key)?.first()?.1.clone()
    }

    /// All versions that a list shall have, in order; common prefixes among them.
    fn listed(&self, prefix: &[u8], delimiter: Option<&str>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (key, versions) in self.keys.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let rest = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let rolled = delimiter.and_then(|by| Some(rest.split_once(by)?.0.to_owned() + by));
            match rolled {
                Some(rolled) => {
                    let rolled = format!("{}{rolled}", String::from_utf8_lossy(prefix));
                    if all.last() != Some(&rolled) {
                        all.push(rolled);
                    }
                }
                None => all.extend(versions.iter().enumerate().map(|(n, (id, etag))| {
                    format!("{} {id} {etag:?} {}", String::from_utf8_lossy(key), n == 0)
                })),
            }
        }
        all
    }
}

/// The same of the catalog, page by page. Common prefixes of a page are put between its entries by order.
async fn pages<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket, mut query: VersionQuery) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let listing = catalog.list_versions(bucket.id, &query).await.unwrap();
        assert!(listing.entries.len() + listing.common_prefixes.len() <= query.limit);
        let mut of_page: Vec<(Vec<u8>, usize, String)> = Vec::new();
        for (n, entry) in listing.entries.iter().enumerate() {
            let etag = entry.object.as_ref().map(|object| object.etag.clone());
            let text = format!("{} {} {etag:?} {}", entry.key, entry.version, entry.latest);
            of_page.push((entry.key.as_bytes().to_vec(), n, text));
        }
        for prefix in &listing.common_prefixes {
            of_page.push((prefix.clone(), 0, String::from_utf8_lossy(prefix).into_owned()));
        }
        of_page.sort();
        all.extend(of_page.into_iter().map(|(_, _, text)| text));
        let Some(next) = listing.next else { return all };
        query.after = Some(next);
    }
}

const KEYS: [&str; 8] = ["a", "a/1", "a/2", "a0", "b", "b/x/y", "b/x/z", "ö/"];

async fn as_the_model<K: Keyspace>(catalog: Catalog<K>) {
    let mut dice = Dice::new("versions_as_the_model");
    let photos = bucket(&catalog).await;
    let mut model = Model::default();
    for step in 1..260_u64 {
        let name = *dice.pick(&KEYS);
        match dice.below(20) {
            0..6 => {
                let id = put(&catalog, &photos, name, step).await;
                model.push(name.as_bytes(), id, Some(format!("e{step}")));
            }
            6..9 => {
                let id = put_pages(&catalog, &photos, (name, step), &[step, step + 1000]).await;
                model.push(name.as_bytes(), id, Some(format!("e{step}")));
            }
            9..13 => {
                let before = model.current(name.as_bytes());
                match catalog.delete_object(photos.id, &key(name), &Condition::None, step).await.unwrap() {
                    Deleted::Nothing => assert!(model.state.is_none() && before.is_none()),
                    Deleted::Object(object) => {
                        assert!(model.state.is_none());
                        assert_eq!(Some(object.etag), before);
                        model.remove(name.as_bytes(), VersionId::Null);
                    }
                    Deleted::Marked(marker) => model.push(name.as_bytes(), Some(marker.version), None),
                }
            }
            13..18 => {
                let Some(versions) = model.keys.get(name.as_bytes()) else { continue };
                let id = dice.pick(versions).0;
                let gone = catalog.delete_version((photos.id, &key(name)), id, step).await.unwrap();
                assert!(gone.is_some(), "{name} {id}");
                model.remove(name.as_bytes(), id);
            }
            18 if step > 40 => {
                let state = *dice.pick(&[Versioning::Enabled, Versioning::Enabled, Versioning::Suspended]);
                catalog.set_versioning(photos.id, state).await.unwrap();
                model.state = Some(state);
            }
            _ => {
                let (prefix, by) = (*dice.pick(&["", "a", "b/", "zz"]), *dice.pick(&[None, Some("/")]));
                let query = VersionQuery {
                    prefix: prefix.into(),
                    after: None,
                    limit: 1 + dice.below(7),
                    delimiter: by.map(str::to_owned),
                };
                let found = pages(&catalog, &photos, query).await;
                assert_eq!(found, model.listed(prefix.as_bytes(), by), "{prefix:?} {by:?} at {step}");
            }
        }
        assert_eq!(etag(&catalog, &photos, name).await, model.current(name.as_bytes()), "{name} at {step}");
        let kept: usize = model.keys.values().map(Vec::len).sum();
        let (objects, versions) = usage(&catalog, &photos).await;
        assert_eq!(usize::try_from(objects + versions).unwrap(), kept);
    }
    assert!(model.state.is_some() && model.keys.values().any(|versions| versions.len() > 1), "none was kept");
    everything_goes(&catalog, &photos, model).await;
}

/// Once each version is deleted, nothing is left but what belongs to no object.
async fn everything_goes<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket, model: Model) {
    for (name, versions) in model.keys {
        let name = ObjectKey::new(&name).unwrap();
        for (id, _) in versions {
            assert!(catalog.delete_version((bucket.id, &name), id, 1000).await.unwrap().is_some());
        }
    }
    collect(catalog).await;
    assert!(catalog.delete_bucket(&bucket.name).await.unwrap().is_some());
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    let everything = catalog.keyspace().view().await.unwrap().range(&KeyRange::prefix(b""), all).await;
    let kept = [Table::Cluster, Table::BucketNext, Table::BucketGone, Table::Counter, Table::ProfileCounter];
    let strangers: Vec<_> = everything
        .unwrap()
        .rows
        .into_iter()
        .filter(|row| !kept.iter().any(|table| *table as u8 == row.key[1]))
        .collect();
    assert_eq!(strangers, []);
    assert_eq!(catalog.counters().await.unwrap(), Default::default());
}

#[test]
fn ids_are_read_as_they_are_written() {
    for id in [VersionId::Null, VersionId::Numbered { order: u64::MAX, upload: upload_id(7) }] {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    for wrong in ["", "NULL", "0", &"0".repeat(47), &"0".repeat(50), &"g".repeat(48)] {
        assert!(wrong.parse::<VersionId>().is_err(), "{wrong}");
    }
}
