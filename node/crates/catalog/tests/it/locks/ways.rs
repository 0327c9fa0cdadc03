//! Each way to lose a version, by where it stands and by what keeps it.

use datamesh_catalog::catalog::{
    DeleteBucketError, DeleteObjectError, Ending, PurgeError, RestoreError, SettingError, ShredError, Swap,
};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    Bucket, BucketSetting, Catalog, Condition, Grounds, Lock, Locking, Object, PageAt, SegmentRef, Version,
    VersionId, VersionQuery, Versioning,
};
use datamesh_shard::ErasureProfile;

use super::{BYPASS, COMPLIANCE, GOVERNANCE, NOW, PLAIN, bucket_of, held, put, put_page, retained};
use crate::support::{ALWAYS, RETENTION_MS, key, new_upload, segment, segment_id, upload_id};

/// Where the version stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    Shown,
    Behind,
    /// Behind a delete, as the newest.
    Hidden,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    DeleteVersion,
    DeleteVersionSettingGovernanceAside,
    DeleteByNullId,
    Delete,
    PutOver,
    PutPagesOver,
    Shred,
    Expire,
    DeleteBucket,
    Suspend,
    ChangeMetadata,
    CodeAnew,
    Mend,
    Collect,
    PutBack,
    PutBackOver,
    Purge,
}

const WAYS: [Way; 17] = [
    Way::DeleteVersion,
    Way::DeleteVersionSettingGovernanceAside,
    Way::DeleteByNullId,
    Way::Delete,
    Way::PutOver,
    Way::PutPagesOver,
    Way::Shred,
    Way::Expire,
    Way::DeleteBucket,
    Way::Suspend,
    Way::ChangeMetadata,
    Way::CodeAnew,
    Way::Mend,
    Way::Collect,
    Way::PutBack,
    Way::PutBackOver,
    Way::Purge,
];

/// Locks, and whether they let a version go: to everybody, and to whoever sets governance aside.
fn locks() -> [(Lock, bool, bool); 9] {
    let lifted = Lock { legal_hold: Some(false), ..Lock::default() };
    [
        (Lock::default(), true, true),
        (lifted, true, true),
        (held(Lock::default()), false, false),
        (retained(GOVERNANCE, NOW), true, true),
        (retained(COMPLIANCE, NOW), true, true),
        (retained(GOVERNANCE, NOW + 1), false, true),
        (retained(COMPLIANCE, NOW + 1), false, false),
        (held(retained(GOVERNANCE, NOW + 1)), false, false),
        (held(retained(COMPLIANCE, NOW)), false, false),
    ]
}

/// Whether a version may be lost in this way at all, to somebody whom its lock lets.
fn is_a_way(way: Way, stands: Stands) -> bool {
    match way {
        Way::DeleteVersion | Way::DeleteVersionSettingGovernanceAside | Way::Purge => true,
        Way::Shred => stands == Stands::Shown,
        // What is shown is hidden, and what a delete hides is the newest but one.
        // What is put back in front of another one has another id.
        Way::PutBackOver => stands != Stands::Behind,
        Way::Expire => stands != Stands::Shown,
        _ => false,
    }
}

pub(super) async fn all<K: Keyspace>(catalog: &Catalog<K>) {
    let (mut number, mut lost) = (0, 0);
    for way in WAYS {
        for stands in [Stands::Shown, Stands::Behind, Stands::Hidden] {
            for (lock, plain, bypass) in locks() {
                number += 1;
                let lets = if way == Way::DeleteVersionSettingGovernanceAside { bypass } else { plain };
                let expected = is_a_way(way, stands) && lets;
                let cell = Cell::new(catalog, number, stands, lock).await;
                cell.go(way, expected).await;
                let there = cell.there().await;
                assert_eq!(there.is_none(), expected, "{way:?} of what is {stands:?} with {lock:?}");
                if let Some(object) = there {
                    assert_eq!(object.lock, lock, "{way:?} of what is {stands:?}");
                    cell.reads().await;
                }
                lost += usize::from(expected);
            }
        }
    }
    assert_eq!(
        (number, lost),
        (17 * 3 * 9, 3 * 4 + 3 * 5 + 4 + 2 * 4 + 2 * 4 + 3 * 4),
        "each cell was walked"
    );
}

