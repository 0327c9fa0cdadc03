//! Random work never loses a version that is locked, and never refuses what nothing keeps.

use std::collections::BTreeMap;

use datamesh_catalog::catalog::{DeleteObjectError, Ending, LockError, RulesAt, ShredError};
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{
    Bucket, BucketSetting, Catalog, Condition, Grounds, Lock, LockChange, Locking, Marking, Object,
    ObjectDraft, Retention, Target, Version, VersionId, VersionQuery, Versioning,
};

use super::{COMPLIANCE, GOVERNANCE, bucket_of};
use crate::support::{Dice, inline, key, new_upload, one_page, upload_id};

const STEPS: u64 = 400;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// Locks of all versions that are there, by key and id.
type Model = BTreeMap<(&'static str, String), (VersionId, Lock)>;

struct World<'a, K: Keyspace> {
    catalog: &'a Catalog<K>,
    bucket: Bucket,
    rules: RulesAt,
    dice: Dice,
    now: u64,
    model: Model,
    refused: usize,
    lost: usize,
}

pub(super) async fn work<K: Keyspace>(catalog: &Catalog<K>) {
    let bucket = bucket_of(catalog, "vault", Some(Locking::default())).await;
    let which = BucketSetting::Lifecycle;
    catalog.set_bucket_setting(bucket.id, which, Some(b"rules".to_vec())).await.unwrap();
    let (_, rules) = catalog.bucket_rules(bucket.id, which).await.unwrap().unwrap();
    let dice = Dice::new("locks::random::work");
    let mut world =
        World { catalog, bucket, rules, dice, now: 1_000, model: Model::new(), refused: 0, lost: 0 };
    for step in 0..STEPS {
        world.now += u64::try_from(world.dice.below(20)).unwrap();
        world.step(step).await;
        if step % 20 == 0 {
            world.check().await;
        }
    }
    world.check().await;
    println!("{} refused, {} lost, {} left", world.refused, world.lost, world.model.len());
    assert!(world.refused > 10 && world.lost > 10, "both must happen");
}

