//! Object lock: each way to lose a version, by what keeps it; and what else locks promise.

mod random;
mod ways;

use datamesh_catalog::catalog::{CommitObjectError, LockError, LockingError, SettingError};
use datamesh_catalog::keys;
use datamesh_catalog::keyspace::{Batch, Keyspace};
use datamesh_catalog::record::{
    self, KeepingRecord, LockingRecord, ObjectRecord, VersioningRecord, Written as _,
};
use datamesh_catalog::{
    Bucket, BucketKind, Catalog, Condition, DefaultRetention, Grounds, Lock, LockChange, Locked, Locking,
    NewBucket, Object, ObjectDraft, Retention, RetentionMode, RetentionPeriod, Target, Version, VersionId,
    Versioning, WrappedSecret,
};
use datamesh_shard::{BucketName, PoolName};
use tokio::join;

use crate::support::{ALWAYS, catalog_on, inline, key, new_upload, on_all_engines, one_page, upload_id};

on_all_engines!(catalog_on:
    each_way_to_lose_a_version, a_bucket_is_lockable_for_good, what_comes_without_a_word_gets_the_default,
    locks_change_as_they_may, a_lock_that_comes_first_wins, a_gateway_that_guesses_wrong_loses_nothing,
    rows_from_before_are_locked_and_read, never_lost_by_random_work,
);

const NOW: u64 = 1_000_000;
const GOVERNANCE: RetentionMode = RetentionMode::Governance;
const COMPLIANCE: RetentionMode = RetentionMode::Compliance;
const PLAIN: Grounds = Grounds::at(NOW);
const BYPASS: Grounds = Grounds { now_unix_ms: NOW, bypass_governance: true };

fn retained(mode: RetentionMode, until_unix_ms: u64) -> Lock {
    Lock { retention: Some(Retention { mode, until_unix_ms }), legal_hold: None }
}

fn held(lock: Lock) -> Lock {
    Lock { legal_hold: Some(true), ..lock }
}

async fn bucket_of<K: Keyspace>(catalog: &Catalog<K>, name: &str, locking: Option<Locking>) -> Bucket {
    let (name, pool) = (BucketName::new(name).unwrap(), PoolName::new("fast").unwrap());
    let new = NewBucket { name, kind: BucketKind::Managed, pool, locking, created_unix_ms: 1 };
    catalog.create_bucket(new, |_| WrappedSecret { version: 1, bytes: vec![1] }).await.unwrap().unwrap()
}

async fn lockable<K: Keyspace>(catalog: &Catalog<K>) -> Bucket {
    bucket_of(catalog, "vault", Some(Locking::default())).await
}

/// Puts a small object.
async fn put<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: &Bucket,
    (name, upload): (&str, u64),
    lock: Lock,
) -> Result<Object, CommitObjectError> {
    let target = Target { bucket: bucket.id, key: key(name), upload: upload_id(upload) };
    let draft = ObjectDraft { lock, ..inline(&format!("e{upload}"), NOW) };
    Ok(catalog.put_inline(&target, &draft, &Condition::None).await?.object)
}

/// Puts an object of one page with one segment.
async fn put_page<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: &Bucket,
    (name, upload): (&str, u64),
    lock: Lock,
) -> Object {
    let mut new = new_upload(name, upload, NOW);
    new.target.bucket = bucket.id;
    catalog.begin_upload(new).await.unwrap();
    let draft = ObjectDraft { lock, ..one_page(&[upload], &format!("e{upload}"), NOW) };
    catalog.commit_object(upload_id(upload), &draft, &Condition::None).await.unwrap().object
}

async fn lock_of<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: &Bucket,
    name: &str,
    version: VersionId,
) -> Option<Lock> {
    match catalog.object_version(bucket.id, &key(name), version).await.unwrap()? {
        Version::Object(object) => Some(object.lock),
        Version::Marker(marker) => panic!("{marker:?}"),
    }
}

async fn each_way_to_lose_a_version<K: Keyspace>(catalog: Catalog<K>) {
    ways::all(&catalog).await;
}