/// A bucket with the version that is tried.
struct Cell<'a, K: Keyspace> {
    catalog: &'a Catalog<K>,
    bucket: Bucket,
    /// The first of some numbers that no other cell has.
    base: u64,
    version: VersionId,
    stands: Stands,
}

impl<'a, K: Keyspace> Cell<'a, K> {
    async fn new(catalog: &'a Catalog<K>, number: u64, stands: Stands, lock: Lock) -> Self {
        let bucket = bucket_of(catalog, &format!("vault-{number}"), Some(Locking::default())).await;
        let base = number * 100;
        let version = put_page(catalog, &bucket, ("a", base), lock).await.version.unwrap();
        match stands {
            Stands::Shown => {}
            Stands::Behind => drop(put(catalog, &bucket, ("a", base + 1), Lock::default()).await.unwrap()),
            Stands::Hidden => {
                catalog.delete_object(bucket.id, &key("a"), &Condition::None, ALWAYS, NOW).await.unwrap();
            }
        }
        Self { catalog, bucket, base, version, stands }
    }

    async fn there(&self) -> Option<Object> {
        let found = self.catalog.object_version(self.bucket.id, &key("a"), self.version).await.unwrap();
        found.map(|version| match version {
            Version::Object(object) => object,
            Version::Marker(marker) => panic!("{marker:?}"),
        })
    }

    /// What its bytes are made of is there, and none of it waits to be deleted.
    async fn reads(&self) {
        let at = PageAt { part: 0, page: 0 };
        let page = self.catalog.page(upload_id(self.base), at).await.unwrap().expect("its page");
        let due = self.catalog.condemned_due(u64::MAX - 1, None, 1000).await.unwrap();
        for segment in page.segments {
            assert!(due.iter().all(|condemned| condemned.segment != segment.id), "{segment:?}");
        }
    }

    /// Tries it. `expected`: the version is to be lost.
    async fn go(&self, way: Way, expected: bool) {
        let Self { catalog, bucket, base, .. } = self;
        let (id, a) = (bucket.id, key("a"));
        let more = base + 2;
        match way {
            Way::DeleteVersion => self.delete(PLAIN, expected).await,
            Way::DeleteVersionSettingGovernanceAside => self.delete(BYPASS, expected).await,
            Way::DeleteByNullId => {
                assert_eq!(catalog.delete_version((id, &a), VersionId::Null, BYPASS).await, Ok(None));
            }
            Way::Delete => {
                catalog.delete_object(id, &a, &Condition::None, ALWAYS, NOW).await.unwrap();
            }
            Way::PutOver => drop(put(catalog, bucket, ("a", more), Lock::default()).await.unwrap()),
            Way::PutPagesOver => drop(put_page(catalog, bucket, ("a", more), Lock::default()).await),
            Way::Shred => self.shred(expected).await,
            Way::Expire => self.expire().await,
            Way::DeleteBucket => {
                assert_eq!(catalog.delete_bucket(&bucket.name).await, Err(DeleteBucketError::NotEmpty));
            }
            Way::Suspend => {
                let suspended = catalog.set_versioning(id, Versioning::Suspended).await;
                assert_eq!(suspended, Err(SettingError::Locking));
            }
            Way::ChangeMetadata => {
                let object = self.there().await.unwrap();
                assert_eq!(catalog.set_meta(&object, None, Vec::new()).await, Ok(true));
            }
            Way::CodeAnew => self.code_anew().await,
            Way::Mend => {
                assert_eq!(catalog.check_upload(upload_id(*base), true, NOW).await.unwrap(), []);
                let page = catalog.check_objects(id, None, 100).await.unwrap();
                assert_eq!(page.broken, []);
                catalog.check_references(None, 10_000, true).await.unwrap();
            }
            Way::Collect => {
                catalog.reclaim_expired(NOW + 2 * RETENTION_MS, 1000).await.unwrap();
                let due = catalog.condemned_due(u64::MAX - 1, None, 1000).await.unwrap();
                catalog.forget_condemned(&due).await.unwrap();
            }
            Way::PutBack => {
                let delete = self.newest_delete().await;
                catalog.restore((id, &a), (delete, false), NOW).await.unwrap();
            }
            Way::PutBackOver => self.put_back_over(expected).await,
            Way::Purge => self.purge(expected).await,
        }
    }

