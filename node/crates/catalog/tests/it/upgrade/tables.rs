//! Tables in PostgreSQL.

use datamesh_catalog::EmbeddedCatalog;
use datamesh_catalog::engine::{PostgresError, PostgresKeyspace};

use super::{TABLES, catalog_on, checked, golden};
use crate::postgres::server;

/// A database with them.
async fn loaded() -> String {
    let database = server().database().await;
    let dump = std::fs::read_to_string(golden(TABLES)).unwrap();
    server().admin(&database).await.batch_execute(&dump).await.unwrap();
    database
}

async fn opened() -> (String, EmbeddedCatalog) {
    let database = loaded().await;
    let catalog = catalog_on(PostgresKeyspace::open(server().options(&database)).await.unwrap()).await;
    (database, catalog)
}

checked!(opened);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_later_version_do_not_open() {
    let database = loaded().await;
    server().admin(&database).await.batch_execute("UPDATE datamesh_head SET format = 200").await.unwrap();
    let refused = PostgresKeyspace::open(server().options(&database)).await.unwrap_err();
    assert!(matches!(refused, PostgresError::Format { found: 200, .. }), "{refused}");
    assert!(refused.to_string().contains("use the version that made them, or a later one"), "{refused}");
}
