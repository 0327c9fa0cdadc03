//! What every engine must do.

use datamesh_catalog::keyspace::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Batch, Change, ChangeKind, ChangesError, Check, CommitError,
    KEY_BYTES_MAX, KeyRange, Keyspace, Revision, View,
};

use crate::replicas::on_replicas;
use crate::support::{bare, delete, on_all_engines, put};

on_all_engines!(bare:
    begins_empty, writes_and_versions, checks_alone_write_nothing, a_failed_check_writes_nothing,
    later_writes_of_a_batch_win, deleting, counters, a_bad_add_writes_nothing, views_stand_still,
    unchanged_ranges, changes_in_order, bad_batches, one_creator_wins, adds_commute,
);

on_replicas!(bare:
    begins_empty, writes_and_versions, checks_alone_write_nothing, a_failed_check_writes_nothing,
    later_writes_of_a_batch_win, deleting, counters, a_bad_add_writes_nothing, views_stand_still,
    unchanged_ranges, changes_in_order, bad_batches, one_creator_wins, adds_commute,
);

async fn value<K: Keyspace>(keyspace: &K, key: &[u8]) -> Option<Vec<u8>> {
    keyspace.get(key).await.unwrap().map(|row| row.value)
}

async fn begins_empty<K: Keyspace>(keyspace: K) {
    let view = keyspace.view().await.unwrap();
    assert_eq!(view.revision().await.unwrap(), Revision(0));
    assert_eq!(keyspace.get(b"a").await.unwrap(), None);
    let changes = keyspace.changes_since(Revision(0), 10).await.unwrap();
    assert_eq!((changes.changes, changes.through), (Vec::new(), Revision(0)));
}

async fn writes_and_versions<K: Keyspace>(keyspace: K) {
    assert_eq!(put(&keyspace, b"a", b"1").await, Ok(Revision(1)));
    assert_eq!(put(&keyspace, b"b", b"").await, Ok(Revision(2)));
    assert_eq!(put(&keyspace, b"a", b"2").await, Ok(Revision(3)));
    let row = keyspace.get(b"a").await.unwrap().unwrap();
    assert_eq!((row.version, row.value.as_slice()), (Revision(3), b"2".as_slice()));
    let row = keyspace.get(b"b").await.unwrap().unwrap();
    assert_eq!((row.version, row.value.as_slice()), (Revision(2), b"".as_slice()));
    assert_eq!(keyspace.view().await.unwrap().revision().await.unwrap(), Revision(3));
}

async fn checks_alone_write_nothing<K: Keyspace>(keyspace: K) {
    put(&keyspace, b"a", b"1").await.unwrap();
    let mut batch = Batch::new();
    batch.expect(b"a", Some(Revision(1)));
    batch.expect(b"b", None);
    assert_eq!(keyspace.commit(batch).await, Ok(Revision(1)));
    assert_eq!(put(&keyspace, b"a", b"2").await, Ok(Revision(2)));
}

async fn a_failed_check_writes_nothing<K: Keyspace>(keyspace: K) {
    put(&keyspace, b"a", b"1").await.unwrap();
    put(&keyspace, b"a", b"2").await.unwrap();
    let bad = [
        Check::At { key: b"a".to_vec(), version: Revision(1) },
        Check::At { key: b"none".to_vec(), version: Revision(0) },
        Check::Absent { key: b"a".to_vec() },
        Check::Unchanged { range: KeyRange::prefix(b"a"), since: Revision(1) },
    ];
    for check in bad {
        let mut batch = Batch::new();
        batch.expect(b"a", Some(Revision(2)));
        batch.checks.push(check.clone());
        batch.put(b"b", b"3");
        batch.delete(b"a");
        assert_eq!(keyspace.commit(batch).await, Err(CommitError::Conflict { check: 1 }), "{check:?}");
        assert_eq!(value(&keyspace, b"b").await, None, "{check:?}");
        assert_eq!(value(&keyspace, b"a").await.as_deref(), Some(b"2".as_slice()), "{check:?}");
    }
    assert_eq!(keyspace.view().await.unwrap().revision().await.unwrap(), Revision(2));
}

