//! What rules end: only what they say of the rows as they are when it is committed.

use datamesh_catalog::catalog::{Ended, Ending, RulesAt, VersionStanding};
use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keys;
use datamesh_catalog::keyspace::{Batch, Keyspace};
use datamesh_catalog::record::{self, SettingRecord};
use datamesh_catalog::{
    Bucket, BucketId, BucketKind, BucketSetting, Condition, EmbeddedCatalog, Grounds, Marking, NewBucket,
    Target, Version, VersionEntry, VersionQuery, Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};

use crate::support::{bare, catalog_on, inline, key, new_upload, on_all_engines, upload_id};

on_all_engines!(bare:
    each_kind_ends_where_it_is_said_to, what_shows_again_stays, what_was_put_anew_stays,
    other_rules_and_other_tags_end_nothing, a_bucket_that_keeps_versions_by_now_keeps_this_one,
    a_suspended_bucket_keeps_no_version_without_an_id, so_many_newer_ones_are_counted, uploads_end_by_the_rules_that_are_there,
    settings_of_a_bucket_that_is_gone_are_found,
);

const NOW: u64 = 1_000_000;
const LIFECYCLE: BucketSetting = BucketSetting::Lifecycle;

/// A catalog in which others may be quicker, a bucket there, its rules, and a handle of the others.
struct Photos {
    catalog: EmbeddedCatalog,
    others: EmbeddedCatalog,
    bucket: Bucket,
    rules: RulesAt,
}

impl Photos {
    async fn new(keyspace: AnyKeyspace) -> Self {
        let (catalog, others) = (catalog_on(keyspace.clone()).await, catalog_on(keyspace).await);
        let (name, pool) = (BucketName::new("photos").unwrap(), PoolName::new("fast").unwrap());
        let new = NewBucket { name, kind: BucketKind::Managed, pool, locking: None, created_unix_ms: 1 };
        let secret = |_| WrappedSecret { version: 1, bytes: vec![1] };
        let bucket = others.create_bucket(new, secret).await.unwrap().unwrap();
        others.set_bucket_setting(bucket.id, LIFECYCLE, Some(b"rules".to_vec())).await.unwrap();
        let (bytes, rules) = others.bucket_rules(bucket.id, LIFECYCLE).await.unwrap().unwrap();
        assert_eq!(bytes, b"rules");
        Self { catalog, others, bucket, rules }
    }

    async fn keep_versions(&self) {
        self.others.set_versioning(self.bucket.id, Versioning::Enabled).await.unwrap();
    }

    async fn put(&self, upload: u64) {
        put(&self.others, self.bucket.id, upload).await;
    }

    async fn delete(&self, marker: u64) {
        let mark = Marking::Always(upload_id(marker));
        let (bucket, key) = (self.bucket.id, key("a"));
        self.others.delete_object(bucket, &key, &Condition::None, mark, marker).await.unwrap();
    }

    /// Versions, the newest first.
    async fn listed(&self) -> Vec<VersionEntry> {
        let query = VersionQuery { limit: 1000, ..VersionQuery::default() };
        self.others.list_versions(self.bucket.id, &query).await.unwrap().entries
    }

    /// When those were put that are there.
    async fn times(&self) -> Vec<u64> {
        self.listed().await.iter().map(|entry| entry.created_unix_ms).collect()
    }

    /// Ends the nth of these, if so it is judged. Gives what came of it, and each standing that was judged.
    async fn end(
        &self,
        (listed, nth): (&[VersionEntry], usize),
        ends: impl Fn(&Version, VersionStanding) -> bool,
    ) -> (Option<Ended>, Vec<VersionStanding>) {
        let newer = nth.checked_sub(1).map(|newer| listed[newer].exact);
        let entry = &listed[nth];
        let ending = Ending { key: &entry.key, exact: entry.exact, newer, counted_max: 2 };
        let mut seen = Vec::new();
        let judged = |version: &Version, standing| {
            seen.push(standing);
            ends(version, standing)
        };
        let ended = self.catalog.expire_version(&self.rules, &ending, (upload_id(900), NOW), judged).await;
        (ended.unwrap(), seen)
    }
}

async fn put(catalog: &EmbeddedCatalog, bucket: BucketId, upload: u64) {
    let target = Target { bucket, key: key("a"), upload: upload_id(upload) };
    catalog.put_inline(&target, &inline(&format!("e{upload}"), upload), &Condition::None).await.unwrap();
}

fn behind(since_unix_ms: u64, newer: usize) -> VersionStanding {
    VersionStanding::Behind { since_unix_ms, newer }
}

