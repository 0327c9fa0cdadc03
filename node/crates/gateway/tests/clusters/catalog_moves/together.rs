//! The catalog of three gateways.

use datamesh_settings::CatalogMove;
use datamesh_settings::admin::CatalogEngine;

use super::{has_moved, is_writable};
use crate::support::cluster::noise;
use crate::support::gateways::{Gateways, Place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_moves_once_all_are_ready_and_comes_back_to_all() {
    let server = crate::postgres::server();
    let mut three = Gateways::start().await;
    three.put_pool(0).await;
    three.until(|status| status.catalog.replicas == 3 && is_writable(status)).await;
    let (bytes, database) = (noise(3, 3 << 20), three.database(&server.uri(&server.database().await)));
    three.put(0, "before", &bytes).await.unwrap();
    three.place = Place::Both(database.clone(), CatalogMove::ToDatabase);
    let leader = three.leader().await;
    let mut keys = vec!["before".to_owned()];
    for at in [(leader + 1) % 3, (leader + 2) % 3, leader] {
        keys.push(restarted(&mut three, at, "while", &bytes).await);
        if at != leader {
            let moved = three.status(at).await.unwrap();
            assert!(!has_moved(&moved), "not all are ready: {moved:?}");
        }
    }
    three.until(has_moved).await;
    for at in 0..3 {
        assert_eq!(three.status(at).await.unwrap().catalog.engine, CatalogEngine::Postgres);
        three.put(at, &format!("behind-{at}"), &bytes).await.unwrap();
        keys.push(format!("behind-{at}"));
        all_read(&three, (at + 1) % 3, &keys, &bytes).await;
    }
    // With the database alone, they are to storage nodes who they were.
    three.place = Place::Database(database.clone());
    for at in 0..3 {
        keys.push(restarted(&mut three, at, "alone", &bytes).await);
        all_read(&three, at, &keys, &bytes).await;
    }
    comes_back(&mut three, Place::Both(database, CatalogMove::FromDatabase), keys, &bytes).await;
    three.end().await;
}

/// First to the volume of one, then to all. What is left there of when they kept it makes room for it.
async fn comes_back(three: &mut Gateways, both: Place, mut keys: Vec<String>, bytes: &[u8]) {
    three.place = both;
    for at in [1, 0, 2] {
        keys.push(restarted(three, at, "coming", bytes).await);
        if at != 2 {
            let moved = three.status(0).await.unwrap();
            assert!(!has_moved(&moved), "not all are ready: {moved:?}");
        }
    }
    three.until_at(0, has_moved).await;
    assert_eq!(three.status(0).await.unwrap().catalog.engine, CatalogEngine::Embedded);
    three.put(0, "first", bytes).await.unwrap();
    keys.push("first".to_owned());
    all_read(three, 0, &keys, bytes).await;
    for at in [1, 2] {
        assert!(three.get(at, "before").await.is_err(), "it would read what is old by now");
        assert!(three.put(at, "lost", bytes).await.is_err());
    }
    three.place = Place::Volumes;
    for at in 0..3 {
        three.kill(at).await;
    }
    three.restart_together(0..3).await;
    three.until(|status| status.catalog.replicas == 3 && is_writable(status)).await;
    for at in 0..3 {
        let catalog = three.status(at).await.unwrap().catalog;
        assert_eq!((catalog.engine, catalog.moving), (CatalogEngine::Embedded, None));
        three.put(at, &format!("together-{at}"), bytes).await.unwrap();
        keys.push(format!("together-{at}"));
        all_read(three, (at + 1) % 3, &keys, bytes).await;
    }
}

/// One starts with other settings, and takes a file, whose key this gives.
async fn restarted(three: &mut Gateways, at: usize, when: &str, bytes: &[u8]) -> String {
    three.kill(at).await;
    three.restart(at).await;
    three.until_at(at, is_writable).await;
    let key = format!("{when}-{at}");
    three.put(at, &key, bytes).await.unwrap();
    key
}

async fn all_read(three: &Gateways, at: usize, keys: &[String], bytes: &[u8]) {
    for key in keys {
        assert!(three.get(at, key).await.unwrap() == bytes, "{key} at {at}");
    }
}