async fn later_writes_of_a_batch_win<K: Keyspace>(keyspace: K) {
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.delete(b"a");
    batch.put(b"a", b"2");
    batch.put(b"b", b"1");
    batch.delete(b"b");
    batch.add(b"c", 5);
    batch.add(b"c", -2);
    batch.put(b"d", 7_i64.to_le_bytes());
    batch.add(b"d", 1);
    batch.delete(b"e");
    batch.add(b"e", 1);
    assert_eq!(keyspace.commit(batch).await, Ok(Revision(1)));
    assert_eq!(value(&keyspace, b"a").await.as_deref(), Some(b"2".as_slice()));
    assert_eq!(value(&keyspace, b"b").await, None);
    assert_eq!(value(&keyspace, b"c").await, Some(3_i64.to_le_bytes().to_vec()));
    assert_eq!(value(&keyspace, b"d").await, Some(8_i64.to_le_bytes().to_vec()));
    assert_eq!(value(&keyspace, b"e").await, Some(1_i64.to_le_bytes().to_vec()));
}

async fn deleting<K: Keyspace>(keyspace: K) {
    put(&keyspace, b"a", b"1").await.unwrap();
    assert_eq!(delete(&keyspace, b"a").await, Ok(Revision(2)));
    assert_eq!(value(&keyspace, b"a").await, None);
    assert_eq!(delete(&keyspace, b"a").await, Ok(Revision(3)), "deleting nothing is a commit too");
    let mut batch = Batch::new();
    batch.expect(b"a", None);
    batch.put(b"a", b"2");
    assert_eq!(keyspace.commit(batch).await, Ok(Revision(4)));
}

async fn counters<K: Keyspace>(keyspace: K) {
    for (delta, sum) in [(3, 3), (-10, -7), (i64::MIN, i64::MAX - 6)] {
        let mut batch = Batch::new();
        batch.add(b"n", delta);
        let revision = keyspace.commit(batch).await.unwrap();
        let row = keyspace.get(b"n").await.unwrap().unwrap();
        assert_eq!((row.version, row.value), (revision, i64::to_le_bytes(sum).to_vec()));
    }
}

async fn a_bad_add_writes_nothing<K: Keyspace>(keyspace: K) {
    put(&keyspace, b"text", b"seven b").await.unwrap();
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.add(b"n", 1);
    batch.add(b"text", 1);
    assert_eq!(keyspace.commit(batch).await, Err(CommitError::NotACounter { write: 2 }));
    assert_eq!(value(&keyspace, b"a").await, None);
    assert_eq!(value(&keyspace, b"n").await, None);
    assert_eq!(keyspace.changes_since(Revision(1), 9).await.unwrap().changes, Vec::new());
}

async fn views_stand_still<K: Keyspace>(keyspace: K) {
    put(&keyspace, b"a", b"1").await.unwrap();
    put(&keyspace, b"b", b"1").await.unwrap();
    let view = keyspace.view().await.unwrap();
    put(&keyspace, b"a", b"2").await.unwrap();
    delete(&keyspace, b"b").await.unwrap();
    put(&keyspace, b"c", b"1").await.unwrap();
    assert_eq!(view.revision().await.unwrap(), Revision(2));
    assert_eq!(view.get(b"a").await.unwrap().unwrap().value, b"1");
    assert_eq!(view.get(b"b").await.unwrap().unwrap().version, Revision(2));
    assert_eq!(view.get(b"c").await.unwrap(), None);
    let rows = view.range(&KeyRange::prefix(b""), Default::default()).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.key.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(value(&keyspace, b"a").await.as_deref(), Some(b"2".as_slice()), "the newest state moved on");
}

async fn unchanged_ranges<K: Keyspace>(keyspace: K) {
    let check = async |since: u64| {
        let mut batch = Batch::new();
        batch.expect_unchanged(KeyRange::between(b"b", b"d"), Revision(since));
        keyspace.commit(batch).await.is_ok()
    };
    put(&keyspace, b"a", b"").await.unwrap();
    put(&keyspace, b"d", b"").await.unwrap();
    assert!(check(0).await, "writes on both sides of the range");
    put(&keyspace, b"b", b"").await.unwrap();
    assert!(!check(2).await && check(3).await, "a put");
    delete(&keyspace, b"b").await.unwrap();
    assert!(!check(3).await && check(4).await, "a delete");
    let mut batch = Batch::new();
    batch.add(b"c", 1);
    keyspace.commit(batch).await.unwrap();
    assert!(!check(4).await && check(5).await, "an add");
    put(&keyspace, b"cc", b"").await.unwrap();
    assert!(!check(0).await, "of many changes");
    let mut own = Batch::new();
    own.expect_unchanged(KeyRange::between(b"b", b"d"), Revision(6));
    own.put(b"c", b"");
    assert_eq!(keyspace.commit(own).await, Ok(Revision(7)), "its own writes do not count");
}