async fn each_kind_ends_where_it_is_said_to(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.put(1).await;
    let listed = photos.listed().await;
    let newest = VersionStanding::Newest { only: true };
    assert_eq!(photos.end((&listed, 0), |_, _| false).await, (None, vec![newest]));
    assert_eq!(photos.times().await, [1], "the control");
    assert_eq!(photos.end((&listed, 0), |_, _| true).await, (Some(Ended::Object), vec![newest]));
    assert_eq!(photos.times().await, [0; 0]);
    photos.keep_versions().await;
    photos.put(2).await;
    photos.put(3).await;
    let listed = photos.listed().await;
    let newest = VersionStanding::Newest { only: false };
    assert_eq!(photos.end((&listed, 0), |_, _| true).await, (Some(Ended::Hidden), vec![newest]));
    assert_eq!(photos.times().await, [NOW, 3, 2]);
    assert_eq!(photos.others.object(photos.bucket.id, &key("a")).await.unwrap(), None);
    let listed = photos.listed().await;
    assert_eq!(photos.end((&listed, 0), |_, _| false).await.1, [newest], "the marker hides something");
    assert_eq!(photos.end((&listed, 2), |_, _| true).await, (Some(Ended::Version), vec![behind(3, 1)]));
    assert_eq!(photos.end((&listed, 1), |_, _| true).await, (Some(Ended::Version), vec![behind(NOW, 0)]));
    assert_eq!(photos.times().await, [NOW]);
    let only = VersionStanding::Newest { only: true };
    assert_eq!(photos.end((&listed, 0), |_, _| true).await, (Some(Ended::Marker), vec![only]));
    assert_eq!(photos.times().await, [0; 0]);
    assert_eq!(photos.end((&listed, 0), |_, _| true).await, (None, vec![]), "it is gone");
}

