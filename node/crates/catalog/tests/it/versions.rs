//! Versions: kept, found, listed and let go as a plain model says.

pub(crate) mod model;

use datamesh_catalog::catalog::{CatalogError, CommitObjectError, DeleteBucketError};
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Batch, KeyRange, Keyspace, RangeLimits, View};
use datamesh_catalog::record::{self, CurrentRecord, VersionBodyRecord, VersionRecord, Written as _};
use datamesh_catalog::{
    Bucket, BucketKind, BucketUsage, Catalog, Condition, Deleted, Grounds, Marking, NewBucket, Target,
    Version, VersionId, VersionListing, VersionQuery, Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};

use crate::support::{Dice, catalog_on, inline, key, new_upload, on_all_engines, one_page, upload_id};
use model::{Model, pages};

on_all_engines!(catalog_on:
    a_bucket_keeps_what_is_replaced, suspended_buckets_replace_the_null_version, another_handle_finds_out,
    a_bucket_with_versions_is_not_deleted, puts_and_deletes_race, as_the_model,
    older_gateways_overwrite_nothing,
);

fn name() -> BucketName {
    BucketName::new("photos").unwrap()
}

async fn bucket<K: Keyspace>(catalog: &Catalog<K>) -> Bucket {
    let pool = PoolName::new("fast").unwrap();
    let new = NewBucket { name: name(), kind: BucketKind::Managed, pool, locking: None, created_unix_ms: 1 };
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

/// A marker of its own for each delete.
fn marking(n: u64) -> Marking {
    Marking::Always(upload_id(1_000_000 + n))
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
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, marking(5), 5).await.unwrap();
    let Deleted::Marked { marker, gone: None } = deleted else { panic!("{deleted:?}") };
    assert_eq!(catalog.marker(photos.id, &key("a")).await.unwrap(), Some(marker.clone()));
    assert_eq!(listed(&catalog, &photos).await, ["*a -", "a e3", "a e2", "a e1 null", "*b e4"]);
    assert_eq!((etag(&catalog, &photos, "a").await, usage(&catalog, &photos).await), (None, (1, 4)));
    let delete = async |version| {
        catalog.delete_version((photos.id, &key("a")), version, Grounds::at(6)).await.unwrap()
    };
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
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, marking(5), 5).await.unwrap();
    let Deleted::Marked { marker, gone: Some(gone) } = deleted else { panic!("{deleted:?}") };
    assert_eq!((marker.version, gone.upload), (VersionId::Null, upload_id(4)), "its place is the marker's");
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
                let gone =
                    other.delete_object(photos.id, &key("a"), &Condition::None, marking(4), 4).await.unwrap();
                assert!(matches!(gone, Deleted::Marked { .. }), "{gone:?}");
            }
            _ => {
                let gone = other
                    .delete_object(photos.id, &key("none"), &Condition::None, marking(5), 5)
                    .await
                    .unwrap();
                assert!(
                    matches!(gone, Deleted::Marked { .. }),
                    "there was none, and a marker says so: {gone:?}"
                );
            }
        }
    }
    assert_eq!(listed(&catalog, &photos).await, ["*a -", "a e3", "a e2", "a e1", "*none -"]);
}

async fn a_bucket_with_versions_is_not_deleted<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    let version = put(&catalog, &photos, "a", 1).await.unwrap();
    let deleted = catalog.delete_object(photos.id, &key("a"), &Condition::None, marking(2), 2).await.unwrap();
    let Deleted::Marked { marker, gone: None } = deleted else { panic!("{deleted:?}") };
    for version in [version, marker.version] {
        assert_eq!(catalog.delete_bucket(&name()).await, Err(DeleteBucketError::NotEmpty));
        assert!(
            catalog.delete_version((photos.id, &key("a")), version, Grounds::at(3)).await.unwrap().is_some()
        );
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
            let gone =
                catalog.delete_object(photos.id, &key("a"), &Condition::None, marking(n), n).await.unwrap();
            assert!(matches!(gone, Deleted::Marked { .. }));
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
        let gone =
            catalog.delete_version((photos.id, &entry.key), entry.version, Grounds::at(100)).await.unwrap();
        assert!(gone.is_some(), "{entry:?}");
    };
    futures::future::join_all(listing.entries.iter().map(remove)).await;
    assert_eq!(catalog.list_versions(photos.id, &query).await.unwrap(), VersionListing::default());
    assert_eq!((etag(&catalog, &photos, "a").await, usage(&catalog, &photos).await), (None, (0, 0)));
}

const KEYS: [&str; 8] = ["a", "a/1", "a/2", "a0", "b", "b/x/y", "b/x/z", "ö/"];

