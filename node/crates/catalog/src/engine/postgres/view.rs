use deadpool_postgres::{ClientWrapper, Object, Pool};
use futures::FutureExt;
use tokio_postgres::Row as SqlRow;

use super::Fault;
use crate::keyspace::{
    Change, ChangeKind, Changes, ChangesError, KeyRange, RangeLimits, RangePage, ReadError, Revision, Row,
    Versioned, View,
};

const GET: &str = "SELECT version, value FROM datamesh_rows WHERE key = $1";
const HEAD: &str = "SELECT revision FROM datamesh_head";
/// The changes after a revision up to the end of the commit that reaches the limit; the first row is the head alone.
const CHANGES: &str = "
    SELECT head.revision, head.floor, change.revision, change.key, change.deleted
    FROM datamesh_head head LEFT JOIN datamesh_changes change ON change.revision > $1 AND change.revision <= coalesce(
        (SELECT revision FROM datamesh_changes WHERE revision > $1 ORDER BY revision, at OFFSET $2 LIMIT 1),
        9223372036854775807)
    ORDER BY change.revision, change.at";

/// Rows of a range up to a limit. The window sums bytes before each row, so that no more is sent than is asked for; the length of a
/// value is known without reading it.
fn range_query(bounded: bool) -> String {
    let end = if bounded { "AND key < $5" } else { "" };
    format!(
        "SELECT key, version, value, total FROM (
            SELECT key, version, value, row_number() OVER w AS n, count(*) OVER () AS total,
                sum(octet_length(key) + octet_length(value)) OVER w - octet_length(key) - octet_length(value) AS before
            FROM (SELECT key, version, value FROM datamesh_rows WHERE key >= $1 {end} ORDER BY key LIMIT $2) page
            WINDOW w AS (ORDER BY key)) sized
        WHERE n = 1 OR (n <= $3 AND before < $4) ORDER BY key"
    )
}

fn revision(stored: i64) -> Revision {
    Revision(u64::try_from(stored).unwrap_or_default())
}

/// As the database counts.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A row's version and value, from columns of these names.
pub(super) fn versioned(row: &SqlRow) -> Versioned {
    Versioned { version: revision(row.get("version")), value: row.get("value") }
}

/// One row, as the connection's transaction sees it, or as it is now.
pub(super) async fn get(client: &ClientWrapper, key: &[u8]) -> Result<Option<Versioned>, Fault> {
    let statement = client.prepare_cached(GET).await?;
    Ok(client.query_opt(&statement, &[&key]).await?.as_ref().map(versioned))
}

/// Changes after a revision.
pub(super) async fn changes(
    client: &ClientWrapper,
    since: Revision,
    limit: usize,
) -> Result<Result<Changes, ChangesError>, Fault> {
    let statement = client.prepare_cached(CHANGES).await?;
    let (after, last) = (signed(since.0), signed(limit.max(1) - 1));
    let rows = client.query(&statement, &[&after, &last]).await?;
    let Some(head) = rows.first() else { return Ok(Err(ChangesError::Future { newest: Revision(0) })) };
    let (newest, floor) = (revision(head.get(0)), revision(head.get(1)));
    if since < floor {
        return Ok(Err(ChangesError::Forgotten { through: floor }));
    }
    if since > newest {
        return Ok(Err(ChangesError::Future { newest }));
    }
    let change = |row: &SqlRow| {
        // Absent where there is no change at all.
        let of: i64 = row.get::<_, Option<i64>>(2)?;
        let kind = if row.get(4) { ChangeKind::Deleted } else { ChangeKind::Written };
        Some(Change { revision: revision(of), key: row.get(3), kind })
    };
    let changes: Vec<Change> = rows.iter().filter_map(change).collect();
    // Fewer than asked for reach the newest commit.
    let full = changes.len() >= limit.max(1);
    let through = changes.last().filter(|_| full).map_or(newest, |last| last.revision);
    Ok(Ok(Changes { changes, through }))
}

/// The database at one moment: a transaction that only reads.
pub struct PostgresView {
    client: Object,
    revision: Revision,
}

impl std::fmt::Debug for PostgresView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresView").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Drop for PostgresView {
    fn drop(&mut self) {
        // Sent at once and before whatever comes next on this connection; nobody needs the answer.
        let _ = self.client.batch_execute("ROLLBACK").now_or_never();
    }
}

impl PostgresView {
    pub(super) async fn begin(views: &Pool) -> Result<Self, Fault> {
        let mut view = Self { client: views.get().await?, revision: Revision(0) };
        let head = view.client.prepare_cached(HEAD).await?;
        // One journey: the first statement after it fixes what the transaction sees.
        let begin = view.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let (begun, row) = futures::join!(begin, view.client.query_one(&head, &[]));
        begun?;
        view.revision = revision(row?.get(0));
        Ok(view)
    }

    async fn page(&self, range: &KeyRange, limits: RangeLimits) -> Result<RangePage, Fault> {
        let statement = self.client.prepare_cached(&range_query(range.end.is_some())).await?;
        let rows_max = limits.rows.max(1);
        let (some, all) = (signed(rows_max), signed(rows_max.saturating_add(1)));
        let bytes = signed(limits.bytes);
        let rows = match &range.end {
            Some(end) => self.client.query(&statement, &[&range.start, &all, &some, &bytes, end]).await?,
            None => self.client.query(&statement, &[&range.start, &all, &some, &bytes]).await?,
        };
        let more = rows.first().is_some_and(|row| row.get::<_, i64>("total") > signed(rows.len()));
        let row = |row: &SqlRow| {
            let Versioned { version, value } = versioned(row);
            Row { key: row.get("key"), version, value }
        };
        Ok(RangePage { rows: rows.iter().map(row).collect(), more })
    }
}

impl View for PostgresView {
    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.revision)
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        Ok(get(&self.client, key).await?)
    }

    async fn range(&self, range: &KeyRange, limits: RangeLimits) -> Result<RangePage, ReadError> {
        let range = range.without_reserved();
        if range.is_empty() {
            return Ok(RangePage::default());
        }
        Ok(self.page(&range, limits).await?)
    }
}
