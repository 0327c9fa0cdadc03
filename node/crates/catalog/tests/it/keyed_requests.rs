//! Requests that their clients gave a key: begun once, answered as often as asked, forgotten and counted.

use datamesh_catalog::catalog::Begun;
use datamesh_catalog::keys::{self, Table};
use datamesh_catalog::keyspace::{Batch, Keyspace, RangeLimits, View};
use datamesh_catalog::limits::{KEYED_ANSWER_BYTES_MAX, KEYED_REQUESTS_MAX};
use datamesh_catalog::record::{self, KeyedRequestCountRecord};
use datamesh_catalog::{Catalog, KeyedRequest, RequestId};

use crate::support::{catalog_on, on_all_engines};

on_all_engines!(catalog_on: once, answers, withdrawn, forgotten, bounded);

const ASKER: [u8; 16] = [7; 16];

fn new(begun_unix_ms: u64) -> KeyedRequest {
    let until_unix_ms = begun_unix_ms + 100;
    KeyedRequest { asker: ASKER, print: [8; 32], begun_unix_ms, until_unix_ms, answer: None }
}

fn id(number: u8) -> RequestId {
    RequestId([number; 32])
}

async fn begin<K: Keyspace>(catalog: &Catalog<K>, number: u8, begun_unix_ms: u64) -> Begun {
    catalog.begin_keyed_request(id(number), &new(begun_unix_ms)).await.unwrap()
}

/// How many rows there are in these tables.
async fn rows<K: Keyspace>(catalog: &Catalog<K>) -> (usize, usize) {
    let view = catalog.keyspace().view().await.unwrap();
    let mut found = Vec::new();
    for table in [Table::KeyedRequest, Table::KeyedRequestDue] {
        found.push(view.range(&keys::all(table), RangeLimits::default()).await.unwrap().rows.len());
    }
    (found[0], found[1])
}

async fn counted<K: Keyspace>(catalog: &Catalog<K>) -> u32 {
    let row = catalog.keyspace().get(&keys::keyed_request_count(&ASKER)).await.unwrap();
    row.map_or(0, |row| record::decode::<KeyedRequestCountRecord>(&row.value).unwrap().requests)
}

/// Of many gateways that are sent the same at once, one does it.
async fn once<K: Keyspace>(catalog: Catalog<K>) {
    let asking = (0..8).map(|_| begin(&catalog, 1, 10));
    let begun = futures::future::join_all(asking).await;
    assert_eq!(begun.iter().filter(|begun| **begun == Begun::Now).count(), 1);
    assert!(begun.iter().all(|begun| matches!(begun, Begun::Now | Begun::Before(_))));
    assert_eq!((rows(&catalog).await, counted(&catalog).await), ((1, 1), 1));
}

async fn answers<K: Keyspace>(catalog: Catalog<K>) {
    begin(&catalog, 1, 10).await;
    assert_eq!(begin(&catalog, 1, 20).await, Begun::Before(new(10)), "it is under way");
    assert!(!catalog.answer_keyed_request(id(1), 9, vec![1]).await.unwrap(), "of another that began then");
    assert!(!catalog.answer_keyed_request(id(2), 10, vec![1]).await.unwrap(), "of none");
    assert!(catalog.answer_keyed_request(id(1), 10, vec![1]).await.unwrap());
    let answered = KeyedRequest { answer: Some(vec![1]), ..new(10) };
    assert_eq!(begin(&catalog, 1, 109).await, Begun::Before(answered));
    let long = vec![1; KEYED_ANSWER_BYTES_MAX + 128];
    begin(&catalog, 3, 10).await;
    catalog.answer_keyed_request(id(3), 10, long).await.unwrap_err();
    assert_eq!(begin(&catalog, 3, 20).await, Begun::Before(new(10)), "what is too long is not kept");
}

async fn withdrawn<K: Keyspace>(catalog: Catalog<K>) {
    begin(&catalog, 1, 10).await;
    begin(&catalog, 2, 10).await;
    catalog.withdraw_keyed_request(id(1), 9).await.unwrap();
    assert_eq!(rows(&catalog).await, (2, 2), "of another that began then");
    catalog.withdraw_keyed_request(id(1), 10).await.unwrap();
    assert_eq!((rows(&catalog).await, counted(&catalog).await), ((1, 1), 1));
    assert_eq!(begin(&catalog, 1, 11).await, Begun::Now);
}

async fn forgotten<K: Keyspace>(catalog: Catalog<K>) {
    for number in 0..5 {
        begin(&catalog, number, 10 + u64::from(number)).await;
    }
    assert_eq!(catalog.forget_keyed_requests(109, 64).await.unwrap(), 0, "none is over");
    assert_eq!(catalog.forget_keyed_requests(111, 1).await.unwrap(), 1);
    assert_eq!((rows(&catalog).await, counted(&catalog).await), ((4, 4), 4));
    assert_eq!(begin(&catalog, 1, 120).await, Begun::Now, "what is over counts no more, forgotten or not");
    assert_eq!(
        (rows(&catalog).await, counted(&catalog).await),
        ((4, 4), 4),
        "and takes the place of its own"
    );
    assert_eq!(catalog.forget_keyed_requests(114, 64).await.unwrap(), 3);
    assert_eq!((rows(&catalog).await, counted(&catalog).await), ((1, 1), 1));
    assert_eq!(catalog.forget_keyed_requests(220, 64).await.unwrap(), 1);
    assert_eq!((rows(&catalog).await, counted(&catalog).await), ((0, 0), 0));
    let count = catalog.keyspace().get(&keys::keyed_request_count(&ASKER)).await.unwrap();
    assert!(count.is_none(), "who has none leaves no row");
}

async fn bounded<K: Keyspace>(catalog: Catalog<K>) {
    let mut batch = Batch::new();
    let almost = KeyedRequestCountRecord { requests: KEYED_REQUESTS_MAX - 1 };
    batch.put(keys::keyed_request_count(&ASKER), record::encode(&almost).unwrap());
    catalog.keyspace().commit(batch).await.unwrap();
    assert_eq!(begin(&catalog, 1, 10).await, Begun::Now);
    assert_eq!(begin(&catalog, 2, 10).await, Begun::TooMany);
    assert!(matches!(begin(&catalog, 1, 11).await, Begun::Before(_)), "what is there is answered");
    let other = KeyedRequest { asker: [6; 16], ..new(10) };
    assert_eq!(
        catalog.begin_keyed_request(id(3), &other).await.unwrap(),
        Begun::Now,
        "somebody else has room"
    );
    catalog.withdraw_keyed_request(id(1), 10).await.unwrap();
    assert_eq!(begin(&catalog, 2, 10).await, Begun::Now);
}
