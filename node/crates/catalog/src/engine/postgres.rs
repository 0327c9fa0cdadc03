//! The external engine: PostgreSQL, for catalogs that outgrow one machine or stand where a database is kept well already.
//!
//! Three tables (`tables`): rows, the newest commits' changes, and a head with the newest revision. Whoever commits locks the head
//! first, so the order of commits is one order for all gateways, and the snapshot of any transaction is the keyspace at one
//! revision. One transaction carries many batches (`writer`).

mod connect;
mod errors;
mod lead;
mod tables;
mod view;
mod writer;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::keyspace::{Batch, Changes, ChangesError, CommitError, Keyspace, ReadError, Revision, Versioned};
pub use connect::PostgresOptions;
use errors::Fault;
pub use errors::PostgresError;
pub use view::PostgresView;
use writer::{Request, Writer};

/// Commits that may wait for the writer; callers beyond it wait in their own tasks.
const QUEUE_COMMITS: usize = 1024;
/// How long an operation goes on trying while the database cannot be reached: a restart or a failover of it is a delay, then.
const PATIENCE: Duration = Duration::from_secs(15);
/// For one call: the server ends a statement after 30 s.
const CALL_WAIT: Duration = Duration::from_secs(45);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// A keyspace in a PostgreSQL database. Any number of processes may have it open.
#[derive(Clone)]
pub struct PostgresKeyspace {
    shared: Arc<Shared>,
}

struct Shared {
    /// For what ends with its answer.
    calls: Pool,
    /// For views, which keep a connection each: they may wait for calls, and never calls for them.
    views: Pool,
    submit: mpsc::Sender<Request>,
    lead: watch::Receiver<bool>,
    /// The writer and whoever keeps the lead: they end with the last clone.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for PostgresKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeyspace").finish_non_exhaustive()
    }
}

/// Until it succeeds, fails for a reason that stays, or patience ends.
async fn patiently<T, A>(mut attempt: impl FnMut() -> A) -> Result<T, Fault>
where
    A: Future<Output = Result<T, Fault>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        let attempted = timeout(CALL_WAIT, attempt()).await.unwrap_or(Err(Fault::Silent));
        match attempted {
            Err(fault) if fault.passes() && Instant::now() + PAUSE < until => {
                tracing::warn!(%fault, "the catalog's database does not answer; trying again");
                sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

impl PostgresKeyspace {
    /// Connects, and makes the tables where there are none.
    ///
    /// # Errors
    /// See [`PostgresError`]; none shows the connection string.
    pub async fn open(options: PostgresOptions) -> Result<Self, PostgresError> {
        let changes_max = options.changes_max;
        let (calls, views) = options.pools()?;
        tables::prepare(&calls).await?;
        let (submit, requests) = mpsc::channel(QUEUE_COMMITS);
        let mut tasks = JoinSet::new();
        tasks.spawn(Writer::new(calls.clone(), changes_max).run(requests));
        let (held, lead) = watch::channel(false);
        tasks.spawn(lead::keep(calls.clone(), held));
        Ok(Self { shared: Arc::new(Shared { calls, views, submit, lead, _tasks: tasks }) })
    }

    /// Whether this process does what one of all that share the database does for all. Nobody has that for some seconds after its
    /// holder is lost; two may, for as long as the loss of a session goes unnoticed at one end.
    #[must_use]
    pub fn lead(&self) -> watch::Receiver<bool> {
        self.shared.lead.clone()
    }

    /// Lets the keyspace count its commits from there on, where it has not come as far: nothing is remembered of what changed before.
    ///
    /// # Errors
    /// The database's; it can be called again.
    pub async fn begin_above(&self, revision: Revision) -> Result<(), CommitError> {
        Ok(patiently(|| writer::begin_above(&self.shared.calls, revision)).await?)
    }

    async fn submit(&self, batch: Batch) -> Result<Revision, CommitError> {
        batch.validate()?;
        let (reply, answer) = oneshot::channel();
        self.shared.submit.send(Request { batch, reply }).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }
}

impl Keyspace for PostgresKeyspace {
    type View<'a> = PostgresView;

    async fn view(&self) -> Result<PostgresView, ReadError> {
        Ok(patiently(|| PostgresView::begin(&self.shared.views)).await?)
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let get = || async { view::get(&*self.shared.calls.get().await?, key).await };
        Ok(patiently(get).await?)
    }

    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Revision, CommitError>> + Send {
        self.submit(batch)
    }

    async fn changes_since(&self, since: Revision, limit: usize) -> Result<Changes, ChangesError> {
        let changes = || async { view::changes(&*self.shared.calls.get().await?, since, limit).await };
        patiently(changes).await.map_err(ReadError::from)?
    }
}
