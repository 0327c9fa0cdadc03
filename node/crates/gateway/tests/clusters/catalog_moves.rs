//! A whole cluster whose catalog moves into PostgreSQL and back while files are put and read.

mod together;

use crate::support::cluster::{
    BACKUPS_FILE, Cluster, DATABASE_FILE, MOVE_FILE, bind_gateway, noise, start_gateway,
};
use datamesh_catalog::engine::{AnyKeyspace, PostgresKeyspace, PostgresOptions, RocksKeyspace, RocksOptions};
use datamesh_catalog::moving::{Begun, Mover, Moves, Step, say_ready};
use datamesh_catalog::record::{Keeper, MoveId};
use datamesh_settings::admin::{CatalogEngine, CatalogMovePhase, ClusterStatus};
use datamesh_shard::NodeName;

fn has_moved(status: &ClusterStatus) -> bool {
    status.catalog.moving.as_ref().is_some_and(|moving| moving.phase == CatalogMovePhase::Moved)
}

fn is_backed_up(status: &ClusterStatus) -> bool {
    status.catalog.backup.as_ref().is_some_and(|backup| backup.last_unix_ms.is_some())
}

fn is_writable(status: &ClusterStatus) -> bool {
    !status.pools.is_empty() && status.pools.iter().all(|pool| pool.writable)
}

impl Cluster {
    /// What the settings say, from the next start on.
    fn catalog_is(&self, database: Option<&str>, moves: Option<&str>) {
        for (file, text) in [(DATABASE_FILE, database), (MOVE_FILE, moves)] {
            let path = self.dir.path().join(file);
            match text {
                Some(text) => std::fs::write(path, text).unwrap(),
                None => drop(std::fs::remove_file(path)),
            }
        }
    }

    async fn restart(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.end().await;
        }
        let (gateway, addresses) = start_gateway(self.dir.path(), &self.secret).await;
        (self.gateway, self.addresses) = (Some(gateway), addresses);
    }

    /// Puts small files, each of which reads back at once, until the catalog has moved. Gives how many.
    async fn put_until_moved(&self, prefix: &str) -> usize {
        for number in 0.. {
            let (key, bytes) = (format!("{prefix}-{number}"), noise(7, 5000 + number));
            self.put(&key, &bytes).await;
            assert!(self.get(&key).await == bytes, "{key}");
            if has_moved(&self.status_until(|_| true).await) {
                return number + 1;
            }
        }
        unreachable!("numbers do not end")
    }

    async fn all_there(&self, prefix: &str, count: usize) {
        for number in 0..count {
            assert!(
                self.get(&format!("{prefix}-{number}")).await == noise(7, 5000 + number),
                "{prefix}-{number}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_of_one_gateway_moves_there_and_back_under_puts() {
    let server = crate::postgres::server();
    let uri = server.uri(&server.database().await);
    let mut cluster = Cluster::start().await;
    std::fs::write(cluster.dir.path().join(BACKUPS_FILE), []).unwrap();
    cluster.put_pool().await;
    cluster.status_until(is_writable).await;
    let large = noise(1, 20 << 20);
    cluster.put("large", &large).await;

    cluster.catalog_is(Some(&uri), Some("ToDatabase"));
    cluster.restart().await;
    let there = cluster.put_until_moved("there").await;
    let status = cluster.status_until(has_moved).await;
    assert_eq!(status.catalog.engine, CatalogEngine::Postgres);
    cluster.put("behind", &large).await;
    // Also where the settings still ask for the move.
    cluster.restart().await;
    cluster.all_there("there", there).await;
    // The volume alone is not the catalog any more.
    cluster.gateway.take().unwrap().end().await;
    cluster.catalog_is(None, None);
    let refused = bind_gateway(cluster.dir.path(), &cluster.secret, "gateway").await;
    let refused = refused.err().expect("an old catalog is served").to_string();
    assert!(refused.contains("has gone to PostgreSQL"), "{refused}");
    cluster.catalog_is(Some(&uri), None);
    cluster.restart().await;
    assert!(cluster.get("large").await == large);

    cluster.catalog_is(Some(&uri), Some("FromDatabase"));
    cluster.restart().await;
    assert!(cluster.status_until(|_| true).await.catalog.backup.is_none(), "a database has its own");
    let back = cluster.put_until_moved("back").await;
    // At once, and not after the next start.
    cluster.status_until(is_backed_up).await;
    cluster.catalog_is(Some(&uri), None);
    cluster.gateway.take().unwrap().end().await;
    let refused = bind_gateway(cluster.dir.path(), &cluster.secret, "gateway").await;
    let refused = refused.err().expect("an old catalog is served").to_string();
    assert!(refused.contains("has gone to the gateways' volumes"), "{refused}");
    cluster.catalog_is(None, None);
    cluster.restart().await;
    let status = cluster.status_until(is_writable).await;
    assert_eq!((status.catalog.engine, status.catalog.moving), (CatalogEngine::Embedded, None));
    cluster.all_there("there", there).await;
    cluster.all_there("back", back).await;
    assert!(cluster.get("large").await == large && cluster.get("behind").await == large);
    cluster.end().await;
}

/// The gateway was cut off between the fence and the opening: it brings the move to its end before it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_finds_a_fence_finishes_the_move_first() {
    let server = crate::postgres::server();
    let database = server.database().await;
    let (mut cluster, bytes) = cut_off_behind_the_fence(server.options(&database)).await;
    cluster.catalog_is(Some(&server.uri(&database)), Some("ToDatabase"));
    cluster.restart().await;
    let status = cluster.status_until(is_writable).await;
    assert_eq!(status.catalog.engine, CatalogEngine::Postgres);
    assert!(cluster.get("kept").await == bytes);
    cluster.put("behind", &bytes).await;
    cluster.end().await;
}

/// What it moves to is lost behind the fence: the settings of before bring back all that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_whose_target_is_lost_is_called_off_behind_the_fence() {
    let server = crate::postgres::server();
    let database = server.database().await;
    let (mut cluster, bytes) = cut_off_behind_the_fence(server.options(&database)).await;
    let lost = format!("DROP DATABASE {database} WITH (FORCE)");
    server.admin("postgres").await.batch_execute(&lost).await.unwrap();
    cluster.restart().await;
    cluster.status_until(is_writable).await;
    assert!(cluster.get("kept").await == bytes);
    cluster.put("behind", &bytes).await;
    // To another one, later.
    cluster.catalog_is(Some(&server.uri(&server.database().await)), Some("ToDatabase"));
    cluster.restart().await;
    cluster.status_until(has_moved).await;
    assert!(cluster.get("kept").await == bytes && cluster.get("behind").await == bytes);
    cluster.end().await;
}