impl<K: Keyspace> World<'_, K> {
    fn lock(&mut self) -> Lock {
        let until_unix_ms = self.now + u64::try_from(self.dice.below(300)).unwrap();
        let mode = *self.dice.pick(&[GOVERNANCE, COMPLIANCE]);
        let retention = self.dice.once_in(2).then_some(Retention { mode, until_unix_ms });
        let legal_hold = *self.dice.pick(&[None, None, None, Some(false), Some(true)]);
        Lock { retention, legal_hold }
    }

    fn grounds(&mut self) -> Grounds {
        Grounds { now_unix_ms: self.now, bypass_governance: self.dice.once_in(3) }
    }

    /// A version of a key that is there.
    fn version(&mut self, name: &str) -> Option<(VersionId, Lock)> {
        let all: Vec<_> =
            self.model.iter().filter(|((key, _), _)| *key == name).map(|(_, version)| *version).collect();
        (!all.is_empty()).then(|| *self.dice.pick(&all))
    }

    fn forget(&mut self, name: &'static str, version: VersionId) {
        assert!(self.model.remove(&(name, version.to_string())).is_some(), "{name} {version}");
        self.lost += 1;
    }

    async fn step(&mut self, step: u64) {
        let name = *self.dice.pick(&KEYS);
        match self.dice.below(12) {
            0..4 => self.put(name, step).await,
            4 => {
                let marker = Marking::Always(upload_id(1_000_000 + step));
                let (id, now) = (self.bucket.id, self.now);
                self.catalog.delete_object(id, &key(name), &Condition::None, marker, now).await.unwrap();
            }
            5..8 => self.delete(name).await,
            8 | 9 => self.relock(name).await,
            10 => self.expire(name, step).await,
            _ if self.dice.once_in(3) => {
                self.catalog.set_versioning(self.bucket.id, Versioning::Suspended).await.unwrap_err();
            }
            _ => self.shred(name).await,
        }
    }

    async fn put(&mut self, name: &'static str, step: u64) {
        let lock = self.lock();
        let target = Target { bucket: self.bucket.id, key: key(name), upload: upload_id(step) };
        let etag = format!("e{step}");
        let committed = if self.dice.once_in(2) {
            let draft = ObjectDraft { lock, ..inline(&etag, self.now) };
            self.catalog.put_inline(&target, &draft, &Condition::None).await
        } else {
            let mut new = new_upload(name, step, self.now);
            new.target = target;
            self.catalog.begin_upload(new).await.unwrap();
            let draft = ObjectDraft { lock, ..one_page(&[step], &etag, self.now) };
            self.catalog.commit_object(upload_id(step), &draft, &Condition::None).await
        };
        let version = committed.unwrap().object.version.unwrap();
        self.model.insert((name, version.to_string()), (version, lock));
    }

    async fn delete(&mut self, name: &'static str) {
        let Some((version, lock)) = self.version(name) else { return };
        let grounds = self.grounds();
        match self.catalog.delete_version((self.bucket.id, &key(name)), version, grounds).await {
            Ok(gone) => {
                assert!(gone.is_some() && lock.lets_go(grounds).is_ok(), "{lock:?} at {grounds:?}");
                self.forget(name, version);
            }
            Err(DeleteObjectError::Locked(by)) => {
                assert_eq!(lock.lets_go(grounds), Err(by));
                self.refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn relock(&mut self, name: &'static str) {
        let Some((version, lock)) = self.version(name) else { return };
        let (wanted, grounds) = (self.lock(), self.grounds());
        let change = match wanted.legal_hold {
            Some(on) => LockChange::LegalHold(on),
            None => LockChange::Retention(wanted.retention),
        };
        let whose = (self.bucket.id, &key(name));
        let changed = self.catalog.change_lock(whose, Some(version), change, grounds).await;
        assert_eq!(changed, lock.changed(change, grounds).map_err(LockError::from));
        if let Ok(lock) = changed {
            self.model.insert((name, version.to_string()), (version, lock));
        }
    }

    async fn expire(&mut self, name: &'static str, step: u64) {
        let query = VersionQuery { prefix: name.into(), limit: 1000, ..VersionQuery::default() };
        let listed = self.catalog.list_versions(self.bucket.id, &query).await.unwrap().entries;
        if listed.is_empty() {
            return;
        }
        let nth = self.dice.below(listed.len());
        let (entry, newer) = (&listed[nth], nth.checked_sub(1).map(|newer| listed[newer].exact));
        let ending = Ending { key: &entry.key, exact: entry.exact, newer, counted_max: 2 };
        let marker = (upload_id(2_000_000 + step), self.now);
        let ended = self.catalog.expire_version(&self.rules, &ending, marker, |_, _| true).await.unwrap();
        let is_object = entry.object.is_some();
        if !is_object || nth == 0 {
            assert!(ended.is_some());
            return;
        }
        let (_, lock) = self.model[&(name, entry.version.to_string())];
        assert_eq!(ended.is_some(), lock.lets_go(Grounds::at(self.now)).is_ok(), "{lock:?}");
        if ended.is_some() {
            self.forget(name, entry.version);
        }
    }

    async fn shred(&mut self, name: &'static str) {
        let whose = (self.bucket.id, &self.bucket.pool);
        let shown = self.catalog.object(self.bucket.id, &key(name)).await.unwrap();
        match (self.catalog.shred_object(whose, &key(name), &Condition::None, self.now).await, shown) {
            (Ok(None), None) => {}
            (Ok(Some(gone)), Some(Object { version: Some(version), lock, .. })) => {
                assert!(lock.lets_go(Grounds::at(self.now)).is_ok(), "{lock:?}");
                self.catalog.forget_shred(gone.upload).await.unwrap();
                self.forget(name, version);
            }
            (Err(ShredError::Delete(DeleteObjectError::Locked(_))), Some(Object { lock, .. })) => {
                assert!(lock.lets_go(Grounds::at(self.now)).is_err(), "{lock:?}");
                self.refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// All versions of the model are there, with their locks.
    async fn check(&self) {
        for ((name, _), (version, lock)) in &self.model {
            let found = self.catalog.object_version(self.bucket.id, &key(name), *version).await.unwrap();
            let Some(Version::Object(object)) = found else {
                panic!("{name} {version} with {lock:?}: {found:?}")
            };
            assert_eq!(object.lock, *lock, "{name} {version}");
        }
    }
}