    /// The delete that hides the key, made if there is none.
    async fn newest_delete(&self) -> VersionId {
        let (id, a) = (self.bucket.id, key("a"));
        if self.stands != Stands::Hidden {
            self.catalog.delete_object(id, &a, &Condition::None, ALWAYS, NOW).await.unwrap();
        }
        self.catalog.list_trash(id, b"", None, 10).await.unwrap().entries[0].id
    }

    async fn purge(&self, expected: bool) {
        let delete = self.newest_delete().await;
        let in_front = usize::from(self.stands == Stands::Behind);
        match self.catalog.purge((self.bucket.id, &key("a")), delete, NOW).await {
            Ok(purged) => assert_eq!((purged, expected), (Some(in_front + 1), true)),
            Err(PurgeError::Locked(stopped)) => {
                assert_eq!((stopped.objects, expected), (in_front, false), "it says what went");
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn put_back_over(&self, expected: bool) {
        let delete = self.newest_delete().await;
        put(self.catalog, &self.bucket, ("a", self.base + 5), Lock::default()).await.unwrap();
        let restored = self.catalog.restore((self.bucket.id, &key("a")), (delete, true), NOW).await;
        match restored {
            // What is directly behind the delete is not what is tried.
            Ok(object) if self.stands == Stands::Behind => {
                assert_eq!(object.upload, upload_id(self.base + 1))
            }
            Ok(object) => {
                assert!(expected);
                assert_eq!(object.upload, upload_id(self.base));
            }
            Err(error) => assert!(matches!(error, RestoreError::Locked(_)) && !expected, "{error}"),
        }
    }

    async fn delete(&self, grounds: Grounds, expected: bool) {
        let whose = (self.bucket.id, &key("a"));
        match self.catalog.delete_version(whose, self.version, grounds).await {
            Ok(gone) => assert!(gone.is_some() && expected),
            Err(error) => assert!(matches!(error, DeleteObjectError::Locked(_)) && !expected, "{error}"),
        }
    }

    async fn shred(&self, expected: bool) {
        let whose = (self.bucket.id, &self.bucket.pool);
        let shredded = self.catalog.shred_object(whose, &key("a"), &Condition::None, NOW).await;
        match (self.stands, shredded) {
            (Stands::Shown, Err(ShredError::Delete(DeleteObjectError::Locked(_)))) => assert!(!expected),
            (Stands::Shown, Ok(Some(object))) => {
                assert!(expected);
                self.catalog.forget_shred(object.upload).await.unwrap();
            }
            (Stands::Behind, Ok(Some(object))) => {
                assert_eq!(object.upload, upload_id(self.base + 1), "what is shown goes");
                self.catalog.forget_shred(object.upload).await.unwrap();
            }
            (Stands::Hidden, Ok(None)) => {}
            other => panic!("{other:?}"),
        }
    }

    async fn expire(&self) {
        let rules = BucketSetting::Lifecycle;
        self.catalog.set_bucket_setting(self.bucket.id, rules, Some(b"rules".to_vec())).await.unwrap();
        let (_, rules) = self.catalog.bucket_rules(self.bucket.id, rules).await.unwrap().unwrap();
        let query = VersionQuery { limit: 10, ..VersionQuery::default() };
        let listed = self.catalog.list_versions(self.bucket.id, &query).await.unwrap().entries;
        let nth = listed.iter().position(|entry| entry.version == self.version).unwrap();
        let newer = nth.checked_sub(1).map(|newer| listed[newer].exact);
        let a = key("a");
        let ending = Ending { key: &a, exact: listed[nth].exact, newer, counted_max: 2 };
        let marker = (upload_id(self.base + 3), NOW);
        self.catalog.expire_version(&rules, &ending, marker, |_, _| true).await.unwrap();
    }

    async fn code_anew(&self) {
        let (object, writer) = (upload_id(self.base), self.base + 4);
        self.catalog.begin_upload(new_upload("w", writer, NOW)).await.unwrap();
        let profile = ErasureProfile::new(2, 1).unwrap();
        let anew = SegmentRef { profile, ..segment(writer) };
        self.catalog.reference(upload_id(writer), std::slice::from_ref(&anew)).await.unwrap();
        let segments = vec![(segment_id(self.base), anew)];
        let at = PageAt { part: 0, page: 0 };
        let swap = Swap { object, at, writer: upload_id(writer), segments };
        self.catalog.swap_segments(&swap, NOW).await.unwrap();
    }
}