async fn never_lost_by_random_work<K: Keyspace>(catalog: Catalog<K>) {
    random::work(&catalog).await;
}

async fn a_bucket_is_lockable_for_good<K: Keyspace>(catalog: Catalog<K>) {
    let plain = bucket_of(&catalog, "plain", None).await;
    let hold = held(Lock::default());
    assert_eq!(put(&catalog, &plain, ("a", 1), hold).await, Err(CommitObjectError::NotLockable));
    put(&catalog, &plain, ("a", 2), Lock::default()).await.unwrap();
    let set = async |bucket: &Bucket| catalog.set_locking(bucket.id, Locking::default()).await;
    assert_eq!(set(&plain).await, Err(LockingError::NoVersions));
    catalog.set_versioning(plain.id, Versioning::Suspended).await.unwrap();
    assert_eq!(set(&plain).await, Err(LockingError::NoVersions));
    catalog.set_versioning(plain.id, Versioning::Enabled).await.unwrap();
    assert_eq!(put(&catalog, &plain, ("a", 3), hold).await, Err(CommitObjectError::NotLockable));
    let to_hold = LockChange::LegalHold(true);
    let change = async || catalog.change_lock((plain.id, &key("a")), None, to_hold, PLAIN).await;
    assert_eq!(change().await, Err(LockError::NotLockable));
    assert_eq!(catalog.locking(plain.id).await.unwrap(), None);
    set(&plain).await.unwrap();
    assert_eq!(change().await, Ok(hold));
    for bucket in [&plain, &lockable(&catalog).await] {
        assert_eq!(catalog.locking(bucket.id).await.unwrap(), Some(Locking::default()));
        assert_eq!(catalog.versioning(bucket.id).await.unwrap(), Some(Versioning::Enabled));
        let suspended = catalog.set_versioning(bucket.id, Versioning::Suspended).await;
        assert_eq!(suspended, Err(SettingError::Locking));
        catalog.set_versioning(bucket.id, Versioning::Enabled).await.unwrap();
        assert!(
            catalog.locking(bucket.id).await.unwrap().is_some(),
            "to enable what is enabled changes nothing"
        );
    }
}

async fn what_comes_without_a_word_gets_the_default<K: Keyspace>(catalog: Catalog<K>) {
    let vault = lockable(&catalog).await;
    assert!(put(&catalog, &vault, ("a", 1), Lock::default()).await.unwrap().lock.is_none());
    let default = DefaultRetention { mode: GOVERNANCE, period: RetentionPeriod::Days(2) };
    catalog.set_locking(vault.id, Locking { default: Some(default) }).await.unwrap();
    let of_bucket = retained(GOVERNANCE, NOW + 2 * 24 * 60 * 60 * 1000);
    // Another gateway has not seen yet that the bucket keeps versions.
    let other = catalog_on(catalog.keyspace().clone()).await;
    assert_eq!(put(&other, &vault, ("a", 2), Lock::default()).await.unwrap().lock, of_bucket);
    assert_eq!(put_page(&catalog, &vault, ("a", 3), Lock::default()).await.lock, of_bucket);
    let said = retained(COMPLIANCE, NOW + 5);
    assert_eq!(put(&catalog, &vault, ("a", 4), said).await.unwrap().lock, said);
    assert_eq!(put(&catalog, &vault, ("a", 5), held(Lock::default())).await.unwrap().lock, held(of_bucket));
    catalog.set_locking(vault.id, Locking::default()).await.unwrap();
    assert!(put(&catalog, &vault, ("a", 6), Lock::default()).await.unwrap().lock.is_none());
}

