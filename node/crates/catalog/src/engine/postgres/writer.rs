use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Pool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;

use super::view::{signed, versioned};
use super::{Fault, PATIENCE, PAUSE};
use crate::engine::evaluate::{Committed, Pending};
use crate::keyspace::{
    Batch, ChangeKind, Check, CommitError, KeyRange, ReadError, Revision, Versioned, Write,
};

/// Commits of one transaction at most, and bytes, reached by the last one taken in: bounds what the first of them waits for.
const GROUP_COMMITS_MAX: usize = 512;
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Commits between two times that old changes are dropped.
const TRIM_EVERY: u64 = 1024;

/// Whoever has it is the only one that commits, and sees all that was committed before.
const LOCK_HEAD: &str = "SELECT revision, floor FROM datamesh_head FOR UPDATE";
const VERSIONS: &str = "SELECT key, version FROM datamesh_rows WHERE key = ANY($1)";
const VALUES: &str = "SELECT key, version, value FROM datamesh_rows WHERE key = ANY($1)";
const TOUCHED: &str = "SELECT EXISTS (SELECT 1 FROM datamesh_changes WHERE revision > $1 AND key >= $2 AND ($3::bytea IS NULL OR key < $3))";
const PUT: &str = "
    INSERT INTO datamesh_rows (key, version, value) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
    ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value";
const DELETE: &str = "DELETE FROM datamesh_rows WHERE key = ANY($1)";
const LOG: &str = "
    INSERT INTO datamesh_changes (revision, at, key, deleted)
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[], $4::boolean[])";
const ADVANCE: &str = "UPDATE datamesh_head SET revision = $1, floor = $2";
/// From where the last time ended: what was deleted then, and is not cleaned up yet, is not walked through again.
const TRIM: &str = "DELETE FROM datamesh_changes WHERE revision > $1 AND revision <= $2";
/// Whatever the role's own default is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// In one step, so that nobody sees the one without the other.
const BEGIN_ABOVE: &str = "
    WITH raised AS (UPDATE datamesh_head SET revision = $1, floor = $1 WHERE revision < $1 RETURNING revision)
    DELETE FROM datamesh_changes WHERE revision <= (SELECT revision FROM raised)";
/// For all before the commit, and for the commit. A server that waits for its standby may take any time.
const STEP_WAIT: Duration = Duration::from_secs(45);

type Parameter<'a> = &'a (dyn ToSql + Sync);
type Outcome = Result<Revision, CommitError>;

/// One commit on its way.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Commits for all clones of a keyspace in this process; those of others wait at the head's lock.
pub(super) struct Writer {
    calls: Pool,
    changes_max: u64,
    /// The newest revision that was acknowledged here.
    seen: AtomicU64,
}

/// Why a transaction brought no answers.
enum Stopped {
    /// Nothing was written.
    Before(Fault),
    /// Perhaps it was written.
    Unknown(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Before(fault)
    }
}

impl Writer {
    pub(super) fn new(calls: Pool, changes_max: u64) -> Self {
        Self { calls, changes_max, seen: AtomicU64::new(0) }
    }