/// Behind when it was listed, and when it was judged; its key's object when it would have been committed.
async fn what_shows_again_stays(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.keep_versions().await;
    photos.put(1).await;
    photos.put(2).await;
    let listed = photos.listed().await;
    let (others, bucket, newest) = (photos.others.clone(), photos.bucket.id, listed[0].version);
    photos.catalog.before_the_next_commit(async move {
        others.delete_version((bucket, &key("a")), newest, Grounds::at(5)).await.unwrap().unwrap();
    });
    let is_behind = |_: &Version, standing| matches!(standing, VersionStanding::Behind { .. });
    let (ended, judged) = photos.end((&listed, 1), is_behind).await;
    assert_eq!((ended, judged), (None, vec![behind(2, 0), VersionStanding::Newest { only: true }]));
    assert_eq!(photos.times().await, [1]);
    // Nor where what took its place went before it was looked at, and something else is in front of it.
    photos.put(3).await;
    photos.put(4).await;
    let listed = photos.listed().await;
    photos
        .others
        .delete_version((bucket, &key("a")), listed[1].version, Grounds::at(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(photos.end((&listed, 2), |_, _| true).await, (None, vec![]));
    let listed = photos.listed().await;
    assert_eq!(photos.end((&listed, 1), is_behind).await, (Some(Ended::Version), vec![behind(4, 0)]));
}

async fn what_was_put_anew_stays(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.put(1).await;
    let listed = photos.listed().await;
    let (others, bucket) = (photos.others.clone(), photos.bucket.id);
    photos.catalog.before_the_next_commit(async move { put(&others, bucket, 2).await });
    let (ended, judged) = photos.end((&listed, 0), |_, _| true).await;
    assert_eq!((ended, judged.len()), (None, 1));
    assert_eq!(photos.times().await, [2]);
}

async fn other_rules_and_other_tags_end_nothing(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.put(1).await;
    let (others, bucket) = (photos.others.clone(), photos.bucket.id);
    let object = others.object(bucket, &key("a")).await.unwrap().unwrap();
    let listed = photos.listed().await;
    let before = object.meta.clone();
    let bare = |version: &Version, _| matches!(version, Version::Object(object) if object.meta == before);
    let meta = vec![("tags".to_owned(), "keep".to_owned())];
    photos.catalog.before_the_next_commit(async move {
        assert!(others.set_meta(&object, None, meta).await.unwrap());
    });
    let (ended, judged) = photos.end((&listed, 0), bare).await;
    assert_eq!((ended, judged.len()), (None, 2), "judged again, with its tags");
    let others = photos.others.clone();
    photos.catalog.before_the_next_commit(async move {
        others.set_bucket_setting(bucket, LIFECYCLE, Some(b"others".to_vec())).await.unwrap();
    });
    let (ended, judged) = photos.end((&listed, 0), |_, _| true).await;
    assert_eq!((ended, judged.len()), (None, 1));
    assert_eq!(photos.end((&listed, 0), |_, _| true).await, (None, vec![]), "by rules of before");
    assert_eq!(photos.times().await, [1]);
}

async fn a_bucket_that_keeps_versions_by_now_keeps_this_one(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.put(1).await;
    let listed = photos.listed().await;
    let (others, bucket) = (photos.others.clone(), photos.bucket.id);
    photos.catalog.before_the_next_commit(async move {
        others.set_versioning(bucket, Versioning::Enabled).await.unwrap();
    });
    let (ended, judged) = photos.end((&listed, 0), |_, _| true).await;
    assert_eq!((ended, judged.len()), (Some(Ended::Hidden), 2));
    assert_eq!(photos.times().await, [NOW, 1]);
}

async fn a_suspended_bucket_keeps_no_version_without_an_id(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.keep_versions().await;
    photos.put(1).await;
    photos.others.set_versioning(photos.bucket.id, Versioning::Suspended).await.unwrap();
    let listed = photos.listed().await;
    assert_eq!(photos.end((&listed, 0), |_, _| true).await.0, Some(Ended::Hidden), "it has an id");
    photos.put(2).await;
    assert_eq!(photos.times().await, [2, 1], "in the marker's place");
    let listed = photos.listed().await;
    assert_eq!(photos.end((&listed, 0), |_, _| true).await.0, Some(Ended::Object));
    assert_eq!(photos.times().await, [NOW, 1]);
}

async fn so_many_newer_ones_are_counted(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    photos.keep_versions().await;
    for upload in 1..=3 {
        photos.put(upload).await;
    }
    photos.delete(4).await;
    for upload in 5..=6 {
        photos.put(upload).await;
    }
    let listed = photos.listed().await;
    let mut counts = Vec::new();
    for nth in 1..listed.len() {
        let (_, judged) = photos.end((&listed, nth), |_, _| false).await;
        counts.extend(judged);
    }
    let expected = [behind(6, 0), behind(5, 1), behind(4, 1), behind(3, 2), behind(2, 2)];
    assert_eq!(counts, expected, "deletes do not count, and beyond two nothing does");
}

async fn uploads_end_by_the_rules_that_are_there(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace).await;
    let bucket = photos.bucket.id;
    for upload in [1, 2] {
        let mut new = new_upload("a", upload, upload);
        new.target.bucket = bucket;
        photos.others.begin_listed_upload(new).await.unwrap();
    }
    let expire = |upload| photos.catalog.expire_upload(&photos.rules, upload_id(upload), NOW);
    assert!(expire(1).await.unwrap());
    assert!(!expire(1).await.unwrap(), "it has ended");
    let others = photos.others.clone();
    photos.catalog.before_the_next_commit(async move {
        others.set_bucket_setting(bucket, LIFECYCLE, None).await.unwrap();
    });
    assert!(!expire(2).await.unwrap());
    let left = photos.others.bucket_uploads(bucket, b"", None, 10).await.unwrap();
    assert_eq!(left.iter().map(|listed| listed.upload).collect::<Vec<_>>(), [upload_id(2)]);
}

async fn settings_of_a_bucket_that_is_gone_are_found(keyspace: AnyKeyspace) {
    let photos = Photos::new(keyspace.clone()).await;
    let (catalog, bucket) = (&photos.others, photos.bucket.id);
    assert_eq!(catalog.buckets_with(LIFECYCLE).await.unwrap(), [bucket]);
    assert_eq!(catalog.stray_settings(true).await.unwrap(), [], "the control");
    catalog.delete_bucket(&photos.bucket.name).await.unwrap().unwrap();
    assert_eq!(catalog.buckets_with(LIFECYCLE).await.unwrap(), []);
    assert!(catalog.set_bucket_setting(bucket, LIFECYCLE, Some(b"late".to_vec())).await.is_err());
    let mut batch = Batch::new();
    let row = record::encode(&SettingRecord { bytes: b"stray".to_vec() }).unwrap();
    batch.put(keys::bucket_setting(LIFECYCLE, bucket), row);
    keyspace.commit(batch).await.unwrap();
    for mended in [false, true] {
        let strays = catalog.stray_settings(mended).await.unwrap();
        assert_eq!(
            strays.iter().map(|stray| (stray.bucket, stray.mended)).collect::<Vec<_>>(),
            [(bucket, mended)]
        );
    }
    assert_eq!(catalog.stray_settings(false).await.unwrap(), []);
}