async fn locks_change_as_they_may<K: Keyspace>(catalog: Catalog<K>) {
    let vault = lockable(&catalog).await;
    let behind = put_page(&catalog, &vault, ("a", 1), Lock::default()).await.version.unwrap();
    let shown = put(&catalog, &vault, ("a", 2), Lock::default()).await.unwrap().version.unwrap();
    let a = key("a");
    for version in [behind, shown] {
        let change =
            async |change, grounds| catalog.change_lock((vault.id, &a), Some(version), change, grounds).await;
        let retain = |mode, until| LockChange::Retention(Some(Retention { mode, until_unix_ms: until }));
        let governed = retained(GOVERNANCE, NOW + 10);
        assert_eq!(change(retain(GOVERNANCE, NOW + 10), PLAIN).await, Ok(governed));
        let kept = Err(LockError::Locked(Locked::Retained(governed.retention.unwrap())));
        assert_eq!(change(retain(GOVERNANCE, NOW + 9), PLAIN).await, kept);
        assert_eq!(change(LockChange::Retention(None), PLAIN).await, kept);
        assert_eq!(change(LockChange::Retention(None), BYPASS).await, Ok(Lock::default()));
        assert_eq!(change(retain(COMPLIANCE, NOW + 10), PLAIN).await, Ok(retained(COMPLIANCE, NOW + 10)));
        assert!(change(retain(COMPLIANCE, NOW + 9), BYPASS).await.is_err());
        assert_eq!(
            change(LockChange::LegalHold(true), PLAIN).await,
            Ok(held(retained(COMPLIANCE, NOW + 10)))
        );
        assert_eq!(lock_of(&catalog, &vault, "a", version).await, Some(held(retained(COMPLIANCE, NOW + 10))));
    }
    let hold = async |name: &str, version| {
        catalog.change_lock((vault.id, &key(name)), version, LockChange::LegalHold(true), PLAIN).await
    };
    assert_eq!(hold("none", None).await, Err(LockError::NoVersion));
    assert_eq!(hold("a", Some(VersionId::Null)).await, Err(LockError::NoVersion));
    catalog.delete_object(vault.id, &a, &Condition::None, ALWAYS, NOW).await.unwrap();
    let marker = catalog.marker(vault.id, &a).await.unwrap().unwrap();
    assert_eq!(hold("a", None).await, Err(LockError::NoVersion), "the key shows nothing");
    assert_eq!(hold("a", Some(marker.version)).await, Err(LockError::Marker));
    catalog.delete_version((vault.id, &a), marker.version, PLAIN).await.unwrap().unwrap();
    let again = catalog.object(vault.id, &a).await.unwrap().unwrap();
    assert_eq!(again.lock, held(retained(COMPLIANCE, NOW + 10)), "what shows again has its lock still");
}

