//! Who of all that share the database does what one does for all: whoever has its lock. The lock is a session's, so it is free once
//! its holder is gone, by the database's own judgement.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::errors::Fault;

/// Of the lock: ours among those of this database, and for tables of one schema.
const TRY: &str = "SELECT pg_try_advisory_lock(1684106085, hashtext(current_schema()))";
/// Between two tries to get it, and two looks whether the session still is.
const PERIOD: Duration = Duration::from_secs(3);
/// For each answer. A session that gives none has lost the lock, as far as its holder may assume.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Tries to have the lead until it has it, keeps it as long as it can, and begins anew. Ends when nobody wants to know any more.
pub(super) async fn keep(pool: Pool, held: watch::Sender<bool>) {
    while !held.is_closed() {
        if let Err(fault) = session(&pool, &held).await {
            tracing::debug!(%fault, "the session for the lead ended");
        }
        held.send_replace(false);
        sleep(PERIOD).await;
    }
}

/// One session, from its begin to its end.
async fn session(pool: &Pool, held: &watch::Sender<bool>) -> Result<(), Fault> {
    // For itself: given back to the pool, it would take the lock along.
    let session = Object::take(answer(async { Ok(pool.get().await?) }).await?);
    while !held.is_closed() {
        if *held.borrow() {
            answer(async { Ok(session.simple_query("").await?) }).await?;
        } else if answer(async { Ok(session.query_one(TRY, &[]).await?.try_get::<_, bool>(0)?) }).await? {
            held.send_replace(true);
        }
        sleep(PERIOD).await;
    }
    Ok(())
}

async fn answer<T>(asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(ANSWER_WAIT, asked).await.unwrap_or(Err(Fault::Silent))
}