async fn changes_in_order<K: Keyspace>(keyspace: K) {
    let mut batch = Batch::new();
    batch.put(b"b", b"1");
    batch.delete(b"x");
    batch.add(b"a", 1);
    keyspace.commit(batch).await.unwrap();
    put(&keyspace, b"c", b"1").await.unwrap();
    delete(&keyspace, b"c").await.unwrap();
    let change =
        |revision, key: &[u8], kind| Change { revision: Revision(revision), key: key.to_vec(), kind };
    let (written, deleted) = (ChangeKind::Written, ChangeKind::Deleted);
    let all = [
        change(1, b"b", written),
        change(1, b"x", deleted),
        change(1, b"a", written),
        change(2, b"c", written),
        change(3, b"c", deleted),
    ];
    let since = async |since, limit| keyspace.changes_since(Revision(since), limit).await;
    let answer = since(0, 100).await.unwrap();
    assert_eq!((answer.changes.as_slice(), answer.through), (all.as_slice(), Revision(3)));
    for limit in [0, 1, 3] {
        let answer = since(0, limit).await.unwrap();
        assert_eq!(
            (answer.changes.as_slice(), answer.through),
            (&all[..3], Revision(1)),
            "whole commits, {limit}"
        );
    }
    let answer = since(1, 1).await.unwrap();
    assert_eq!((answer.changes.as_slice(), answer.through), (&all[3..4], Revision(2)));
    let answer = since(3, 1).await.unwrap();
    assert_eq!((answer.changes.as_slice(), answer.through), ([].as_slice(), Revision(3)));
    assert_eq!(since(4, 1).await, Err(ChangesError::Future { newest: Revision(3) }));
}

async fn bad_batches<K: Keyspace>(keyspace: K) {
    for key in [Vec::new(), vec![0], vec![0, b'r'], vec![1; KEY_BYTES_MAX + 1]] {
        assert_eq!(put(&keyspace, &key, b"").await, Err(CommitError::BadKey { bytes: key.len() }));
        let mut batch = Batch::new();
        batch.expect(key.clone(), None);
        assert_eq!(keyspace.commit(batch).await, Err(CommitError::BadKey { bytes: key.len() }));
    }
    let mut many = Batch::new();
    (0..=BATCH_ITEMS_MAX).for_each(|_| many.put(b"a", b""));
    assert!(matches!(keyspace.commit(many.clone()).await, Err(CommitError::TooLarge { .. })));
    many.writes.pop();
    assert_eq!(keyspace.commit(many).await, Ok(Revision(1)));
    let mut large = Batch::new();
    (0..3).for_each(|n| large.put([b'a', n], vec![0; BATCH_BYTES_MAX / 3]));
    assert!(matches!(keyspace.commit(large).await, Err(CommitError::TooLarge { .. })));
    assert!(put(&keyspace, &[1; KEY_BYTES_MAX], b"").await.is_ok());
}

async fn one_creator_wins<K: Keyspace>(keyspace: K) {
    for round in 0_u8..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for creator in 0_u8..32 {
            let keyspace = keyspace.clone();
            tasks.spawn(async move {
                let mut batch = Batch::new();
                batch.expect([b'k', round], None);
                batch.put([b'k', round], [creator]);
                keyspace.commit(batch).await.ok().map(|_| creator)
            });
        }
        let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert_eq!(value(&keyspace, &[b'k', round]).await, Some(winners), "the winner's value stands");
    }
}

async fn adds_commute<K: Keyspace>(keyspace: K) {
    let mut tasks = tokio::task::JoinSet::new();
    for delta in 1..=50_i64 {
        let keyspace = keyspace.clone();
        tasks.spawn(async move {
            for _ in 0..4 {
                let mut batch = Batch::new();
                batch.add(b"sum", delta);
                keyspace.commit(batch).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(value(&keyspace, b"sum").await, Some((4 * 1275_i64).to_le_bytes().to_vec()));
    assert_eq!(keyspace.view().await.unwrap().revision().await.unwrap(), Revision(200));
}