/// Of a hold and a delete at the same moment, one comes first: what was told that it is held is there.
async fn a_lock_that_comes_first_wins<K: Keyspace>(catalog: Catalog<K>) {
    let vault = lockable(&catalog).await;
    let (mut held, mut gone) = (0, 0);
    for round in 0..20_u64 {
        let name = format!("k{round}");
        let version =
            put(&catalog, &vault, (&name, 2 * round), Lock::default()).await.unwrap().version.unwrap();
        if round % 2 == 0 {
            put(&catalog, &vault, (&name, 2 * round + 1), Lock::default()).await.unwrap();
        }
        let whose = (vault.id, &key(&name));
        let hold = LockChange::LegalHold(true);
        let (locked, deleted) = join!(
            catalog.change_lock(whose, Some(version), hold, PLAIN),
            catalog.delete_version(whose, version, BYPASS),
        );
        match (locked, deleted) {
            (Ok(lock), Err(_)) => {
                assert_eq!(lock_of(&catalog, &vault, &name, version).await, Some(lock));
                held += 1;
            }
            (Err(LockError::NoVersion), Ok(Some(_))) => gone += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("{held} held, {gone} gone");
}

/// A gateway takes a bucket it has not met for one without versions. Where an object is locked it must not act on that, nor refuse by it.
async fn a_gateway_that_guesses_wrong_loses_nothing<K: Keyspace>(catalog: Catalog<K>) {
    let vault = lockable(&catalog).await;
    let lock = retained(COMPLIANCE, NOW + 10);
    let version = put(&catalog, &vault, ("a", 1), lock).await.unwrap().version.unwrap();
    for (round, name) in [(2, "put"), (3, "page"), (4, "delete")] {
        let other = catalog_on(catalog.keyspace().clone()).await;
        match name {
            "put" => drop(put(&other, &vault, ("a", round), Lock::default()).await.unwrap()),
            "page" => drop(put_page(&other, &vault, ("a", round), lock).await),
            _ => drop(other.delete_object(vault.id, &key("a"), &Condition::None, ALWAYS, NOW).await.unwrap()),
        }
        assert_eq!(lock_of(&catalog, &vault, "a", version).await, Some(lock), "{name}");
    }
}

/// What an earlier build wrote is locked as it stands, and what is not locked is written as that build did.
async fn rows_from_before_are_locked_and_read<K: Keyspace>(catalog: Catalog<K>) {
    let plain = bucket_of(&catalog, "plain", None).await;
    put_page(&catalog, &plain, ("a", 1), Lock::default()).await;
    let row = async |row: Vec<u8>| catalog.keyspace().get(&row).await.unwrap().unwrap().value;
    let object = record::decode::<ObjectRecord>(&row(keys::object(plain.id, b"a")).await).unwrap();
    catalog.set_versioning(plain.id, Versioning::Enabled).await.unwrap();
    let keeping = row(keys::versioning(plain.id)).await;
    assert_eq!(record::decode(&keeping), Ok(VersioningRecord { state: Versioning::Enabled }));
    catalog.set_locking(plain.id, Locking::default()).await.unwrap();
    let keeping = row(keys::versioning(plain.id)).await;
    assert_eq!(record::decode(&keeping), Ok(LockingRecord { locking: Locking::default() }));
    assert!(record::decode::<VersioningRecord>(&keeping).is_err(), "an earlier build refuses it");
    let hold = LockChange::LegalHold(true);
    catalog.change_lock((plain.id, &key("a")), None, hold, PLAIN).await.unwrap();
    assert!(record::decode::<ObjectRecord>(&row(keys::object(plain.id, b"a")).await).is_err(), "and this");
    let shown = catalog.object(plain.id, &key("a")).await.unwrap().unwrap();
    assert_eq!((shown.version, shown.lock), (Some(VersionId::Null), held(Lock::default())));
    let listed =
        catalog.list(plain.id, &datamesh_catalog::ListQuery { limit: 9, ..Default::default() }).await;
    assert_eq!(listed.unwrap().entries.len(), 1, "lists read it");
    put(&catalog, &plain, ("a", 2), Lock::default()).await.unwrap();
    assert_eq!(lock_of(&catalog, &plain, "a", VersionId::Null).await, Some(held(Lock::default())));
    // Where an earlier build, or whatever else, took the bucket's state back, locks count all the same.
    for state in [Some(Versioning::Suspended), None] {
        let mut batch = Batch::new();
        let keeping = keys::versioning(plain.id);
        match state {
            Some(state) => batch.put(keeping, KeepingRecord { state, locking: None }.encode().unwrap()),
            None => {
                batch.put(keys::object(plain.id, b"b"), locked_row(object.clone()));
                batch.delete(keeping);
            }
        }
        catalog.keyspace().commit(batch).await.unwrap();
        let name = if state.is_some() { "a" } else { "b" };
        let refused = put(&catalog, &plain, (name, 7), Lock::default()).await;
        assert_eq!(refused, Err(CommitObjectError::Locked(Locked::LegalHold)), "{state:?}");
        let deleted = catalog.delete_object(plain.id, &key(name), &Condition::None, ALWAYS, NOW).await;
        assert!(deleted.is_err(), "{state:?}");
        assert_eq!(lock_of(&catalog, &plain, name, VersionId::Null).await, Some(held(Lock::default())));
    }
}

fn locked_row(object: ObjectRecord) -> Vec<u8> {
    let lock = held(Lock::default());
    record::CurrentRecord { object, kept: None, lock }.encode().unwrap()
}
