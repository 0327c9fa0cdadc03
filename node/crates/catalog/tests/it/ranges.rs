//! Range reads, on every engine.

use datamesh_catalog::keyspace::{KeyRange, Keyspace, RangeLimits, RangePage, View};

use crate::support::{bare, on_all_engines, put};

on_all_engines!(bare: in_order, bounds, limits, no_engine_keys);

async fn read<K: Keyspace>(keyspace: &K, range: KeyRange, limits: RangeLimits) -> RangePage {
    keyspace.view().await.unwrap().range(&range, limits).await.unwrap()
}

fn keys(page: &RangePage) -> Vec<&[u8]> {
    page.rows.iter().map(|row| row.key.as_slice()).collect()
}

async fn in_order<K: Keyspace>(keyspace: K) {
    let sorted: [&[u8]; 7] = [b"a", b"a\0", b"a\xff", b"b", b"\xfe\xff", b"\xff", b"\xff\xff"];
    for at in [3, 6, 0, 5, 1, 4, 2] {
        put(&keyspace, sorted[at], &[u8::try_from(at).unwrap()]).await.unwrap();
    }
    let all = read(&keyspace, KeyRange::prefix(b""), RangeLimits::default()).await;
    assert_eq!(keys(&all), sorted);
    assert_eq!(all.rows.iter().map(|row| row.value[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(!all.more);
    let last = read(&keyspace, KeyRange::prefix(b"\xff"), RangeLimits::default()).await;
    assert_eq!(keys(&last), [b"\xff".as_slice(), b"\xff\xff"], "a prefix after which nothing comes");
}

async fn bounds<K: Keyspace>(keyspace: K) {
    for key in [b"a", b"b", b"c", b"d"] {
        put(&keyspace, key, b"").await.unwrap();
    }
    let between = |start: &[u8], end: &[u8]| KeyRange::between(start, end);
    for (range, expected) in [
        (between(b"b", b"d"), vec![b"b", b"c"]),
        (between(b"b\0", b"c\0"), vec![b"c"]),
        (between(b"b", b"b"), vec![]),
        (between(b"d", b"b"), vec![]),
        (KeyRange { start: b"c".to_vec(), end: None }, vec![b"c", b"d"]),
        (KeyRange::prefix(b"").after(b"b"), vec![b"c", b"d"]),
        (KeyRange::prefix(b"x"), vec![]),
    ] {
        assert_eq!(
            keys(&read(&keyspace, range.clone(), RangeLimits::default()).await),
            expected,
            "{range:?}"
        );
    }
}

async fn limits<K: Keyspace>(keyspace: K) {
    for key in 0..10_u8 {
        put(&keyspace, &[b'k', key], &[0; 100]).await.unwrap();
    }
    let all = KeyRange::prefix(b"k");
    for (limits, rows, more) in [
        (RangeLimits::rows(10), 10, false),
        (RangeLimits::rows(9), 9, true),
        (RangeLimits::rows(0), 1, true),
        (RangeLimits { rows: 100, bytes: 0 }, 1, true),
        (RangeLimits { rows: 100, bytes: 102 }, 1, true),
        (RangeLimits { rows: 100, bytes: 400 }, 4, true),
    ] {
        let page = read(&keyspace, all.clone(), limits).await;
        assert_eq!((page.rows.len(), page.more), (rows, more), "{limits:?}");
    }
    let mut rest = all;
    let mut seen = 0;
    loop {
        let page = read(&keyspace, rest.clone(), RangeLimits::rows(3)).await;
        seen += page.rows.len();
        let Some(last) = page.rows.last().filter(|_| page.more) else { break };
        rest = rest.after(&last.key);
    }
    assert_eq!(seen, 10, "page by page: each row once");
}

async fn no_engine_keys<K: Keyspace>(keyspace: K) {
    put(&keyspace, &[1], b"").await.unwrap();
    for range in [KeyRange::prefix(b""), KeyRange { start: vec![0], end: None }] {
        assert_eq!(keys(&read(&keyspace, range, RangeLimits::default()).await), [[1].as_slice()]);
    }
    let reserved = KeyRange::prefix([0]);
    assert_eq!(read(&keyspace, reserved, RangeLimits::default()).await.rows.len(), 0);
}