    /// Until the last sender is gone.
    pub(super) async fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut bytes = first.batch.bytes();
            let mut group = vec![first];
            while group.len() < GROUP_COMMITS_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(next) = requests.try_recv() else { break };
                bytes += next.batch.bytes();
                group.push(next);
            }
            let (batches, replies): (Vec<_>, Vec<_>) =
                group.into_iter().map(|request| (request.batch, request.reply)).unzip();
            for (reply, outcome) in replies.into_iter().zip(self.commit(&batches).await) {
                // A caller that went away does not need its answer.
                let _ = reply.send(outcome);
            }
        }
    }

    /// An outcome for each batch.
    async fn commit(&self, batches: &[Batch]) -> Vec<Outcome> {
        let until = Instant::now() + PATIENCE;
        loop {
            let fault = match self.transact(batches).await {
                Ok(outcomes) => return outcomes,
                Err(Stopped::Before(fault)) if fault.passes() && Instant::now() + PAUSE < until => {
                    tracing::warn!(%fault, "the catalog's database did not take a commit; nothing was written, trying again");
                    sleep(PAUSE).await;
                    continue;
                }
                Err(Stopped::Before(fault) | Stopped::Unknown(fault)) => fault,
            };
            tracing::error!(%fault, "the catalog's database did not commit");
            let failure = CommitError::Engine(fault.to_string());
            return vec![Err(failure); batches.len()];
        }
    }

    async fn transact(&self, batches: &[Batch]) -> Result<Vec<Outcome>, Stopped> {
        let client = self.calls.get().await.map_err(Fault::from)?;
        let outcomes = self.evaluate_and_commit(&client, batches).await;
        if outcomes.is_err() {
            // Not to be used again in the middle of a transaction: what it did there goes with it.
            drop(deadpool_postgres::Object::take(client));
        }
        outcomes
    }

    async fn evaluate_and_commit(
        &self,
        client: &ClientWrapper,
        batches: &[Batch],
    ) -> Result<Vec<Outcome>, Stopped> {
        let evaluated = timeout(STEP_WAIT, self.evaluate_and_write(client, batches)).await;
        let (outcomes, newest) = evaluated.unwrap_or(Err(Fault::Silent))?;
        let Some(newest) = newest else { return Ok(outcomes) };
        match timeout(STEP_WAIT, client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Stopped::Unknown(error.into())),
            Err(_) => return Err(Stopped::Unknown(Fault::Silent)),
        }
        self.seen.fetch_max(newest.0, Ordering::Relaxed);
        Ok(outcomes)
    }

    /// Everything but the commit: the outcomes, and the newest revision if there is something to commit.
    async fn evaluate_and_write(
        &self,
        client: &ClientWrapper,
        batches: &[Batch],
    ) -> Result<(Vec<Outcome>, Option<Revision>), Fault> {
        let lock = client.prepare_cached(LOCK_HEAD).await?;
        let (begun, head) = futures::join!(client.batch_execute(BEGIN), client.query_one(&lock, &[]));
        begun?;
        let head = head?;
        let known = Known::read(client, batches, (head.get(0), head.get(1))).await?;
        let (seen, found) = (self.seen.load(Ordering::Relaxed), known.newest.0);
        if found < seen {
            return Err(Fault::WentBack { seen, found });
        }
        let mut pending = Pending::new(known.newest);
        let outcomes: Vec<Outcome> =
            batches.iter().map(|batch| pending.commit(&known, batch.clone())).collect();
        if pending.newest == known.newest {
            client.batch_execute("ROLLBACK").await?;
            return Ok((outcomes, None));
        }
        self.write(client, &known, &pending).await?;
        Ok((outcomes, Some(pending.newest)))
    }

    /// Where the kept changes begin once these commits are in. It never moves far at once: the head is locked meanwhile.
    fn floor(&self, known: &Known, newest: u64) -> u64 {
        if newest / TRIM_EVERY == known.newest.0 / TRIM_EVERY {
            return known.floor.0;
        }
        newest.saturating_sub(self.changes_max).clamp(known.floor.0, known.floor.0 + 4 * TRIM_EVERY)
    }

    async fn write(&self, client: &ClientWrapper, known: &Known, pending: &Pending) -> Result<(), Fault> {
        let newest = pending.newest.0;
        let floor = self.floor(known, newest);
        let (mut keys, mut versions, mut values, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (key, row) in &pending.rows {
            match row {
                Some((version, value)) => {
                    keys.push(key);
                    versions.push(signed(version.0));
                    values.push(value);
                }
                None => gone.push(key),
            }
        }
        let (put, delete) = (client.prepare_cached(PUT).await?, client.prepare_cached(DELETE).await?);
        let (log, advance) = (client.prepare_cached(LOG).await?, client.prepare_cached(ADVANCE).await?);
        let changes = &pending.changes;
        let revisions: Vec<i64> = changes.iter().map(|change| signed(change.revision.0)).collect();
        let at: Vec<i32> = (0..i32::try_from(changes.len()).unwrap_or(i32::MAX)).collect();
        let changed: Vec<&[u8]> = changes.iter().map(|change| change.key.as_slice()).collect();
        let deleted: Vec<bool> = changes.iter().map(|change| change.kind == ChangeKind::Deleted).collect();
        let (put_rows, deleted_rows): ([Parameter<'_>; 3], [Parameter<'_>; 1]) =
            ([&keys, &versions, &values], [&gone]);
        let log_rows: [Parameter<'_>; 4] = [&revisions, &at, &changed, &deleted];
        let head: [Parameter<'_>; 2] = [&signed(newest), &signed(floor)];
        // One journey for all of them.
        futures::try_join!(
            client.execute(&put, &put_rows),
            client.execute(&delete, &deleted_rows),
            client.execute(&log, &log_rows),
            client.execute(&advance, &head),
        )?;
        if floor > known.floor.0 {
            client.execute(TRIM, &[&signed(known.floor.0), &signed(floor)]).await?;
        }
        Ok(())
    }
}

/// Lets the head go on from there, where it is below.
pub(super) async fn begin_above(calls: &Pool, revision: Revision) -> Result<(), Fault> {
    let client = calls.get().await?;
    client.execute(BEGIN_ABOVE, &[&signed(revision.0)]).await?;
    Ok(())
}

/// What the checks and adds of a group ask for, as it is under the head's lock.
struct Known {
    newest: Revision,
    floor: Revision,
    versions: HashMap<Vec<u8>, Revision>,
    /// Those that are added to.
    rows: HashMap<Vec<u8>, Versioned>,
    /// Of each range that shall not have changed.
    touched: Vec<(KeyRange, Revision, bool)>,
}

impl Known {
    async fn read(
        client: &ClientWrapper,
        batches: &[Batch],
        (newest, floor): (i64, i64),
    ) -> Result<Self, Fault> {
        let number = |stored: i64| Revision(u64::try_from(stored).unwrap_or_default());
        let mut known = Self {
            newest: number(newest),
            floor: number(floor),
            versions: HashMap::new(),
            rows: HashMap::new(),
            touched: Vec::new(),
        };
        let checks = batches.iter().flat_map(|batch| &batch.checks);
        let (mut checked, mut ranges): (Vec<&[u8]>, _) = (Vec::new(), Vec::new());
        for check in checks {
            match check {
                Check::At { key, .. } | Check::Absent { key } => checked.push(key),
                Check::Unchanged { range, since } => ranges.push((range, *since)),
            }
        }
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        let added = writes.filter(|write| matches!(write, Write::Add { .. }));
        let added: Vec<&[u8]> = added.map(Write::key).collect();
        let (of_versions, of_values) =
            (client.prepare_cached(VERSIONS).await?, client.prepare_cached(VALUES).await?);
        let (checked, added): ([Parameter<'_>; 1], [Parameter<'_>; 1]) = ([&checked], [&added]);
        let (versions, rows) =
            futures::try_join!(client.query(&of_versions, &checked), client.query(&of_values, &added))?;
        known.versions = versions.iter().map(|row| (row.get(0), number(row.get(1)))).collect();
        known.rows = rows.iter().map(|row| (row.get(0), versioned(row))).collect();
        for (range, since) in ranges {
            let touched = client.prepare_cached(TOUCHED).await?;
            let row = client.query_one(&touched, &[&signed(since.0), &range.start, &range.end]).await?;
            known.touched.push((range.clone(), since, row.get(0)));
        }
        Ok(known)
    }
}

impl Committed for Known {
    fn version(&self, key: &[u8]) -> Result<Option<Revision>, ReadError> {
        Ok(self.versions.get(key).copied())
    }

    fn row(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        Ok(self.rows.get(key).cloned())
    }

    fn proves_unchanged(&self, range: &KeyRange, since: Revision) -> bool {
        let found = self.touched.iter().find(|(of, after, _)| of == range && *after == since);
        since >= self.floor && found.is_some_and(|(_, _, touched)| !touched)
    }
}
