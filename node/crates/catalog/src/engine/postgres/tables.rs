use deadpool_postgres::Pool;
use tokio_postgres::Client;

use super::{Fault, PostgresError, patiently};

/// Format of the tables. A change of it comes with a migration in [`prepare`].
const FORMAT: i32 = 1;
/// Two gateways that start at once make the tables one after the other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('datamesh catalog tables'))";

/// `bytea` sorts by its bytes, as the keyspace does. Values are sealed or small: compressing them gains nothing.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS datamesh_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    format integer NOT NULL,
    revision bigint NOT NULL,
    -- All changes after this revision are in datamesh_changes.
    floor bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS datamesh_rows (
    key bytea PRIMARY KEY,
    version bigint NOT NULL,
    value bytea NOT NULL
);
ALTER TABLE datamesh_rows ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS datamesh_changes (
    revision bigint NOT NULL,
    at integer NOT NULL,
    key bytea NOT NULL,
    deleted boolean NOT NULL,
    PRIMARY KEY (revision, at)
);
";

/// Makes the tables where there are none, and holds the server against what a catalog needs.
pub(super) async fn prepare(calls: &Pool) -> Result<(), PostgresError> {
    let client = patiently(|| async { Ok(calls.get().await?) }).await?;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let row =
            client.query_opt("SELECT current_setting($1, true)", &[&setting]).await.map_err(Fault::from)?;
        match row.and_then(|row| row.get::<_, Option<String>>(0)) {
            Some(value) if value == "off" => return Err(PostgresError::NotDurable { setting, value }),
            _ => {}
        }
    }
    let found = make(&client).await?;
    if found == FORMAT { Ok(()) } else { Err(PostgresError::Format { found, known: FORMAT }) }
}

/// Gives the format of the tables, which may have been there before.
async fn make(client: &Client) -> Result<i32, Fault> {
    let there = client.query_one("SELECT to_regclass('datamesh_head') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        let head = "INSERT INTO datamesh_head (format, revision, floor) VALUES";
        let head = format!("{head} ({FORMAT}, 0, 0) ON CONFLICT DO NOTHING;");
        client.batch_execute(&format!("BEGIN; {LOCK}; {TABLES} {head} COMMIT;")).await?;
    }
    Ok(client.query_one("SELECT format FROM datamesh_head", &[]).await?.get(0))
}