async fn as_the_model<K: Keyspace>(catalog: Catalog<K>) {
    let mut dice = Dice::new("versions_as_the_model");
    let photos = bucket(&catalog).await;
    let (mut model, mut some_were_kept) = (Model::default(), false);
    for step in 1..260_u64 {
        let name = *dice.pick(&KEYS);
        match dice.below(20) {
            0..6 => {
                let id = put(&catalog, &photos, name, step).await;
                model.push(name, id, Some((format!("e{step}"), 5)));
            }
            6..9 => {
                let id = put_pages(&catalog, &photos, (name, step), &[step, step + 1000]).await;
                model.push(name, id, Some((format!("e{step}"), 20)));
            }
            9..13 => delete(&mut dice, (&catalog, &photos), &mut model, (name, step)).await,
            13..18 => {
                let Some(versions) = model.keys.get(name) else { continue };
                let id = dice.pick(versions).id;
                let gone =
                    catalog.delete_version((photos.id, &key(name)), id, Grounds::at(step)).await.unwrap();
                assert!(gone.is_some(), "{name} {id}");
                model.remove(name, id);
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
                let found = pages(&catalog, photos.id, query).await;
                assert_eq!(found, model.listed(prefix, by), "{prefix:?} {by:?} at {step}");
            }
        }
        assert_eq!(etag(&catalog, &photos, name).await, model.current(name), "{name} at {step}");
        assert_eq!(catalog.bucket_usage(photos.id).await.unwrap(), model.usage(), "at {step}");
        some_were_kept |= model.keys.values().any(|versions| versions.len() > 1);
    }
    assert!(model.state.is_some() && some_were_kept, "none was kept");
    everything_goes(&catalog, &photos, model).await;
}

/// Deletes what a key shows, with a marker where there is nothing, or without.
async fn delete<K: Keyspace>(
    dice: &mut Dice,
    (catalog, bucket): (&Catalog<K>, &Bucket),
    model: &mut Model,
    (name, step): (&str, u64),
) {
    let (before, always) = (model.current(name), dice.once_in(2));
    let marking = if always { Marking::Always } else { Marking::ToHide }(upload_id(1_000_000 + step));
    let deleted = catalog.delete_object(bucket.id, &key(name), &Condition::None, marking, step).await;
    match deleted.unwrap() {
        Deleted::Nothing => assert!(before.is_none() && (model.state.is_none() || !always)),
        Deleted::Object(object) => {
            assert_eq!((model.state, Some(object.etag)), (None, before));
            model.remove(name, VersionId::Null);
        }
        Deleted::Marked { marker, gone } => {
            assert!(always || before.is_some());
            let of_model = model.push(name, Some(marker.version), None);
            assert_eq!(gone.map(|object| (object.etag, object.size_bytes)), of_model, "{name} at {step}");
        }
    }
}

/// Writes rows as a gateway does that knows of no versions.
async fn older_gateways_overwrite_nothing<K: Keyspace>(catalog: Catalog<K>) {
    let photos = bucket(&catalog).await;
    put_pages(&catalog, &photos, ("a", 1), &[1]).await;
    catalog.set_versioning(photos.id, Versioning::Enabled).await.unwrap();
    put(&catalog, &photos, "a", 2).await;
    let (row, behind) = (keys::object(photos.id, b"a"), keys::version(photos.id, &key("a"), 0));
    let now = catalog.keyspace().get(&row).await.unwrap().unwrap().value;
    let CurrentRecord { object, .. } = CurrentRecord::decode(&now).unwrap();
    let mut batch = Batch::new();
    batch.put(row, record::encode(&object).unwrap());
    catalog.keyspace().commit(batch).await.unwrap();
    let target = Target { bucket: photos.id, key: key("a"), upload: upload_id(3) };
    let refused = catalog.put_inline(&target, &inline("e3", 3), &Condition::None).await;
    assert_eq!(refused, Err(CommitObjectError::Catalog(CatalogError::PlaceTaken)));
    assert!(catalog.object_of(upload_id(1)).await.unwrap().is_some(), "the control");
    assert!(
        catalog
            .delete_version((photos.id, &key("a")), VersionId::Null, Grounds::at(4))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(etag(&catalog, &photos, "a").await.as_deref(), Some("e1"), "the one behind shows");
    assert_eq!(put(&catalog, &photos, "a", 3).await.map(|id| id != VersionId::Null), Some(true));
    // And where it did: the rows of the one before lead to another.
    let what = VersionBodyRecord::Object(object);
    let mut batch = Batch::new();
    batch.put(behind, record::encode(&VersionRecord { null: true, what }).unwrap());
    catalog.keyspace().commit(batch).await.unwrap();
    assert_eq!(catalog.object_of(upload_id(1)).await.unwrap(), None);
}

/// Once each version is deleted, nothing is left but what belongs to no object.
async fn everything_goes<K: Keyspace>(catalog: &Catalog<K>, bucket: &Bucket, model: Model) {
    for (name, versions) in model.keys {
        for version in versions {
            assert!(
                catalog
                    .delete_version((bucket.id, &key(&name)), version.id, Grounds::at(1000))
                    .await
                    .unwrap()
                    .is_some()
            );
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
