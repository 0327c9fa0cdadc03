//! Random commits on an engine and on the model, with reopening in between: both answer the same, always.

use datamesh_catalog::engine::MemoryKeyspace;
use datamesh_catalog::keyspace::{Batch, Check, KeyRange, Keyspace, RangeLimits, Revision, View};

use crate::replicas::Replicas;
use crate::support::{Dice, Rocks, memory};

const ALPHABET: &[u8] = &[1, 2, b'a', 254, 255];

fn key(dice: &mut Dice) -> Vec<u8> {
    let mut key = dice.bytes(ALPHABET, 2);
    key.insert(0, *dice.pick(ALPHABET));
    key
}

fn range(dice: &mut Dice) -> KeyRange {
    match dice.below(3) {
        0 => KeyRange::prefix(key(dice)),
        1 => KeyRange::between(key(dice), key(dice)),
        _ => KeyRange { start: key(dice), end: None },
    }
}

async fn batch(dice: &mut Dice, model: &MemoryKeyspace) -> Batch {
    let mut batch = Batch::new();
    let newest = model.view().await.unwrap().revision().await.unwrap().0;
    let since = |dice: &mut Dice| Revision(newest.saturating_sub(dice.next() % 6));
    for _ in 0..dice.below(4) {
        let key = key(dice);
        let known = model.get(&key).await.unwrap().map(|row| row.version);
        match dice.below(8) {
            0 => batch.checks.push(Check::Unchanged { range: range(dice), since: since(dice) }),
            1 => batch.checks.push(Check::At { key, version: since(dice) }),
            2 => batch.checks.push(Check::Absent { key }),
            _ => batch.expect(key, known),
        }
    }
    for _ in 0..dice.below(6) {
        let key = key(dice);
        match dice.below(6) {
            0 => batch.delete(key),
            1 => batch.add(key, i64::try_from(dice.below(100)).unwrap() - 50),
            2 => batch.put(key, i64::to_le_bytes(9)),
            _ => batch.put(key, dice.bytes(b"xyz", 9)),
        }
    }
    batch
}

/// A commit, and what is then asked of engine and model.
#[derive(Debug)]
pub(crate) struct Step {
    number: u64,
    batch: Batch,
    range: KeyRange,
    limits: RangeLimits,
    since: Revision,
    limit: usize,
}

impl Step {
    pub(crate) async fn random(dice: &mut Dice, model: &MemoryKeyspace, number: u64) -> Self {
        Self {
            number,
            batch: batch(dice, model).await,
            range: range(dice),
            limits: RangeLimits { rows: dice.below(20), bytes: dice.below(200) },
            since: Revision(dice.next() % 50 + number.saturating_sub(40)),
            limit: dice.below(5),
        }
    }

    /// Both answer the same. Tells whether the commit was refused.
    pub(crate) async fn compare<K: Keyspace>(&self, keyspace: &K, model: &MemoryKeyspace) -> bool {
        let expected = model.commit(self.batch.clone()).await;
        assert_eq!(keyspace.commit(self.batch.clone()).await, expected, "step {}: {self:?}", self.number);
        let seen = keyspace.view().await.unwrap().range(&self.range, self.limits).await.unwrap();
        let known = model.view().await.unwrap().range(&self.range, self.limits).await.unwrap();
        assert_eq!(seen, known, "step {}: {self:?}", self.number);
        let changes = keyspace.changes_since(self.since, self.limit).await;
        assert_eq!(
            changes,
            model.changes_since(self.since, self.limit).await,
            "step {}: {self:?}",
            self.number
        );
        expected.is_err()
    }
}

/// A run in which all commits were refused, or none, shows nothing.
pub(crate) fn both_kinds_occur(refused: usize, of: usize) {
    assert!((of / 30..of - of / 15).contains(&refused), "{refused} of {of} commits were refused");
}

async fn same_rows<K: Keyspace>(keyspace: &K, model: &MemoryKeyspace) {
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    let view = keyspace.view().await.unwrap();
    assert_eq!(view.range(&KeyRange::prefix(b""), all).await.unwrap().rows, model.rows());
}

#[tokio::test]
async fn rocks_is_as_the_model() {
    let mut dice = Dice::new("rocks_is_as_the_model");
    let (mut rocks, model) = (Rocks::new(), memory());
    let mut refused = 0;
    for number in 0..1500 {
        let step = Step::random(&mut dice, &model, number).await;
        refused += usize::from(step.compare(&rocks.keyspace, &model).await);
        if dice.once_in(100) {
            rocks = rocks.reopen();
            model.forget_changes();
            same_rows(&rocks.keyspace, &model).await;
        }
    }
    both_kinds_occur(refused, 1500);
}

/// A replica forgets nothing when it is opened again: its changes are the log's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_is_as_the_model() {
    let mut dice = Dice::new("one_replica_is_as_the_model");
    let (replicas, model) = (Replicas::of(1).await, memory());
    let mut refused = 0;
    for n in 0..600 {
        let step = Step::random(&mut dice, &model, n).await;
        refused += usize::from(step.compare(&replicas.at(1), &model).await);
        if dice.once_in(100) {
            replicas.close(1).await;
            replicas.open(1).await;
            same_rows(&replicas.at(1), &model).await;
        }
    }
    both_kinds_occur(refused, 600);
}

/// Each step through another replica, the leader or not; one is closed and opened again now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_as_the_model() {
    let mut dice = Dice::new("three_replicas_are_as_the_model");
    let (replicas, model) = (Replicas::of(3).await, memory());
    let mut refused = 0;
    for n in 0..600 {
        let at = replicas.at(1 + dice.next() % 3);
        let step = Step::random(&mut dice, &model, n).await;
        refused += usize::from(step.compare(&at, &model).await);
        drop(at);
        if dice.once_in(150) {
            let id = 1 + dice.next() % 3;
            replicas.close(id).await;
            replicas.open(id).await;
            same_rows(&replicas.at(id), &model).await;
        }
    }
    both_kinds_occur(refused, 600);
}

#[tokio::test]
async fn a_full_change_log_forgets_the_oldest() {
    use datamesh_catalog::engine::{RocksKeyspace, RocksOptions};
    use datamesh_catalog::keyspace::{ChangesError, CommitError};
    let dir = tempfile::tempdir().unwrap();
    let options = RocksOptions { changes_max: 4, ..RocksOptions::default() };
    let keyspace = RocksKeyspace::open(dir.path(), options).unwrap();
    for n in 1..=10_u8 {
        crate::support::put(&keyspace, &[n], b"").await.unwrap();
    }
    let newest = keyspace.changes_since(Revision(6), 100).await.unwrap();
    assert_eq!(newest.changes.len(), 4);
    let forgotten = Err(ChangesError::Forgotten { through: Revision(6) });
    assert_eq!(keyspace.changes_since(Revision(5), 100).await, forgotten);
    let mut batch = Batch::new();
    batch.expect_unchanged(KeyRange::prefix([200]), Revision(5));
    assert_eq!(keyspace.commit(batch.clone()).await, Err(CommitError::Conflict { check: 0 }), "not provable");
    batch.checks = vec![Check::Unchanged { range: KeyRange::prefix([200]), since: Revision(6) }];
    assert_eq!(keyspace.commit(batch).await, Ok(Revision(10)));
}