/// A cluster that has a file, whose catalog's move into a database has come to its fence.
async fn cut_off_behind_the_fence(database: PostgresOptions) -> (Cluster, Vec<u8>) {
    let mut cluster = Cluster::start().await;
    cluster.put_pool().await;
    cluster.status_until(is_writable).await;
    let bytes = noise(5, 3 << 20);
    cluster.put("kept", &bytes).await;
    cluster.gateway.take().unwrap().end().await;
    fence(&cluster.dir.path().join("gateway/catalog"), database).await;
    (cluster, bytes)
}

/// What the gateway's worker does, up to the fence.
async fn fence(volume: &std::path::Path, database: PostgresOptions) {
    let source: AnyKeyspace = RocksKeyspace::open(volume, RocksOptions::default()).unwrap().into();
    let target: AnyKeyspace = PostgresKeyspace::open(database).await.unwrap().into();
    let gateways: Vec<NodeName> = vec!["gateway".parse().unwrap()];
    let moves = Moves {
        source: source.clone(),
        target: target.clone(),
        to: Keeper::Postgres,
        gateways: gateways.clone(),
    };
    let Begun::Moving(mut mover) = Mover::begin(moves, MoveId([1; 16]), 1).await.unwrap() else {
        panic!("nothing moves")
    };
    say_ready(&source, &target, &gateways[0]).await.unwrap();
    while mover.step(1).await.unwrap() != Step::Fence {}
}

/// A volume that was put back as it was before the move is not the catalog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_was_set_back_is_not_served() {
    let server = crate::postgres::server();
    let uri = server.uri(&server.database().await);
    let mut cluster = Cluster::start().await;
    cluster.put_pool().await;
    cluster.status_until(is_writable).await;
    cluster.gateway.take().unwrap().end().await;
    let (volume, earlier) = (cluster.dir.path().join("gateway/catalog"), cluster.dir.path().join("earlier"));
    copy(&volume, &earlier);
    cluster.catalog_is(Some(&uri), Some("ToDatabase"));
    cluster.restart().await;
    cluster.status_until(has_moved).await;
    cluster.gateway.take().unwrap().end().await;
    std::fs::remove_dir_all(&volume).unwrap();
    copy(&earlier, &volume);
    let refused = bind_gateway(cluster.dir.path(), &cluster.secret, "gateway").await;
    let refused = refused.err().expect("an old catalog is served").to_string();
    assert!(refused.contains("the target holds a catalog already"), "{refused}");
    cluster.end().await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A settings file that forgot what is on the volume would begin with nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_beside_a_catalog_is_a_mistake() {
    let server = crate::postgres::server();
    let uri = server.uri(&server.database().await);
    let mut cluster = Cluster::start().await;
    cluster.gateway.take().unwrap().end().await;
    cluster.catalog_is(Some(&uri), None);
    let refused = bind_gateway(cluster.dir.path(), &cluster.secret, "gateway").await;
    let refused = refused.err().expect("an empty catalog is served").to_string();
    assert!(refused.contains("set catalogMove to ToDatabase"), "{refused}");
    cluster.end().await;
}
